//! One look at the cameras that are there, for `camera-service list-cameras`.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{
    Capture, Device,
    probe::{self, Finding},
    sysfs,
};
use crate::{
    error::{Error, Result},
    mode::{FourCc, Mode},
};

/// A camera that is plugged in.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The device.
    pub device: Device,
    /// What it offers, or why it cannot be used.
    pub capture: Result<Capture>,
}

/// The cameras that are plugged in, ordered by node. Blocks, at most for `deadline` and a moment.
///
/// Fails if /sys cannot be read; a camera that cannot be used is listed with the reason.
pub fn list(deadline: Duration) -> Result<Vec<Listed>> {
    let mut waiting = sysfs::scan()?;
    waiting.sort_by(|a, b| {
        (a.device.node.as_os_str().len(), &a.device.node).cmp(&(b.device.node.as_os_str().len(), &b.device.node))
    });
    let (done, findings) = mpsc::sync_channel(waiting.len());
    for sighting in &waiting {
        let (node, done) = (sighting.device.node.clone(), done.clone());
        let probed = node.clone();
        probe::on_thread(node, move |finding| drop(done.send((probed, finding))))?;
    }
    drop(done);
    let until = Instant::now() + deadline;
    let mut found = Vec::new();
    while let Ok(finding) = findings.recv_timeout(until.saturating_duration_since(Instant::now())) {
        found.push(finding);
    }
    let listed = waiting.into_iter().filter_map(|sighting| {
        let finding = found.iter().find(|(node, _)| *node == sighting.device.node).map(|(_, finding)| finding.clone());
        let capture = match finding {
            Some(Finding::Camera(capture)) => Ok(capture),
            Some(Finding::Other(_)) => return None,
            Some(Finding::Failed { .. }) | None if sighting.captures == Some(false) => return None,
            Some(Finding::Failed { reason, .. }) => Err(reason),
            None => {
                let message =
                    format!("{}: the driver does not answer within {deadline:?}", sighting.device.node.display());
                Err(Error::dependency("device", message))
            }
        };
        Some(Listed { device: sighting.device, capture })
    });
    Ok(listed.collect())
}

/// The list as a table for a terminal, with a line of headings.
pub fn table(cameras: &[Listed]) -> String {
    let mut rows = vec![["NODE", "NAME", "USB", "SERIAL", "PATH", "MODES"].map(str::to_owned)];
    rows.extend(cameras.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut table = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            table.push_str(&format!("{cell:width$}  "));
        }
        table.push_str(&row[5]);
        table.push('\n');
    }
    table
}

fn row(camera: &Listed) -> [String; 6] {
    let device = &camera.device;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let modes = match &camera.capture {
        Ok(capture) => summary(&capture.modes),
        Err(error) => error.message().to_owned(),
    };
    [
        device.node.display().to_string(),
        device.name.clone(),
        or_none(device.usb.as_ref().map(ToString::to_string)),
        or_none(device.usb.as_ref().and_then(|usb| usb.serial.clone())),
        or_none(device.id_path.clone()),
        modes,
    ]
}

/// The largest mode of every format; `modes` has the largest first.
fn summary(modes: &[Mode]) -> String {
    let mut formats: Vec<FourCc> = Vec::new();
    let mut words = Vec::new();
    for mode in modes {
        if !formats.contains(&mode.format) {
            formats.push(mode.format);
            words.push(mode.to_string());
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::Usb, mode::Rate};

    #[test]
    fn the_table_shows_the_best_mode_of_each_format_and_the_reason_of_a_failure() {
        let usb = Usb { vendor: 0x046d, product: 0x08e5, serial: Some("8F3E".into()), interface: 0 };
        let device = Device {
            node: "/dev/video0".into(),
            links: Vec::new(),
            id_path: Some("pci-1".into()),
            index: 0,
            usb: Some(usb),
            name: "C920".into(),
        };
        let mode = |format, width, height, fps| Mode { format, width, height, rate: Rate::per_second(fps) };
        let modes = vec![
            mode(FourCc::YUYV, 640, 480, 30),
            mode(FourCc::YUYV, 320, 240, 30),
            mode(FourCc::MJPG, 1920, 1080, 30),
        ];
        let capture = Capture { driver: "uvcvideo".into(), card: "C920".into(), bus_info: "usb-1".into(), modes };
        let broken = Device { node: "/dev/video12".into(), usb: None, id_path: None, ..device.clone() };
        let broken = Listed { device: broken, capture: Err(Error::dependency("device", "permission denied")) };
        let table = table(&[Listed { device, capture: Ok(capture) }, broken]);
        assert_eq!(
            table,
            "NODE          NAME  USB        SERIAL  PATH   MODES\n\
             /dev/video0   C920  046d:08e5  8F3E    pci-1  YUYV 640x480@30, MJPG 1920x1080@30\n\
             /dev/video12  C920  -          -       -      permission denied\n"
        );
    }
}
