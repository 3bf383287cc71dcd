//! The promises of a stream to its readers.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{frame::Codec, mode::Rate};

const FORMAT: Format = Format { codec: Codec::H264, width: 640, height: 360, rate: Rate::per_second(30) };

fn stream(limits: Limits) -> Arc<Stream> {
    Stream::new(FORMAT, limits)
}

fn publish(stream: &Stream, seq: u64, key: bool) {
    let pts = Duration::from_millis(33 * seq);
    stream.publish(pts, key, SystemTime::UNIX_EPOCH + pts, Bytes::from(vec![0; 100]));
}

fn drain(subscription: &mut Subscription) -> Vec<Next> {
    std::iter::from_fn(|| subscription.poll()).take_while(|next| !matches!(next, Next::Closed)).collect()
}

fn seqs(items: &[Next]) -> Vec<u64> {
    items
        .iter()
        .filter_map(|next| match next {
            Next::Frame(frame) => Some(frame.seq),
            _ => None,
        })
        .collect()
}

#[test]
fn what_the_frames_turn_out_to_be_is_said_once() {
    let stream = stream(Limits::default());
    assert_eq!(stream.format(), FORMAT);
    let found = Format { codec: Codec::Mjpeg, ..FORMAT };
    stream.found(found);
    stream.found(FORMAT);
    assert_eq!(stream.format(), found);
}

#[test]
fn a_reader_joins_at_the_newest_key_frame() {
    let stream = stream(Limits::default());
    for seq in 0..7 {
        publish(&stream, seq, seq % 5 == 0);
    }
    let mut reader = stream.subscribe(Join::Ring);
    assert_eq!(seqs(&drain(&mut reader)), [5, 6]);
    assert!(!stream.take_key_frame_request(), "the ring had one");
    assert_eq!(reader.missed(), 0);
}

#[test]
fn a_live_reader_waits_for_the_key_frame_it_requested() {
    let stream = stream(Limits::default());
    publish(&stream, 0, true);
    let mut reader = stream.subscribe(Join::Live);
    assert!(stream.take_key_frame_request());
    publish(&stream, 1, false);
    assert!(reader.poll().is_none());
    publish(&stream, 2, true);
    assert_eq!(seqs(&drain(&mut reader)), [2]);
    assert_eq!(reader.missed(), 0, "what came before the first key frame was never promised");
}

#[test]
fn a_late_reader_is_told_and_resumes_at_a_key_frame() {
    let stream = stream(Limits { gops: 1, bytes: usize::MAX, frames: 10, ..Limits::default() });
    publish(&stream, 0, true);
    let mut reader = stream.subscribe(Join::Ring);
    assert_eq!(seqs(&drain(&mut reader)), [0]);
    for seq in 1..30 {
        publish(&stream, seq, seq % 10 == 0);
    }
    let items = drain(&mut reader);
    assert!(matches!(items[0], Next::Missed(19)), "{:?}", items[0]);
    assert_eq!(seqs(&items), (20..30).collect::<Vec<_>>());
    assert_eq!((reader.missed(), stream.stats().missed), (19, 19));
}

#[test]
fn a_gop_larger_than_the_ring_makes_the_late_reader_ask_for_a_key_frame() {
    let stream = stream(Limits { gops: 2, bytes: 1000, ..Limits::default() });
    publish(&stream, 0, true);
    let mut reader = stream.subscribe(Join::Ring);
    drain(&mut reader);
    for seq in 1..50 {
        publish(&stream, seq, false);
    }
    assert!(matches!(reader.poll(), Some(Next::Missed(49))));
    assert!(stream.take_key_frame_request());
    assert!(reader.poll().is_none());
    publish(&stream, 50, true);
    assert_eq!(seqs(&drain(&mut reader)), [50]);
}

#[test]
fn a_closed_stream_is_read_to_its_end() {
    let stream = stream(Limits::default());
    publish(&stream, 0, true);
    publish(&stream, 1, false);
    let mut reader = stream.subscribe(Join::Ring);
    stream.close();
    publish(&stream, 2, false);
    assert_eq!(seqs(&drain(&mut reader)), [0, 1]);
    assert!(matches!(reader.poll(), Some(Next::Closed)));
}

#[test]
fn the_past_that_is_wanted_is_kept_and_a_reader_can_begin_in_it() {
    // Two seconds of the past, of GOPs of a third of a second.
    let stream = stream(Limits { gops: 1, frames: 5, past: Duration::from_millis(1980), ..Limits::default() });
    for seq in 0..100 {
        publish(&stream, seq, seq % 10 == 0);
    }
    let begins = |join| {
        let mut reader = stream.subscribe(join);
        let lead = reader.lead();
        let Some(Next::Frame(first)) = reader.poll() else { panic!("nothing to begin with") };
        assert_eq!(lead, Duration::from_millis(33 * (99 - first.seq)));
        first.seq
    };
    assert_eq!(begins(Join::Ring), 90);
    assert_eq!(begins(Join::Past(Duration::ZERO)), 90);
    // 330 ms before the newest is frame 89; the key frame before that is 80.
    assert_eq!(begins(Join::Past(Duration::from_millis(330))), 80);
    assert_eq!(begins(Join::Past(Duration::from_millis(1980))), 30);
    assert_eq!(begins(Join::Past(Duration::MAX)), 30, "what is older than was asked for is gone");
}

#[test]
fn bytes_bound_the_past() {
    let stream = stream(Limits { bytes: 1000, past: Duration::MAX, ..Limits::default() });
    for seq in 0..100 {
        publish(&stream, seq, seq % 4 == 0);
    }
    assert_eq!(stream.subscribe(Join::Past(Duration::MAX)).poll().map(|next| seqs(&[next])), Some(vec![92]));
}

#[test]
fn a_key_frame_that_was_given_back_comes_again() {
    let stream = stream(Limits::default());
    for seq in 0..4 {
        publish(&stream, seq, seq % 2 == 0);
    }
    let mut reader = stream.subscribe(Join::Past(Duration::MAX));
    let taken = drain(&mut reader);
    let Next::Frame(second) = &taken[2] else { panic!("{taken:?}") };
    reader.put_back(second);
    assert_eq!(reader.begins(), Some(second.captured));
    assert_eq!(seqs(&drain(&mut reader)), [2, 3]);
}

#[test]
fn a_waiting_thread_is_woken_by_the_frame() {
    let stream = stream(Limits::default());
    let mut reader = stream.subscribe(Join::Ring);
    let waiting = std::thread::spawn(move || reader.next_before(Instant::now() + Duration::from_secs(60)));
    publish(&stream, 0, true);
    assert!(matches!(waiting.join().unwrap(), Some(Next::Frame(frame)) if frame.seq == 0));
}

#[tokio::test]
async fn a_waiting_task_is_woken_by_the_end() {
    let stream = stream(Limits::default());
    let mut reader = stream.subscribe(Join::Ring);
    let waiting = tokio::spawn(async move { reader.next().await });
    stream.close();
    assert!(matches!(waiting.await.unwrap(), Next::Closed));
}

proptest! {
    /// Whatever the order of publishing and reading: frames come in order, every gap is announced with its exact
    /// size, decoding never resumes on anything but a key frame, and the ring keeps its bounds.
    #[test]
    fn readers_never_see_an_unannounced_gap(
        steps in prop::collection::vec((any::<bool>(), 0u8..8), 1..400),
        gops in 1usize..4, bytes in 300usize..5000, frames in 2usize..100, past in 0u64..50,
    ) {
        let limits = Limits { gops, bytes, frames, past: Duration::from_millis(33 * past) };
        let stream = stream(limits);
        let mut reader = stream.subscribe(Join::Ring);
        let (mut published, mut expected, mut broken) = (0, None, true);
        for (write, n) in steps {
            if write {
                publish(&stream, published, n == 0);
                published += 1;
                continue;
            }
            for _ in 0..n {
                match reader.poll() {
                    Some(Next::Frame(frame)) => {
                        if broken {
                            prop_assert!(frame.key);
                        } else {
                            prop_assert_eq!(Some(frame.seq), expected);
                        }
                        broken = false;
                        expected = Some(frame.seq + 1);
                    }
                    Some(Next::Missed(_)) => broken = true,
                    Some(Next::Closed) => prop_assert!(false, "nobody closed it"),
                    None => break,
                }
            }
            let kept = stream.lock();
            let wanted = if past == 0 { None } else { kept.key_before(limits.past) }.unwrap_or(kept.end());
            prop_assert!(kept.end() - kept.start() <= (kept.end() - wanted).max(frames as u64));
            prop_assert!(kept.end() - kept.start() <= 1 || 100 * (kept.end() - kept.start()) <= bytes as u64);
        }
    }
}
