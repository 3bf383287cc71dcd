//! How the name of a camera or a path stands in the names of its files, and how it is read back. Pure.
//!
//! No two names have one spelling, so nobody has another's files, and every spelling is one that VFAT takes. Letters, digits,
//! `-` and `_` stand as they are, other characters as `~` and two hexadecimal digits for each byte: `live/cam` is `live~2Fcam`.
//!
//! Versions before this one wrote `_` for every other character, and 64 characters at most. What may be their spelling of
//! several names has `~` at its end now: what `front_gate` recorded begins with `front_gate~`, and a file that begins with
//! `front_gate` is an old one, of `front_gate`, `front/gate` or `front.gate`.

use sha2::{Digest, Sha256};

/// Bytes of a name in the spelling of earlier versions.
pub const LONGEST_OLD: usize = 64;

/// Bytes of the digest that stands for the rest of a name that is too long.
const DIGEST: usize = 16;

/// A name in `room` bytes, which are 64 or more. What is too long has its beginning, `~~` and a digest of all of it.
pub fn spell(name: &str, room: usize) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'-' | b'_' => text.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => text.push(byte.into()),
            _ => text.push_str(&format!("~{byte:02X}")),
        }
    }
    if is_old(&text) {
        text.push('~');
    }
    if text.len() > room {
        let digest = Sha256::digest(name.as_bytes());
        text.truncate(room.saturating_sub(2 + 2 * DIGEST));
        text.push_str("~~");
        text.extend(digest.iter().take(DIGEST).map(|byte| format!("{byte:02x}")));
    }
    text
}

/// The name that has this spelling. `None`: it is one of an earlier version that several names had, or it has a digest.
pub fn read(spelling: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), spelling.strip_suffix('~').unwrap_or(spelling));
    while let Some((plain, escaped)) = rest.split_once('~') {
        let (digits, after) = escaped.split_at_checked(2)?;
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    let name = String::from_utf8(bytes).ok()?;
    (spell(&name, usize::MAX) == spelling).then_some(name)
}

/// How earlier versions spelled a name.
pub fn old(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    name.chars().take(LONGEST_OLD).map(plain).collect()
}

/// Whether a spelling is one of an earlier version that several names had.
pub fn is_old(spelling: &str) -> bool {
    !spelling.contains('~') && (spelling.contains('_') || spelling.len() == LONGEST_OLD)
}

/// Whether a name was too long for this spelling, so that it cannot be read.
pub fn is_digest(spelling: &str) -> bool {
    spelling.contains("~~")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_look_alike_are_spelled_apart_and_plain_ones_as_ever() {
        let (full, longer) = ("x".repeat(64), "x".repeat(65));
        for (name, spelling) in [
            ("camera0", "camera0"),
            ("front-gate", "front-gate"),
            ("front_gate", "front_gate~"),
            ("front/gate", "front~2Fgate"),
            ("front.gate", "front~2Egate"),
            ("a_b/c~", "a_b~2Fc~7E"),
            ("..", "~2E~2E"),
            (&full, &format!("{full}~")),
            (&longer, &longer),
        ] {
            assert_eq!(spell(name, 100), spelling);
            assert_eq!(read(spelling).as_deref(), Some(name));
        }
        for unread in ["front_gate", "a~", "a~2f", "a~2Fb~", "a~2", "a~é", "~FF", &full, &spell(&"y".repeat(101), 100)]
        {
            assert_eq!(read(unread), None, "{unread}");
        }
        assert_eq!(old("a/b.c~d_e"), "a_b_c_d_e");
    }

    proptest! {
        /// Whatever fits is read back as it was; nothing else has its spelling, also where one is too long.
        #[test]
        fn no_two_names_have_one_spelling(
            names in proptest::collection::hash_set("[ab]{0,2}[_/.~2FE-]{0,3}[ab]{0,2}|[a_]{63,66}|[a/]{95,105}|\\PC{0,30}", 2..30),
        ) {
            let mut spelled = BTreeMap::new();
            for name in names {
                let spelling = spell(&name, 100);
                prop_assert!(spelling.len() <= 100 && !is_old(&spelling));
                prop_assert!(spelling.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte)));
                match is_digest(&spelling) {
                    true => prop_assert_eq!(read(&spelling), None),
                    false => prop_assert_eq!(read(&spelling), Some(name.clone())),
                }
                prop_assert_eq!(spelled.insert(spelling, name), None);
            }
        }

        /// What an earlier version spelled is read as the only name it can be, or as nobody's.
        #[test]
        fn an_old_spelling_is_read_where_one_name_had_it(name in "[ab_/.-]{1,5}|[a/]{60,70}") {
            let spelling = old(&name);
            prop_assert_eq!(read(&spelling), (!is_old(&spelling)).then_some(name));
        }
    }
}
