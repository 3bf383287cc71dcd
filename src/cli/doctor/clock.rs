//! The clock: tokens, certificates and the names of files go by it, and small boards have none that runs without power.

use std::{path::Path, time::SystemTime};

use time::{Date, OffsetDateTime, macros::format_description};

use super::{finding::Finding, unit::output};

/// The checks.
pub fn look() -> Vec<Finding> {
    let built = Date::parse(env!("BUILD_DATE"), format_description!("[year]-[month]-[day]"));
    let built = built.unwrap_or(Date::MIN);
    vec![year(OffsetDateTime::from(SystemTime::now()).date(), built), synchronised()]
}

/// Whether the date can be right: not before this program was built, and not in another century.
fn year(today: Date, built: Date) -> Finding {
    const CHECK: &str = "clock.date";
    let fix = "sudo timedatectl set-ntp true, or set it: sudo date -s '2026-11-24 12:00'";
    match today {
        today if today < built.previous_day().unwrap_or(built) => {
            Finding::fail(CHECK, format!("it is {today} here, and this program was built on {built}"), fix)
        }
        today if today.year() >= 2100 => Finding::fail(CHECK, format!("it is {today} here"), fix),
        today => Finding::ok(CHECK, format!("it is {today}")),
    }
}

/// Whether something keeps it right.
fn synchronised() -> Finding {
    const CHECK: &str = "clock.synchronised";
    let fix = "sudo timedatectl set-ntp true, and let the machine reach a time server (UDP port 123)";
    let told = output("timedatectl", &["show", "--property=NTPSynchronized", "--value"]);
    match told.as_deref().map(str::trim) {
        Some("yes") => Finding::ok(CHECK, "a time server is followed"),
        _ if Path::new("/run/systemd/timesync/synchronized").exists() => {
            Finding::ok(CHECK, "a time server is followed")
        }
        Some(_) => Finding::warn(CHECK, "no time server is followed: the clock may be wrong", fix),
        None => Finding::warn(CHECK, "whether a time server is followed cannot be told: timedatectl does not say", fix),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::{super::finding::Status, *};

    #[test]
    fn a_clock_that_was_reset_is_seen() {
        let built = date!(2026 - 11 - 24);
        for (today, status) in [
            (date!(1970 - 01 - 01), Status::Fail),
            (date!(2026 - 11 - 20), Status::Fail),
            // Time zones.
            (date!(2026 - 11 - 23), Status::Ok),
            (date!(2027 - 01 - 01), Status::Ok),
            (date!(2106 - 02 - 07), Status::Fail),
        ] {
            assert_eq!(year(today, built).status, status, "{today}");
        }
    }
}
