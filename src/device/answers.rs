//! What a driver's answers mean: is this node a camera, what does this error say. Pure.

use std::{io, path::Path};

use rustix::io::Errno;
use v4l2r::{QueueType, bindings::*};

use crate::error::{Error, Kind};

/// Drivers of image processors: their capture nodes give what was written to their output nodes, so they are no
/// cameras although `device_caps` says `VIDEO_CAPTURE` only (Raspberry Pi 2 to 4, Raspberry Pi 5).
const PROCESSORS: [&str; 2] = ["bcm2835-isp", "pispbe"];

/// The queue a camera delivers pictures on, or why this node is no camera.
///
/// `device_caps` is what `VIDIOC_QUERYCAP` says about this node; the driver's other nodes are in `capabilities`.
pub fn camera_queue(driver: &str, device_caps: u32) -> Result<QueueType, &'static str> {
    let has = |flags| device_caps & flags != 0;
    if PROCESSORS.contains(&driver) {
        return Err("image processor");
    }
    // The order matters: codecs, scalers and touch panels capture video too.
    if has(V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE) {
        Err("memory-to-memory device")
    } else if has(V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE | V4L2_CAP_VIDEO_OUTPUT_OVERLAY) {
        Err("video output")
    } else if has(V4L2_CAP_TOUCH) {
        Err("touch panel")
    } else if has(V4L2_CAP_VIDEO_CAPTURE) {
        Ok(QueueType::VideoCapture)
    } else if has(V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
        Ok(QueueType::VideoCaptureMplane)
    } else if has(V4L2_CAP_META_CAPTURE | V4L2_CAP_META_OUTPUT) {
        Err("metadata node")
    } else if has(V4L2_CAP_VBI_CAPTURE | V4L2_CAP_SLICED_VBI_CAPTURE | V4L2_CAP_VBI_OUTPUT) {
        Err("VBI node")
    } else if has(V4L2_CAP_SDR_CAPTURE | V4L2_CAP_SDR_OUTPUT) {
        Err("software-defined radio")
    } else if has(V4L2_CAP_RADIO) {
        Err("radio")
    } else {
        Err("no capture node")
    }
}

/// A fixed-size string of the kernel's. Drivers cut names at 31 bytes, in the middle of a character if need be, and
/// copy what the hardware says.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// What a failed call on `node` means, and what to do about it.
pub fn failure(node: &Path, call: &str, error: io::Error) -> Error {
    let code = Errno::from_io_error(&error);
    let meaning = match code {
        Some(Errno::ACCESS | Errno::PERM) => "permission denied: add the service's user to the group video".into(),
        Some(Errno::BUSY) => "in use by another program".into(),
        Some(Errno::NODEV | Errno::NXIO | Errno::NOENT) => "it vanished while it was asked".into(),
        Some(Errno::IO | Errno::PIPE | Errno::PROTO | Errno::TIMEDOUT) => {
            format!("the device does not work ({error}): check cable, hub and power")
        }
        Some(Errno::NOSPC) => "not enough USB bandwidth: use another USB controller, or a smaller mode".into(),
        _ => error.to_string(),
    };
    let message = format!("{}: {call}: {meaning}", node.display());
    Error::with_source(Kind::Dependency { dependency: "device".into() }, message, error)
}

/// Whether an error is usual in the moments after a plug (udev sets the permissions after the node appears) or
/// around an unplug, so that it is worth another look before anybody is told.
pub fn is_settling(error: &io::Error) -> bool {
    let usual = [Errno::ACCESS, Errno::PERM, Errno::NODEV, Errno::NXIO, Errno::NOENT];
    Errno::from_io_error(error).is_some_and(|code| usual.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_are_told_by_the_capabilities_of_their_node() {
        // uvcvideo: the first node of a webcam, and its second.
        assert_eq!(camera_queue("uvcvideo", 0x0420_0001), Ok(QueueType::VideoCapture));
        assert_eq!(camera_queue("uvcvideo", 0x04a0_0000), Err("metadata node"));
        // bcm2835-v4l2: a camera that can also overlay and read().
        assert_eq!(camera_queue("bm2835 mmal", 0x0520_0005), Ok(QueueType::VideoCapture));
        assert_eq!(camera_queue("rkisp1", 0x0420_1000), Ok(QueueType::VideoCaptureMplane));
        for (driver, caps, why) in [
            ("bcm2835-codec", 0x0420_4000, "memory-to-memory device"),
            ("vim2m", 0x0420_8000, "memory-to-memory device"),
            ("bcm2835-isp", 0x0420_0001, "image processor"),
            ("v4l2 loopback", 0x0520_0003, "video output"),
            ("vivid", 0x0520_0002, "video output"),
            ("atmel_mxt_ts", 0x1520_0001, "touch panel"),
            ("vivid", 0x0520_0050, "VBI node"),
            ("vivid", 0x0531_0000, "software-defined radio"),
            ("vivid", 0x0125_0500, "radio"),
            ("x", 0, "no capture node"),
        ] {
            assert_eq!(camera_queue(driver, caps), Err(why), "{driver} {caps:#x}");
        }
    }

    #[test]
    fn names_survive_what_drivers_do_to_them() {
        assert_eq!(text(b"vivid\0\0\0garbage"), "vivid");
        assert_eq!(text(b"no end"), "no end");
        let mut cut = "USB 摄像头: USB 摄像头 摄像头".as_bytes()[..31].to_vec();
        cut.push(0);
        assert_eq!(text(&cut), "USB 摄像头: USB 摄像头");
        assert_eq!(text(b"bad\xff\x1b[31mname \n\0"), "bad\u{fffd} [31mname");
    }

    #[test]
    fn errors_say_what_to_do() {
        let told = |errno: Errno| failure(Path::new("/dev/video0"), "open", errno.into()).message().to_owned();
        assert!(told(Errno::ACCESS).contains("group video"), "{}", told(Errno::ACCESS));
        assert!(told(Errno::BUSY).contains("another program"));
        assert!(told(Errno::NODEV).contains("vanished"));
        assert!(told(Errno::PROTO).contains("cable"));
        assert!(told(Errno::NOSPC).contains("USB bandwidth"));
        assert!(is_settling(&Errno::ACCESS.into()) && !is_settling(&Errno::BUSY.into()));
    }
}
