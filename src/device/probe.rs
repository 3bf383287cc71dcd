//! Asks one node what it is and what it offers, by `VIDIOC_QUERYCAP`, `_ENUM_FMT`, `_ENUM_FRAMESIZES` and
//! `_ENUM_FRAMEINTERVALS`. Nothing is set, and no picture is taken.
//!
//! Every answer is treated as a claim: enumerations are cut off at a limit, numbers are judged by `modes`, names by
//! `answers`. The calls block for as long as the driver likes, so they are made on a thread that can be left behind
//! ([`on_thread`]).

use std::{
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    fs::{self, OFlags},
    io::Errno,
};
use v4l2r::{
    Format, PixelFormat, QueueType, bindings,
    ioctl::{
        self, EnumFmtError, FrameIntervalsError, FrameSizeError, FrmIvalTypes, FrmSizeTypes, GFmtError, QueryCapError,
    },
};

use super::{
    Capture,
    answers::{camera_queue, failure, is_settling, text},
    modes::{self, Interval, MOST_MODES, Size},
};
use crate::{
    error::{Error, Kind, Result},
    mode::{FourCc, Mode, Rate},
};

/// More entries than this of one enumeration are not asked for: a driver may never say "that was the last".
const MOST_ENTRIES: u32 = 256;
/// The rate offered where a driver does not enumerate intervals; it decides itself how fast it delivers.
const UNTOLD_RATE: Rate = Rate::per_second(30);

/// What a node turned out to be.
#[derive(Clone, Debug)]
pub enum Finding {
    /// A camera.
    Camera(Capture),
    /// Something else: metadata, output, codec, radio, …
    Other(&'static str),
    /// It could not be found out.
    Failed {
        /// Why, and what to do.
        reason: Error,
        /// Whether this is usual in the moments around plugging.
        settling: bool,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera(capture) => write!(f, "camera {} with {} modes", capture.card, capture.modes.len()),
            Self::Other(what) => write!(f, "no camera: {what}"),
            Self::Failed { reason, .. } => write!(f, "failed: {reason}"),
        }
    }
}

/// Probes `node` on a thread of its own and gives the finding to `done` there.
///
/// Fails only if no thread can be had. A wedged driver keeps the thread for ever: whoever calls this counts them.
pub fn on_thread(node: PathBuf, done: impl FnOnce(Finding) + Send + 'static) -> Result<()> {
    let name = node.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let spawned = thread::Builder::new().name(format!("probe-{name}")).spawn(move || done(probe(&node)));
    spawned.map(drop).map_err(|error| Error::with_source(Kind::Internal, format!("no thread to probe {name}"), error))
}

/// Probes `node`. Blocks for as long as the driver likes.
pub fn probe(node: &Path) -> Finding {
    let failed = |(call, error)| {
        let settling = is_settling(&error);
        Finding::Failed { reason: failure(node, call, error), settling }
    };
    match ask(node) {
        Err(refusal) => failed(refusal),
        Ok(Answer::Other(what)) => Finding::Other(what),
        Ok(Answer::Camera(mut capture)) => {
            let offered = capture.modes.len();
            capture.modes = modes::tidy(capture.modes);
            if capture.modes.is_empty() {
                let message = format!(
                    "{}: the camera describes no usable mode: its sizes or rates make no sense",
                    node.display()
                );
                return Finding::Failed { reason: Error::dependency("device", message), settling: false };
            }
            if offered > MOST_MODES {
                tracing::warn!(node = %node.display(), offered, kept = capture.modes.len(), "too many modes");
            }
            Finding::Camera(capture)
        }
    }
}

enum Answer {
    Camera(Capture),
    Other(&'static str),
}

/// A failed call and its name.
type Refusal = (&'static str, io::Error);

fn ask(node: &Path) -> Result<Answer, Refusal> {
    // Non-blocking, as some drivers wait in open() for another user to leave.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let camera = fs::open(node, flags, fs::Mode::empty()).map_err(|error| ("open", error.into()))?;
    let caps: bindings::v4l2_capability =
        ioctl::querycap(&camera).map_err(|QueryCapError::IoctlError(errno)| ("VIDIOC_QUERYCAP", errno.into()))?;
    // Drivers older than Linux 3.4 do not fill in device_caps.
    let told = caps.capabilities & bindings::V4L2_CAP_DEVICE_CAPS != 0;
    let device_caps = if told { caps.device_caps } else { caps.capabilities };
    let driver = text(&caps.driver);
    let queue = match camera_queue(&driver, device_caps) {
        Ok(queue) => queue,
        Err(what) => return Ok(Answer::Other(what)),
    };
    let formats = formats(&camera, queue)?;
    if formats.is_empty() {
        return Ok(Answer::Other("node without formats"));
    }
    let mut offered = Vec::new();
    for format in formats {
        for (width, height) in modes::sizes(&sizes(&camera, queue, format)?) {
            let rates = rates(&camera, format, width, height)?;
            let format = FourCc(format.to_fourcc());
            offered.extend(rates.into_iter().map(|rate| Mode { format, width, height, rate }));
        }
        if offered.len() > MOST_MODES {
            break;
        }
    }
    let (card, bus_info) = (text(&caps.card), text(&caps.bus_info));
    Ok(Answer::Camera(Capture { driver, card, bus_info, modes: offered }))
}

fn formats(camera: &OwnedFd, queue: QueueType) -> Result<Vec<PixelFormat>, Refusal> {
    let entry =
        |index| ioctl::enum_fmt(camera, queue, index).map_err(|EnumFmtError::IoctlError(errno)| io::Error::from(errno));
    enumerate("VIDIOC_ENUM_FMT", entry)
}

fn sizes(camera: &OwnedFd, queue: QueueType, format: PixelFormat) -> Result<Vec<Size>, Refusal> {
    let entry = |index| {
        ioctl::enum_frame_sizes::<bindings::v4l2_frmsizeenum>(camera, index, format)
            .map_err(|FrameSizeError::IoctlError(errno)| io::Error::from(errno))
    };
    let entries = enumerate("VIDIOC_ENUM_FRAMESIZES", entry)?;
    if entries.is_empty() {
        return current_size(camera, queue, format);
    }
    let size = |entry: &bindings::v4l2_frmsizeenum| match entry.size()? {
        FrmSizeTypes::Discrete(size) => Some(Size::Discrete(size.width, size.height)),
        FrmSizeTypes::StepWise(range) => Some(Size::Range {
            width: (range.min_width, range.max_width, range.step_width),
            height: (range.min_height, range.max_height, range.step_height),
        }),
    };
    Ok(entries.iter().filter_map(size).collect())
}

/// For a driver that does not enumerate sizes: the one that is set (`VIDIOC_G_FMT`), if it is of this format.
fn current_size(camera: &OwnedFd, queue: QueueType, format: PixelFormat) -> Result<Vec<Size>, Refusal> {
    match ioctl::g_fmt::<Format>(camera, queue) {
        Ok(current) if current.pixelformat == format => Ok(vec![Size::Discrete(current.width, current.height)]),
        Err(GFmtError::IoctlError(errno)) => Err(("VIDIOC_G_FMT", errno.into())),
        _ => Ok(Vec::new()),
    }
}

fn rates(camera: &OwnedFd, format: PixelFormat, width: u32, height: u32) -> Result<Vec<Rate>, Refusal> {
    let entry = |index| {
        ioctl::enum_frame_intervals::<bindings::v4l2_frmivalenum>(camera, index, format, width, height)
            .map_err(|FrameIntervalsError::IoctlError(errno)| io::Error::from(errno))
    };
    let entries = enumerate("VIDIOC_ENUM_FRAMEINTERVALS", entry)?;
    if entries.is_empty() {
        return Ok(vec![UNTOLD_RATE]);
    }
    let fraction = |fract: &bindings::v4l2_fract| (fract.numerator, fract.denominator);
    let interval = |entry: &bindings::v4l2_frmivalenum| match entry.intervals()? {
        FrmIvalTypes::Discrete(fract) => Some(Interval::Discrete(fract.numerator, fract.denominator)),
        FrmIvalTypes::StepWise(range) => Some(Interval::Range(fraction(&range.min), fraction(&range.max))),
    };
    Ok(modes::rates(&entries.iter().filter_map(interval).collect::<Vec<_>>()))
}

/// Asks for entry 0, 1, … until the driver says there is none (`EINVAL`), or that it cannot enumerate (`ENOTTY`).
fn enumerate<T>(call: &'static str, entry: impl Fn(u32) -> io::Result<T>) -> Result<Vec<T>, Refusal> {
    let mut entries = Vec::new();
    for index in 0..MOST_ENTRIES {
        match entry(index) {
            Ok(entry) => entries.push(entry),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INVAL | Errno::NOTTY) => break,
                _ => return Err((call, error)),
            },
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enumeration_without_an_end_ends() {
        let entries = enumerate("VIDIOC_ENUM_FMT", Ok).unwrap();
        assert_eq!(entries.len(), MOST_ENTRIES as usize);
    }

    #[test]
    fn an_enumeration_ends_at_einval_and_fails_on_anything_else() {
        let until = |errno: Errno| {
            enumerate("VIDIOC_ENUM_FMT", move |index| if index < 3 { Ok(index) } else { Err(errno.into()) })
        };
        assert_eq!(until(Errno::INVAL).unwrap(), [0, 1, 2]);
        let (call, error) = until(Errno::NODEV).unwrap_err();
        assert_eq!((call, Errno::from_io_error(&error)), ("VIDIOC_ENUM_FMT", Some(Errno::NODEV)));
    }

    #[test]
    fn what_is_no_camera_fails_with_its_name() {
        let Finding::Failed { reason, settling } = probe(Path::new("/dev/null")) else {
            panic!("/dev/null is a camera")
        };
        assert!(reason.message().starts_with("/dev/null: VIDIOC_QUERYCAP: "), "{reason}");
        assert!(!settling);
        let Finding::Failed { settling, .. } = probe(Path::new("/dev/no-such-node")) else { panic!("found") };
        assert!(settling);
    }
}
