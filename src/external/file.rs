//! What is remembered of external streams on disk: `external.json` in the state folder, versioned, readable by its owner
//! alone, because a URL may hold a password.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ExternalStream, StreamKind};
use crate::{
    error::{Error, Kind, Result},
    rtsp_url::RtspUrl,
    state_file,
};

/// What this code reads and writes.
const VERSION: u32 = 1;

/// Everything that outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub streams: Vec<ExternalStream>,
    pub interval: Option<Interval>,
}

/// A time between scans that a caller chose, and that of the configuration it took the place of. In seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interval {
    pub chosen: u64,
    pub configured: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    streams: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scan_interval: Option<Interval>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    url: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Kinds by their names in the file.
const KINDS: [(&str, StreamKind); 2] = [("generic_rtsp", StreamKind::Generic), ("skydio", StreamKind::Skydio)];

impl Kept {
    /// Reads the file; where there is none, nothing is remembered. One that cannot be understood is set aside. Error: it
    /// cannot be read, or not be set aside.
    pub fn load(path: &Path) -> Result<Self> {
        state_file::load(path, parse, "no external stream is pulled")
    }

    /// Writes the file. Error: the folder cannot be written; the old file is whole then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let entry = |stream: &ExternalStream| Entry {
            name: stream.name.clone(),
            url: stream.url.expose().to_owned(),
            kind: KINDS.iter().find(|(_, kind)| *kind == stream.kind).map_or("", |(name, _)| name).to_owned(),
        };
        let streams = self.streams.iter().map(entry).collect();
        let document = Document { version: VERSION, streams, scan_interval: self.interval };
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| Error::with_source(Kind::Internal, "external streams cannot be written", error))?;
        state_file::write(path, format!("{text}\n").as_bytes(), 0o600)
    }
}

/// The whole file or nothing. The problem never quotes the file: a password may stand there.
fn parse(text: &[u8]) -> Result<Kept, String> {
    let document: Document =
        serde_json::from_slice(text).map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
    if document.version != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", document.version));
    }
    let mut kept = Kept { streams: Vec::new(), interval: document.scan_interval };
    for Entry { name, url, kind } in document.streams {
        let url = RtspUrl::parse(&url).map_err(|error| format!("the URL of {name:?}: {error}"))?;
        super::name::check(&name).map_err(|error| format!("the name {name:?}: {error}"))?;
        let known = KINDS.iter().find(|(word, _)| *word == kind);
        let kind = known.map(|(_, kind)| *kind).ok_or(format!("the type of {name:?}: {kind:?}"))?;
        if kept.streams.iter().any(|other| other.name == name || other.url == url) {
            return Err(format!("{name:?} is there twice"));
        }
        kept.streams.push(ExternalStream { url, name, kind });
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn kept() -> Kept {
        let stream = |url: &str, name: &str| ExternalStream {
            url: RtspUrl::parse(url).unwrap(),
            name: name.into(),
            kind: StreamKind::Skydio,
        };
        let streams = vec![stream("rtsp://me:hunter2@cam/a?b=c", "one"), stream("rtsp://cam/b", "two")];
        Kept { streams, interval: Some(Interval { chosen: 60, configured: 0 }) }
    }

    #[test]
    fn what_is_kept_comes_back_and_others_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("external.json");
        assert_eq!(Kept::load(&path).unwrap(), Kept::default());
        fs::write(folder.path().join("external.json.new"), "left by a power cut").unwrap();
        kept().save(&path).unwrap();
        assert_eq!(Kept::load(&path).unwrap(), kept());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_set_aside_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("external.json");
        kept().save(&path).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for (index, text) in [
            "",
            &whole[..whole.len() / 2],
            &whole.replace("\"version\": 1", "\"version\": 2"),
            &whole.replace("\"two\"", "\"one\""),
            &whole.replace("rtsp://cam/b", "file:///b"),
            &whole.replace("\"two\"", "\"../two\""),
        ]
        .into_iter()
        .enumerate()
        {
            fs::write(&path, text).unwrap();
            assert_eq!(Kept::load(&path).unwrap(), Kept::default(), "{text}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), index + 1);
        }
    }
}
