//! HTTP as a client that shares no code with the service (curl) sees it.

use std::process::Stdio;

use tokio::{process::Command, time::timeout};

use super::{PATIENCE, Service, token};

/// What came back.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next().unwrap_or("")
    }
}

/// Asks the control port with the credentials of a viewer, and whatever else curl is told.
pub async fn get(service: &Service, path: &str, arguments: &[&str]) -> Answer {
    let bearer = format!("Authorization: Bearer {}", token("viewer"));
    curl(service, path, &[&["-H", &bearer], arguments].concat()).await
}

/// The same, as nobody.
pub async fn curl(service: &Service, path: &str, arguments: &[&str]) -> Answer {
    let url = format!("http://{}{path}", service.app.control_address());
    let child = Command::new("curl")
        .args(["-sS", "-i", "--path-as-is", "--globoff"])
        .args(arguments)
        .arg(url)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, child).await.expect("curl ends").unwrap();
    assert!(output.status.success(), "{path} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(output.stdout[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: output.stdout[end + 4..].to_vec() }
}
