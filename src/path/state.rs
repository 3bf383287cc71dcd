//! The life of a path as a plain value: an event goes in, actions come out.
//!
//! ```text
//!            source, wanted                first frame
//!   Away ──► Idle ──────────────► Starting ───────────► Streaming
//!    ▲        ▲ ▲                    │ failed, overdue     │ failed, frozen, not wanted
//!    │        │ └── not wanted ──┐   ▼                     │
//!    │        │                Stopping ◄──────────────────┘
//!    │        │                  │   │ the driver does not let go
//!    │        │   retry due      │   ▼
//!    └────────┴──── Waiting ◄────┘  Wedged ── it lets go, or another device comes
//! ```
//!
//! From every phase the source can vanish and the path can be closed. No clock, no channel, no GStreamer here: time
//! comes as [`Event::Due`], and what a timer or a pipeline says counts only for the run it was made for. Retrying lives
//! here and nowhere else; how long a backoff lasts is the task's ([`Action::Arm`] names the attempt).

use crate::{error::Error, id::RunId};

/// One appearance of a source. A device that is plugged in again is a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// Where a path is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is no source.
    Away,
    /// There is a source and nobody wants it.
    Idle,
    /// A pipeline was started and has delivered nothing yet.
    Starting(RunId),
    /// Frames flow.
    Streaming(RunId),
    /// A pipeline was told to stop and has not let go of the device yet.
    Stopping(RunId),
    /// The driver holds a stopped pipeline fast. The device cannot be opened again before that ends.
    Wedged(RunId),
    /// The last attempt failed; another follows.
    Waiting {
        /// Failures in a row.
        attempt: u32,
    },
    /// The path is closed for good.
    Closed,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A source is there, in place of the one before, if any.
    SourceAppeared(SourceId),
    /// The source is gone.
    SourceVanished,
    /// Somebody (a reader, a recording, a snapshot) wants the stream, or nobody does any more.
    Demand(bool),
    /// The stream need not run on for readers that might still come.
    Released,
    /// From now on it runs whenever there is a source, or only while somebody wants it.
    AlwaysOn(bool),
    /// The pipeline delivered its first frame.
    FirstFrame(RunId),
    /// The pipeline failed, or delivers no frames any more.
    Failed(RunId, Error),
    /// The pipeline has let go of everything it held.
    Stopped(RunId),
    /// A timer armed by [`Action::Arm`] is due.
    Due(Timer),
    /// The service is stopping.
    Close,
}

/// What the task is to do about it, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Make a pipeline on the present source.
    Start(RunId),
    /// End the stream and take the pipeline down. Answered by [`Event::Stopped`].
    Stop(RunId),
    /// Wake the machine with [`Event::Due`] when the timer's time is over.
    Arm(Timer),
    /// Tell people why the path is not streaming.
    Trouble(Error),
    /// What was in the way is so no more.
    AllWell,
}

/// Times the machine waits for. Each names what it was armed for and is ignored when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The run should have delivered a frame by now.
    StartOverdue(RunId),
    /// The run should have let go of the device by now.
    StopOverdue(RunId),
    /// The run has streamed long enough to call the trouble before it over.
    Stable(RunId),
    /// Time for another attempt after this run and this many failures in a row.
    Retry(RunId, u32),
    /// Nobody has wanted the stream for the on-demand time. The number tells one such wait from the next.
    Unwanted(u64),
}

/// The machine.
#[derive(Clone, Debug)]
pub struct State {
    phase: Phase,
    source: Option<SourceId>,
    always_on: bool,
    demand: bool,
    closing: bool,
    run: RunId,
    /// The source the newest run was made for.
    run_source: Option<SourceId>,
    failures: u32,
    unwanted: u64,
}

impl State {
    /// A path without a source. `always_on` paths run whenever there is one, others while somebody wants them.
    pub fn new(always_on: bool) -> Self {
        Self::resumed(always_on, RunId::default())
    }

    /// As [`State::new`], for a path whose task was started again: `run` was the last one of the task before.
    pub fn resumed(always_on: bool, run: RunId) -> Self {
        Self {
            phase: Phase::Away,
            source: None,
            always_on,
            demand: false,
            closing: false,
            run,
            run_source: None,
            failures: 0,
            unwanted: 0,
        }
    }

    /// Where the path is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The newest run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Whether readers may come: frames flow, are about to, or would on demand.
    pub fn open(&self) -> bool {
        let on_demand = !self.always_on && self.source.is_some() && !self.closing;
        match self.phase {
            Phase::Streaming(_) => true,
            // Whoever hears that a camera was plugged in and comes at once waits for its first frame.
            Phase::Starting(_) => self.failures == 0 || on_demand,
            Phase::Idle | Phase::Stopping(_) | Phase::Waiting { .. } => on_demand,
            Phase::Away | Phase::Wedged(_) | Phase::Closed => false,
        }
    }

    /// Takes an event, changes the phase, says what to do.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::SourceAppeared(source) => {
                self.source = Some(source);
                self.failures = 0;
                self.source_changed()
            }
            Event::SourceVanished => {
                self.source = None;
                self.failures = 0;
                self.source_changed()
            }
            Event::Demand(demand) => self.demand_changed(demand),
            Event::Released => self.stop_unwanted(),
            Event::AlwaysOn(always_on) => {
                self.always_on = always_on;
                self.demand_changed(self.demand)
            }
            Event::FirstFrame(run) if self.phase == Phase::Starting(run) => {
                self.phase = Phase::Streaming(run);
                let mut actions = vec![Action::AllWell, Action::Arm(Timer::Stable(run))];
                actions.extend(self.watch_for_demand());
                actions
            }
            Event::Failed(run, error) if self.is_running(run) => self.fail(run, error),
            Event::Stopped(run) => match self.phase {
                Phase::Stopping(stopping) | Phase::Wedged(stopping) if stopping == run => self.settle(),
                // It came down by itself; what there was to say about it was said by `Failed`.
                Phase::Starting(current) | Phase::Streaming(current) if current == run => {
                    self.failures += 1;
                    self.settle()
                }
                _ => Vec::new(),
            },
            Event::Due(timer) => self.due(timer),
            Event::Close => {
                self.closing = true;
                self.source_changed()
            }
            Event::FirstFrame(_) | Event::Failed(..) => Vec::new(),
        }
    }

    fn due(&mut self, timer: Timer) -> Vec<Action> {
        match timer {
            Timer::StartOverdue(run) if self.phase == Phase::Starting(run) => {
                self.fail(run, Error::dependency("device", "the camera was started and delivers no frame"))
            }
            Timer::StopOverdue(run) if self.phase == Phase::Stopping(run) => {
                if self.run_source != self.source || self.closing {
                    // The stuck pipeline holds a device that is gone, or nobody waits for it: go on without it.
                    return self.settle();
                }
                self.phase = Phase::Wedged(run);
                let message = "the driver does not let go of the camera; unplug it, or restart the machine";
                vec![Action::Trouble(Error::dependency("device", message))]
            }
            Timer::Stable(run) if self.phase == Phase::Streaming(run) => {
                self.failures = 0;
                Vec::new()
            }
            Timer::Retry(run, attempt) if run == self.run && self.phase == (Phase::Waiting { attempt }) => self.start(),
            Timer::Unwanted(number) if number == self.unwanted => self.stop_unwanted(),
            _ => Vec::new(),
        }
    }

    fn stop_unwanted(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Starting(run) | Phase::Streaming(run) if !self.wanted() => self.stop(run),
            _ => Vec::new(),
        }
    }

    fn source_changed(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Starting(run) | Phase::Streaming(run) => self.stop(run),
            Phase::Wedged(_) | Phase::Away | Phase::Idle | Phase::Waiting { .. } => self.settle(),
            // `Stopped` or `StopOverdue` settles it.
            Phase::Stopping(_) | Phase::Closed => Vec::new(),
        }
    }

    fn demand_changed(&mut self, demand: bool) -> Vec<Action> {
        self.demand = demand;
        match self.phase {
            Phase::Idle if self.wanted() => self.start(),
            Phase::Waiting { .. } if !self.wanted() => self.settle(),
            Phase::Starting(_) | Phase::Streaming(_) => self.watch_for_demand(),
            _ => Vec::new(),
        }
    }

    /// What to do when nothing runs.
    fn settle(&mut self) -> Vec<Action> {
        if self.closing {
            self.phase = Phase::Closed;
        } else if self.source.is_none() {
            self.phase = Phase::Away;
        } else if !self.wanted() {
            self.phase = Phase::Idle;
        } else if self.failures > 0 {
            self.phase = Phase::Waiting { attempt: self.failures };
            return vec![Action::Arm(Timer::Retry(self.run, self.failures))];
        } else {
            return self.start();
        }
        Vec::new()
    }

    fn start(&mut self) -> Vec<Action> {
        self.run = self.run.next();
        self.run_source = self.source;
        self.phase = Phase::Starting(self.run);
        vec![Action::Start(self.run), Action::Arm(Timer::StartOverdue(self.run))]
    }

    fn stop(&mut self, run: RunId) -> Vec<Action> {
        self.phase = Phase::Stopping(run);
        vec![Action::Stop(run), Action::Arm(Timer::StopOverdue(run))]
    }

    fn fail(&mut self, run: RunId, error: Error) -> Vec<Action> {
        self.failures += 1;
        let mut actions = vec![Action::Trouble(error)];
        actions.extend(self.stop(run));
        actions
    }

    fn watch_for_demand(&mut self) -> Vec<Action> {
        // Each wait has its own number, so that demand coming and going in between starts the time anew.
        self.unwanted += 1;
        match self.wanted() {
            true => Vec::new(),
            false => vec![Action::Arm(Timer::Unwanted(self.unwanted))],
        }
    }

    fn wanted(&self) -> bool {
        self.always_on || self.demand
    }

    fn is_running(&self, run: RunId) -> bool {
        self.phase == Phase::Starting(run) || self.phase == Phase::Streaming(run)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
