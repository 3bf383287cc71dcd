//! A stream that somebody sends to this service: RTP packets on their way from the RTSP server to a capture pipeline.
//!
//! The two live apart. A pipeline may end and begin anew while its publisher stays, and a publisher may leave while a
//! pipeline is being taken down. So packets are handed over here, and here either side learns of the other's end.
//!
//! Not here: how they arrive (`output::rtsp`), what becomes of them (`pipeline`), which path they are for (`path`).

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gst::prelude::*;
use tokio_util::sync::CancellationToken;

use super::incoming::Incoming;
use crate::frame::Codec;

/// Packets kept while no pipeline takes them: those of some key frames. The first of a publication are the way into its
/// stream, and a pipeline needs some milliseconds to start.
const WAITING: usize = 2048;
/// The most bytes of those, as many as a pipeline then takes: packets over TCP may have 64 KiB each.
const WAITING_BYTES: usize = 8 << 20;
/// What a pipeline has time for to make frames of the last packets. It needs milliseconds, if nothing is stuck.
const LAST_FRAMES: Duration = Duration::from_secs(2);

/// A stream that is being published. Cheap to clone; equal to its clones.
#[derive(Clone)]
pub struct Publication(Arc<Inner>);

struct Inner {
    remote: SocketAddr,
    codec: Codec,
    incoming: Mutex<Incoming>,
    way: Mutex<Way>,
    lost: AtomicU64,
    newest: AtomicU64,
    over: CancellationToken,
    drained: CancellationToken,
    refused: CancellationToken,
}

/// Where packets go.
enum Way {
    /// Nowhere yet.
    Waiting(Waiting),
    /// Into a pipeline.
    Through(gst_app::AppSrc),
}

/// The newest packets.
#[derive(Default)]
struct Waiting {
    packets: VecDeque<gst::Sample>,
    bytes: usize,
}

impl Waiting {
    /// How many of the oldest had to leave for it.
    fn push(&mut self, packet: gst::Sample) -> u64 {
        self.bytes += size(&packet);
        self.packets.push_back(packet);
        let mut left = 0;
        while self.packets.len() > WAITING || self.bytes > WAITING_BYTES {
            let Some(oldest) = self.packets.pop_front() else { break };
            self.bytes -= size(&oldest);
            left += 1;
        }
        left
    }
}

impl Publication {
    /// One that has sent nothing yet.
    pub fn new(remote: SocketAddr, codec: Codec) -> Self {
        Self(Arc::new(Inner {
            remote,
            codec,
            incoming: Mutex::default(),
            way: Mutex::new(Way::Waiting(Waiting::default())),
            lost: AtomicU64::new(0),
            newest: AtomicU64::new(nanoseconds(super::now())),
            over: CancellationToken::new(),
            drained: CancellationToken::new(),
            refused: CancellationToken::new(),
        }))
    }

    /// The other end of the publisher's RTSP connection.
    pub fn remote(&self) -> SocketAddr {
        self.0.remote
    }

    /// How the pictures are coded.
    pub fn codec(&self) -> Codec {
        self.0.codec
    }

    /// Packets that nobody took in time.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Its publisher may send from now on.
    pub fn begin(&self) {
        self.0.newest.store(nanoseconds(super::now()), Ordering::Relaxed);
    }

    /// How long ago the newest packet came, or the publication [began](Self::begin) or was made.
    pub fn silence(&self) -> Duration {
        super::now().saturating_sub(Duration::from_nanos(self.0.newest.load(Ordering::Relaxed)))
    }

    /// A packet came. Never waits.
    pub fn push(&self, mut packet: gst::Sample) {
        if let Some(mut buffer) = packet.buffer_owned() {
            packet.make_mut().set_buffer(None);
            let mut incoming = self.0.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            incoming.mend(buffer.make_mut(), packet.caps());
            drop(incoming);
            packet.make_mut().set_buffer(Some(&buffer));
        }
        self.begin();
        match &mut *self.way() {
            Way::Waiting(waiting) => {
                self.0.lost.fetch_add(waiting.push(packet), Ordering::Relaxed);
            }
            // Fails when the pipeline is being taken down.
            Way::Through(pipeline) => {
                if pipeline.push_sample(&packet).is_err() {
                    self.0.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// An element that takes packets for it. Error: GStreamer lacks one.
    pub fn sink(&self) -> std::result::Result<gst::Element, gst::glib::BoolError> {
        let sink = gst_app::AppSink::builder().sync(false).async_(false).enable_last_sample(false).build();
        let publication = self.clone();
        let take = move |sink: &gst_app::AppSink| {
            publication.push(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(take).build());
        Ok(sink.upcast())
    }

    /// From now on packets go into this pipeline, those that wait first. It replaces another.
    pub fn attach(&self, pipeline: &gst_app::AppSrc) {
        let mut way = self.way();
        if let Way::Waiting(waiting) = &mut *way {
            for packet in waiting.packets.drain(..) {
                // Fails when the pipeline is being taken down.
                let _ = pipeline.push_sample(&packet);
            }
        }
        if self.is_over() {
            finish(pipeline);
        }
        *way = Way::Through(pipeline.clone());
    }

    /// The pipeline takes no more; packets wait for the next one. Nothing happens if another has come meanwhile.
    pub fn detach(&self, pipeline: &gst_app::AppSrc) {
        let mut way = self.way();
        if matches!(&*way, Way::Through(taken) if taken == pipeline) {
            *way = Way::Waiting(Waiting::default());
        }
    }

    /// The publisher is gone. Its pipeline gets to know that nothing comes any more; whoever waits for this end takes it
    /// down.
    pub fn end(&self) {
        let way = self.way();
        self.0.over.cancel();
        if let Way::Through(pipeline) = &*way {
            finish(pipeline);
        }
    }

    /// The pipeline has made frames of all packets there will be.
    pub fn drain(&self) {
        self.0.drained.cancel();
    }

    /// Waits for the publisher to go, and then a moment for the frames that its last packets become.
    pub async fn ended(&self) {
        self.0.over.cancelled().await;
        // Without a pipeline, or with one that is stuck, they are lost.
        let _ = tokio::time::timeout(LAST_FRAMES, self.0.drained.cancelled()).await;
    }

    /// Whether the publisher is gone.
    pub fn is_over(&self) -> bool {
        self.0.over.is_cancelled()
    }

    /// Nobody wants it any more: whoever receives it sends its publisher off.
    pub fn refuse(&self) {
        self.0.refused.cancel();
    }

    /// Whether its publisher is to be sent off.
    pub fn is_refused(&self) -> bool {
        self.0.refused.is_cancelled()
    }

    // Every statement leaves it whole, so a panic under the lock harms nobody.
    fn way(&self) -> MutexGuard<'_, Way> {
        self.0.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Publication {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publication({} from {})", self.0.codec, self.0.remote)
    }
}

fn size(packet: &gst::Sample) -> usize {
    packet.buffer().map_or(0, gst::BufferRef::size)
}

/// Fails when the pipeline is being taken down.
fn finish(pipeline: &gst_app::AppSrc) {
    let _ = pipeline.end_of_stream();
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn publication() -> Publication {
        crate::media::init().unwrap();
        Publication::new(([127, 0, 0, 1], 5).into(), Codec::H264)
    }

    /// A pipeline that takes packets, and what comes of them.
    fn pipeline() -> (gst::Pipeline, gst_app::AppSrc, gst_app::AppSink) {
        let line = "appsrc name=source format=time ! appsink name=tail sync=false";
        let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let (source, tail) = (pipeline.by_name("source").unwrap(), pipeline.by_name("tail").unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();
        (pipeline, source.downcast().unwrap(), tail.downcast().unwrap())
    }

    #[tokio::test]
    async fn a_pipeline_hears_of_the_end_behind_the_last_packet() {
        for late in [false, true] {
            let publication = publication();
            let (pipeline, source, tail) = pipeline();
            if !late {
                publication.attach(&source);
            }
            for _ in 0..3 {
                publication.push(gst::Sample::builder().buffer(&gst::Buffer::with_size(20).unwrap()).build());
            }
            publication.end();
            if late {
                publication.attach(&source);
            }
            let mut came = 0;
            while tail.try_pull_sample(gst::ClockTime::from_seconds(20)).is_some() {
                came += 1;
            }
            assert_eq!((came, publication.lost(), tail.is_eos()), (3, 0, true), "late: {late}");
            assert!(publication.ended().now_or_never().is_none(), "late: {late}");
            publication.drain();
            assert!(publication.ended().now_or_never().is_some(), "late: {late}");
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }

    #[test]
    fn what_waits_for_a_pipeline_is_bounded_in_number_and_in_bytes() {
        for (size, kept) in [(20, WAITING), (60_000, WAITING_BYTES / 60_000)] {
            let publication = publication();
            for _ in 0..WAITING + 10 {
                publication.push(gst::Sample::builder().buffer(&gst::Buffer::with_size(size).unwrap()).build());
            }
            let Way::Waiting(waiting) = &*publication.way() else { panic!("nobody takes them") };
            assert_eq!((waiting.packets.len(), waiting.bytes), (kept, kept * size));
            assert_eq!(publication.lost(), (WAITING + 10 - kept) as u64);
        }
    }

    #[test]
    fn who_begins_late_has_not_been_silent() {
        let publication = publication();
        publication.0.newest.store(0, Ordering::Relaxed);
        let now = nanoseconds(crate::media::now());
        publication.begin();
        assert!(publication.0.newest.load(Ordering::Relaxed) >= now);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_for_a_pipeline_that_is_stuck() {
        let publication = publication();
        publication.end();
        publication.ended().await;
        assert!(publication.is_over());
    }
}
