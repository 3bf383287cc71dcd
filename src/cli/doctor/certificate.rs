//! The certificate, where TLS is spoken: readable, with its key, and good today.

use std::time::{Duration, SystemTime};

use camera_service::{api, app};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{case::Case, finding::Finding};

/// So long before its end somebody should look.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let Some(config) = case.config() else {
        return vec![Finding::skipped("certificate", "the configuration cannot be read; that comes first")];
    };
    if !config.security.ssl.enabled && !config.mediamtx.rtsps_enabled {
        return vec![Finding::ok(
            "certificate.files",
            "none is needed: TLS is off (security.ssl, mediamtx.rtsps_enabled)",
        )];
    }
    let fix = "correct security.ssl.cert_file and key_file; the service's user must be able to read both";
    let mut found = vec![match case.as_service(|| app::check_certificates(config)) {
        Err(why) => return vec![Finding::skipped("certificate.files", why)],
        Ok(Err(error)) => return vec![Finding::fail("certificate.files", error.chain(), fix)],
        Ok(Ok(())) => Finding::ok("certificate.files", "certificate and key can be read and belong together"),
    }];
    if let Some(chain) = &config.security.ssl.cert_file {
        found.push(match case.as_service(|| api::validity(chain)) {
            Ok(Ok((from, until))) => dates(from, until, SystemTime::now()),
            Ok(Err(error)) => Finding::fail("certificate.dates", error.chain(), fix),
            Err(why) => Finding::skipped("certificate.dates", why),
        });
    }
    found
}

fn dates(from: SystemTime, until: SystemTime, now: SystemTime) -> Finding {
    const CHECK: &str = "certificate.dates";
    let day = |time: SystemTime| {
        let text = OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default();
        text.split('T').next().unwrap_or_default().to_owned()
    };
    let renew = "renew it; the service reads it again by itself";
    if now < from {
        let message = format!("the certificate is good from {} on, and today is {}", day(from), day(now));
        Finding::fail(CHECK, message, "set the clock, or renew the certificate")
    } else if now >= until {
        Finding::fail(CHECK, format!("the certificate ended on {}", day(until)), renew)
    } else if now + SOON >= until {
        Finding::warn(CHECK, format!("the certificate ends on {}", day(until)), renew)
    } else {
        Finding::ok(CHECK, format!("good until {}", day(until)))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{super::finding::Status, *};

    #[test]
    fn an_end_that_is_near_is_warned_of() {
        let (from, until) = (datetime!(2026-01-01 0:00 UTC), datetime!(2027-01-01 0:00 UTC));
        for (now, status) in [
            (datetime!(2025-12-31 23:59 UTC), Status::Fail),
            (datetime!(2026-01-01 0:00 UTC), Status::Ok),
            (datetime!(2026-12-01 23:59 UTC), Status::Ok),
            (datetime!(2026-12-02 0:00 UTC), Status::Warn),
            (datetime!(2026-12-31 23:59 UTC), Status::Warn),
            (datetime!(2027-01-01 0:00 UTC), Status::Fail),
        ] {
            assert_eq!(dates(from.into(), until.into(), now.into()).status, status, "{now}");
        }
    }
}
