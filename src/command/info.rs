//! One recording or snapshot, and what is in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Command, Gateway, Timestamp,
    access::{Caller, Role},
    files::Kind,
    recordings::{Format, whole_seconds},
    v3::Whose,
};
use crate::{error::Result, output::storage::FileName};

/// The parameters of both.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneFile {
    /// The file, as it is listed.
    pub(super) filename: String,
}

/// `get_recording_info`.
pub struct GetRecording;

/// The reply of [`GetRecording`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordingInfo {
    filename: String,
    /// The camera; empty where the name does not say it.
    device: String,
    file_size: u64,
    /// Seconds; of a file that is being written, up to now. Null where the file does not tell.
    duration: Option<u64>,
    /// When it began.
    created_time: Timestamp,
    format: Format,
    /// Whether it is being written.
    recording: bool,
    download_url: String,
}

impl Command for GetRecording {
    const METHOD: &'static str = "get_recording_info";
    const SUMMARY: &'static str = "A recording, and what is in it.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneFile;
    type Reply = RecordingInfo;

    async fn run(params: OneFile, caller: &Caller, gateway: &Gateway) -> Result<RecordingInfo> {
        let index = gateway.index_with(Kind::Recording, &params.filename).await?;
        let entry = gateway.contents.film(params.filename, caller, &index).await?;
        let (film, name) = (entry.film().flatten(), &entry.stored.name);
        Ok(RecordingInfo {
            device: entry.device.as_deref().map(|device| Whose::new(gateway).shown(device)).unwrap_or_default(),
            file_size: entry.stored.size,
            duration: film.and_then(|film| film.duration).map(whole_seconds),
            created_time: Timestamp(entry.began()),
            format: film.map_or_else(|| by_ending(name), |film| film.format.into()),
            recording: gateway.folders.uses.is_written(&index.place().folder.join(name.as_str())),
            download_url: Kind::Recording.download_url(name.as_str()),
            filename: name.to_string(),
        })
    }
}

/// What the name says of a file that says nothing itself.
fn by_ending(name: &FileName) -> Format {
    match name.extension().as_deref() {
        Some("mkv") => Format::Mkv,
        Some("ts") => Format::MpegTs,
        _ => Format::Mp4,
    }
}

/// `get_snapshot_info`.
pub struct GetSnapshot;

/// The reply of [`GetSnapshot`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct SnapshotInfo {
    filename: String,
    /// The camera; empty where the name does not say it.
    device: String,
    file_size: u64,
    /// When it was taken.
    created_time: Timestamp,
    /// Pixels; null where the file does not tell.
    width: Option<u32>,
    height: Option<u32>,
    download_url: String,
}

impl Command for GetSnapshot {
    const METHOD: &'static str = "get_snapshot_info";
    const SUMMARY: &'static str = "A snapshot, and how large it is.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneFile;
    type Reply = SnapshotInfo;

    async fn run(params: OneFile, caller: &Caller, gateway: &Gateway) -> Result<SnapshotInfo> {
        let folder = gateway.folder(Kind::Snapshot);
        let (stored, size) = gateway.contents.picture(params.filename, caller, folder).await?;
        let (name, pattern) = (stored.name.as_str(), &gateway.folders.pattern);
        Ok(SnapshotInfo {
            device: pattern.device(name).map(|device| Whose::new(gateway).shown(device)).unwrap_or_default(),
            file_size: stored.size,
            created_time: Timestamp(pattern.time(name).unwrap_or(stored.modified)),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            download_url: Kind::Snapshot.download_url(name),
            filename: stored.name.to_string(),
        })
    }
}
