//! The one loop of a path: what happens goes into the state machine, what it says is done.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::time::DelayQueue;

use super::{
    Demands, PathEvent, PathSettings, PathStatus, Phase, Running,
    always::Always,
    backoff::backoff,
    demand::Wish,
    run::Run,
    state::{Action, Event, SourceId, State, Timer},
    streaming::streaming,
};
use crate::{
    error::{Error, Result},
    id::RunId,
    media::launch::LaunchFiles,
    output::{
        rtsp::{Opened, RtspServer},
        snapshot::Counters,
    },
    pipeline::{CapturePlan, CaptureRequest, Encoders, Source, Wanted, plan},
};

/// What the registry asks of a path's task.
pub(super) enum Request {
    /// The source is this one now, or there is none. Answered when the status shows it.
    Source(Option<CaptureRequest>, oneshot::Sender<()>),
    /// There is no source any more, if it still is this one.
    Lost(Source),
    /// Nobody who is not here yet needs the stream any more.
    Release,
    /// It runs like this from now on.
    Running(Running),
    /// The same, and all that counts from its next run on.
    Settings(Box<PathSettings>),
    /// Its source's stream should be this now.
    Wanted(Box<Wanted>),
    /// Stop everything and end.
    Close,
    #[cfg(test)]
    Panic,
}

/// What outlives the task, should it panic: its supervisor starts the next one with it.
pub(super) struct Seat {
    pub name: String,
    pub settings: PathSettings,
    pub launch: LaunchFiles,
    pub encoders: Arc<Encoders>,
    pub rtsp: Arc<RtspServer>,
    pub rtsp_host: String,
    pub demands: Demands,
    /// What snapshots cost, over all paths.
    pub shots: Arc<Counters>,
    pub status: watch::Sender<PathStatus>,
    pub events: broadcast::Sender<PathEvent>,
    pub inbox: mpsc::Receiver<Request>,
    pub source: Option<CaptureRequest>,
    pub run: RunId,
    pub appearances: u64,
}

/// Room for what the runs of a path say. A run says three things at most; an old run may be slow to say its last.
const RUN_EVENTS: usize = 16;
/// How often the age of the newest frame is looked at.
const FRAME_AGE_CHECK: Duration = Duration::from_millis(500);

/// Runs the path until it is closed. Dropping the future (a panic) stops the pipeline too.
pub(super) async fn run(seat: &mut Seat) {
    let (events_tx, mut run_events) = mpsc::channel(RUN_EVENTS);
    let mut demand = seat.demands.watch();
    demand.mark_changed();
    let mut task = Task {
        state: State::resumed(seat.settings.always_on, seat.run),
        plan: None,
        run: None,
        events: events_tx,
        timers: DelayQueue::new(),
        mounted: false,
        always: None,
        seat,
    };
    task.be_available().await;
    let mut frame_age = interval(FRAME_AGE_CHECK);
    frame_age.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(source) = task.seat.source.take() {
        task.source(Some(source)).await;
    }
    while task.state.phase() != Phase::Closed {
        let event = tokio::select! {
            Some(event) = run_events.recv() => Some(event),
            Some(timer) = task.timers.next(), if !task.timers.is_empty() => Some(Event::Due(timer.into_inner())),
            Ok(()) = demand.changed() => {
                let wish = *demand.borrow_and_update();
                task.step(Event::Demand(wish.holders > 0)).await;
                // Those who only wanted a look at it come back for another, or not; nobody waits for that.
                (wish == Wish::default()).then_some(Event::Released)
            }
            request = task.seat.inbox.recv() => { task.request(request).await; None }
            _ = frame_age.tick() => task.frozen(),
        };
        if let Some(event) = event {
            task.step(event).await;
        }
    }
}

struct Task<'a> {
    seat: &'a mut Seat,
    state: State,
    /// What a run on the present source will do, or why there can be none.
    plan: Option<Result<Arc<CapturePlan>>>,
    run: Option<Run>,
    events: mpsc::Sender<Event>,
    timers: DelayQueue<Timer>,
    mounted: bool,
    /// What keeps it available while the source is away.
    always: Option<Always>,
}

impl Task<'_> {
    async fn request(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Source(source, taken)) => {
                self.source(source).await;
                // Nobody waiting for it is fine.
                let _ = taken.send(());
            }
            Some(Request::Lost(source)) if self.seat.source.as_ref().is_some_and(|now| now.source == source) => {
                self.source(None).await;
            }
            Some(Request::Lost(_)) => {}
            Some(Request::Release) => {
                // Whoever let go just before may not have been heard yet.
                let demand = self.seat.demands.wish().holders > 0;
                self.step(Event::Demand(demand)).await;
                self.step(Event::Released).await;
            }
            Some(Request::Running(running)) => {
                running.put_into(&mut self.seat.settings);
                self.run_so().await;
            }
            Some(Request::Settings(settings)) => {
                self.seat.settings = *settings;
                self.run_so().await;
            }
            Some(Request::Wanted(wanted)) => self.want(*wanted).await,
            Some(Request::Close) | None => self.step(Event::Close).await,
            #[cfg(test)]
            Some(Request::Panic) => panic!("asked to"),
        }
    }

    /// Does what of the settings counts at once.
    async fn run_so(&mut self) {
        self.step(Event::AlwaysOn(self.seat.settings.always_on)).await;
        self.be_available().await;
    }

    /// Runs the source anew where another stream is wanted of it than it delivers. One that comes out the same, such as what
    /// a camera encodes itself at another bit rate for encoders, goes on.
    async fn want(&mut self, wanted: Wanted) {
        let Some(source) = &self.seat.source else { return };
        let source = CaptureRequest { wanted, ..source.clone() };
        match (&self.plan, plan(&source, &self.seat.encoders)) {
            (Some(Ok(now)), Ok(then)) if now.does_as(&then) => self.seat.source = Some(source),
            _ => self.source(Some(source)).await,
        }
    }

    async fn source(&mut self, source: Option<CaptureRequest>) {
        self.plan = source.as_ref().map(|source| plan(source, &self.seat.encoders).map(Arc::new));
        for reason in self.plan.iter().flatten().flat_map(|plan| &plan.why) {
            tracing::info!(path = %self.seat.name, "{reason}");
        }
        self.seat.source = source;
        self.seat.appearances += 1;
        self.step(match self.seat.source {
            Some(_) => Event::SourceAppeared(SourceId(self.seat.appearances)),
            None => Event::SourceVanished,
        })
        .await;
    }

    /// Has it always available from now on, or not any more. Readers of what is new find it at once.
    async fn be_available(&mut self) {
        let filling = self.seat.settings.always_available.clone();
        let is_so = self.always.as_ref().map_or(filling.is_none(), |always| always.is(filling.as_ref()));
        if is_so || self.state.phase() == Phase::Closed {
            return;
        }
        let before = std::mem::replace(&mut self.always, filling.map(|filling| Always::new(self.seat, filling)));
        let trouble = self.seat.status.borrow().trouble.clone();
        self.publish(trouble);
        drop(before);
        // Whoever comes is given the other stream.
        self.mounted &= !self.is_open();
        self.mount_or_unmount().await;
    }

    /// Whether readers may come.
    fn is_open(&self) -> bool {
        self.state.open() || self.always.is_some()
    }

    async fn step(&mut self, event: Event) {
        tracing::debug!(path = %self.seat.name, ?event);
        let before = self.state.phase();
        let actions = self.state.step(event);
        let mut trouble = self.seat.status.borrow().trouble.clone();
        let had_trouble = trouble.is_some();
        for action in actions {
            match action {
                Action::Start(run) => {
                    if let Err(error) = self.start(run) {
                        // The machine hears of it as of any other failure, in order.
                        let _ = self.events.try_send(Event::Failed(run, error));
                        let _ = self.events.try_send(Event::Stopped(run));
                    }
                }
                // Let go of at once: the frames in its ring may be the driver's memory.
                Action::Stop(_) => self.run = None,
                Action::Arm(timer) => {
                    self.timers.insert(timer, self.delay(timer));
                }
                Action::Trouble(error) => {
                    tracing::warn!(path = %self.seat.name, "{}", error.chain());
                    trouble = Some(error);
                }
                Action::AllWell => trouble = None,
            }
        }
        let phase = self.state.phase();
        if phase == Phase::Away {
            trouble = None;
        }
        if matches!(phase, Phase::Idle | Phase::Away) {
            self.seat.demands.stopped();
        }
        if before != phase {
            self.log(phase);
        }
        if phase == Phase::Closed {
            self.always = None;
        }
        let planned = self.seat.status.borrow().plan.is_some();
        if before != phase || had_trouble != trouble.is_some() || planned != matches!(self.plan, Some(Ok(_))) {
            self.publish(trouble);
        }
        self.mount_or_unmount().await;
    }

    fn start(&mut self, run: RunId) -> Result<()> {
        let plan = self.plan.clone().unwrap_or_else(|| Err(Error::internal("a run without a source")))?;
        let span = tracing::info_span!("run", path = %self.seat.name, run = run.0);
        self.run = Some(span.in_scope(|| Run::spawn(self.seat, run, plan, &self.events))?);
        Ok(())
    }

    fn delay(&self, timer: Timer) -> Duration {
        let settings = &self.seat.settings;
        match timer {
            Timer::StartOverdue(_) => settings.start_timeout,
            Timer::StopOverdue(_) => settings.stop_timeout,
            Timer::Stable(_) => Duration::from_secs(30),
            Timer::Unwanted(_) => settings.close_after,
            Timer::Retry(_, attempt) => backoff(attempt),
        }
    }

    /// Whether the newest frame is too old. Slow modes are given three of their own intervals.
    fn frozen(&self) -> Option<Event> {
        let Phase::Streaming(run) = self.state.phase() else { return None };
        let stream = &self.run.as_ref()?.stream;
        let interval = Duration::from_secs_f64(1.0 / stream.format().rate.fps().max(0.01));
        let allowed = self.seat.settings.frame_timeout.max(3 * interval);
        let age = Instant::now().saturating_duration_since(stream.stats().newest?);
        (age > allowed).then(|| {
            let message = format!("the camera froze: its newest frame is {:.1} s old", age.as_secs_f64());
            Event::Failed(run, Error::dependency("device", message))
        })
    }

    fn publish(&mut self, trouble: Option<Error>) {
        let phase = self.state.phase();
        let streaming = matches!(phase, Phase::Streaming(_));
        let plan = self.plan.as_ref().and_then(|plan| plan.clone().ok());
        let run = self.run.as_ref().filter(|_| streaming);
        let (stream, pictures) = run.map(|run| (Arc::clone(&run.stream), Arc::clone(&run.pictures))).unzip();
        let (filler, outgoing) = match &mut self.always {
            Some(always) => {
                let planned = plan.as_ref().map(|plan| plan.format);
                (always.attend(stream.as_deref(), planned), Some(Arc::clone(&always.outgoing)))
            }
            None => (None, None),
        };
        let filled = filler.is_some();
        let (open, runs, appearances) = (self.is_open(), self.state.run().0, self.seat.appearances);
        self.seat.status.send_modify(|status| {
            status.streaming_since = match streaming {
                true => status.streaming_since.or_else(|| Some(SystemTime::now())),
                false => None,
            };
            (status.phase, status.open, status.trouble) = (phase, open, trouble);
            (status.plan, status.stream, status.pictures) = (plan, stream, pictures);
            (status.filler, status.outgoing) = (filler, outgoing);
            let since = status.available_since.or_else(|| Some(SystemTime::now()));
            status.available_since = status.available().and(since);
            (status.runs, status.appearances) = (runs, appearances);
        });
        if let Some(always) = &mut self.always {
            always.settle(!filled);
        }
        // Nobody listening is fine.
        let _ = self.seat.events.send(PathEvent::Changed { name: self.seat.name.clone() });
    }

    /// Readers may come or must go. GStreamer calls, so not on the runtime; awaited, so in order.
    async fn mount_or_unmount(&mut self) {
        let open = self.is_open();
        if open == self.mounted {
            return;
        }
        self.mounted = open;
        let (rtsp, name) = (Arc::clone(&self.seat.rtsp), self.seat.name.clone());
        let opener = self.opener();
        let done = spawn_blocking(move || match open {
            true => rtsp.mount(&name, opener),
            false => rtsp.unmount(&name),
        });
        if let Err(error) = done.await {
            tracing::error!(path = %self.seat.name, %error, "RTSP did not take or give up the path");
        }
    }

    /// What a reader's DESCRIBE calls, on a thread of the RTSP server: the stream, started for it where need be.
    fn opener(&self) -> crate::output::rtsp::Open {
        let (demands, status) = (self.seat.demands.clone(), self.seat.status.subscribe());
        let deadline = self.seat.settings.start_timeout;
        let runtime = tokio::runtime::Handle::current();
        Arc::new(move || {
            let demand = demands.hold();
            let mut status = status.clone();
            let lasting = {
                let status = status.borrow();
                let key_frames_on_demand = status.plan.as_ref().is_some_and(|plan| plan.key_frames_on_demand);
                status.outgoing.clone().map(|stream| (stream, key_frames_on_demand))
            };
            if let Some((stream, key_frames_on_demand)) = lasting {
                return Ok(Opened { stream, key_frames_on_demand, demand: Box::new(demand) });
            }
            let status = runtime.block_on(streaming(&mut status, deadline))?;
            match (&status.stream, &status.plan) {
                (Some(stream), Some(plan)) => Ok(Opened {
                    stream: Arc::clone(stream),
                    key_frames_on_demand: plan.key_frames_on_demand,
                    demand: Box::new(demand),
                }),
                _ => Err(Error::not_found("stream", &status.name)),
            }
        })
    }

    fn log(&self, phase: Phase) {
        let path = &self.seat.name;
        match (phase, &self.run) {
            (Phase::Streaming(_), Some(run)) => {
                let format = run.stream.format();
                let size = format!("{}x{}@{}", format.width, format.height, format.rate);
                let (host, port) = (&self.seat.rtsp_host, self.seat.rtsp.port());
                tracing::info!(%path, codec = %format.codec, %size, "streaming at rtsp://{host}:{port}/{path}");
            }
            (Phase::Waiting { attempt }, _) => tracing::info!(%path, attempt, "not streaming; another attempt follows"),
            _ => tracing::debug!(%path, ?phase),
        }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.seat.run = self.seat.run.max(self.state.run());
    }
}
