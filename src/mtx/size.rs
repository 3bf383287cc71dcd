//! Sizes as MediaMTX writes them: `"50M"`, powers of 1024.

const UNITS: [char; 6] = ['E', 'P', 'T', 'G', 'M', 'K'];

/// Reads `50M`, `100MB`, `1GiB`, `512k`. Error: the text MediaMTX gives.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || {
        "byte quantity must be a positive integer with a unit of measurement like M, MB, MiB, G, GiB, or GB".to_owned()
    };
    let upper = text.trim().to_uppercase();
    let end = upper.find(|c: char| c.is_alphabetic()).ok_or_else(wrong)?;
    let number: f64 = upper[..end].parse().map_err(|_| wrong())?;
    let unit = &upper[end..];
    let power = match unit {
        "B" => 0,
        _ => {
            let at = UNITS.iter().position(|letter| unit.starts_with(*letter)).ok_or_else(wrong)?;
            if !["", "B", "IB"].contains(&&unit[1..]) {
                return Err(wrong());
            }
            UNITS.len() - at
        }
    };
    let bytes = number * 1024_f64.powi(power as i32);
    if number > 0.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// With one letter, and one digit after the point where there must be one.
pub(super) fn show(bytes: u64) -> String {
    for (at, letter) in UNITS.iter().enumerate() {
        let unit = 1_u64 << (10 * (UNITS.len() - at));
        if bytes >= unit {
            let number = format!("{:.1}", bytes as f64 / unit as f64);
            return format!("{}{letter}", number.trim_end_matches(".0"));
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_are_shown_with_one_letter() {
        for (text, shown) in [
            ("50M", "50M"),
            ("100MB", "100M"),
            ("1GiB", "1G"),
            ("512k", "512K"),
            ("1.5G", "1.5G"),
            ("2048K", "2M"),
            ("7B", "7B"),
        ] {
            assert_eq!(show(parse(text).unwrap()), shown, "{text}");
        }
        for text in ["", "50", "M", "50X", "-5M", "0M", "5MX"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
