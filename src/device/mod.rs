//! V4L2 capture devices of this machine: which are there, what they are, and what they can deliver.
//!
//! [`monitor`] watches them come and go and tells [`DeviceEvent`]s; [`probe`] asks one node what it is;
//! [`control`] reads and sets its controls. Which device is `camera0` is not decided here (`camera`), and no picture is
//! taken here (`pipeline`). udev and V4L2 ioctls are used in this module only.

mod answers;
pub mod control;
mod list;
mod modes;
pub mod monitor;
pub mod probe;
mod roster;
mod sysfs;

use std::{fmt, path::PathBuf};

pub use list::{Listed, list, table};

use crate::{error::Error, mode::Mode};

/// What USB says about a device. Numbers are `idVendor` and `idProduct` of its device descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usb {
    /// Vendor.
    pub vendor: u16,
    /// Product.
    pub product: u16,
    /// Serial number as the device gives it, which may be nonsense (`camera::identity` judges it).
    pub serial: Option<String>,
    /// `bInterfaceNumber` of the interface the node belongs to: a depth camera has several.
    pub interface: u8,
}

/// A V4L2 node and how udev and sysfs describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The node, `/dev/videoN`.
    pub node: PathBuf,
    /// udev's links to it, e.g. in `/dev/v4l/by-id` and `/dev/v4l/by-path`; sorted.
    pub links: Vec<PathBuf>,
    /// Where it is plugged in: udev's `ID_PATH`; without udev the sysfs path of its parent, which begins with
    /// `/devices`.
    pub id_path: Option<String>,
    /// Position among the nodes of one parent, counted by the kernel (sysfs attribute `index`).
    pub index: u32,
    /// Only for USB devices.
    pub usb: Option<Usb>,
    /// The node's name in sysfs, e.g. `HD Pro Webcam C920`.
    pub name: String,
}

/// What a camera answered when it was probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Kernel driver (`v4l2_capability.driver`).
    pub driver: String,
    /// The device's name (`v4l2_capability.card`).
    pub card: String,
    /// Where it sits, in the driver's words (`v4l2_capability.bus_info`).
    pub bus_info: String,
    /// What it offers; never empty.
    pub modes: Vec<Mode>,
}

/// What happened to a device.
#[derive(Clone, Debug)]
pub enum DeviceEvent {
    /// A camera is there and answers. Told again when its description or its modes changed.
    Ready {
        /// The device.
        device: Device,
        /// What it offers.
        capture: Capture,
    },
    /// A camera, or what seems to be one, is there and cannot be used now. It is tried again. Told again when the
    /// reason changed.
    Unusable {
        /// The device.
        device: Device,
        /// Why, and what to do.
        reason: Error,
    },
    /// A device that was told before is gone.
    Gone {
        /// Its node.
        node: PathBuf,
    },
}

impl fmt::Display for Usb {
    /// `046d:08e5`, as `lsusb` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}
