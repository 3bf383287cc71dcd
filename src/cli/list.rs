//! `list-cameras`: what is plugged in and what it offers.

use camera_service::{
    device::{self, Listed},
    error::Result,
};
use serde_json::{Value, json};

/// Probes every camera and prints it, for people or as a JSON array.
pub fn run(as_json: bool) -> Result<()> {
    let listed = device::list(DEADLINE)?;
    match as_json {
        true => println!("{:#}", Value::Array(listed.iter().map(entry).collect())),
        false => print!("{}", device::table(&listed)),
    }
    Ok(())
}

/// How long a driver may take to answer.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

fn entry(listed: &Listed) -> Value {
    let device = &listed.device;
    let usb = device.usb.as_ref().map(|usb| json!({ "id": usb.to_string(), "serial": usb.serial }));
    let mut entry = json!({
        "node": device.node, "links": device.links, "name": device.name, "path": device.id_path, "usb": usb,
    });
    match &listed.capture {
        Ok(capture) => {
            entry["driver"] = json!(capture.driver);
            entry["bus_info"] = json!(capture.bus_info);
            entry["modes"] = capture.modes.iter().map(|mode| json!({
                "format": mode.format.to_string(), "width": mode.width, "height": mode.height, "fps": mode.rate.fps(),
            })).collect();
        }
        Err(reason) => entry["trouble"] = json!(reason.chain()),
    }
    entry
}
