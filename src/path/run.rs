//! One run of a capture pipeline, on a thread of its own.
//!
//! Opening and closing a V4L2 device are calls into a driver that may never return. Only the run's own thread makes
//! them; the path's task hears of it by message, gives it a deadline, and goes on without it when the driver is wedged.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{state::Event, task::Seat};
use crate::{
    error::{Error, Kind, Result},
    id::RunId,
    media::{launch::LaunchFiles, tap::Tap},
    output::snapshot::Pictures,
    pipeline::{CapturePipeline, CapturePlan, Counters, PipelineEvent},
    stream::Stream,
};

/// A run as the path's task sees it. Dropping it stops it.
pub(super) struct Run {
    /// What it delivers.
    pub stream: Arc<Stream>,
    /// The pictures that can be taken of it.
    pub pictures: Arc<Pictures>,
    /// Never sent on: its end is the sign to stop.
    _stop: oneshot::Sender<()>,
}

impl Run {
    /// Starts the thread of the run `run` of this path. Everything that happens is told to `events`, [`Event::Stopped`]
    /// last and always. Error: the thread cannot be made.
    pub fn spawn(seat: &Seat, run: RunId, plan: Arc<CapturePlan>, events: &mpsc::Sender<Event>) -> Result<Self> {
        let (path, launch) = (&seat.name, &seat.launch);
        let stream = Stream::new(plan.format, seat.settings.ring);
        let tap = Arc::<Tap>::default();
        let shots = Arc::clone(&seat.shots);
        let pictures = Pictures::new(Arc::clone(&stream), Arc::clone(&tap), launch.clone(), shots);
        let (stop, stopped) = oneshot::channel();
        let work = Work {
            path: path.clone(),
            run,
            plan,
            launch: launch.clone(),
            stream: Arc::clone(&stream),
            tap,
            counters: Arc::clone(&seat.status.borrow().counters),
            events: events.clone(),
            span: tracing::Span::current(),
        };
        std::thread::Builder::new()
            .name(format!("run:{path}"))
            .spawn(move || work.run(stopped))
            .map_err(|error| Error::with_source(Kind::Internal, "no thread for a capture pipeline", error))?;
        Ok(Self { stream, pictures, _stop: stop })
    }
}

impl Drop for Run {
    /// Ends the stream now, and tells the thread to take the pipeline down. Does not wait.
    fn drop(&mut self) {
        self.stream.close();
    }
}

struct Work {
    path: String,
    run: RunId,
    plan: Arc<CapturePlan>,
    launch: LaunchFiles,
    stream: Arc<Stream>,
    tap: Arc<Tap>,
    counters: Arc<Counters>,
    events: mpsc::Sender<Event>,
    span: tracing::Span,
}

impl Work {
    fn run(self, stopped: oneshot::Receiver<()>) {
        let _span = self.span.enter();
        let (run, events) = (self.run, self.events.clone());
        let (source, ended) = match self.plan.remote {
            Some(_) => ("remote", "the other side ended its stream"),
            None => ("device", "the camera ended its stream"),
        };
        let publication = self.plan.publication.clone();
        // The listener is called on GStreamer's threads, which must never wait: the channel has room for all a run
        // can say (first frame, one failure), and one more is not needed.
        let listener = move |event| {
            let event = match (event, &publication) {
                (PipelineEvent::FirstFrame, _) => Event::FirstFrame(run),
                // Who waits for that takes the source away.
                (PipelineEvent::Ended, Some(publication)) => return publication.drain(),
                // A parser that has seen no picture when its stream ends calls that a fault.
                (PipelineEvent::Failed(_), Some(publication)) if publication.is_over() => return publication.drain(),
                (PipelineEvent::Failed(error), _) => Event::Failed(run, error),
                (PipelineEvent::Ended, None) => Event::Failed(run, Error::dependency(source, ended)),
            };
            if events.try_send(event).is_err() {
                tracing::warn!(%run, "an event of the pipeline was lost: the path's queue is full");
            }
        };
        match self.plan.launch_line(&self.launch) {
            Ok(line) => tracing::info!(path = self.path, "gst-launch-1.0 {line}"),
            // Starting says the same, as an error of the run.
            Err(error) => tracing::debug!("{}", error.chain()),
        }
        let (stream, counters) = (Arc::clone(&self.stream), Arc::clone(&self.counters));
        let started = CapturePipeline::start(&self.plan, &self.launch, stream, counters, &self.tap, Box::new(listener));
        match started {
            Ok(pipeline) => {
                // Returns when the sender is dropped, which is how the task says stop.
                let _ = stopped.blocking_recv();
                pipeline.stop();
            }
            Err(error) => self.tell(Event::Failed(run, error)),
        }
        self.stream.close();
        self.tell(Event::Stopped(run));
    }

    fn tell(&self, event: Event) {
        // Fails only when the path's task is gone, and then nobody wants to know.
        let _ = self.events.blocking_send(event);
    }
}
