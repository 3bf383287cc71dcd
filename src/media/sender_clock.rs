//! The clock of another machine that sends RTP: when, on ours, its pictures were made.
//!
//! RTP packets have the time of the sender's clock (RFC 3550, 5.1), which began anywhere and runs a little faster or slower
//! than ours. What arrives tells how far apart the two are, and a network's whims with it: nothing arrives early, so of the
//! packets of the last seconds the one that was quickest counts. A stall, and all that comes at once after it, move no
//! time. `rtpjitterbuffer`, which also looks at this, takes what is a second late for another stream that begins now.
//!
//! Not here: packets (`incoming`) and their order (`rtpjitterbuffer`), that of pictures (`pipeline::order`).

use std::time::Duration;

/// The quickest packet of so much time in which packets come, and of as much before it, counts. Nanoseconds.
const WINDOW: i64 = 5_000_000_000;
/// Time in which no packet comes counts as so much at most: what is late then is no slower clock. Nanoseconds.
const SILENCE: i64 = 250_000_000;
/// So far at most are the clocks found to be from where they were; otherwise it is another clock. Nanoseconds.
const FAR: i64 = 5_000_000_000;
/// What is sent may go back so far, as B-frames do; otherwise it is another clock. Nanoseconds.
const BACK: i64 = 1_000_000_000;
/// Times are drawn out or pressed together by one part in so many: unseen, and pictures stay in their order, of which up to
/// sixteen may be sent before one that is shown first (ITU-T H.264, A.3.1).
const GENTLY: i64 = 16;

/// How the clock of a sender stands to ours.
#[derive(Debug, Default)]
pub(super) struct SenderClock {
    known: Option<Known>,
}

/// All in nanoseconds; `sent` counts on the sender's clock, whatever it began with.
#[derive(Clone, Copy, Debug)]
struct Known {
    stamp: u32,
    sent: i64,
    newest_sent: i64,
    arrived: i64,
    /// What our clock is ahead by, as it is used.
    ahead: i64,
    /// The least that it was seen to be ahead by, in this window and the one before.
    least: i64,
    least_before: i64,
    window: i64,
}

impl SenderClock {
    /// When on our clock something was made that has the timestamp `stamp`, in ticks of which there are `rate` a second, and
    /// has come at `arrived`. What has the same stamp gets the same time, unless the sender's clock is another from then on.
    pub fn time(&mut self, stamp: u32, rate: u32, arrived: Duration) -> Duration {
        let arrived = i64::try_from(arrived.as_nanos()).unwrap_or(i64::MAX);
        let known = match self.known {
            Some(known) => known.follow(stamp, rate, arrived).unwrap_or_else(|| Known::begin(stamp, arrived)),
            None => Known::begin(stamp, arrived),
        };
        self.known = Some(known);
        Duration::from_nanos(u64::try_from(known.sent.saturating_add(known.ahead)).unwrap_or_default())
    }
}

impl Known {
    fn begin(stamp: u32, arrived: i64) -> Self {
        Self {
            stamp,
            sent: 0,
            newest_sent: 0,
            arrived,
            ahead: arrived,
            least: arrived,
            least_before: i64::MAX,
            window: 0,
        }
    }

    /// The next packet. `None`: it cannot be of the same clock.
    fn follow(mut self, stamp: u32, rate: u32, arrived: i64) -> Option<Self> {
        // Stamps wrap around.
        let ticks = i64::from(stamp.wrapping_sub(self.stamp).cast_signed());
        self.stamp = stamp;
        self.sent += ticks * 1_000_000_000 / i64::from(rate);
        let ahead = arrived - self.sent;
        if self.sent < self.newest_sent - BACK || (ahead - self.ahead) < -FAR {
            return None;
        }
        self.window += (arrived - self.arrived).min(SILENCE);
        self.arrived = arrived;
        if self.window >= WINDOW {
            (self.window, self.least_before, self.least) = (0, self.least, ahead);
        }
        self.least = self.least.min(ahead);
        let wrong = self.least.min(self.least_before) - self.ahead;
        if wrong > FAR {
            return None;
        }
        let passed = (self.sent - self.newest_sent).max(0);
        self.newest_sent = self.newest_sent.max(self.sent);
        self.ahead += wrong.clamp(-passed / GENTLY, passed / GENTLY);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: u32 = 90_000;
    const FRAME: u32 = 3000;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Frames at 30 a second by the sender's clock, which come so many milliseconds after they were made: the milliseconds
    /// between the times they get.
    fn intervals(delays: impl IntoIterator<Item = u64>) -> Vec<f64> {
        let mut clock = SenderClock::default();
        // The stamps wrap around on the way.
        let first = u32::MAX - 2 * FRAME;
        let mut newest = Duration::ZERO;
        let times = delays.into_iter().enumerate().map(|(frame, delay)| {
            let made = Duration::from_secs(1000) + Duration::from_secs(frame as u64) / 30;
            // In a connection nothing overtakes.
            newest = newest.max(made + milliseconds(delay));
            clock.time(first.wrapping_add(frame as u32 * FRAME), VIDEO, newest).as_secs_f64() * 1e3
        });
        let times: Vec<_> = times.collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn are_even(intervals: &[f64], within: f64) -> bool {
        intervals.iter().all(|interval| (interval - 100.0 / 3.0).abs() < within)
    }

    #[test]
    fn neither_a_stall_nor_what_comes_at_once_after_it_moves_a_time() {
        for stall in [100, 900, 3000, 20_000] {
            let delays = (0..2000).map(|frame| if frame == 300 { stall } else { 10 + frame % 3 });
            assert!(are_even(&intervals(delays), 0.1), "{stall}");
        }
    }

    #[test]
    fn what_waited_before_the_connection_is_pressed_together_a_little() {
        let intervals = intervals((0..600).map(|frame| if frame == 0 { 400 } else { 10 }));
        assert!(are_even(&intervals, 100.0 / 3.0 / 16.0 + 0.01), "{intervals:?}");
        assert!(are_even(&intervals[200..], 0.01), "{intervals:?}");
    }

    #[test]
    fn a_network_that_becomes_slower_for_good_draws_times_out_a_little() {
        let intervals = intervals((0..2000).map(|frame| if frame < 300 { 10 } else { 800 }));
        assert!(are_even(&intervals, 100.0 / 3.0 / 16.0 + 0.01), "{intervals:?}");
        assert!(are_even(&intervals[1500..], 0.01), "{intervals:?}");
    }

    #[test]
    fn a_clock_that_runs_differently_is_followed_for_days() {
        for (frames, seconds) in [(30_003, 1000), (29_997, 1000), (30, 1)] {
            let mut clock = SenderClock::default();
            let mut wrong: f64 = 0.0;
            for frame in 0..3 * 86_400 * 30_u64 {
                let made = Duration::from_secs(5) + Duration::from_nanos(frame * seconds * 1_000_000_000 / frames);
                let time = clock.time((frame as u32).wrapping_mul(FRAME), VIDEO, made + milliseconds(frame % 7));
                wrong = wrong.max((time.as_secs_f64() - made.as_secs_f64()).abs());
            }
            assert!(wrong < 0.01, "{frames}: {wrong}");
        }
    }

    #[test]
    fn another_clock_counts_from_its_first_packet_on() {
        for jump in [-200_000, -90_000 * 3600, 90_000 * 6, 90_000 * 3600 * 5] {
            let mut clock = SenderClock::default();
            let mut stamp: u32 = 0;
            for frame in 0..900 {
                stamp = stamp.wrapping_add(FRAME);
                if frame == 450 {
                    stamp = stamp.wrapping_add_signed(jump);
                }
                let arrived = milliseconds(1000 + frame * 100 / 3);
                let wrong = clock.time(stamp, VIDEO, arrived).abs_diff(arrived);
                assert!(wrong < milliseconds(2), "{jump} {frame}: {wrong:?}");
            }
        }
    }

    #[test]
    fn one_that_goes_on_long_after_it_stood_still_is_another() {
        let mut clock = SenderClock::default();
        let mut wrong = Duration::ZERO;
        for frame in 0..900_u64 {
            let arrived = milliseconds(1000 + frame * 100 / 3 + if frame < 300 { 0 } else { 60_000 });
            wrong = clock.time(frame as u32 * FRAME, VIDEO, arrived).abs_diff(arrived);
        }
        assert!(wrong < milliseconds(2), "{wrong:?}");
    }

    #[test]
    fn pictures_sent_before_those_shown_first_stay_in_order() {
        // The first comes late, so times are being pressed together; each group of four is sent last picture first.
        let mut clock = SenderClock::default();
        let mut shown: Vec<_> = (0..400_u64)
            .map(|sent| {
                let frame = sent / 4 * 4 + 3 - sent % 4;
                let arrived = milliseconds(5000 + sent * 100 / 3 + if sent == 0 { 900 } else { 0 });
                (frame, clock.time(frame as u32 * FRAME, VIDEO, arrived))
            })
            .collect();
        shown.sort_unstable();
        assert!(shown.is_sorted_by(|one, next| one.1 < next.1), "{shown:?}");
    }
}
