//! From what a driver enumerates to a list of modes a person could choose from. Pure.
//!
//! Ranges (`V4L2_FRMSIZE_TYPE_STEPWISE`, `_CONTINUOUS`, and the same of intervals) become the usual sizes and rates
//! inside them; what no camera can mean is dropped.

use std::{cmp::Reverse, ops::RangeInclusive};

use crate::mode::{FourCc, Mode, Rate};

/// Pixels a side that a driver may mean seriously.
const SIDES: RangeInclusive<u32> = 16..=16_384;
/// Frames per second that a driver may mean seriously.
const RATES: RangeInclusive<f64> = 0.1..=1000.0;
/// More modes than this of one camera are not kept: webcams offer some hundreds, vivid 3500.
pub const MOST_MODES: usize = 8000;

/// Sizes offered out of a range, if inside.
const USUAL_SIZES: [(u32, u32); 16] = [
    (160, 120),
    (320, 180),
    (320, 240),
    (640, 360),
    (640, 480),
    (800, 600),
    (960, 540),
    (1024, 768),
    (1280, 720),
    (1280, 960),
    (1600, 1200),
    (1920, 1080),
    (2560, 1440),
    (2592, 1944),
    (3280, 2464),
    (3840, 2160),
];
/// Rates offered out of a range, if inside.
const USUAL_RATES: [u32; 11] = [1, 2, 5, 10, 15, 20, 24, 25, 30, 50, 60];

/// One entry of `VIDIOC_ENUM_FRAMESIZES`, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Width and height.
    Discrete(u32, u32),
    /// Least, most and step of widths and of heights.
    Range { width: (u32, u32, u32), height: (u32, u32, u32) },
}

/// One entry of `VIDIOC_ENUM_FRAMEINTERVALS`, in seconds as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Numerator and denominator.
    Discrete(u32, u32),
    /// Shortest and longest.
    Range((u32, u32), (u32, u32)),
}

/// The sizes to ask intervals for.
pub fn sizes(offered: &[Size]) -> Vec<(u32, u32)> {
    let mut sizes = Vec::new();
    for size in offered {
        match *size {
            Size::Discrete(width, height) => sizes.push((width, height)),
            Size::Range { width, height } if width.0 <= width.1 && height.0 <= height.1 => {
                let usual = USUAL_SIZES.into_iter().filter(|(w, h)| on_grid(*w, width) && on_grid(*h, height));
                sizes.extend(usual);
                sizes.push((width.1, height.1));
            }
            Size::Range { .. } => {}
        }
    }
    sizes.retain(|(width, height)| SIDES.contains(width) && SIDES.contains(height));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Whether a driver that goes from `least` to `most` in steps hits `value` exactly.
fn on_grid(value: u32, (least, most, step): (u32, u32, u32)) -> bool {
    (least..=most).contains(&value) && (value - least).is_multiple_of(step.max(1))
}

/// The rates of one size, the fastest first.
pub fn rates(offered: &[Interval]) -> Vec<Rate> {
    let mut rates = Vec::new();
    for interval in offered {
        match *interval {
            Interval::Discrete(seconds, frames) => rates.extend(rate(seconds, frames)),
            Interval::Range(shortest, longest) => {
                let fastest = rate(shortest.0, shortest.1);
                // A driver that leaves the long end open means "as slow as you like".
                let slowest = rate(longest.0, longest.1).map_or(0.0, Rate::fps);
                if let Some(fastest) = fastest {
                    let inside = |frames: &u32| (slowest..=fastest.fps()).contains(&f64::from(*frames));
                    rates.extend(USUAL_RATES.into_iter().filter(inside).map(Rate::per_second));
                    rates.push(fastest);
                }
            }
        }
    }
    rates.sort_by(|a, b| b.fps().total_cmp(&a.fps()));
    rates.dedup();
    rates
}

/// The rate of an interval, in lowest terms, if there can be such a rate.
pub fn rate(seconds: u32, frames: u32) -> Option<Rate> {
    if seconds == 0 || frames == 0 {
        return None;
    }
    let divisor = greatest_common_divisor(seconds, frames);
    let rate = Rate { frames: frames / divisor, seconds: seconds / divisor };
    RATES.contains(&rate.fps()).then_some(rate)
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Drops repetitions and what is more than [`MOST_MODES`], large and fast first; formats keep the driver's order.
pub fn tidy(mut modes: Vec<Mode>) -> Vec<Mode> {
    let mut order: Vec<FourCc> = Vec::new();
    for mode in &modes {
        if !order.contains(&mode.format) {
            order.push(mode.format);
        }
    }
    let place = |format| order.iter().position(|known| *known == format);
    modes.sort_by(|a, b| {
        let key =
            |mode: &Mode| (place(mode.format), Reverse(u64::from(mode.width) * u64::from(mode.height)), mode.width);
        key(a).cmp(&key(b)).then(b.rate.fps().total_cmp(&a.rate.fps()))
    });
    modes.dedup();
    modes.truncate(MOST_MODES);
    modes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_become_usual_sizes_and_the_largest() {
        // bcm2835-v4l2: 32x32 to 3280x2464 in steps of 2.
        let offered = [Size::Range { width: (32, 3280, 2), height: (32, 2464, 2) }];
        let sizes = sizes(&offered);
        for size in [(640, 480), (1280, 720), (1920, 1080), (3280, 2464)] {
            assert!(sizes.contains(&size), "{size:?}");
        }
        assert!(!sizes.contains(&(3840, 2160)));
    }

    #[test]
    fn steps_that_miss_a_usual_size_leave_it_out() {
        let offered = [Size::Range { width: (48, 2000, 16), height: (32, 1200, 16) }];
        // 360 is no multiple of 16 above 32; 480 is.
        assert!(sizes(&offered).contains(&(640, 480)) && !sizes(&offered).contains(&(640, 360)));
        // A step of 0 is a lie about a continuous range.
        let offered = [Size::Range { width: (48, 2000, 0), height: (32, 1200, 0) }];
        assert!(sizes(&offered).contains(&(640, 360)));
    }

    #[test]
    fn nonsense_is_dropped() {
        let offered = [
            Size::Discrete(0, 0),
            Size::Discrete(640, 0),
            Size::Discrete(u32::MAX, 480),
            Size::Range { width: (0, 0, 0), height: (0, 0, 0) },
            Size::Range { width: (900, 100, 1), height: (900, 100, 1) },
            Size::Discrete(640, 480),
            Size::Discrete(640, 480),
        ];
        assert_eq!(sizes(&offered), [(640, 480)]);
        let offered = [
            Interval::Discrete(0, 30),
            Interval::Discrete(1, 0),
            Interval::Discrete(u32::MAX, 1),
            Interval::Discrete(1, 1_000_000),
            Interval::Discrete(333_333, 10_000_000),
            Interval::Discrete(2, 60),
            Interval::Discrete(1, 30),
        ];
        assert_eq!(rates(&offered), [Rate { frames: 10_000_000, seconds: 333_333 }, Rate::per_second(30)]);
    }

    #[test]
    fn interval_ranges_become_usual_rates_and_the_fastest() {
        assert_eq!(
            rates(&[Interval::Range((1, 90), (1, 1))]).first(),
            Some(&Rate::per_second(90)),
            "the fastest is offered though it is not usual"
        );
        let open = rates(&[Interval::Range((1001, 30000), (0, 0))]);
        assert_eq!(open.first(), Some(&Rate { frames: 30000, seconds: 1001 }));
        assert!(open.contains(&Rate::per_second(25)) && !open.contains(&Rate::per_second(30)));
        assert!(rates(&[Interval::Range((0, 0), (1, 1))]).is_empty());
    }

    #[test]
    fn modes_come_in_the_drivers_order_of_formats_large_and_fast_first() {
        let mode = |format, width, height, fps| Mode { format, width, height, rate: Rate::per_second(fps) };
        let tidied = tidy(vec![
            mode(FourCc::YUYV, 640, 480, 15),
            mode(FourCc::MJPG, 640, 480, 30),
            mode(FourCc::YUYV, 640, 480, 30),
            mode(FourCc::YUYV, 1280, 720, 10),
            mode(FourCc::YUYV, 640, 480, 15),
        ]);
        let words: Vec<_> = tidied.iter().map(Mode::to_string).collect();
        assert_eq!(words, ["YUYV 1280x720@10", "YUYV 640x480@30", "YUYV 640x480@15", "MJPG 640x480@30"]);
    }

    proptest! {
        #[test]
        fn whatever_a_driver_says_what_is_left_makes_sense(
            discrete in prop::collection::vec((any::<u32>(), any::<u32>()), 0..20),
            range in any::<[u32; 6]>(),
            intervals in prop::collection::vec((any::<u32>(), any::<u32>()), 0..20),
        ) {
            let mut offered: Vec<_> = discrete.into_iter().map(|(w, h)| Size::Discrete(w, h)).collect();
            let [a, b, c, d, e, f] = range;
            offered.push(Size::Range { width: (a, b, c), height: (d, e, f) });
            for (width, height) in sizes(&offered) {
                prop_assert!(SIDES.contains(&width) && SIDES.contains(&height));
            }
            let mut offered: Vec<_> = intervals.into_iter().map(|(n, d)| Interval::Discrete(n, d)).collect();
            offered.push(Interval::Range((a, b), (c, d)));
            for rate in rates(&offered) {
                prop_assert!(rate.seconds > 0 && RATES.contains(&rate.fps()));
            }
        }
    }
}
