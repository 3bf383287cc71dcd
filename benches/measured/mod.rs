//! How long the benches measure that take a second or two each.

use std::time::Duration;

use criterion::Criterion;

/// Few samples in a short time: enough to see a change of a tenth, and all benches are through in minutes.
pub fn shortly() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}
