//! One picture for whoever asks, copied on its way through a running pipeline.
//!
//! Nothing is held and nothing is done while nobody asks: a probe is put on the pad for the one picture that comes next,
//! and taken off again. What is handed out is a copy, so that a driver gets its buffer back at once.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};

/// Where pictures can be taken out of a pipeline, once there is such a place.
#[derive(Debug, Default)]
pub struct Tap(OnceLock<glib::WeakRef<gst::Pad>>);

/// A picture that was taken out.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// The picture in memory of our own, its caps, and `pts` as its timestamp.
    pub sample: gst::Sample,
    /// Time of capture on the clock all pipelines share.
    pub pts: Duration,
}

impl Tap {
    /// Pictures pass this pad. The first word counts.
    pub fn attach(&self, pad: &gst::Pad) {
        // That it was said before is fine.
        let _ = self.0.set(pad.downgrade());
    }

    /// The next picture that passes, or the one that is passing. None: there is no such place, none passed before the deadline, or it is in memory
    /// that cannot be read. Blocks; any number of threads may wait, and each gets a copy of its own.
    pub fn next_before(&self, deadline: Instant) -> Option<Tapped> {
        let pad = self.0.get()?.upgrade()?;
        let (give, given) = mpsc::sync_channel(1);
        let waiting = AtomicBool::new(true);
        let probe = pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer()
                && waiting.swap(false, Ordering::Relaxed)
            {
                // Whoever asked may have gone.
                let _ = give.try_send(copy(pad, buffer));
            }
            // It is taken off by who put it on: two who do it would be one too many for GStreamer.
            gst::PadProbeReturn::Ok
        })?;
        let picture = given.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        pad.remove_probe(probe);
        picture.ok().flatten()
    }
}

fn copy(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<Tapped> {
    let caps = pad.current_caps()?;
    if !caps.features(0)?.contains("memory:SystemMemory") {
        return None;
    }
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time(buffer.pts()?)?;
    let mut copy = buffer.copy_deep().ok()?;
    copy.make_mut().set_pts(time);
    Some(Tapped { sample: gst::Sample::builder().buffer(&copy).caps(&caps).build(), pts: time.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::launch;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn whoever_asks_gets_the_next_picture_in_memory_of_its_own() {
        crate::media::init().unwrap();
        let tap = Tap::default();
        assert!(tap.next_before(Instant::now() + LONG).is_none(), "there is no place");
        let line = "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=16,height=16,framerate=30/1 ! \
                    fakesink name=end sync=false";
        let pipeline = launch::pipeline(line).unwrap();
        let pad = launch::element::<gst::Element>(&pipeline, "end").unwrap().static_pad("sink").unwrap();
        tap.attach(&pad);
        assert!(tap.next_before(Instant::now()).is_none(), "nothing passes");
        let started = crate::media::now();
        pipeline.set_state(gst::State::Playing).unwrap();
        let first = tap.next_before(Instant::now() + LONG).unwrap();
        assert!(first.pts >= started && first.pts <= crate::media::now(), "{started:?} {first:?}");
        // The one that is passing counts, too.
        while tap.next_before(Instant::now() + LONG).unwrap().pts <= first.pts {}
        let buffer = first.sample.buffer().unwrap();
        assert_eq!((buffer.size(), buffer.pts().map(Duration::from)), (256, Some(first.pts)));
        assert!(buffer.iter_memories().all(|memory| memory.is_type("SystemMemory") && memory.parent().is_none()));
        pipeline.set_state(gst::State::Null).unwrap();
        drop((pad, pipeline));
        assert!(tap.next_before(Instant::now() + LONG).is_none(), "the place is gone");
    }

    #[test]
    fn memory_that_cannot_be_read_gives_nothing() {
        crate::media::init().unwrap();
        let pad = gst::Pad::builder(gst::PadDirection::Src).name("far").build();
        pad.set_active(true).unwrap();
        let caps = gst::Caps::builder("video/x-raw").features(["memory:NVMM"]).build();
        pad.push_event(gst::event::StreamStart::new("far"));
        pad.push_event(gst::event::Caps::new(&caps));
        pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        let mut buffer = gst::Buffer::from_slice([0]);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
        assert!(copy(&pad, &buffer).is_none());
        let near = gst::Caps::builder("video/x-raw").build();
        pad.push_event(gst::event::Caps::new(&near));
        assert!(copy(&pad, &buffer).is_some());
    }
}
