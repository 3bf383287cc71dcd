//! The files clients download.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_util::sync::CancellationToken;

use super::{
    Gateway,
    access::{Caller, Role},
};
use crate::{
    error::{Error, Kind as Failure, Result},
    output::{
        recorder, snapshot,
        storage::{self, FileName, InUse, Opened, Use, Uses},
    },
};

/// Left as they are in a URL (RFC 3986 section 2.3); everything else is encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A recording.
    Recording,
    /// A snapshot.
    Snapshot,
}

impl Kind {
    /// The last part of its folder's URL.
    pub fn folder_name(self) -> &'static str {
        match self {
            Self::Recording => "recordings",
            Self::Snapshot => "snapshots",
        }
    }

    /// What errors call it.
    fn resource(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Snapshot => "snapshot",
        }
    }

    /// An error that was met with a file, in the words of its kind.
    fn named(self, error: Error) -> Error {
        match error.kind() {
            Failure::NotFound { id, .. } => Error::not_found(self.resource(), id.clone()),
            _ => error,
        }
    }

    /// What a browser is told that its file is. `name` ends like a file of the kind.
    pub fn media_type(name: &FileName) -> &'static str {
        match name.extension().as_deref() {
            Some("mp4") => "video/mp4",
            Some("mkv") => "video/x-matroska",
            Some("ts") => "video/mp2t",
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            _ => "application/octet-stream",
        }
    }

    /// Endings of its files, in small letters and without dots.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Recording => recorder::EXTENSIONS,
            Self::Snapshot => snapshot::EXTENSIONS,
        }
    }

    /// Where a file is downloaded, on the same host and port as the WebSocket.
    pub fn download_url(self, name: &str) -> String {
        format!("/files/{}/{}", self.folder_name(), utf8_percent_encode(name, UNRESERVED))
    }
}

/// The name of a file of a kind, that this caller may have.
///
/// # Errors
/// Those of [`Caller::require`]; a name that is none ([`FileName::parse`]); one that ends like no file of the kind, which
/// is as if it were not there: the folder may hold what is nobody's business.
pub(super) fn name(kind: Kind, name: &str, caller: &Caller) -> Result<FileName> {
    caller.require(Role::Viewer)?;
    let name = FileName::parse(name)?;
    match name.extension() {
        Some(own) if kind.extensions().contains(&own.as_str()) => Ok(name),
        _ => Err(Error::not_found(kind.resource(), name.as_str())),
    }
}

/// A file of `folder` that this caller may have, open. Blocks on the disk.
///
/// # Errors
/// Those of [`Caller::require`]; a name that is none, or of another kind of file; no such file; one that is not a plain
/// file (a link could lead anywhere); the disk's.
pub fn open(kind: Kind, asked: &str, caller: &Caller, folder: &Path) -> Result<Opened> {
    let name = self::name(kind, asked, caller)?;
    storage::open(folder, &name).map_err(|error| kind.named(error))
}

/// A file on its way to a client. It counts as being read for as long as this is kept.
#[derive(Debug)]
pub struct Download {
    /// The file.
    pub opened: Opened,
    /// Cancelled when the service is stopping.
    pub stopping: CancellationToken,
    _read: InUse,
}

/// As [`open`], for a download. Blocks on the disk.
///
/// # Errors
/// Those of [`open`].
pub fn download(kind: Kind, asked: &str, caller: &Caller, gateway: &Gateway) -> Result<Download> {
    let name = self::name(kind, asked, caller)?;
    let index = gateway.indexes.with(kind, name.as_str());
    let folder = &index.place().folder;
    let read = gateway.folders.uses.read(&folder.join(name.as_str()));
    let read = read.ok_or_else(|| Error::not_found(kind.resource(), name.as_str()))?;
    let opened = storage::open(folder, &name).map_err(|error| kind.named(error))?;
    Ok(Download { opened, stopping: gateway.stopping.clone(), _read: read })
}

/// Deletes a file that is not being written. Whoever downloads it has it to its end. Blocks on the disk.
///
/// # Errors
/// Those of [`open`]; it is being written.
pub(super) fn delete(kind: Kind, asked: &str, caller: &Caller, folder: &Path, uses: &Uses) -> Result<FileName> {
    let name = self::name(kind, asked, caller)?;
    let _deleted = uses.delete(&folder.join(name.as_str()), false).map_err(|used| match used {
        Use::Written => {
            let kind = Failure::InvalidState { state: "RECORDING".into(), allowed: vec!["STOPPED"] };
            Error::new(kind, format!("{name} is being written; stop the recording first"))
        }
        Use::Read | Use::Deleted => Error::not_found(kind.resource(), name.as_str()),
    })?;
    storage::delete(folder, &name).map_err(|error| kind.named(error))?;
    Ok(name)
}
