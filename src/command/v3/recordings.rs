//! Recordings as MediaMTX sees them: the segments of a path, each named by its start.
//!
//! The start of a segment is the one that its file's name has.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use serde::Serialize;

use super::{Answer, List, Moment, Page, Refusal, config::present, moment, whose::Whose};
use crate::{
    command::{Gateway, files::Kind, library::on_disk},
    error::Error,
    output::storage::{self, FileName, Query, Use},
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

/// A file by its start. Files of one second are one segment to those who ask, and in this order.
type Begun = (SystemTime, FileName);

/// The paths that have recordings and an entry that stands for them, by name.
pub async fn recordings(gateway: &Arc<Gateway>, page: Page) -> Answer<List<Recording>> {
    let whose = Whose::new(gateway);
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (spelling, files) in begun(gateway).await? {
        if let Some(name) = whose.configured(&spelling) {
            all.entry(name).or_default().extend(files);
        }
    }
    Ok(page.of(all.into_iter().map(|(name, files)| Recording::new(name, files)).collect()))
}

/// Those of one path; it may have none. Error: no path can have this name.
pub async fn recording(gateway: &Arc<Gateway>, name: &str) -> Answer<Recording> {
    present(gateway).find(name).map_err(Refusal::Invalid)?;
    Ok(Recording::new(name.to_owned(), begun_of(gateway, name).await?))
}

/// Deletes a segment that is not being written. Error: the start is none; there is no such segment.
pub async fn delete_segment(gateway: &Arc<Gateway>, path: &str, start: &str) -> Answer<()> {
    let invalid = |message: String| Refusal::Invalid(message);
    let wanted = moment::read(start).map_err(|error| invalid(format!("invalid 'start' parameter: {error}")))?;
    present(gateway).find(path).map_err(invalid)?;
    let found = begun_of(gateway, path).await?;
    let missing = || invalid(format!("remove {path} {start}: no such file or directory"));
    let (_, file) = found.into_iter().find(|(start, _)| *start == wanted).ok_or_else(missing)?;
    let index = gateway.index_with(Kind::Recording, file.as_str()).await;
    let index = index.map_err(|error| invalid(error.message().to_owned()))?;
    let (folder, uses) = (index.place().folder.clone(), gateway.folders.uses.clone());
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
    fn new(name: String, mut files: Vec<Begun>) -> Self {
        files.sort();
        let segments = files.into_iter().map(|(start, _)| Segment { start: Moment(start) });
        Self { name, segments: segments.collect() }
    }
}

/// The files of a path.
async fn begun_of(gateway: &Arc<Gateway>, path: &str) -> Answer<Vec<Begun>> {
    let (own, old) = Whose::new(gateway).spellings(path);
    let mut all = begun(gateway).await?;
    let spellings = [Some(own), old].into_iter().flatten();
    let mut files: Vec<_> = spellings.filter_map(|spelling| all.remove(&spelling)).flatten().collect();
    files.sort();
    Ok(files)
}

/// All files, by how the name of their path is spelled.
async fn begun(gateway: &Arc<Gateway>) -> Answer<BTreeMap<String, Vec<Begun>>> {
    let (indexes, pattern) = (gateway.indexes.of(Kind::Recording), gateway.folders.pattern.clone());
    let everything = Query { oldest_first: true, limit: usize::MAX, ..Query::default() };
    let stored = on_disk(move || storage::page_of(&indexes, &everything)).await;
    let (stored, _) = stored.map_err(|error| Refusal::Invalid(error.message().to_owned()))?;
    let mut begun = BTreeMap::<_, Vec<_>>::new();
    for (_, file) in stored {
        let Some(device) = file.device.as_deref() else { continue };
        let (name, modified) = (file.stored.name.clone(), file.stored.modified);
        let start = pattern.time(name.as_str()).unwrap_or(modified);
        begun.entry(device.to_owned()).or_default().push((start, name));
    }
    Ok(begun)
}
