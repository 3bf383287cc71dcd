//! Paths that are always available: whoever reads stays, whatever becomes of the source.

use std::{fs, process::Stdio, time::Duration};

use camera_service::path::PathEvent;
use futures_util::StreamExt;
use retina::{
    client::{Demuxed, PlayOptions, Session, SessionOptions, SetupOptions},
    codec::{CodecItem, ParametersRef},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{
    ask, done, get,
    support::{
        Camera, PATIENCE, SMALL, Service, configured,
        peers::{decode, ffprobe, pictures, run},
    },
};

const ALWAYS: &str = r#"{"alwaysAvailable":true,"alwaysAvailableTracks":[{"codec":"H264"}]}"#;

/// A reader that shares no code with the server, and says what it sees.
struct Reader {
    frames: std::pin::Pin<Box<Demuxed>>,
    newest: f64,
    size: (u32, u32),
}

impl Reader {
    async fn open(url: &str, transport: &str) -> Self {
        let opening = async {
            let mut session = Session::describe(url.parse().unwrap(), SessionOptions::default()).await.unwrap();
            let transport = match transport {
                "tcp" => retina::client::Transport::Tcp(Default::default()),
                _ => retina::client::Transport::Udp(Default::default()),
            };
            session.setup(0, SetupOptions::default().transport(transport)).await.unwrap();
            session.play(PlayOptions::default()).await.unwrap().demuxed().unwrap()
        };
        let frames = Box::pin(timeout(PATIENCE, opening).await.expect("an answer"));
        Self { frames, newest: f64::MIN, size: (0, 0) }
    }

    /// Takes frames until a key frame's pictures are of this size, and then this many. Their times must rise.
    async fn sees(&mut self, size: (u32, u32), more: usize) {
        let look = async {
            let mut left = None;
            while left != Some(0) {
                let item = self.frames.next().await.expect("it goes on").expect("it goes on");
                let CodecItem::VideoFrame(frame) = item else { continue };
                let at = frame.timestamp().elapsed_secs();
                assert!(at > self.newest, "{at} after {}", self.newest);
                self.newest = at;
                if frame.has_new_parameters() || self.size == (0, 0) {
                    let Some(ParametersRef::Video(video)) = self.frames.streams()[0].parameters() else { panic!() };
                    self.size = video.pixel_dimensions();
                }
                left = match left {
                    Some(left) => Some(left - 1),
                    None => (self.size == size && frame.is_random_access_point()).then_some(more),
                };
            }
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("no {size:?}, only {:?}", self.size));
    }
}

/// ffmpeg, which decodes what it reads and says the hash of each picture, scaled to one size.
struct Viewer {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Viewer {
    fn open(url: &str, transport: &str) -> Self {
        let mut child = Command::new("ffmpeg")
            .args(["-v", "error", "-rtsp_transport", transport, "-i", url, "-an", "-vf", "scale=64:36,format=gray"])
            .args(["-fps_mode", "passthrough", "-flush_packets", "1", "-f", "framemd5", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// The hash of the next picture. Its time is ffmpeg's own guess while it begins, so times are the other reader's to check.
    async fn picture(&mut self) -> String {
        loop {
            let line =
                timeout(PATIENCE, self.lines.next_line()).await.expect("a picture").unwrap().expect("it goes on");
            if line.starts_with('#') {
                continue;
            }
            return line.rsplit(',').next().unwrap().trim().to_owned();
        }
    }

    /// Goes on until so many pictures in a row are the same (a filler), or all different (a camera's ball).
    async fn sees(&mut self, still: bool) {
        let (mut row, mut before) = (0, String::new());
        while row < 4 {
            let picture = self.picture().await;
            row = if (picture == before) == still { row + 1 } else { 0 };
            before = picture;
        }
    }
}

fn camera() -> Camera {
    Camera::usb(0, "1.1", Some("WOBBLE"))
}

async fn states(service: &Service, name: &str) -> (Value, Value) {
    let path = get(service, &format!("/paths/get/{name}")).await;
    assert_eq!((&path["ready"], path["readyTime"].is_string()), (&path["available"], path["available"] == true));
    assert_eq!(path["onlineTime"].is_string(), path["online"] == true, "{path}");
    (path["available"].clone(), path["online"].clone())
}

/// Waits until a path is available, with its source or without.
async fn until(service: &Service, name: &str, online: bool) {
    service.path(name, |status| status.available().is_some() && status.filler.is_none() == online).await;
    assert_eq!(states(service, name).await, (json!(true), json!(online)));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_camera_stay_while_it_is_away_and_see_it_again() {
    let service = Service::start(SMALL).await;
    service.plug(&camera()).await;
    service.streaming("camera0").await;
    done(&service, "PATCH", "/config/paths/patch/camera0", ALWAYS).await;
    service.path("camera0", |status| status.outgoing.is_some()).await;
    assert_eq!(states(&service, "camera0").await, (json!(true), json!(true)));
    let url = service.url("camera0");
    let (mut tcp, mut udp) = (Reader::open(&url, "tcp").await, Reader::open(&url, "udp").await);
    let (mut watching, mut second) = (Viewer::open(&url, "tcp"), Viewer::open(&url, "udp"));
    for reader in [&mut tcp, &mut udp] {
        reader.sees((640, 360), 10).await;
    }
    watching.sees(false).await;
    second.sees(false).await;
    for _ in 0..2 {
        service.unplug(&camera()).await;
        until(&service, "camera0", false).await;
        for reader in [&mut tcp, &mut udp] {
            reader.sees((640, 360), 10).await;
        }
        watching.sees(true).await;
        second.sees(true).await;
        let path = get(&service, "/paths/get/camera0").await;
        assert_eq!((&path["readers"].as_array().unwrap().len(), &path["tracks"]), (&4, &json!(["H264"])), "{path}");
        assert_eq!(path["tracks2"][0]["codecProps"]["width"], 640, "{path}");
        // Whoever comes now is let in as well.
        let video = ffprobe(&url, &["-rtsp_transport", "tcp"]).await.unwrap();
        assert_eq!((&video["width"], &video["height"]), (&json!(640), &json!(360)));

        service.plug(&camera()).await;
        until(&service, "camera0", true).await;
        for reader in [&mut tcp, &mut udp] {
            reader.sees((640, 360), 10).await;
        }
        watching.sees(false).await;
        second.sees(false).await;
    }
    drop((tcp, udp, watching, second));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_was_never_there_can_be_read_and_comes_in_its_own_size() {
    let (folder, file) = configured(SMALL);
    let yaml = fs::read_to_string(&file).unwrap();
    let media = folder.path().join("mediamtx.yml");
    let words = folder.path().join("words");
    let say = |word: &str| format!("sh -c 'echo {word} >> {}'", words.display());
    let hooks = ["Available", "Unavailable", "Online", "Offline"].map(|at| format!("    runOn{at}: {}\n", say(at)));
    let tracks = "    alwaysAvailable: true\n    alwaysAvailableTracks: [{ codec: H264 }]\n";
    fs::write(&media, format!("paths:\n  camera0:\n{tracks}{}", hooks.concat())).unwrap();
    let with_file = format!("api_port: 0, config_file: {}", media.display());
    fs::write(&file, yaml.replace("api_port: 0", &with_file)).unwrap();
    let service = Service::start_in(folder, file).await;
    until(&service, "camera0", false).await;
    let mut reader = Reader::open(&service.url("camera0"), "tcp").await;
    reader.sees((1280, 720), 5).await;
    let said = async |what: &[&str]| {
        let look = async {
            while fs::read_to_string(&words).unwrap_or_default().lines().collect::<Vec<_>>() != what {
                ask(&service, "GET", "/info", "").await;
            }
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{what:?}: {:?}", fs::read_to_string(&words)));
    };
    said(&["Available"]).await;

    service.plug(&camera()).await;
    until(&service, "camera0", true).await;
    reader.sees((640, 360), 10).await;
    said(&["Available", "Online"]).await;
    assert_eq!(service.app.paths().settings("camera0").unwrap().stop_timeout, Duration::from_secs(5));
    service.unplug(&camera()).await;
    until(&service, "camera0", false).await;
    reader.sees((640, 360), 5).await;
    said(&["Available", "Online", "Offline"]).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_are_always_available_by_the_configuration_of_the_service() {
    // Its time is for streams on demand, which these are not any more.
    let cameras = "camera: { test_pattern: never, auto_start_streams: false, always_available: true, devices: [\
                   { match: { serial: PLAIN }, id: camera1, always_available: false }] }\n";
    let service = Service::start(&format!("{cameras}streams: {{ width: 640, height: 360, close_after: 0s }}\n")).await;
    let plain = Camera::usb(1, "1.2", Some("PLAIN"));
    for camera in [&camera(), &plain] {
        service.plug(camera).await;
    }
    until(&service, "camera0", true).await;
    let mut reader = Reader::open(&service.url("camera0"), "tcp").await;
    reader.sees((640, 360), 5).await;
    for camera in [&camera(), &plain] {
        service.unplug(camera).await;
    }
    until(&service, "camera0", false).await;
    reader.sees((640, 360), 5).await;
    service.path("camera1", |status| status.available().is_none()).await;
    // The API says so, and may say otherwise.
    let shown = async |name: &str| get(&service, &format!("/config/paths/get/{name}")).await["alwaysAvailable"].clone();
    assert_eq!((shown("camera0").await, shown("camera1").await), (json!(true), json!(false)));
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record": false}"#).await;
    until(&service, "camera0", false).await;
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"alwaysAvailable": false}"#).await;
    service.path("camera0", |status| status.available().is_none()).await;
    done(&service, "DELETE", "/config/paths/delete/camera0", "").await;
    until(&service, "camera0", false).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_come_and_go_and_their_readers_stay() {
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/stage", ALWAYS).await;
    until(&service, "stage", false).await;
    let mut reader = Reader::open(&service.url("stage"), "tcp").await;
    reader.sees((1280, 720), 5).await;
    for size in [(320, 240), (352, 288)] {
        let source = format!("testsrc2=size={}x{}:rate=30", size.0, size.1);
        let mut publisher = Command::new("ffmpeg")
            .args(["-v", "error", "-re", "-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "ultrafast"])
            .args(["-bf", "0", "-g", "15", "-pix_fmt", "yuv420p", "-f", "rtsp", "-rtsp_transport", "tcp"])
            .arg(service.url("stage"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until(&service, "stage", true).await;
        assert_eq!(get(&service, "/paths/get/stage").await["source"]["type"], "rtspSession");
        reader.sees(size, 10).await;
        publisher.kill().await.unwrap();
        until(&service, "stage", false).await;
        assert_eq!(get(&service, "/paths/get/stage").await["source"], Value::Null);
        reader.sees(size, 5).await;
    }
    done(&service, "DELETE", "/config/paths/delete/stage", "").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_of_ones_own_is_shown_again_and_again_and_recorded() {
    let service = Service::start(SMALL).await;
    let film = service.folder.path().join("film.mp4").display().to_string();
    let source = "testsrc2=size=192x144:rate=25:duration=1";
    let with_b_frames = ["-c:v", "libx264", "-bf", "2", "-g", "10", "-pix_fmt", "yuv420p"];
    let sound = ["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac"];
    let make = [&["-v", "error", "-f", "lavfi", "-i", source][..], &sound, &with_b_frames, &[&film]].concat();
    run("ffmpeg", &make).await.unwrap();
    let mut events = service.app.paths().events();
    let body = json!({ "alwaysAvailable": true, "alwaysAvailableFile": film, "record": true }).to_string();
    done(&service, "POST", "/config/paths/add/stage", &body).await;
    until(&service, "stage", false).await;
    let begun = async {
        loop {
            if let Ok(PathEvent::RecordingStarted { started, .. }) = events.recv().await {
                return started;
            }
        }
    };
    let started = timeout(PATIENCE, begun).await.expect("a recording");
    // Whoever comes asks for a key frame, also between a picture and those that are shown before it.
    let stream = service.path("stage", |status| status.available().is_some()).await.available().unwrap().clone();
    let mut frames = stream.subscribe(camera_service::stream::Join::Live);
    for number in 0..30 {
        timeout(PATIENCE, frames.next()).await.expect("a frame");
        if number % 3 == 0 {
            stream.request_key_frame();
        }
    }
    let mut shown = pictures(&service.url("stage"), &["-rtsp_transport", "tcp"], 85).await.unwrap();
    // ffmpeg leaves pictures out while it finds out how they are ordered.
    let shown = shown.split_off(20);
    assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0), "{shown:?}");
    let again = shown.iter().skip(25).zip(&shown).filter(|(later, earlier)| later.1 == earlier.1).count();
    assert_eq!(again, shown.len() - 25, "the same pictures after a second: {shown:?}");
    done(&service, "PATCH", "/config/paths/patch/stage", r#"{"record":false}"#).await;
    let file = service.recording(&json!(started.filename));
    decode(&file).await.unwrap();
    let video = ffprobe(&file.display().to_string(), &[]).await.unwrap();
    assert_eq!((&video["width"], &video["height"]), (&json!(192), &json!(144)));

    // One that is none: the words are shown.
    done(&service, "PATCH", "/config/paths/patch/stage", r#"{"alwaysAvailableFile":"/nowhere.mp4"}"#).await;
    Reader::open(&service.url("stage"), "tcp").await.sees((1280, 720), 2).await;
    service.stop().await;
}
