//! When a picture is decoded, where all that is said is when it is shown.
//!
//! A stream of another machine comes in the order of decoding, and RTP says when each picture is shown (RFC 6184, 5.1).
//! With B-frames those times go back and forth. The times of decoding are the same times in order, late by as many pictures
//! as the stream moves one (as GStreamer's `h264timestamper` makes them, from 1.22 on): no picture is kept back for that.
//!
//! Without B-frames nothing is late, and both times are one.

use std::{collections::VecDeque, time::Duration};

use h264_reader::{
    nal::sps::{PicOrderCntType, SeqParameterSet},
    rbsp,
};

use crate::mode::Rate;

/// What a time of decoding that does not advance is moved by, from the frame before it: one tick of the 90 kHz clock of
/// RTP and a little more.
const TIME_STEP: Duration = Duration::from_micros(20);
/// The most pictures that may be decoded before one that is shown first (ITU-T H.264, E.2.1 and A.3.1).
const MOST: usize = 16;
/// The most that is believed of a stream that does not say. Times that go back over more have been set back.
const MOST_GUESSED: usize = 4;

/// The times of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// When it is decoded: later than the frame before it.
    pub pts: Duration,
    /// When it is shown: not before it is decoded.
    pub shown: Duration,
}

/// Gives the frames of a stream their times.
#[derive(Default)]
pub(super) struct Order {
    /// So many frames at most are decoded before one that is shown first.
    depth: usize,
    /// Whether that may turn out to be more.
    guessed: bool,
    /// The sequence parameter set that this is from.
    sps: Vec<u8>,
    interval: Duration,
    /// Times at which nothing is decoded yet, the earliest first.
    waiting: VecDeque<Duration>,
    /// Times of the frames that came last, in the order they came.
    came: VecDeque<Duration>,
    /// When the newest frame is decoded.
    newest: Option<Duration>,
}

impl Order {
    /// Looks at a key frame, which may say how far pictures are moved. `rate` counts before the first frame only.
    pub fn look_at(&mut self, key_frame: &[u8], rate: Rate) {
        let Some(sps) = sequence_parameter_set(key_frame).filter(|sps| self.sps != *sps) else { return };
        self.sps = sps.to_vec();
        self.interval = Duration::from_secs(rate.seconds.into()).checked_div(rate.frames).unwrap_or_default();
        (self.depth, self.guessed) = match said(sps) {
            Some(depth) => (depth, false),
            None => (0, true),
        };
    }

    /// The times of the next frame, which is to be shown at `time`. A time that cannot be is moved.
    pub fn next(&mut self, time: Duration) -> Times {
        self.learn(time);
        if self.newest.is_none() {
            // As if the same stream had come before.
            for back in 1..=self.depth {
                self.wait(time.saturating_sub(self.interval * back as u32));
            }
        }
        self.wait(time);
        let mut due = None;
        while self.waiting.len() > self.depth {
            due = self.waiting.pop_front();
        }
        let pts = match (due, self.newest) {
            (Some(due), None) => due,
            (Some(due), Some(newest)) if due > newest => due,
            // That includes a stream that moves pictures further than before, of which nothing is due yet.
            (_, newest) => newest.map_or(time, |newest| newest + TIME_STEP),
        };
        self.newest = Some(pts);
        Times { pts, shown: time.max(pts) }
    }

    fn wait(&mut self, time: Duration) {
        let place = self.waiting.partition_point(|other| *other <= time);
        self.waiting.insert(place, time);
    }

    /// Of a stream that does not say how far it moves pictures: what is seen of it.
    fn learn(&mut self, time: Duration) {
        if !self.guessed {
            return;
        }
        let moved = self.came.iter().filter(|&&other| other > time).count();
        if moved <= MOST_GUESSED {
            self.depth = self.depth.max(moved);
        } else {
            self.came.clear();
        }
        self.came.push_back(time);
        if self.came.len() > MOST_GUESSED + 1 {
            self.came.pop_front();
        }
    }
}

/// The sequence parameter set in an access unit in byte stream format (ITU-T H.264, Annex B).
fn sequence_parameter_set(access_unit: &[u8]) -> Option<&[u8]> {
    let is_one = |window: &[u8]| window.starts_with(&[0, 0, 1]) && window[3] & 0x1f == 7;
    let nal = &access_unit[access_unit.windows(4).position(is_one)? + 3..];
    // Two zeros in it are followed by a 3, so this is what follows it.
    let end = nal.windows(3).position(|window| matches!(window, [0, 0, 0 | 1]));
    Some(&nal[..end.unwrap_or(nal.len())])
}

/// How many pictures at most are decoded before one that is shown first, if the sequence parameter set says so.
fn said(nal: &[u8]) -> Option<usize> {
    let bytes = rbsp::decode_nal(nal).ok()?;
    let sps = SeqParameterSet::from_bits(rbsp::BitReader::new(&*bytes)).ok()?;
    // No B slices in Baseline (ITU-T H.264, A.2.1), and no other order than that of decoding with type 2 (8.2.1.3).
    if u8::from(sps.profile_idc) == 66 || matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return Some(0);
    }
    let restrictions = sps.vui_parameters?.bitstream_restrictions?;
    Some(usize::try_from(restrictions.max_num_reorder_frames).unwrap_or(MOST).min(MOST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The beginnings of two streams of x264: High, with a pyramid of B-frames; Main, without B-frames.
    const PYRAMID: &str = "000000016764000dacd94141fb0110000003001000000303c0f14299600000000168ebe3cb22c0";
    const PLAIN: &str = "00000001674d400dd90141fb0110000003001000000303c8f142a4800000000168ebc3cb20";
    const RATE: Rate = Rate::per_second(30);

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn order(depth: usize, guessed: bool) -> Order {
        Order { depth, guessed, interval: ms(40), ..Order::default() }
    }

    fn times(order: &mut Order, shown: impl IntoIterator<Item = u64>) -> Vec<Times> {
        shown.into_iter().map(|time| order.next(ms(time))).collect()
    }

    #[test]
    fn pictures_are_decoded_at_the_times_that_others_are_shown_at() {
        let times = times(&mut order(2, false), [1000, 1160, 1080, 1040, 1120, 1320, 1240, 1200]);
        let decoded: Vec<_> = times.iter().map(|times| times.pts).collect();
        assert_eq!(decoded, [920, 960, 1000, 1040, 1080, 1120, 1160, 1200].map(ms));
        let shown: Vec<_> = times.iter().map(|times| times.shown).collect();
        assert_eq!(shown, [1000, 1160, 1080, 1040, 1120, 1320, 1240, 1200].map(ms));
    }

    #[test]
    fn without_b_frames_both_times_are_one_and_those_that_stand_still_are_moved() {
        for guessed in [false, true] {
            let times = times(&mut order(0, guessed), [1000, 1040, 1040, 1080]);
            assert!(times.iter().all(|times| times.pts == times.shown));
            assert_eq!(times[2].pts, ms(1040) + TIME_STEP);
            assert_eq!(times[3].pts, ms(1080));
        }
    }

    #[test]
    fn a_stream_that_does_not_say_is_known_after_some_pictures() {
        let group = [160, 80, 40, 120];
        let shown = std::iter::once(1000).chain((0..20).flat_map(|n| group.map(|time| 1000 + 160 * n + time)));
        let shown: Vec<_> = shown.collect();
        let mut order = order(0, true);
        let times = times(&mut order, shown.clone());
        assert_eq!(order.depth, 2);
        let moved: Vec<_> = (0..times.len()).filter(|&n| times[n].shown != ms(shown[n])).collect();
        assert!(moved.len() <= 4 && *moved.last().unwrap() <= 8, "{moved:?}");
    }

    #[test]
    fn times_that_were_set_back_are_no_b_frames() {
        let mut order = order(0, true);
        let times = times(&mut order, (0..30).map(|n| 5000 + 40 * n).chain((0..80).map(|n| 4000 + 40 * n)));
        assert_eq!(order.depth, 0);
        assert!(times.is_sorted_by(|one, next| one.pts < next.pts));
        assert_eq!(times.last().unwrap().shown, ms(4000 + 40 * 79));
    }

    #[test]
    fn the_sequence_parameter_set_says_how_far_pictures_are_moved() {
        let mut order = Order::default();
        order.look_at(&bytes(PYRAMID), RATE);
        assert_eq!((order.depth, order.guessed), (2, false));
        order.look_at(&bytes(PLAIN), RATE);
        assert_eq!((order.depth, order.guessed), (0, false));
        // The same without its VUI, whose flag is the last bit of what is kept.
        let mut silent = Order::default();
        silent.look_at(&[0, 0, 1, 0x67, 0x4d, 0x40, 0x0d, 0xd9, 0x01, 0x41, 0xf2], RATE);
        assert_eq!((silent.depth, silent.guessed), (0, true));
    }

    proptest! {
        /// Pictures in an order of decoding in which none has more than `depth` before it that are shown later.
        #[test]
        fn every_picture_keeps_its_time(
            depth in 0usize..=MOST,
            intervals in prop::collection::vec(1u64..200, 1..200),
            choices in prop::collection::vec(0usize..=MOST, 200),
        ) {
            let mut at = 10_000;
            let mut rest: VecDeque<u64> = intervals.iter().map(|interval| { at += interval; at }).collect();
            // The first is a key frame, and is shown first; then each is one of the next that may come.
            let mut shown = vec![rest.pop_front().unwrap_or(at)];
            for choice in choices {
                let passed = rest.front().map_or(0, |first| shown.iter().filter(|&time| time > first).count());
                let ahead = (depth - passed).min(choice).min(rest.len().saturating_sub(1));
                shown.extend(rest.remove(ahead));
            }
            let times = times(&mut order(depth, false), shown.clone());
            prop_assert!(times.is_sorted_by(|one, next| one.pts < next.pts));
            prop_assert!(times.iter().all(|times| times.pts <= times.shown));
            let kept: Vec<_> = times.iter().map(|times| times.shown).collect();
            prop_assert_eq!(kept, shown.into_iter().map(ms).collect::<Vec<_>>());
        }

        /// Whatever comes, time advances.
        #[test]
        fn time_advances(guessed: bool, depth in 0usize..=MOST, shown in prop::collection::vec(0u64..1000, 0..200)) {
            let times = times(&mut order(depth, guessed), shown);
            prop_assert!(times.is_sorted_by(|one, next| one.pts < next.pts));
            prop_assert!(times.iter().all(|times| times.pts <= times.shown));
        }
    }
}
