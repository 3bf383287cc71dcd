//! Recordings as MediaMTX sees them: the segments of a path, each named by its start.
//!
//! The start of a segment is the one that its file's name has.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use serde::Serialize;

use super::{Answer, List, Moment, Page, Refusal, config::present, moment};
use crate::{
    command::{Gateway, files::Kind, library::on_disk},
    error::Error,
    output::storage::{self, FileName, Use},
};

/// The recordings of a path.
#[derive(Debug, Serialize)]
pub struct Recording {
    name: String,
    segments: Vec<Segment>,
}

/// A file.
#[derive(Debug, Serialize)]
struct Segment {
    start: Moment,
}

/// The files of every path by their starts. Files of one second are one segment to those who ask, and in this order.
type Starts = BTreeMap<String, Vec<(SystemTime, FileName)>>;

/// The paths that have recordings, by name.
pub async fn recordings(gateway: &Arc<Gateway>, page: Page) -> Answer<List<Recording>> {
    let all = starts(gateway).await?;
    Ok(page.of(all.into_iter().map(|(name, files)| Recording::new(name, files)).collect()))
}

/// Those of one path; it may have none. Error: no path can have this name.
pub async fn recording(gateway: &Arc<Gateway>, name: &str) -> Answer<Recording> {
    present(gateway).find(name).map_err(Refusal::Invalid)?;
    let files = starts(gateway).await?.remove(name).unwrap_or_default();
    Ok(Recording::new(name.to_owned(), files))
}

/// Deletes a segment that is not being written. Error: the start is none; there is no such segment.
pub async fn delete_segment(gateway: &Arc<Gateway>, path: &str, start: &str) -> Answer<()> {
    let invalid = |message: String| Refusal::Invalid(message);
    let wanted = moment::read(start).map_err(|error| invalid(format!("invalid 'start' parameter: {error}")))?;
    present(gateway).find(path).map_err(invalid)?;
    let found = starts(gateway).await?.remove(path).unwrap_or_default();
    let missing = || invalid(format!("remove {path} {start}: no such file or directory"));
    let (_, file) = found.into_iter().find(|(start, _)| *start == wanted).ok_or_else(missing)?;
    let (folder, uses) = (gateway.folder(Kind::Recording).to_owned(), gateway.folders.uses.clone());
    let name = file.clone();
    let deleted = on_disk(move || {
        let _deleted = uses.delete(&folder.join(name.as_str()), false).map_err(|used| {
            Error::internal(if used == Use::Written { "it is being written" } else { "no such file or directory" })
        })?;
        storage::delete(&folder, &name)
    });
    deleted.await.map_err(|error| invalid(format!("remove {file}: {}", error.message())))?;
    tracing::info!(%file, "deleted");
    Ok(())
}

impl Recording {
    fn new(name: String, files: Vec<(SystemTime, FileName)>) -> Self {
        let segments = files.into_iter().map(|(start, _)| Segment { start: Moment(start) });
        Self { name, segments: segments.collect() }
    }
}

async fn starts(gateway: &Arc<Gateway>) -> Answer<Starts> {
    let (folder, pattern) = (gateway.folder(Kind::Recording).to_owned(), gateway.folders.pattern.clone());
    let stored = on_disk(move || storage::list(&folder, Kind::Recording.extensions())).await;
    let stored = stored.map_err(|error| Refusal::Invalid(error.message().to_owned()))?;
    // In a file's name a path's has only letters, digits and dashes.
    let conf = present(gateway);
    let known: BTreeMap<_, _> = conf.paths().into_iter().map(|(name, _)| (pattern.spelled(&name), name)).collect();
    let mut starts = Starts::new();
    for file in stored {
        let Some(device) = pattern.device(file.name.as_str()) else { continue };
        let start = pattern.time(file.name.as_str()).unwrap_or(file.modified);
        let path = known.get(device).cloned().unwrap_or_else(|| device.to_owned());
        starts.entry(path).or_default().push((start, file.name));
    }
    starts.values_mut().for_each(|files| files.sort());
    Ok(starts)
}
