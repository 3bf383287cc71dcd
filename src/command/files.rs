//! The files clients download.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::access::{Caller, Role};
use crate::{
    error::{Error, Kind as Failure, Result},
    output::{recorder, snapshot, storage::FileName},
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

/// A file of `folder` that this caller may have: its checked name and where it is. Blocks on the disk.
///
/// # Errors
/// Those of [`Caller::require`]; a name that is none ([`FileName::parse`]); no such file; one that is not a plain file
/// (a link could lead anywhere).
pub fn find(kind: Kind, name: &str, caller: &Caller, folder: &Path) -> Result<(FileName, PathBuf)> {
    caller.require(Role::Viewer)?;
    let name = FileName::parse(name)?;
    let path = folder.join(name.as_str());
    let resource = match kind {
        Kind::Recording => "recording",
        Kind::Snapshot => "snapshot",
    };
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok((name, path)),
        Ok(_) => Err(Error::invalid_param("filename", "is not a plain file", "name a file of the list")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::not_found(resource, name.as_str())),
        Err(error) => {
            let failure = Failure::Dependency { dependency: "disk".into() };
            Err(Error::with_source(failure, format!("{} cannot be read", path.display()), error))
        }
    }
}
