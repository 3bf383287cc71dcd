//! The path of a frame from the capture thread to its readers, with the frame sizes of a real camera.
//!
//! Run it with `cargo bench --bench frame_path`. Every bench asserts that its work was done: each reader got every
//! frame in order, the stalled one was told how many it missed, and the bytes were never copied.

// A bench asserts like a test does.
#![allow(clippy::unwrap_used)]

mod measured;

use std::{
    hint::black_box,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use camera_service::{
    frame::{Codec, Format},
    media::{self, sample},
    mode::Rate,
    stream::{Join, Limits, Next, Stream, Subscription},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A GOP as a 1080p camera sends it: a key frame of 667 kB, then deltas of 3 kB.
const GOP: usize = 60;
const KEY_FRAME: usize = 667_000;
const DELTA: usize = 3_000;
const GOP_BYTES: usize = KEY_FRAME + (GOP - 1) * DELTA;
const FORMAT: Format = Format { codec: Codec::H264, width: 1920, height: 1080, rate: Rate::per_second(30) };

/// The writer: one GOP after the other.
struct Camera {
    stream: Arc<Stream>,
    gop: Vec<Bytes>,
    published: u64,
}

impl Camera {
    fn new() -> Self {
        let size = |number| if number == 0 { KEY_FRAME } else { DELTA };
        let gop = (0..GOP).map(|number| Bytes::from(vec![0x5a; size(number)])).collect();
        Self { stream: Stream::new(FORMAT, Limits::default()), gop, published: 0 }
    }

    fn publish_gop(&mut self) {
        for (number, data) in self.gop.iter().enumerate() {
            let pts = Duration::from_millis(33) * u32::try_from(self.published).unwrap();
            self.stream.publish(pts, number == 0, SystemTime::UNIX_EPOCH, data.clone());
            self.published += 1;
        }
    }
}

fn expect_frame(next: Option<Next>, seq: u64) {
    match next {
        Some(Next::Frame(frame)) => assert_eq!(black_box(frame).seq, seq),
        other => panic!("{other:?} instead of frame {seq}"),
    }
}

fn delivered(readers: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: (GOP * readers) as u64, bytes: (GOP_BYTES * readers) as u64 }
}

/// What the ring itself costs: one thread publishes a GOP and then takes it for every reader.
fn polled(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("polled");
    for readers in [1, 4, 16, 64] {
        group.throughput(delivered(readers));
        group.bench_function(BenchmarkId::from_parameter(readers), |bencher| {
            let mut camera = Camera::new();
            let mut subscriptions: Vec<_> = (0..readers).map(|_| camera.stream.subscribe(Join::Ring)).collect();
            bencher.iter(|| {
                let first = camera.published;
                camera.publish_gop();
                for subscription in &mut subscriptions {
                    (first..camera.published).for_each(|seq| expect_frame(subscription.poll(), seq));
                }
            });
            assert_eq!(camera.stream.stats().missed, 0);
        });
    }
    group.finish();
}

/// What readers really do: tasks that sleep until a frame wakes them. Publishing until the last of them has all of it.
fn woken(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("woken");
    for readers in [1, 4, 16, 64] {
        group.throughput(delivered(readers));
        group.bench_function(BenchmarkId::from_parameter(readers), |bencher| fan_out(bencher, readers, false));
    }
    group.throughput(delivered(16));
    group.bench_function("16 and one stalled", |bencher| fan_out(bencher, 16, true));
    group.finish();
}

fn fan_out(bencher: &mut criterion::Bencher<'_>, readers: usize, with_stalled: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut camera = Camera::new();
    let mut stalled = with_stalled.then(|| camera.stream.subscribe(Join::Ring));
    let (tell, told) = mpsc::channel();
    for _ in 0..readers {
        runtime.spawn(read(camera.stream.subscribe(Join::Ring), tell.clone()));
    }
    let mut round = || {
        camera.publish_gop();
        for _ in 0..readers {
            let got = told.recv_timeout(Duration::from_secs(60)).expect("a reader has not got every frame");
            assert_eq!(got, camera.published);
        }
    };
    bencher.iter(&mut round);
    // Enough to overrun a stalled reader even where criterion asked for a single round.
    (0..3).for_each(|_| round());
    // Of all that went by, the ring still has the newest key frame for a reader that never came to read.
    if let Some(stalled) = &mut stalled {
        let newest_key = camera.published - GOP as u64;
        assert!(matches!(stalled.poll(), Some(Next::Missed(missed)) if missed == newest_key));
        expect_frame(stalled.poll(), newest_key);
    }
    camera.stream.close();
}

/// One reader: tells after every GOP how many frames it got, in order and without a gap.
async fn read(mut subscription: Subscription, tell: mpsc::Sender<u64>) {
    let mut got = 0;
    while let Next::Frame(frame) = subscription.next().await {
        assert_eq!(black_box(frame).seq, got);
        got += 1;
        if got % GOP as u64 == 0 {
            tell.send(got).unwrap();
        }
    }
}

/// From a captured buffer through the stream into a reader's buffer: the same memory.
fn round_trip(criterion: &mut Criterion) {
    media::init().unwrap();
    let mut group = criterion.benchmark_group("sample round trip");
    for (name, size) in [("key frame", KEY_FRAME), ("delta", DELTA)] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |bencher| {
            let stream = Stream::new(FORMAT, Limits::default());
            let mut reader = stream.subscribe(Join::Ring);
            let memory = Bytes::from(vec![0x5a; size]);
            bencher.iter(|| {
                let captured = gst::Buffer::from_slice(memory.clone());
                stream.publish(Duration::ZERO, true, SystemTime::UNIX_EPOCH, sample::bytes(captured).unwrap());
                let Some(Next::Frame(frame)) = reader.poll() else { panic!("no frame") };
                let sent = sample::buffer(&frame);
                assert_eq!(sent.map_readable().unwrap().as_ptr(), memory.as_ptr(), "copied");
                sent
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = measured::shortly();
    targets = polled, woken, round_trip
}
criterion_main!(benches);
