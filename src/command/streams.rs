//! Where streams are found.

use serde::Serialize;

use super::{
    Command, Gateway,
    access::{Caller, Role},
    cameras::OneCamera,
};
use crate::{camera::Connection, error::Result};

/// `get_stream_url`: the URL of a camera's stream, and whether a reader would be served.
pub struct GetUrl;

/// The reply of [`GetUrl`].
#[derive(Debug, Serialize)]
pub struct StreamUrl {
    device: String,
    stream_name: String,
    stream_url: String,
    available: bool,
    active_consumers: usize,
    stream_status: StreamStatus,
}

/// Whether a stream can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamStatus {
    /// Frames flow, or would for the first reader.
    Ready,
    /// The camera is away or starting.
    NotReady,
    /// Starting it has failed; it is tried again.
    Error,
}

impl Command for GetUrl {
    const METHOD: &'static str = "get_stream_url";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneCamera;
    type Reply = StreamUrl;

    async fn run(params: OneCamera, caller: &Caller, gateway: &Gateway) -> Result<StreamUrl> {
        let camera = gateway.cameras.status(&params.device)?;
        let device = camera.device;
        // A camera that has not been plugged in since the start has no path yet.
        let path = gateway.paths.status(&device).ok();
        let available = path.as_ref().is_some_and(|path| path.open);
        Ok(StreamUrl {
            stream_name: device.clone(),
            stream_url: gateway.rtsp_url(caller, &device),
            available,
            active_consumers: gateway.paths.readers(&device).count,
            stream_status: match camera.connection {
                Connection::Error(_) => StreamStatus::Error,
                _ if available => StreamStatus::Ready,
                _ => StreamStatus::NotReady,
            },
            device,
        })
    }
}
