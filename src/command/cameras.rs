//! The cameras: which there are, how they are, what they can do.

use std::{borrow::Cow, collections::BTreeSet, path::PathBuf, time::SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Command, Gateway, NoParams,
    access::{Caller, Role},
    pipeline::Pipeline,
};
use crate::{
    camera::{CameraStatus, Connection},
    error::Result,
    mode::{FourCc, Mode, Rate},
    path::PathStatus,
};

/// Whether a camera can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "CameraStatus")]
pub enum Status {
    /// It is there.
    Connected,
    /// It is known, and not there.
    Disconnected,
    /// It is there and does not work now.
    Error,
}

/// A camera as every client may know it, before it is written for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub(super) device: String,
    pub(super) status: Status,
    name: String,
    resolution: String,
    fps: u32,
    trouble: Option<String>,
    node: Option<PathBuf>,
}

/// A camera on the wire.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Camera {
    device: String,
    status: Status,
    name: String,
    resolution: String,
    fps: u32,
    streams: Streams,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<PathBuf>,
}

/// Where a camera's stream is found. An output that is not served is an empty string: clients expect text there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamUrls")]
pub struct Streams {
    rtsp: String,
    hls: &'static str,
    webrtc: &'static str,
}

impl View {
    /// A camera and the path it streams on; no path: it has not been seen since the start.
    pub fn new(camera: &CameraStatus, path: Option<&PathStatus>) -> Self {
        let (status, trouble) = match &camera.connection {
            Connection::Connected => (Status::Connected, None),
            Connection::Disconnected => (Status::Disconnected, None),
            Connection::Error(error) => (Status::Error, Some(error.message().to_owned())),
        };
        let format = path.and_then(|path| {
            let live = path.stream.as_ref().map(|stream| stream.format());
            live.or_else(|| path.plan.as_ref().map(|plan| plan.format))
        });
        // Of an external stream nothing is known before its first frame.
        let format = format.filter(|format| format.width > 0);
        Self {
            device: camera.device.clone(),
            status,
            name: camera.name.clone(),
            resolution: format.map(|format| format!("{}x{}", format.width, format.height)).unwrap_or_default(),
            fps: format.map(|format| whole(format.rate)).unwrap_or_default(),
            trouble,
            node: camera.hardware.as_ref().filter(|_| status != Status::Disconnected).map(|device| device.node.clone()),
        }
    }

    /// The same camera after it was last seen: the test pattern goes when a camera comes.
    pub(super) fn disconnected(self) -> Self {
        Self { status: Status::Disconnected, trouble: None, node: None, ..self }
    }

    /// The camera as this caller may see it.
    pub fn shown_to(&self, caller: &Caller, gateway: &Gateway) -> Camera {
        Camera {
            device: self.device.clone(),
            status: self.status,
            name: self.name.clone(),
            resolution: self.resolution.clone(),
            fps: self.fps,
            streams: Streams { rtsp: gateway.rtsp_url(caller, &self.device), hls: "", webrtc: "" },
            reason: self.trouble.as_deref().map(|trouble| caller.may_read(trouble)),
            node: self.node.clone().filter(|_| caller.sees_host()),
        }
    }
}

/// The parameters of a command that is about one camera.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneCamera {
    /// `camera0`, a device node, or any udev link to it.
    pub device: String,
}

/// `get_camera_list`: every camera that was ever seen, and the test pattern while it is offered.
pub struct List;

/// The reply of [`List`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CameraList {
    cameras: Vec<Camera>,
    total: usize,
    connected: usize,
}

impl Command for List {
    const METHOD: &'static str = "get_camera_list";
    const SUMMARY: &'static str = "Every camera that was ever seen, and the test pattern while it is offered.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = CameraList;

    async fn run(_: NoParams, caller: &Caller, gateway: &Gateway) -> Result<CameraList> {
        let cameras: Vec<_> = gateway.views().iter().map(|view| view.shown_to(caller, gateway)).collect();
        let connected = cameras.iter().filter(|camera| camera.status == Status::Connected).count();
        Ok(CameraList { total: cameras.len(), connected, cameras })
    }
}

/// `get_camera_status`: one camera, its readers, and what it can do in short.
pub struct Get;

/// The reply of [`Get`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CameraDetails {
    #[serde(flatten)]
    camera: Camera,
    metrics: Metrics,
    capabilities: Capabilities,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<Pipeline>,
}

/// Counters of a camera's stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CameraMetrics")]
pub struct Metrics {
    /// Bytes of frames sent to RTSP readers.
    bytes_sent: u64,
    /// RTSP readers now.
    readers: usize,
    /// Whole seconds the camera has been streaming.
    uptime: u64,
}

/// What a camera can do, in short.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CapabilitiesInShort")]
pub struct Capabilities {
    formats: Vec<String>,
    resolutions: Vec<String>,
}

impl Command for Get {
    const METHOD: &'static str = "get_camera_status";
    const SUMMARY: &'static str = "One camera, its readers, its pipeline, and what it can do in short.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneCamera;
    type Reply = CameraDetails;

    async fn run(params: OneCamera, caller: &Caller, gateway: &Gateway) -> Result<CameraDetails> {
        let camera = gateway.cameras.status(&params.device)?;
        let path = gateway.paths.status(&camera.device).ok();
        let readers = gateway.paths.readers(&camera.device);
        let since = path.as_ref().and_then(|path| path.streaming_since);
        let uptime = since.and_then(|since| SystemTime::now().duration_since(since).ok()).unwrap_or_default();
        Ok(CameraDetails {
            camera: View::new(&camera, path.as_ref()).shown_to(caller, gateway),
            metrics: Metrics { bytes_sent: readers.bytes_sent, readers: readers.count, uptime: uptime.as_secs() },
            capabilities: Capabilities::new(modes(&camera)),
            pipeline: path.and_then(|path| Pipeline::of(&path, caller)),
        })
    }
}

/// `get_camera_capabilities`: everything a camera offers.
pub struct GetCapabilities;

/// The reply of [`GetCapabilities`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CameraCapabilities {
    device: String,
    #[serde(flatten)]
    capabilities: Capabilities,
    fps_options: BTreeSet<u32>,
    validation_status: Validation,
    modes: Vec<ModeGroup>,
}

/// How far capabilities can be relied on.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "ValidationStatus")]
pub enum Validation {
    /// The device was never asked, or is none.
    None,
    /// They are those of the last time; the device is away.
    Disconnected,
    /// The device that is there said so.
    Confirmed,
}

/// The rates of one format and size.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModeGroup {
    format: String,
    width: u32,
    height: u32,
    fps: Vec<Fps>,
}

impl Command for GetCapabilities {
    const METHOD: &'static str = "get_camera_capabilities";
    const SUMMARY: &'static str = "Everything a camera offers.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneCamera;
    type Reply = CameraCapabilities;

    async fn run(params: OneCamera, _: &Caller, gateway: &Gateway) -> Result<CameraCapabilities> {
        let camera = gateway.cameras.status(&params.device)?;
        let modes = modes(&camera);
        Ok(CameraCapabilities {
            capabilities: Capabilities::new(modes),
            fps_options: modes.iter().map(|mode| whole(mode.rate)).collect(),
            validation_status: match (&camera.connection, &camera.capture) {
                (Connection::Disconnected, _) => Validation::Disconnected,
                (_, None) => Validation::None,
                (_, Some(_)) => Validation::Confirmed,
            },
            modes: grouped(modes),
            device: camera.device,
        })
    }
}

impl Capabilities {
    fn new(modes: &[Mode]) -> Self {
        let mut formats = Vec::new();
        for mode in modes {
            let name = format_name(mode.format);
            if !formats.contains(&name) {
                formats.push(name);
            }
        }
        // Largest first.
        let sizes: BTreeSet<_> = modes.iter().map(|mode| (mode.width * mode.height, mode.width, mode.height)).collect();
        let resolutions = sizes.iter().rev().map(|(_, width, height)| format!("{width}x{height}")).collect();
        Self { formats, resolutions }
    }
}

fn modes(camera: &CameraStatus) -> &[Mode] {
    camera.capture.as_ref().map_or(&[], |capture| &capture.modes)
}

fn grouped(modes: &[Mode]) -> Vec<ModeGroup> {
    let mut groups: Vec<ModeGroup> = Vec::new();
    for mode in modes {
        let (format, width, height, fps) = (format_name(mode.format), mode.width, mode.height, Fps(mode.rate));
        match groups.iter_mut().find(|group| (&group.format, group.width, group.height) == (&format, width, height)) {
            Some(group) => group.fps.push(fps),
            None => groups.push(ModeGroup { format, width, height, fps: vec![fps] }),
        }
    }
    groups
}

/// Pixel formats by their V4L2 code, except that the clients know Motion JPEG by its name.
fn format_name(format: FourCc) -> String {
    match format {
        FourCc::MJPG => "MJPEG".to_owned(),
        other => other.to_string(),
    }
}

/// A rate for fields that clients read as an integer.
fn whole(rate: Rate) -> u32 {
    rate.fps().round() as u32
}

/// A rate as an integer where it is one, else with two digits.
#[derive(Debug)]
pub struct Fps(Rate);

impl Serialize for Fps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.frames % self.0.seconds {
            0 => serializer.serialize_u32(self.0.frames / self.0.seconds),
            _ => serializer.serialize_f64((self.0.fps() * 100.0).round() / 100.0),
        }
    }
}

impl JsonSchema for Fps {
    fn schema_name() -> Cow<'static, str> {
        "Fps".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn modes_are_told_in_every_shape_clients_know() {
        let mode =
            |format, width, height, frames, seconds| Mode { format, width, height, rate: Rate { frames, seconds } };
        let modes = [
            mode(FourCc::YUYV, 640, 480, 30, 1),
            mode(FourCc::YUYV, 640, 480, 15, 2),
            mode(FourCc::MJPG, 1280, 720, 60, 2),
            mode(FourCc::MJPG, 640, 480, 30000, 1001),
        ];
        assert_eq!(
            serde_json::to_value(Capabilities::new(&modes)).unwrap(),
            json!({"formats": ["YUYV", "MJPEG"], "resolutions": ["1280x720", "640x480"]})
        );
        assert_eq!(
            serde_json::to_value(grouped(&modes)).unwrap(),
            json!([
                {"format": "YUYV", "width": 640, "height": 480, "fps": [30, 7.5]},
                {"format": "MJPEG", "width": 1280, "height": 720, "fps": [30]},
                {"format": "MJPEG", "width": 640, "height": 480, "fps": [29.97]},
            ])
        );
    }
}
