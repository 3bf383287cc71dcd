//! Where frames leave the service: RTSP, and files on disk.
//!
//! Every output is a reader of a [`Stream`](crate::stream::Stream) with a pipeline of its own from `pipelines/output/`,
//! so none can hold up the camera or another output. Not here: when to record, which camera a snapshot is of, and what
//! a client is told about it; those are `path` and `command`.

pub mod playback;
pub mod recorder;
pub mod rtsp;
pub mod snapshot;
pub mod storage;

#[cfg(test)]
mod test_camera;
