//! The external streams that were added: each is a path whose source is another machine.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as Turn;

use super::{ExternalStream, Memory, OwnServer, name};
use crate::{
    error::{Error, Kind, Result},
    path::{PathSettings, Paths},
    pipeline::{CaptureRequest, Source, Wanted},
    rtsp_url::RtspUrl,
};

/// External streams at most: each may cost a pipeline that runs all the time.
const MOST: usize = 64;

/// How external streams are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How their paths are run.
    pub path: PathSettings,
    /// Where this service serves RTSP itself.
    pub own: OwnServer,
}

/// The external streams that were added. Cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    own: OwnServer,
    path: Mutex<PathSettings>,
    memory: Memory,
    paths: Paths,
    turn: Turn<()>,
}

impl Streams {
    /// Serves what is remembered.
    pub async fn start(settings: Settings, memory: Memory, paths: Paths) -> Self {
        let Settings { path, own } = settings;
        let streams = Self(Arc::new(Inner { own, path: Mutex::new(path), memory, paths, turn: Turn::default() }));
        for stream in streams.list() {
            streams.0.serve(&stream).await;
        }
        streams
    }

    /// How their paths are run.
    pub fn path_settings(&self) -> PathSettings {
        self.0.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs their paths otherwise from now on; who reads them stays.
    pub async fn follow(&self, path: PathSettings) {
        let _turn = self.0.turn.lock().await;
        *self.0.path.lock().unwrap_or_else(PoisonError::into_inner) = path.clone();
        for stream in self.list() {
            self.0.paths.reconfigure(&stream.name, path.clone()).await;
        }
    }

    /// Those that were added, in that order.
    pub fn list(&self) -> Vec<ExternalStream> {
        self.0.memory.kept().streams
    }

    /// The one of this name.
    pub fn find(&self, name: &str) -> Option<ExternalStream> {
        self.list().into_iter().find(|stream| stream.name == name)
    }

    /// Adds a stream and serves it; what is there already, unchanged, stays as it is. The other machine is not asked.
    ///
    /// Errors: the name is none or taken, the URL is known by another name or leads to this service, there are too many,
    /// the disk.
    pub async fn add(&self, stream: ExternalStream) -> Result<()> {
        name::check(&stream.name)?;
        if self.0.own.is_at(&stream.url).await {
            let rule = "leads to this service itself, which would pull its own stream";
            return Err(Error::invalid_param("stream_url", rule, "give the address of another machine"));
        }
        let inner = Arc::clone(&self.0);
        // A caller who hangs up half way does not leave half of it.
        finished(tokio::spawn(async move { inner.add(stream).await })).await
    }

    /// Removes the stream at `url`, given in full or as it is shown to those who may not see its credentials. Its
    /// recording is closed and its readers leave before this returns.
    ///
    /// Errors: there is none, or several are shown alike; the disk.
    pub async fn remove(&self, url: &RtspUrl) -> Result<ExternalStream> {
        let (inner, url) = (Arc::clone(&self.0), url.clone());
        finished(tokio::spawn(async move { inner.remove(&url).await })).await
    }
}

impl Inner {
    async fn add(&self, stream: ExternalStream) -> Result<()> {
        let _turn = self.turn.lock().await;
        let known = self.memory.kept().streams;
        if known.contains(&stream) {
            return Ok(());
        }
        let exists = |message: String| {
            Error::new(Kind::InvalidState { state: "ADDED".into(), allowed: vec!["REMOVED"] }, message)
        };
        if let Some(other) = known.iter().find(|other| other.url == stream.url && other.name != stream.name) {
            return Err(exists(format!("{} is there as \"{}\"; remove that first", other.url, other.name)));
        }
        if self.paths.status(&stream.name).is_ok() {
            return Err(exists(format!("there is another stream \"{}\"; choose another name", stream.name)));
        }
        if known.len() >= MOST {
            let kind = Kind::InvalidState { state: "FULL".into(), allowed: vec!["REMOVED"] };
            return Err(Error::new(kind, format!("there are {MOST} external streams, and no more can be; remove one")));
        }
        let kept = stream.clone();
        self.memory
            .change(|memory| {
                memory.streams.push(kept);
                Ok(())
            })
            .await?;
        tracing::info!(path = stream.name, url = %stream.url, "external stream added");
        self.serve(&stream).await;
        Ok(())
    }

    async fn remove(&self, url: &RtspUrl) -> Result<ExternalStream> {
        let _turn = self.turn.lock().await;
        let known = self.memory.kept().streams;
        let exact = known.iter().filter(|stream| stream.url == *url).collect::<Vec<_>>();
        let shown = known.iter().filter(|stream| stream.url.to_string() == url.expose()).collect::<Vec<_>>();
        let stream = match (&exact[..], &shown[..]) {
            ([stream, ..], _) | ([], [stream]) => (*stream).clone(),
            ([], []) => return Err(Error::not_found("stream", url.to_string())),
            ([], _) => {
                let rule = format!("stands for {} streams that differ in what is not shown of them", shown.len());
                return Err(Error::invalid_param("stream_url", rule, "give the whole URL"));
            }
        };
        self.memory
            .change(|memory| {
                memory.streams.retain(|other| *other != stream);
                Ok(())
            })
            .await?;
        if let Err(error) = self.paths.remove(&stream.name).await {
            tracing::debug!(path = stream.name, "{}", error.chain());
        }
        tracing::info!(path = stream.name, url = %stream.url, "external stream removed");
        Ok(stream)
    }

    async fn serve(&self, stream: &ExternalStream) {
        let settings = self.path.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.paths.add(&stream.name, settings);
        let source = Source::Rtsp { url: stream.url.clone(), fingerprint: None };
        let request = CaptureRequest { source, wanted: Wanted::default() };
        if let Err(error) = self.paths.set_source(&stream.name, Some(request)).await {
            tracing::debug!(path = stream.name, "{}", error.chain());
        }
    }
}

async fn finished<T>(work: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    work.await.map_err(|error| Error::with_source(Kind::Internal, "a change of external streams failed", error))?
}
