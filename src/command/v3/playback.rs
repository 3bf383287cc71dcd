//! Recordings played back: which times of a path there are, and the film of one.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

pub use crate::output::playback::{Container, Film};

use super::{Answer, Moment, Refusal, config::present, whose::Whose};
use crate::{
    command::{Gateway, files::Kind, library::on_disk},
    mtx,
    output::{
        playback::{Segment, Span, spans},
        storage::{self, Index},
    },
};

/// Nothing was recorded, or nothing then.
const NOTHING: Refusal = Refusal::NotFound("no recording segments found");

/// It was, as transport streams.
const MPEGTS: &str = "MPEG-TS format is not supported yet";

/// A time without a gap.
#[derive(Debug, Serialize)]
pub struct Recorded {
    start: Moment,
    /// Seconds.
    duration: f64,
    /// Where it can be had.
    url: String,
}

impl Recorded {
    /// A span that is had at `get`, which is a URL without its query.
    fn new(span: Span, path: &str, get: &str) -> Self {
        let (start, duration) = (Moment(span.start), span.duration.as_secs_f64());
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("duration", &duration.to_string());
        query.append_pair("path", path);
        query.append_pair("start", &start.to_string());
        Self { start, duration, url: format!("{get}?{}", query.finish()) }
    }
}

/// Checks that a path may have this name. Error: it may not.
pub fn named(path: &str) -> Answer<()> {
    mtx::check_path(path).map_err(Refusal::Invalid)
}

/// Checks that something is configured for a path. Error: nothing is.
pub fn playable(gateway: &Gateway, path: &str) -> Answer<()> {
    present(gateway).find(path).map(drop).map_err(Refusal::Invalid)
}

/// The times of a path that were recorded between `from` and `to`. `get` is where films are had. Error: nothing was.
pub async fn recorded(
    gateway: &Arc<Gateway>,
    path: &str,
    (from, to): (Option<SystemTime>, Option<SystemTime>),
    get: &str,
) -> Answer<Vec<Recorded>> {
    let Films { segments, is_mpegts } = films(gateway, path).await;
    let found = spans(&segments, from, to);
    match found.is_empty() {
        true if is_mpegts => Err(Refusal::Failed(MPEGTS)),
        true => Err(NOTHING),
        false => Ok(found.into_iter().map(|span| Recorded::new(span, path, get)).collect()),
    }
}

/// The film of a time. Errors: nothing was recorded then, the disk, it is too long for its container.
pub async fn film(
    gateway: &Arc<Gateway>,
    path: &str,
    start: SystemTime,
    duration: Duration,
    container: Container,
) -> Answer<Film> {
    let Films { segments, is_mpegts } = films(gateway, path).await;
    let film = on_disk(move || Film::open(&segments, start, duration, container)).await;
    let nothing = || if is_mpegts { Refusal::Invalid(MPEGTS.into()) } else { NOTHING };
    film.map_err(|error| Refusal::Invalid(error.message().to_owned()))?.ok_or_else(nothing)
}

/// What of a path can be played back.
struct Films {
    /// The files, by their starts.
    segments: Vec<Segment>,
    /// It is recorded as what cannot be played back, and was.
    is_mpegts: bool,
}

/// What of a path can be played back. What is being written is there as far as it is whole.
async fn films(gateway: &Arc<Gateway>, path: &str) -> Films {
    let conf = present(gateway);
    let set = conf.find(path).ok().and_then(|found| conf.path(&found.conf_name));
    let shall_be = set.is_some_and(|set| set.text("recordFormat") == "mpegts");
    let (own, old) = Whose::new(gateway).spellings(path);
    let spellings: Vec<_> = [Some(own), old].into_iter().flatten().collect();
    let (mut segments, mut is_mpegts) = (Vec::new(), false);
    for index in gateway.indexes.of(Kind::Recording) {
        let found = look(&index, &spellings).await;
        let files: Vec<_> = found.iter().map(|segment| Arc::clone(&segment.file)).collect();
        gateway.contents.read_films(&index, &files).await;
        let folder = &index.place().folder;
        let found = look(&index, &spellings).await;
        let is_ts = |found: &storage::Segment| found.file.stored.name.extension().is_some_and(|kind| kind == "ts");
        is_mpegts |= shall_be && found.iter().any(is_ts);
        segments.extend(found.into_iter().filter_map(|found| playable_file(folder, found)));
    }
    segments.sort_by_key(|segment| segment.began);
    Films { segments, is_mpegts }
}

/// `None`: it is not MP4, or nothing is in it yet.
fn playable_file(folder: &Path, segment: storage::Segment) -> Option<Segment> {
    let name = &segment.file.stored.name;
    let duration = segment.duration.filter(|duration| !duration.is_zero())?;
    let is_mp4 = name.extension().is_some_and(|extension| extension == "mp4");
    is_mp4.then(|| Segment { path: folder.join(name.as_str()), began: segment.began, duration })
}

/// The files of the spellings of a path. A folder that cannot be read has nothing.
async fn look(index: &Index, spellings: &[String]) -> Vec<storage::Segment> {
    let (index, spellings) = (index.clone(), spellings.to_owned());
    let found = on_disk(move || {
        let found: Vec<_> = spellings.iter().map(|spelling| index.segments(spelling)).collect::<Result<_, _>>()?;
        Ok(found.into_iter().flatten().collect())
    });
    let found: Result<Vec<_>, _> = found.await;
    found.inspect_err(|error| tracing::debug!("a folder is not played back: {}", error.chain())).unwrap_or_default()
}
