//! Multicast as readers in another network have it: two network namespaces, the service in one, ffmpeg and GStreamer in the
//! other. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    process::{Output, Stdio},
};

use serde_json::Value;
use support::{PATIENCE, SMALL, configured, peers::run, process::BINARY};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Two namespaces and a cable between them.
struct Networks {
    names: [String; 2],
}

impl Networks {
    async fn new() -> Self {
        let names = ["service", "reader"].map(|name| format!("multicast-{name}-{}", std::process::id()));
        let networks = Self { names };
        let [service, reader] = &networks.names;
        for name in [service, reader] {
            ip(&["netns", "add", name]).await;
        }
        let cable =
            ["link", "add", "cable", "netns", service, "type", "veth", "peer", "name", "cable", "netns", reader];
        ip(&cable).await;
        for (name, address) in [(service, "10.77.0.1/24"), (reader, "10.77.0.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "cable"]).await;
            for device in ["lo", "cable"] {
                ip(&["-n", name, "link", "set", device, "up"]).await;
            }
            ip(&["-n", name, "route", "add", "224.0.0.0/4", "dev", "cable"]).await;
        }
        networks
    }

    /// A program in one of them.
    fn command(&self, which: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[which], program]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What the API of the service says.
    async fn get(&self, path: &str) -> Value {
        let mut curl = self.command(0, "curl");
        curl.args([
            "-sS",
            "--retry",
            "30",
            "--retry-delay",
            "1",
            "--retry-connrefused",
            &format!("http://127.0.0.1:9997/v3{path}"),
        ]);
        let output = timeout(PATIENCE, curl.output()).await.expect("an answer").unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for name in &self.names {
            // What was not made cannot be taken away.
            let _ = std::process::Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status();
        }
    }
}

async fn ip(arguments: &[&str]) {
    run("ip", arguments)
        .await
        .unwrap_or_else(|error| panic!("no network namespaces here, this test needs root: {error}"));
}

/// A program that ends by itself when it has all the pictures it wants.
async fn ended(what: &str, child: Child) -> Output {
    timeout(PATIENCE, child.wait_with_output()).await.unwrap_or_else(|_| panic!("{what} gets nothing")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_in_another_network_listen_to_one_group() {
    let networks = Networks::new().await;
    let (_folder, file) = configured(&SMALL.replace("never", "always"));
    let yaml = fs::read_to_string(&file).unwrap();
    let yaml = yaml.replace("rtsp: { bind_address: 127.0.0.1 }", "rtsp: { multicast: true }");
    fs::write(&file, yaml.replace("rtsp_port: 0,", "rtsp_port: 8554,").replace("api_port: 0,", "api_port: 9997,"))
        .unwrap();
    let service = networks.command(0, BINARY).arg("--config").arg(&file).stderr(Stdio::null()).spawn().unwrap();
    let ready = async { while networks.get("/paths/list").await["items"][0]["ready"] != true {} };
    timeout(PATIENCE, ready).await.expect("the test pattern");
    let global = networks.get("/config/global/get").await;
    assert_eq!(global["rtspTransports"], serde_json::json!(["multicast", "tcp", "udp"]));

    let url = "rtsp://10.77.0.1:8554/test";
    let mut listener = networks.command(1, "ffmpeg");
    listener.args(["-v", "error", "-rtsp_transport", "udp_multicast", "-i", url, "-f", "null", "-"]);
    let mut listener = listener.stderr(Stdio::null()).spawn().unwrap();
    let sessions = || async { networks.get("/rtspsessions/list").await["items"].as_array().unwrap().clone() };
    let listens = async { while sessions().await.iter().all(|session| session["state"] != "read") {} };
    timeout(PATIENCE, listens).await.expect("ffmpeg listens");

    let line = format!(
        "rtspsrc location={url} protocols=udp-mcast latency=0 ! decodebin ! fakesink num-buffers=300 sync=false"
    );
    let mut other = networks.command(1, "gst-launch-1.0");
    let other = other.args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let two = async {
        loop {
            let sessions = sessions().await;
            if sessions.len() == 2 && sessions.iter().all(|session| session["state"] == "read") {
                return sessions;
            }
        }
    };
    for session in timeout(PATIENCE, two).await.expect("both listen") {
        assert_eq!(session["transport"], "UDP-multicast", "{session}");
        assert_eq!(session["outboundRTPPackets"], 0, "what goes to a group is nobody's: {session}");
    }
    let bytes = || async {
        let path = networks.get("/paths/get/test").await;
        [&path["inboundBytes"], &path["outboundBytes"]].map(|bytes| bytes.as_u64().unwrap())
    };
    let before = bytes().await;
    let after = loop {
        let now = bytes().await;
        if now[0] > before[0] + 400_000 {
            break now;
        }
    };
    let [came, went] = [after[0] - before[0], after[1] - before[1]];
    assert!(went > came / 2 && went < came * 3 / 2, "once for both: {came} came, {went} went");
    // Not by its status: it pauses and closes at once then, and now and then rtspsrc calls the PAUSE that it gave up itself
    // a failed one.
    let output = ended("GStreamer", other).await;
    let all = String::from_utf8_lossy(&output.stdout).contains("Got EOS from element \"pipeline0\"");
    assert!(all, "GStreamer: {}", String::from_utf8_lossy(&output.stderr));
    // The first one's end is not the group's: it goes on when the other is gone, and a third gets pictures too.
    let mut third = networks.command(1, "ffmpeg");
    third.args(["-v", "error", "-rtsp_transport", "udp_multicast", "-i", url, "-frames:v", "60", "-f", "null", "-"]);
    let output = ended("ffmpeg", third.stderr(Stdio::piped()).spawn().unwrap()).await;
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    assert!(listener.try_wait().unwrap().is_none(), "the first one has ended");
    drop((listener, service));
}
