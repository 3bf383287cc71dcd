//! Cameras and other device nodes: there, answering, and open to the service's user.

use std::{fs, path::Path};

use camera_service::{
    config::{Config, Pin},
    device::{self, Listed},
};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{PATIENCE, case::Case, finding::Finding};

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let Some(config) = case.config() else {
        return vec![Finding::skipped("devices", "the configuration cannot be read; that comes first")];
    };
    case.as_service(|| examine(config)).unwrap_or_else(|why| vec![Finding::skipped("devices", why)])
}

fn examine(config: &Config) -> Vec<Finding> {
    let mut found = vec![nodes()];
    found.extend(config.camera.devices.iter().filter_map(pinned));
    if !config.camera.discovery_enabled {
        found.push(Finding::ok("devices.cameras", "none is looked for (camera.discovery_enabled)"));
        return found;
    }
    match device::list(PATIENCE) {
        Err(error) => {
            found.push(Finding::fail("devices.cameras", error.chain(), "mount /sys; in a container pass it in"))
        }
        Ok(cameras) if cameras.is_empty() => found.push(Finding::warn(
            "devices.cameras",
            "no camera is plugged in",
            "plug one in; camera-service list-cameras shows what is seen",
        )),
        Ok(cameras) => found.extend(cameras.iter().map(camera)),
    }
    found
}

fn camera(listed: &Listed) -> Finding {
    let Listed { device, capture } = listed;
    let (node, name) = (device.node.display(), &device.name);
    match capture {
        Ok(capture) => Finding::ok("devices.cameras", format!("{node}: {name}, {} modes", capture.modes.len())),
        Err(error) => Finding::fail(
            "devices.cameras",
            format!("{node}: {name}: {}", error.chain()),
            "see troubleshooting.md for this message",
        ),
    }
}

/// Whether the nodes that cameras and encoders may have are open. Which of them is what, only an open one says.
fn nodes() -> Finding {
    const CHECK: &str = "devices.nodes";
    let all = ["/dev", "/dev/dri"].into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let names = |name: &str| name.starts_with("video") || name.starts_with("renderD") || name.starts_with("media");
    let nodes = all
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| names(&name.to_string_lossy())) && !path.is_dir());
    let (mut number, mut closed) = (0, Vec::new());
    for node in nodes {
        number += 1;
        if !is_open(&node) {
            closed.push(node.display().to_string());
        }
    }
    closed.sort();
    match (number, closed.is_empty()) {
        (0, _) => Finding::ok(CHECK, "there is no node of a camera or an encoder"),
        (_, true) => {
            Finding::ok(CHECK, format!("the service's user can open all {number} nodes of cameras and encoders"))
        }
        (_, false) => Finding::fail(
            CHECK,
            format!("the service's user can not open {}", closed.join(", ")),
            "add the user to the groups that own them (video, render), and look at DeviceAllow= of the unit",
        ),
    }
}

/// A device that the configuration names by its node.
fn pinned(pin: &Pin) -> Option<Finding> {
    const CHECK: &str = "devices.pinned";
    let node = pin.matches.node.as_ref().filter(|_| !pin.ignore)?;
    let shown = node.display();
    Some(match (node.exists(), is_open(node)) {
        (true, true) => Finding::ok(CHECK, format!("{shown} can be opened")),
        (true, false) => Finding::fail(
            CHECK,
            format!("the service's user can not open {shown}"),
            format!("sudo usermod -aG video USER; ls -l {shown} shows the group"),
        ),
        (false, _) => Finding::warn(
            CHECK,
            format!("camera.devices names {shown}, which is not there"),
            "plug it in, or name it by serial or path: camera-service list-cameras shows them",
        ),
    })
}

fn is_open(node: &Path) -> bool {
    accessat(CWD, node, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}
