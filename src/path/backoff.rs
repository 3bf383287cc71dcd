//! How long a path waits before another attempt.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Half a second after the first failure, twice as long after each more, half a minute at most, with jitter.
pub(super) fn backoff(attempt: u32) -> Duration {
    const LONGEST: Duration = Duration::from_secs(30);
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
        .nth(attempt.clamp(1, 16) as usize - 1)
        .unwrap_or(LONGEST)
}
