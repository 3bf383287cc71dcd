//! The recordings and snapshots there are: listing and deleting them.

use std::{marker::PhantomData, path::Path, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    Command, Gateway, Timestamp, Within,
    access::{Caller, Role},
    files::{self, Kind},
    info::OneFile,
    recordings::whole_seconds,
    v3::Whose,
};
use crate::{
    error::{Error, Kind as Failure, Result},
    output::storage::{self, Entry, Query, Stored},
};

/// Files in a list when a caller does not say how many.
const USUAL_LIMIT: u32 = 50;

/// What is kept in one folder, and what its commands are called.
pub trait Library: Send + Sized + 'static {
    /// Which folder.
    const KIND: Kind;
    /// The command that lists it.
    const LIST: &'static str;
    /// The command that deletes from it.
    const DELETE: &'static str;
}

/// The folder of recordings.
pub struct Recordings;

/// The folder of snapshots.
pub struct Snapshots;

impl Library for Recordings {
    const KIND: Kind = Kind::Recording;
    const LIST: &'static str = "list_recordings";
    const DELETE: &'static str = "delete_recording";
}

impl Library for Snapshots {
    const KIND: Kind = Kind::Snapshot;
    const LIST: &'static str = "list_snapshots";
    const DELETE: &'static str = "delete_snapshot";
}

/// `list_recordings`, `list_snapshots`: some of the files, newest first.
pub struct List<L>(PhantomData<L>);

/// The parameters of [`List`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListParams {
    /// Files in the reply; else 50.
    limit: Option<Within<1, 1000>>,
    /// Files to leave out first.
    offset: Option<Within<0, { u32::MAX }>>,
    /// Only files of this camera.
    device: Option<String>,
    /// Else newest first.
    order: Option<Order>,
}

/// Which files come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Those last written to.
    #[default]
    #[serde(alias = "desc")]
    Newest,
    /// Those first written to.
    #[serde(alias = "asc")]
    Oldest,
}

/// The reply of [`List`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileList {
    files: Vec<File>,
    total: usize,
    limit: u32,
    offset: u32,
}

/// A file of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct File {
    filename: String,
    /// The camera; empty where the name does not say it.
    device: String,
    file_size: u64,
    modified_time: Timestamp,
    /// Seconds, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    /// Whether it is being written; not for snapshots, which are there as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<bool>,
    download_url: String,
}

impl File {
    fn new(kind: Kind, folder: &Path, entry: &Entry, whose: &Whose, gateway: &Gateway) -> Self {
        let Stored { name, size, modified } = &entry.stored;
        let name = name.as_str();
        let written = || gateway.folders.uses.is_written(&folder.join(name));
        Self {
            filename: name.to_owned(),
            device: entry.device.as_deref().map(|device| whose.shown(device)).unwrap_or_default(),
            file_size: *size,
            modified_time: Timestamp(*modified),
            duration: entry.film().flatten().and_then(|film| film.duration).map(whole_seconds),
            recording: (kind == Kind::Recording).then(written),
            download_url: kind.download_url(name),
        }
    }
}

impl<L: Library> Command for List<L> {
    const METHOD: &'static str = L::LIST;
    const SUMMARY: &'static str = match L::KIND {
        Kind::Recording => "Some of the recordings there are, newest first.",
        Kind::Snapshot => "Some of the snapshots there are, newest first.",
    };
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = ListParams;
    type Reply = FileList;

    async fn run(params: ListParams, _: &Caller, gateway: &Gateway) -> Result<FileList> {
        let device = params.device.as_deref().map(|device| gateway.find(device)).transpose()?;
        let whose = Whose::new(gateway);
        let (device, or_device) = device.map(|device| whose.spellings(&device)).unzip();
        let or_device: Option<String> = or_device.flatten();
        let Within(limit) = params.limit.unwrap_or(Within(USUAL_LIMIT));
        let Within(offset) = params.offset.unwrap_or(Within(0));
        let (indexes, order) = (gateway.indexes.of(L::KIND), params.order.unwrap_or_default());
        let places = indexes.clone();
        let (files, total) = on_disk(move || {
            let query = Query {
                device: device.as_deref(),
                or_device: or_device.as_deref(),
                oldest_first: order == Order::Oldest,
                offset: offset as usize,
                limit: limit as usize,
            };
            storage::page_of(&places, &query)
        })
        .await?;
        if L::KIND == Kind::Recording {
            for (place, index) in indexes.iter().enumerate() {
                let here = files.iter().filter(|(own, _)| *own == place).map(|(_, entry)| Arc::clone(entry));
                gateway.contents.read_films(index, &here.collect::<Vec<_>>()).await;
            }
        }
        let file = |(place, entry): &(usize, Arc<Entry>)| {
            File::new(L::KIND, &indexes[*place].place().folder, entry, &whose, gateway)
        };
        let files = files.iter().map(file);
        Ok(FileList { files: files.collect(), total, limit, offset })
    }
}

/// `delete_recording`, `delete_snapshot`: a file that is not being written.
pub struct Delete<L>(PhantomData<L>);

/// The reply of [`Delete`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FileDeleted")]
pub struct Deleted {
    filename: String,
    deleted: bool,
    message: &'static str,
}

impl<L: Library> Command for Delete<L> {
    const METHOD: &'static str = L::DELETE;
    const SUMMARY: &'static str = match L::KIND {
        Kind::Recording => "Deletes a recording that is not being written.",
        Kind::Snapshot => "Deletes a snapshot.",
    };
    const ROLE: Option<Role> = Some(Role::Admin);
    type Params = OneFile;
    type Reply = Deleted;

    async fn run(params: OneFile, caller: &Caller, gateway: &Gateway) -> Result<Deleted> {
        let (caller, folder) =
            (caller.clone(), gateway.index_with(L::KIND, &params.filename).await?.place().folder.clone());
        let uses = gateway.folders.uses.clone();
        let name = on_disk(move || files::delete(L::KIND, &params.filename, &caller, &folder, &uses)).await?;
        tracing::info!(file = %name, "deleted");
        Ok(Deleted { filename: name.to_string(), deleted: true, message: "the file is gone" })
    }
}

/// Work that waits for the disk, off the runtime's threads.
pub(super) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| Error::with_source(Failure::Internal, "work on the disk broke off", error))?
}
