//! Files that follow each other.

use std::time::{Duration, SystemTime};

use super::Segment;

/// Files that are no further apart than this belong together (MediaMTX, for recordings that say no more of themselves).
/// Those of one recording follow without any gap; what is between is the rounding of clocks.
const GAP: Duration = Duration::from_secs(1);

/// A time without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub start: SystemTime,
    /// How long it lasts.
    pub duration: Duration,
}

/// Whether `next` goes on where `segment` ends.
pub(super) fn follows(segment: &Segment, next: &Segment) -> bool {
    let end = segment.end();
    match next.began.duration_since(end) {
        Ok(gap) => gap <= GAP,
        Err(overlap) => overlap.duration() <= GAP,
    }
}

/// The times without a gap between `from` and `to`, as far as these are given. `segments` are in order.
pub fn spans(segments: &[Segment], from: Option<SystemTime>, to: Option<SystemTime>) -> Vec<Span> {
    let mut spans: Vec<(SystemTime, SystemTime)> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let goes_on = index > 0 && follows(&segments[index - 1], segment);
        match spans.last_mut().filter(|_| goes_on) {
            Some((_, end)) => *end = segment.end().max(*end),
            None => spans.push((segment.began, segment.end())),
        }
    }
    let clipped = spans.into_iter().filter_map(|(start, end)| {
        let start = from.map_or(start, |from| start.max(from));
        let end = to.map_or(end, |to| end.min(to));
        let duration = end.duration_since(start).ok().filter(|duration| !duration.is_zero())?;
        Some(Span { start, duration })
    });
    clipped.collect()
}
