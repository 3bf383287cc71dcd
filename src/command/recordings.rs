//! Recordings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Command, Gateway, Timestamp, Within,
    access::{Caller, Role},
    cameras::OneCamera,
    files::Kind,
    streams::hundredths,
    v3,
};
use crate::{error::Result, output::recorder::RecordingFormat, path::RecordingRequest};

/// Containers by the names clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RecordingFormat")]
pub enum Format {
    /// MP4 in fragments.
    Fmp4,
    /// MP4.
    Mp4,
    /// Matroska.
    Mkv,
    /// MPEG transport stream.
    #[serde(alias = "ts")]
    MpegTs,
}

impl From<Format> for RecordingFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Fmp4 => Self::Fmp4,
            Format::Mp4 => Self::Mp4,
            Format::Mkv => Self::Mkv,
            Format::MpegTs => Self::MpegTs,
        }
    }
}

impl From<RecordingFormat> for Format {
    fn from(format: RecordingFormat) -> Self {
        match format {
            RecordingFormat::Fmp4 => Self::Fmp4,
            RecordingFormat::Mp4 => Self::Mp4,
            RecordingFormat::Mkv => Self::Mkv,
            RecordingFormat::MpegTs => Self::MpegTs,
        }
    }
}

/// `start_recording`: records a camera until it is told to stop, or for `duration`.
pub struct Start;

/// The parameters of [`Start`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StartParams {
    /// The camera.
    device: String,
    /// Seconds after which it stops by itself.
    duration: Option<Within<1, 86_400>>,
    /// Else as configured.
    format: Option<Format>,
    /// Seconds before the call that are recorded too; else as configured for the camera.
    pre_roll: Option<Within<0, 3600>>,
}

/// The reply of [`Start`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecordingStarted")]
pub struct Started {
    device: String,
    session_id: String,
    filename: String,
    #[schemars(extend("const" = "RECORDING"))]
    status: &'static str,
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u32>,
    /// Seconds of it that were before the request.
    pre_roll: f64,
    format: Format,
}

impl Command for Start {
    const METHOD: &'static str = "start_recording";
    const SUMMARY: &'static str = "Records a camera until it is told to stop, or for some time.";
    const ROLE: Option<Role> = Some(Role::Operator);
    /// A camera that runs on demand has to start first.
    const DEADLINE: Duration = Duration::from_secs(30);
    type Params = StartParams;
    type Reply = Started;

    async fn run(params: StartParams, _: &Caller, gateway: &Gateway) -> Result<Started> {
        let device = gateway.find(&params.device)?;
        let duration = params.duration.map(|Within(seconds)| seconds);
        let configured = gateway.defaults().recording;
        let asked = duration.map(|seconds| Duration::from_secs(seconds.into()));
        let request = RecordingRequest {
            format: params.format.map_or(configured.format, Into::into),
            limit: [asked, configured.limit].into_iter().flatten().min(),
            pre_roll: params.pre_roll.map(|Within(seconds)| Duration::from_secs(seconds.into())),
            folder: v3::known_place(gateway, &device),
            ..configured
        };
        let recording = gateway.paths.start_recording(&device, request).await?;
        Ok(Started {
            device,
            session_id: recording.session_id,
            filename: recording.filename,
            status: "RECORDING",
            start_time: Timestamp(recording.started),
            duration,
            pre_roll: hundredths(recording.pre_roll.as_secs_f64()),
            format: recording.request.format.into(),
        })
    }
}

/// `stop_recording`: ends the recording of a camera; its file is complete when the reply comes.
pub struct Stop;

/// The reply of [`Stop`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecordingStopped")]
pub struct Stopped {
    device: String,
    session_id: String,
    filename: String,
    #[schemars(extend("const" = "STOPPED"))]
    status: &'static str,
    start_time: Timestamp,
    end_time: Timestamp,
    /// Whole seconds recorded.
    duration: u64,
    file_size: u64,
    /// Frames that are not in the file because the disk was too slow.
    missed_frames: u64,
    /// Files of the recording, this one included.
    files: u32,
    format: Format,
    download_url: String,
}

impl Command for Stop {
    const METHOD: &'static str = "stop_recording";
    const SUMMARY: &'static str = "Ends the recording of a camera; its file is complete when the reply comes.";
    const ROLE: Option<Role> = Some(Role::Operator);
    /// Closing a long file takes its time.
    const DEADLINE: Duration = Duration::from_secs(30);
    type Params = OneCamera;
    type Reply = Stopped;

    async fn run(params: OneCamera, _: &Caller, gateway: &Gateway) -> Result<Stopped> {
        let device = gateway.find(&params.device)?;
        let stopped = gateway.paths.stop_recording(&device).await?;
        Ok(Stopped {
            device,
            session_id: stopped.session_id,
            status: "STOPPED",
            start_time: Timestamp(stopped.started),
            end_time: Timestamp(stopped.ended),
            duration: whole_seconds(stopped.duration),
            file_size: stopped.bytes,
            missed_frames: stopped.missed,
            files: stopped.files,
            format: stopped.format.into(),
            download_url: Kind::Recording.download_url(&stopped.filename),
            filename: stopped.filename,
        })
    }
}

/// For fields that clients read as an integer.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs_f64().round() as u64
}
