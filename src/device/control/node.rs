//! The ioctls on an open node: `VIDIOC_QUERY_EXT_CTRL`, `_QUERYMENU`, `_G_EXT_CTRLS`, `_TRY_EXT_CTRLS`,
//! `_S_EXT_CTRLS`.

use std::{
    collections::HashSet,
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, OFlags},
    io::Errno,
};
use v4l2r::{
    bindings::{self, v4l2_ext_control, v4l2_ext_control__bindgen_ty_1 as Payload, v4l2_query_ext_ctrl},
    controls::{AsV4l2ControlSlice, ExtControlTrait, SafeExtControl},
    ioctl::{
        self, CtrlId, CtrlWhich, ExtControlError, ExtControlErrorType, QueryCtrlError, QueryCtrlFlags, QueryMenuError,
    },
};

use super::{
    super::answers::{failure, text},
    Control, ControlKind, ControlValue, MenuItem,
    check::{Change, inactive},
    describe::describe,
};
use crate::error::{Error, Kind, Result};

/// More controls than this are not asked for: a driver may never say "that was the last".
const MOST_CONTROLS: usize = 1024;
/// Entries of a menu beyond this index are not asked for.
const MOST_ITEMS: i64 = 256;
/// Where the ids of the controls begin that webcams have, and how many are asked for one by one.
const USUAL: [u32; 2] = [bindings::V4L2_CID_BASE, bindings::V4L2_CID_CAMERA_CLASS_BASE];
const USUAL_IDS: u32 = 64;

/// An open device node.
pub(super) struct Node {
    file: OwnedFd,
    path: PathBuf,
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// A control of 32 bits. The id is that of the slot it is used in.
struct Narrow;
/// A control of 64 bits.
struct Wide;

impl ExtControlTrait for Narrow {
    const ID: u32 = 0;
    type PAYLOAD = i32;
}

impl ExtControlTrait for Wide {
    const ID: u32 = 0;
    type PAYLOAD = i64;
}

/// What a driver says of an entry of a menu: its name, or the number it stands for.
struct Entry([u8; 32]);

impl From<bindings::v4l2_querymenu> for Entry {
    #[allow(unsafe_code, reason = "the kernel gives it in a union")]
    fn from(answer: bindings::v4l2_querymenu) -> Self {
        let told = answer.__bindgen_anon_1;
        // SAFETY: the name covers the whole union, which was zeroed before it was asked for, and is bytes of any value.
        Self(unsafe { told.name })
    }
}

impl Entry {
    fn name(&self, kind: ControlKind) -> String {
        match (kind, self.0.first_chunk()) {
            (ControlKind::IntegerMenu, Some(number)) => i64::from_ne_bytes(*number).to_string(),
            _ => text(&self.0),
        }
    }
}

impl Node {
    /// Opens the node for controls only: nothing is asked of its stream.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::open(path, flags, fs::Mode::empty()).map_err(|errno| failure(path, "open", errno.into()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// All controls that have one value, with what they are set to. Classes, arrays and compounds are left out.
    pub(super) fn controls(&self) -> Result<Vec<Control>> {
        let mut controls = self.described()?;
        self.fill_in(&mut controls)?;
        Ok(controls)
    }

    /// Reads what these are set to.
    pub(super) fn fill_in(&self, controls: &mut [Control]) -> Result<()> {
        for control in controls {
            control.value = self.value(control)?;
            if control.kind == ControlKind::Text {
                control.default = self.text(control, CtrlWhich::Default).ok();
            }
        }
        Ok(())
    }

    /// The controls without what they are set to.
    pub(super) fn described(&self) -> Result<Vec<Control>> {
        let mut controls = Vec::new();
        let mut names = HashSet::new();
        let mut last = 0;
        while let Some(answer) = self.next(last)?
            && controls.len() < MOST_CONTROLS
        {
            last = answer.id;
            let Some(mut control) = describe(&answer) else { continue };
            if !names.insert(control.name.clone()) {
                control.name = format!("{}_{:x}", control.name, control.id);
                names.insert(control.name.clone());
            }
            control.menu = self.menu(&control)?;
            controls.push(control);
        }
        Ok(controls)
    }

    /// What a control is set to; `None` for one that cannot be read. Error: the device is gone.
    ///
    /// Cameras fail to answer for some of the controls that they describe. The others are no worse for that.
    pub(super) fn value(&self, control: &Control) -> Result<Option<ControlValue>> {
        if control.write_only || control.kind == ControlKind::Button {
            return Ok(None);
        }
        let value = match control.kind {
            ControlKind::Text => self.text(control, CtrlWhich::Current),
            _ => self.number(control),
        };
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => {
                Err(failure(&self.path, "VIDIOC_G_EXT_CTRLS", error))
            }
            Err(error) => {
                tracing::debug!(node = %self, control = control.name, %error, "a control cannot be read");
                Ok(None)
            }
        }
    }

    /// Asks the driver whether it would take these values, together. One that cannot say has nothing against them.
    pub(super) fn test(&self, changes: &[Change]) -> Result<()> {
        match self.give(changes, |file, which, slots| ioctl::try_ext_ctrls(file, which, slots)) {
            Err((_, error)) if Errno::from_io_error(&error) == Some(Errno::NOTTY) => Ok(()),
            Err((at, error)) => Err(self.refused("VIDIOC_TRY_EXT_CTRLS", changes, at, error)),
            Ok(()) => Ok(()),
        }
    }

    /// Sets these values. After an error some may be set.
    pub(super) fn set(&self, changes: &[Change]) -> Result<()> {
        let set = self.give(changes, |file, which, slots| ioctl::s_ext_ctrls(file, which, slots));
        set.map_err(|(at, error)| self.refused("VIDIOC_S_EXT_CTRLS", changes, at, error))
    }

    /// Whether the controls can be set now; other controls may have changed that. Error: one cannot.
    pub(super) fn still_settable(&self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let answer = self.query(change.control.id, QueryCtrlFlags::empty());
            let answer = answer.map_err(|error| self.unasked(error))?;
            if answer.flags & bindings::V4L2_CTRL_FLAG_INACTIVE != 0 {
                return Err(inactive(&change.control));
            }
        }
        Ok(())
    }

    /// The driver's description of the first control after `last`; `None` if that was the last one.
    fn next(&self, last: u32) -> Result<Option<v4l2_query_ext_ctrl>> {
        let error = match self.query(last, QueryCtrlFlags::NEXT) {
            Ok(answer) => return Ok(Some(answer).filter(|answer| answer.id > last)),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::NOTTY) => Ok(None),
            // A webcam that does not answer for one of its controls has others: uvcvideo asks it only now.
            Some(Errno::IO | Errno::PIPE | Errno::PROTO | Errno::TIMEDOUT) => {
                tracing::debug!(node = %self, last, %error, "the control after this one cannot be asked for");
                let usual = USUAL.into_iter().flat_map(|base| base..base + USUAL_IDS).filter(|id| *id > last);
                let found = usual.filter_map(|id| self.query(id, QueryCtrlFlags::empty()).ok()).next();
                // Nothing before it and nothing after it: the camera does not work.
                if found.is_none() && last == 0 { Err(self.unasked(error)) } else { Ok(found) }
            }
            _ => Err(self.unasked(error)),
        }
    }

    fn unasked(&self, error: io::Error) -> Error {
        failure(&self.path, "VIDIOC_QUERY_EXT_CTRL", error)
    }

    fn query(&self, id: u32, flags: QueryCtrlFlags) -> io::Result<v4l2_query_ext_ctrl> {
        let id = CtrlId::new(id).map_err(|_| Errno::INVAL)?;
        ioctl::query_ext_ctrl(&self.file, id, flags).map_err(|QueryCtrlError::IoctlError(errno)| errno.into())
    }

    fn menu(&self, control: &Control) -> Result<Vec<MenuItem>> {
        let mut items = Vec::new();
        if !matches!(control.kind, ControlKind::Menu | ControlKind::IntegerMenu) {
            return Ok(items);
        }
        for index in control.min.max(0)..=control.max.min(MOST_ITEMS) {
            let Ok(index) = u32::try_from(index) else { continue };
            match ioctl::querymenu::<Entry>(&self.file, control.id, index) {
                Ok(entry) => items.push(MenuItem { index, name: entry.name(control.kind) }),
                // A menu may have holes.
                Err(QueryMenuError::InvalidIdOrIndex) => {}
                Err(QueryMenuError::IoctlError(errno)) => {
                    return Err(failure(&self.path, "VIDIOC_QUERYMENU", errno.into()));
                }
            }
        }
        Ok(items)
    }

    fn number(&self, control: &Control) -> io::Result<ControlValue> {
        let number = if control.kind == ControlKind::Integer64 {
            let mut wide = SafeExtControl::<Wide>::from_value64(0);
            self.fill(control.id, &mut wide)?;
            wide.value64()
        } else {
            let mut narrow = SafeExtControl::<Narrow>::from_value(0);
            self.fill(control.id, &mut narrow)?;
            match control.kind {
                // All 32 bits are bits.
                ControlKind::Bitmask => i64::from(narrow.value().cast_unsigned()),
                _ => i64::from(narrow.value()),
            }
        };
        Ok(match control.kind {
            ControlKind::Boolean => ControlValue::Boolean(number != 0),
            _ => ControlValue::Integer(number),
        })
    }

    fn fill<T: ExtControlTrait>(&self, id: u32, mut slot: &mut SafeExtControl<T>) -> io::Result<()> {
        for raw in slot.as_v4l2_control_slice() {
            raw.id = id;
        }
        ioctl::g_ext_ctrls(&self.file, CtrlWhich::Current, slot).map_err(|error| cause(error).1)
    }

    fn text(&self, control: &Control, which: CtrlWhich) -> io::Result<ControlValue> {
        // With the zero at the end.
        let size = u32::try_from(control.max + 1).map_err(|_| Errno::INVAL)?;
        let mut bytes = vec![0; size as usize];
        let payload = Payload { p_u8: bytes.as_mut_ptr() };
        let mut slots = [v4l2_ext_control { id: control.id, size, __bindgen_anon_1: payload, ..Default::default() }];
        // The kernel writes into `bytes`, which are `size` and stay where they are until it is done.
        ioctl::g_ext_ctrls(&self.file, which, &mut slots[..]).map_err(|error| cause(error).1)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(ControlValue::Text(String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }

    /// Hands all values to one ioctl. Error: the index of the change it is about, or one beyond, and why.
    fn give(
        &self,
        changes: &[Change],
        call: impl Fn(&OwnedFd, CtrlWhich, &mut [v4l2_ext_control]) -> Result<(), ExtControlError>,
    ) -> Result<(), (usize, io::Error)> {
        if changes.is_empty() {
            return Ok(());
        }
        // The kernel reads texts where they are: they live until the call has been made.
        let mut texts: Vec<Vec<u8>> = changes.iter().map(|change| zero_ended(&change.value)).collect();
        let slot = |(change, text): (&Change, &mut Vec<u8>)| {
            let (size, payload) = match (&change.value, change.control.kind) {
                (ControlValue::Text(_), _) => (text.len() as u32, Payload { p_u8: text.as_mut_ptr() }),
                (ControlValue::Boolean(on), _) => (0, Payload { value: i32::from(*on) }),
                (ControlValue::Integer(value), ControlKind::Integer64) => (0, Payload { value64: *value }),
                // `check` has seen that it fits; of a bitmask all 32 bits are bits.
                (ControlValue::Integer(value), _) => (0, Payload { value: *value as i32 }),
            };
            v4l2_ext_control { id: change.control.id, size, __bindgen_anon_1: payload, ..Default::default() }
        };
        let mut slots: Vec<v4l2_ext_control> = changes.iter().zip(&mut texts).map(slot).collect();
        call(&self.file, CtrlWhich::Current, &mut slots[..]).map_err(cause)
    }

    /// What it means that the driver did not take these values.
    fn refused(&self, call: &str, changes: &[Change], at: usize, error: io::Error) -> Error {
        // An index beyond the last says: none in particular.
        let change = changes.get(at).or(if let [only] = changes { Some(only) } else { None });
        let control = change.map_or_else(|| "controls".to_owned(), |change| change.control.param());
        match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::RANGE | Errno::ILSEQ) => {
                let value = change.map_or_else(String::new, |change| format!(" ({})", change.value));
                let rule = format!("is refused by the driver{value}: {error}");
                Error::invalid_param(control, rule, "send another value, or fewer controls at once")
            }
            Some(Errno::ACCESS) if change.is_some_and(|change| !change.control.read_only) => change
                .map_or_else(|| failure(&self.path, call, Errno::ACCESS.into()), |change| inactive(&change.control)),
            Some(Errno::BUSY) => {
                let kind = Kind::InvalidState { state: "busy".into(), allowed: vec!["idle"] };
                let message = format!(
                    "{control} cannot be set while the camera delivers pictures, or another program \
                                       has reserved it: stop what uses the camera, then set it"
                );
                Error::with_source(kind, message, error)
            }
            _ => failure(&self.path, call, error),
        }
    }
}

fn zero_ended(value: &ControlValue) -> Vec<u8> {
    match value {
        ControlValue::Text(text) => text.bytes().chain([0]).collect(),
        _ => Vec::new(),
    }
}

fn cause(ExtControlError { error_idx, error }: ExtControlError) -> (usize, io::Error) {
    let ExtControlErrorType::IoctlError(errno) = error;
    (error_idx as usize, errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_has_no_controls_has_none() {
        assert!(Node::open(Path::new("/dev/null")).unwrap().controls().unwrap().is_empty());
        let error = Node::open(Path::new("/dev/no-such-node")).err().unwrap();
        assert!(error.message().starts_with("/dev/no-such-node: open: "), "{error}");
    }
}
