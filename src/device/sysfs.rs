//! Which nodes there are, and how sysfs and udev's database describe them. Opens no node.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{Device, Usb, answers::text};
use crate::error::{Error, Kind, Result};

/// The kernel subsystem of V4L2 nodes.
pub const SUBSYSTEM: &str = "video4linux";
/// There while udevd runs and this process can see it.
const UDEV_CONTROL: &str = "/run/udev/control";

/// A node as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The node and its description.
    pub device: Device,
    /// Which one it is: another camera on the same node has another instance.
    pub instance: Instance,
    /// Whether udev's `v4l_id` says that it captures. Only a hint: nobody may have asked the driver.
    pub captures: Option<bool>,
}

impl Sighting {
    /// A later look at what `earlier` saw, with what cannot have changed since: the kernel takes a device out of sysfs
    /// piece by piece, and one that is going may have lost its serial number while its node is there still.
    pub fn of_the_same_as(mut self, earlier: &Self) -> Self {
        let Device { index, usb, name, .. } = &earlier.device;
        (self.device.index, self.device.usb, self.device.name) = (*index, usb.clone(), name.clone());
        self
    }
}

/// One life of a node in the kernel: the folder in sysfs and its inode, which is a new one for every plug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    folder: PathBuf,
    inode: u64,
}

impl Instance {
    #[cfg(test)]
    pub fn numbered(inode: u64) -> Self {
        Self { folder: PathBuf::new(), inode }
    }
}

/// Whether udevd runs here: then a node counts once udev is done with it (permissions, links, database).
pub fn udev_runs() -> bool {
    Path::new(UDEV_CONTROL).exists()
}

/// Every node that may be a camera. Those that udev has not finished yet are left out where it runs.
pub fn scan() -> Result<Vec<Sighting>> {
    let failed = |error| Error::with_source(Kind::Internal, "video devices cannot be enumerated in /sys", error);
    let mut enumerator = udev::Enumerator::new().map_err(failed)?;
    enumerator.match_subsystem(SUBSYSTEM).map_err(failed)?;
    let wait_for_udev = udev_runs();
    let devices = enumerator.scan_devices().map_err(failed)?;
    Ok(devices.filter(|device| !wait_for_udev || device.is_initialized()).filter_map(|device| sight(&device)).collect())
}

fn sight(device: &udev::Device) -> Option<Sighting> {
    // The kernel names nodes by type: radios, VBI, subdevices and the like have names of their own, and opening them
    // can have effects. Among those called video, the capabilities decide (`answers`).
    if !device.sysname().to_string_lossy().starts_with("video") {
        return None;
    }
    let folder = device.syspath().to_owned();
    let inode = fs::metadata(&folder).ok()?.ino();
    let captures = property(device, "ID_V4L_CAPABILITIES").map(|capabilities| capabilities.contains(":capture:"));
    Some(Sighting { device: describe(device)?, instance: Instance { folder, inode }, captures })
}

fn describe(device: &udev::Device) -> Option<Device> {
    let node = device.devnode()?.to_owned();
    let mut links: Vec<PathBuf> =
        property(device, "DEVLINKS").unwrap_or_default().split_whitespace().map(PathBuf::from).collect();
    links.sort();
    let parent = device.parent();
    let id_path =
        property(device, "ID_PATH").or_else(|| parent.map(|parent| parent.devpath().to_string_lossy().into_owned()));
    let index = attribute(device, "index").and_then(|index| index.parse().ok()).unwrap_or(0);
    let name = attribute(device, "name").unwrap_or_default();
    Some(Device { node, links, id_path, index, usb: usb(device), name })
}

/// From sysfs rather than from udev's properties: they are the same with and without udevd.
fn usb(device: &udev::Device) -> Option<Usb> {
    let usb = device.parent_with_subsystem_devtype("usb", "usb_device").ok()??;
    let interface = device.parent_with_subsystem_devtype("usb", "usb_interface").ok().flatten();
    let number = |device: &udev::Device, name| u16::from_str_radix(&attribute(device, name)?, 16).ok();
    let interface = interface.and_then(|interface| number(&interface, "bInterfaceNumber"));
    Some(Usb {
        vendor: number(&usb, "idVendor")?,
        product: number(&usb, "idProduct")?,
        serial: attribute(&usb, "serial").filter(|serial| !serial.is_empty()),
        interface: interface.and_then(|number| u8::try_from(number).ok()).unwrap_or(0),
    })
}

fn attribute(device: &udev::Device, name: &str) -> Option<String> {
    device.attribute_value(name).map(|value| text(value.as_bytes()))
}

fn property(device: &udev::Device, name: &str) -> Option<String> {
    device.property_value(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}
