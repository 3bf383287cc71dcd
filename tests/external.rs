//! Streams of other machines, as clients add them, use them and look for them.

mod support;

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use camera_service::path::Phase;
use serde_json::{Value, json};
use support::{
    SMALL, Service,
    peers::{decode, ffprobe},
    process::{Process, after},
    remote::{H264, Remote},
    rpc::Client,
};

/// Adds a stream.
async fn add(client: &mut Client, url: &str, name: &str) -> Result<Value, Value> {
    client.call("add_external_stream", json!({ "stream_url": url, "stream_name": name })).await
}

fn update(device: &'static str, status: &'static str) -> impl Fn(&Value) -> bool {
    move |update| update["device"] == device && update["status"] == status
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_pictured_and_recorded_like_a_camera() {
    let service = Service::start(SMALL).await;
    let remote = Remote::start(0, H264, None);
    let mut client = service.client("operator").await;
    let added = add(&mut client, &remote.url(""), "gate").await.unwrap();
    assert_eq!((&added["status"], &added["stream_type"]), (&json!("ADDED"), &json!("generic_rtsp")), "{added}");
    service.streaming("gate").await;
    let device = json!({ "device": "gate" });
    let url = client.call("get_stream_url", device.clone()).await.unwrap();
    assert_eq!((&url["available"], &url["stream_status"]), (&json!(true), &json!("READY")), "{url}");
    let video = ffprobe(url["stream_url"].as_str().unwrap(), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!((&video["codec_name"], &video["width"]), (&json!("h264"), &json!(320)));
    let status = client.call("get_stream_status", device.clone()).await.unwrap();
    assert_eq!((&status["status"], &status["pipeline"]["encoder"]), (&json!("ACTIVE"), &Value::Null), "{status}");
    let taken = client.call("take_snapshot", device.clone()).await.unwrap();
    assert_eq!((&taken["width"], &taken["height"]), (&json!(320), &json!(240)), "{taken}");
    let started = client.call("start_recording", device.clone()).await.unwrap();
    let mut reader = service.streaming("gate").await.stream.unwrap().subscribe(camera_service::stream::Join::Live);
    for _ in 0..30 {
        reader.next().await;
    }
    let stopped = client.call("stop_recording", device.clone()).await.unwrap();
    assert_eq!(stopped["filename"], started["filename"]);
    decode(&service.recording(&stopped["filename"])).await.unwrap();
    let files = client.call("list_recordings", device.clone()).await.unwrap();
    assert_eq!(files["files"][0]["device"], "gate", "{files}");

    for method in ["get_camera_controls", "reset_camera_controls"] {
        let refused = client.call(method, device.clone()).await.unwrap_err();
        assert_eq!((&refused["code"], &refused["data"]["feature"]), (&json!(-32030), &json!("camera controls")));
    }
    assert_eq!(client.call("get_camera_list", json!({})).await.unwrap()["total"], 0);
    let streams = client.call("get_streams", json!({})).await.unwrap();
    assert_eq!((&streams[0]["name"], &streams[0]["source"]), (&json!("gate"), &json!(remote.url(""))));
    client.call("stop_streaming", device.clone()).await.unwrap();
    client.call("start_streaming", device).await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_when_it_goes_comes_back_and_is_removed() {
    let service = Service::start(SMALL).await;
    let remote = Remote::start(0, H264, None);
    let (port, url) = (remote.port, remote.url(""));
    let mut client = service.client("operator").await;
    add(&mut client, &url, "gate").await.unwrap();
    client.notification("camera_status_update", update("gate", "CONNECTED")).await;
    service.streaming("gate").await;
    // A file that is only playable when it was closed.
    client.call("start_recording", json!({ "device": "gate", "format": "mp4" })).await.unwrap();
    drop(remote);
    client.notification("recording_status_update", update("gate", "STOPPED")).await;
    client.notification("camera_status_update", update("gate", "ERROR")).await;
    let listed = client.call("get_external_streams", json!({})).await.unwrap();
    let gate = &listed["external_streams"][0];
    assert_eq!((&gate["status"], &gate["ready"], &listed["total_count"]), (&json!("ERROR"), &json!(false), &json!(1)));
    let _remote = Remote::start(port, H264, None);
    client.notification("camera_status_update", update("gate", "CONNECTED")).await;
    let first = client.notification("recording_status_update", update("gate", "STARTED")).await;
    service.streaming("gate").await;
    let later = client
        .notification("recording_status_update", |update| {
            update["status"] == "STARTED" && update["filename"] != first["filename"]
        })
        .await;

    let removed = client.call("remove_external_stream", json!({ "stream_url": url })).await.unwrap();
    assert_eq!((&removed["status"], &removed["stream_name"]), (&json!("REMOVED"), &json!("gate")));
    // It was closed before the reply came.
    decode(&service.recording(&later["filename"])).await.unwrap();
    client.notification("camera_status_update", update("gate", "DISCONNECTED")).await;
    let refusal = ffprobe(&service.url("gate"), &["-rtsp_transport", "tcp"]).await.unwrap_err();
    assert!(refusal.contains("400"), "no such path any more: {refusal}");
    let gone = client.call("get_stream_url", json!({ "device": "gate" })).await.unwrap_err();
    assert_eq!(gone["code"], -32010);
    let twice = client.call("remove_external_stream", json!({ "stream_url": url })).await.unwrap_err();
    assert_eq!((&twice["code"], &twice["data"]["resource"]), (&json!(-32010), &json!("stream")));
    add(&mut client, &url, "gate").await.unwrap();
    service.streaming("gate").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_nobody_is_connected_to_before_somebody_wants_it() {
    let section = "camera: { test_pattern: never, auto_start_streams: false }\nstreams: { close_after: 1s }\n";
    let service = Service::start(section).await;
    let remote = Remote::start(0, H264, None);
    let mut client = service.client("operator").await;
    add(&mut client, &remote.url(""), "gate").await.unwrap();
    service.path("gate", |status| status.phase == Phase::Idle && status.open).await;
    let listed = client.call("get_external_streams", json!({})).await.unwrap();
    assert_eq!(listed["external_streams"][0]["status"], "IDLE", "{listed}");
    assert_eq!(service.app.paths().status("gate").unwrap().runs, 0);
    let video = ffprobe(&service.url("gate"), &["-rtsp_transport", "udp"]).await.unwrap();
    assert_eq!(video["width"], 320);
    service.path("gate", |status| status.phase == Phase::Idle && status.runs == 1).await;
    drop(remote);
    let away = client.call("start_streaming", json!({ "device": "gate" })).await.unwrap_err();
    assert_eq!((&away["code"], &away["data"]["dependency"]), (&json!(-32050), &json!("remote")), "{away}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_is_refused_and_the_same_again_is_not() {
    let service = Service::start(SMALL).await;
    let mut client = service.client("operator").await;
    let url = "rtsp://127.0.0.1:1/a";
    add(&mut client, url, "one").await.unwrap();
    add(&mut client, url, "one").await.unwrap();
    for (url, name) in [(url, "two"), ("rtsp://127.0.0.1:1/b", "one")] {
        let refused = add(&mut client, url, name).await.unwrap_err();
        assert_eq!(refused["code"], -32020, "{name}: {refused}");
    }
    let own = service.url("one");
    for (url, name, param) in [
        ("rtsp://127.0.0.1:1/c", "camera0", "stream_name"),
        ("rtsp://127.0.0.1:1/c", "../c", "stream_name"),
        ("http://127.0.0.1:1/c", "c", "stream_url"),
        (&own, "c", "stream_url"),
    ] {
        let refused = add(&mut client, url, name).await.unwrap_err();
        assert_eq!((&refused["code"], &refused["data"]["param"]), (&json!(-32602), &json!(param)), "{url} {name}");
    }
    for number in 1..64 {
        add(&mut client, &format!("rtsp://127.0.0.1:1/{number}"), &format!("n{number}")).await.unwrap();
    }
    let full = add(&mut client, "rtsp://127.0.0.1:1/65", "n65").await.unwrap_err();
    assert_eq!((&full["code"], &full["data"]["state"]), (&json!(-32020), &json!("FULL")));
    let denied = add(&mut service.client("viewer").await, url, "x").await.unwrap_err();
    assert_eq!(denied["code"], -32002);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_of_us_is_a_remote_like_any_and_it_is_kept_across_a_restart() {
    let other = Service::start("camera: { test_pattern: always }\nstreams: { width: 320, height: 240, fps: 30 }").await;
    other.streaming("test").await;
    let service = Service::start(SMALL).await;
    let mut client = service.client("operator").await;
    add(&mut client, &other.url("test"), "neighbour").await.unwrap();
    service.streaming("neighbour").await;
    let (folder, file) = service.stop().await;
    let kept = folder.path().join("state/external.json");
    assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    let service = Service::start_in(folder, file).await;
    service.streaming("neighbour").await;
    let mut reader = ffprobe(&service.url("neighbour"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(reader["width"].take(), 320);
    service.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_in_no_log_and_no_reply_but_an_admins() {
    let (_folder, file) = support::configured(&format!("{SMALL}logging: {{ level: debug }}\n"));
    let mut process = Process::start(&file, "human");
    let address = after(&process.line("control at ws://").await, "ws://").parse().unwrap();
    let remote = Remote::start(0, H264, Some(("me", "hunter2")));
    let (good, bad) = (remote.url("me:hunter2@"), remote.url("me:hunter22@"));
    let mut operator = Client::authenticated(address, &support::token("operator")).await;
    let mut told =
        vec![add(&mut operator, &good, "good").await.unwrap(), add(&mut operator, &bad, "bad").await.unwrap()];
    process.line("/good").await;
    let failed = operator.notification("camera_status_update", update("bad", "ERROR")).await;
    assert_eq!((&failed["resolution"], &failed["fps"]), (&json!(""), &json!(0)), "nothing was seen of it: {failed}");
    for method in ["get_external_streams", "get_streams"] {
        told.push(operator.call(method, json!({})).await.unwrap());
    }
    told.push(operator.call("get_stream_status", json!({ "device": "bad" })).await.unwrap());
    told.push(operator.call("take_snapshot", json!({ "device": "bad" })).await.unwrap_err());
    let shown = told[2]["external_streams"][0]["stream_url"].as_str().unwrap().to_owned();
    assert_eq!(shown, remote.url("***@"));
    told.push(operator.call("remove_external_stream", json!({ "stream_url": shown })).await.unwrap_err());
    assert!(told.last().unwrap()["data"]["rule"].as_str().unwrap().contains("stands for 2"), "{told:?}");
    let told = format!("{told:?}");
    assert!(!told.contains("hunter"), "{told}");
    let mut admin = Client::authenticated(address, &support::token("admin")).await;
    let whole = admin.call("get_external_streams", json!({})).await.unwrap();
    assert_eq!(whole["external_streams"][0]["stream_url"], good);
    operator.call("remove_external_stream", json!({ "stream_url": bad })).await.unwrap();
    operator.call("remove_external_stream", json!({ "stream_url": shown })).await.unwrap();
    let (status, log) = process.terminate_with_log().await;
    assert!(status.success());
    let leaks: Vec<_> = log.iter().filter(|line| line.contains("hunter")).collect();
    assert!(log.iter().any(|line| line.contains("location=")) && leaks.is_empty(), "{leaks:#?}");
}

/// A port at an address where nobody should come.
struct Trap(TcpListener);

impl Trap {
    fn at(address: &str, port: u16) -> Self {
        let listener = TcpListener::bind((address, port)).expect("it is free");
        listener.set_nonblocking(true).expect("it is a socket");
        Self(listener)
    }

    fn visitors(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_found_where_the_configuration_says_and_nobody_else_is_asked() {
    let remote = Remote::start(0, H264, None);
    let port = remote.port;
    let locked = Remote::start(0, H264, Some(("me", "hunter2")));
    let traps = [Trap::at("127.0.0.1", 0), Trap::at("127.0.0.5", port), Trap::at("127.0.0.3", port)];
    let strange = TcpListener::bind(("127.0.0.2", port)).unwrap();
    std::thread::spawn(move || {
        for visitor in strange.incoming() {
            let _: Result<(), _> = visitor.and_then(|mut one: TcpStream| one.write_all(b"SSH-2.0-OpenSSH_9\r\n"));
        }
    });
    let section = format!(
        "{SMALL}
external_discovery:
  enabled: true
  scan_timeout: 20s
  generic_uav: {{ enabled: true, network_ranges: [127.0.0.0/30], common_ports: [{port}, {}], stream_paths: [/live, other] }}
",
        locked.port
    );
    let service = Service::start(&section).await;
    let mut client = service.client("operator").await;
    let found = client.call("discover_external_streams", json!({})).await.unwrap();
    let urls: Vec<_> = found["discovered_streams"].as_array().unwrap().iter().map(|one| &one["stream_url"]).collect();
    assert!(urls.contains(&&json!(remote.url(""))) && urls.contains(&&json!(locked.url(""))), "{found}");
    let of = |found: &Value, url: &str| {
        let all = found["generic_streams"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["stream_url"] == url).unwrap_or_default()
    };
    let open = of(&found, &remote.url(""));
    assert_eq!((&open["status"], &open["codec"]), (&json!("ONLINE"), &json!("H264")), "{found}");
    assert_eq!(of(&found, &locked.url(""))["status"], "AUTH_REQUIRED");
    assert_eq!(found["errors"].as_array().unwrap().len(), 1, "{found}");
    assert!(found["errors"][0].as_str().unwrap().starts_with(&format!("127.0.0.2:{port} answers")), "{found}");
    assert_eq!(found["skydio_streams"], json!([]));
    assert_eq!(traps.iter().map(Trap::visitors).sum::<usize>(), 0);

    // What was found can be added by its own words.
    let added = add(&mut client, open["stream_url"].as_str().unwrap(), open["stream_name"].as_str().unwrap()).await;
    assert_eq!(added.unwrap()["status"], "ADDED");
    let url = remote.url("");
    client.call("remove_external_stream", json!({ "stream_url": url })).await.unwrap();
    drop(remote);
    let cached = client.call("discover_external_streams", json!({})).await.unwrap();
    assert_eq!(cached["scan_timestamp"], found["scan_timestamp"]);
    let (again, shared) = {
        let (request, mut other) =
            (json!({ "force_rescan": true, "include_offline": true }), service.client("operator").await);
        let both = (
            client.call("discover_external_streams", request.clone()),
            other.call("discover_external_streams", request),
        );
        tokio::join!(both.0, both.1)
    };
    let again = again.unwrap();
    assert_eq!(of(&again, &url)["status"], "OFFLINE", "{again}");
    assert!(shared.unwrap()["scan_timestamp"].as_str() >= again["scan_timestamp"].as_str());
    let off = client.call("discover_external_streams", json!({ "skydio_enabled": true })).await.unwrap_err();
    assert_eq!((&off["code"], &off["data"]["feature"]), (&json!(-32030), &json!("external_discovery.skydio")));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_ends_in_its_time_and_says_what_it_left_out() {
    // Accepts connections, by the kernel, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("it has an address").port();
    let section = format!(
        "{SMALL}
external_discovery:
  enabled: true
  scan_timeout: 1s
  max_concurrent_scans: 1
  skydio: {{ enabled: true, known_ips: [127.0.0.1, 127.0.0.2], common_ports: [{port}] }}
"
    );
    let service = Service::start(&section).await;
    let mut client = service.client("operator").await;
    let found = client.call("discover_external_streams", json!({})).await.unwrap();
    assert_eq!(found["errors"], json!(["after 1 s 0 of 2 addresses had been looked at"]), "{found}");
    assert_eq!(found["total_found"], 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_it_is_switched_on() {
    let service = Service::start(SMALL).await;
    let mut client = service.client("admin").await;
    for (method, params) in
        [("discover_external_streams", json!({})), ("set_discovery_interval", json!({ "scan_interval": 5 }))]
    {
        let off = client.call(method, params).await.unwrap_err();
        assert_eq!((&off["code"], &off["data"]["feature"]), (&json!(-32030), &json!("external_discovery")), "{method}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_so_often_it_looks_by_itself_also_after_a_restart() {
    let visited = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = visited.local_addr().unwrap().port();
    let (tell, mut visits) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for visitor in visited.incoming() {
            drop(visitor);
            let _ = tell.send(());
        }
    });
    let section = format!(
        "{SMALL}external_discovery: {{ enabled: true, skydio: {{ enabled: true, known_ips: [127.0.0.1], common_ports: [{port}] }} }}\n"
    );
    let service = Service::start(&section).await;
    let mut client = service.client("admin").await;
    let wrong = client.call("set_discovery_interval", json!({ "scan_interval": 86_401 })).await.unwrap_err();
    assert_eq!(wrong["code"], -32602);
    let set = client.call("set_discovery_interval", json!({ "scan_interval": 1 })).await.unwrap();
    assert_eq!((&set["scan_interval"], &set["status"]), (&json!(1), &json!("UPDATED")));
    for _ in 0..2 {
        tokio::time::timeout(support::PATIENCE, visits.recv()).await.expect("it looks").unwrap();
    }
    let (folder, file) = service.stop().await;
    while visits.try_recv().is_ok() {}
    let service = Service::start_in(folder, file).await;
    tokio::time::timeout(support::PATIENCE, visits.recv()).await.expect("it looks again").unwrap();
    service.stop().await;
}
