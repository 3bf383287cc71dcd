//! Which bytes a request wants (RFC 9110, section 14).

use std::{num::NonZeroUsize, ops::Range};

use headers::{ETag, HeaderMapExt, IfRange, LastModified};
use http_range_header::{RangeUnsatisfiableError, parse_range_header_with_max_ranges};
use warp::http::{HeaderMap, header};

/// Ranges that are served for one request. A request that has more gets the whole file.
const MOST: NonZeroUsize = NonZeroUsize::new(16).expect("more than none");

/// What a request wants of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// These parts, in this order; at least one.
    Parts(Vec<Range<u64>>),
    /// Parts that are not there.
    Absent,
}

/// What `headers` want of a file of `length` bytes. A range that is none is as if it were not there, and so are those of
/// somebody whose part is of another version of the file. Ranges that overlap again and again, or are together more than
/// the file, are answered with the whole file: it is less.
pub(super) fn wanted(headers: &HeaderMap, length: u64, etag: &ETag, modified: LastModified) -> Wanted {
    let Some(Ok(text)) = headers.get(header::RANGE).map(|value| value.to_str()) else { return Wanted::Whole };
    // A header that cannot be read is the version of somebody else.
    let outdated = match headers.typed_try_get::<IfRange>() {
        Ok(Some(version)) => version.is_modified(Some(etag), Some(&modified)),
        Ok(None) => false,
        Err(_) => true,
    };
    if outdated {
        return Wanted::Whole;
    }
    let ranges = parse_range_header_with_max_ranges(text, MOST).and_then(|ranges| ranges.validate(length));
    match ranges {
        Ok(ranges) if ranges.is_empty() => Wanted::Whole,
        Ok(ranges) => {
            let ranges: Vec<_> = ranges.into_iter().map(|range| *range.start()..*range.end() + 1).collect();
            let together: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            if ranges.len() > 1 && together >= length { Wanted::Whole } else { Wanted::Parts(ranges) }
        }
        Err(RangeUnsatisfiableError::Unsatisfiable) => Wanted::Absent,
        Err(_) => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    const LENGTH: u64 = 1000;

    fn ask(pairs: &[(header::HeaderName, &str)]) -> Wanted {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        wanted(&headers, LENGTH, &"\"a\"".parse().unwrap(), at(1000))
    }

    fn at(seconds: u64) -> LastModified {
        (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
    }

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let many = |count: u64| (0..count).map(|n| format!("{}-{}", n * 10, n * 10 + 1)).collect::<Vec<_>>().join(",");
        let parts = |ranges: &[(u64, u64)]| Wanted::Parts(ranges.iter().map(|(start, end)| *start..*end).collect());
        for (text, wanted) in [
            ("bytes=0-0".to_owned(), parts(&[(0, 1)])),
            ("bytes=500-".into(), parts(&[(500, 1000)])),
            ("bytes=500-99999".into(), parts(&[(500, 1000)])),
            ("bytes=500-99999999999999999999999".into(), parts(&[(500, 1000)])),
            ("bytes=-500".into(), parts(&[(500, 1000)])),
            ("bytes=-5000".into(), parts(&[(0, 1000)])),
            ("bytes=0-0,-1".into(), parts(&[(0, 1), (999, 1000)])),
            ("bytes=20-29, 0-9".into(), parts(&[(20, 30), (0, 10)])),
            ("bytes=0-9,5000-".into(), parts(&[(0, 10)])),
            ("bytes=1000-".into(), Wanted::Absent),
            ("bytes=-0".into(), Wanted::Absent),
            // Not ranges, or too much of them.
            ("bytes=9-0".into(), Wanted::Whole),
            ("bytes=a-b".into(), Wanted::Whole),
            ("bytes=".into(), Wanted::Whole),
            ("seconds=0-9".into(), Wanted::Whole),
            ("bytes=0-,0-,0-,0-".into(), Wanted::Whole),
            ("bytes=0-900,100-999".into(), Wanted::Whole),
            (format!("bytes={}", many(17)), Wanted::Whole),
        ] {
            assert_eq!(ask(&[(header::RANGE, &text)]), wanted, "{text}");
        }
        assert!(
            matches!(ask(&[(header::RANGE, &format!("bytes={}", many(16)))]), Wanted::Parts(all) if all.len() == 16)
        );
    }

    #[test]
    fn parts_are_for_those_who_have_the_same_version() {
        let part = || Wanted::Parts(std::iter::once(0..10).collect());
        let date = |seconds| {
            let mut headers = HeaderMap::new();
            headers.typed_insert(at(seconds));
            headers[header::LAST_MODIFIED].to_str().unwrap().to_owned()
        };
        for (version, same) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("nonsense", false),
            (date(1000).as_str(), true),
            (date(999).as_str(), false),
        ] {
            let asked = ask(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, version)]);
            assert_eq!(asked, if same { part() } else { Wanted::Whole }, "{version}");
        }
    }

    proptest! {
        /// Whatever is asked, only bytes of the file are given, no more of them than it has, and no part is empty.
        #[test]
        fn parts_are_parts(text in "bytes=[-,0-9 ]{0,60}|\\PC{0,60}", length in 0u64..2000) {
            let headers = text.parse().map(|value| HeaderMap::from_iter([(header::RANGE, value)])).unwrap_or_default();
            if let Wanted::Parts(parts) = wanted(&headers, length, &"\"a\"".parse().unwrap(), at(0)) {
                prop_assert!(!parts.is_empty() && parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
            }
        }
    }
}
