//! Promises of the RTSP server, read back by clients that share no code with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod begins;
mod multicast;
mod readers;
mod reports;
mod source;
mod stalled;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use camera_service::{
    error::{Error, Kind as ErrorKind},
    frame::Codec,
    media::launch::LaunchFiles,
    output::rtsp::{Open, ReaderEvent, Readers, RtspServer, RtspSettings, Transport},
};
use readers::{Raw, Reader, ffprobe, rtspsrc};
use source::{DEADLINE, H264, HEIGHT, Kind, Source, Switch, WIDTH};

/// A server on a free port, and what it told.
struct Server {
    server: RtspServer,
    events: Arc<(Mutex<Vec<ReaderEvent>>, Condvar)>,
}

impl Server {
    fn start() -> Self {
        Self::with(RtspSettings::default())
    }

    fn with(settings: RtspSettings) -> Self {
        let events = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let told = Arc::clone(&events);
        let settings = RtspSettings {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            events: Arc::new(move |event| {
                told.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                told.1.notify_all();
            }),
            ..settings
        };
        Self { server: RtspServer::start(settings, LaunchFiles::default()).unwrap(), events }
    }

    fn serving(source: &Source) -> Self {
        let server = Self::start();
        server.server.mount("camera0", source.open());
        server
    }

    fn url(&self) -> String {
        self.url_of("camera0")
    }

    fn url_of(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.server.port())
    }

    /// Waits until an event like this was told.
    fn wait_for(&self, what: &str, is_it: impl Fn(&ReaderEvent) -> bool) {
        let (events, told) = &*self.events;
        let events = events.lock().unwrap();
        let (events, timeout) = told.wait_timeout_while(events, DEADLINE, |events| !events.iter().any(&is_it)).unwrap();
        assert!(!timeout.timed_out(), "{what} did not happen, only {events:?}");
    }

    fn wait_for_leave(&self, port: u16) {
        self.wait_for("leaving", |event| matches!(event, ReaderEvent::Left(info) if info.remote.port() == port));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.server.stop();
        if !std::thread::panicking() {
            stopped.unwrap();
        }
    }
}

/// Waits until `holds`; for what gives no event.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// `open`, but it waits for a word; before that it says that it does.
fn held(open: Open) -> (Open, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (opening, entered) = mpsc::channel();
    let (answer, wait) = mpsc::channel::<()>();
    let (opening, wait) = (Mutex::new(opening), Mutex::new(wait));
    let held = move || {
        let _ = opening.lock().map(|opening| opening.send(()));
        let _ = wait.lock().map(|wait| wait.recv());
        open()
    };
    (Arc::new(held), entered, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_over_tcp_and_udp() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut reader = Reader::open(&server.url(), transport).await.unwrap();
        assert!(reader.next().await.unwrap().is_random_access_point(), "{transport} begins with a key frame");
        reader.take(30).await.unwrap();
        server.wait_for("joining", |event| matches!(event, ReaderEvent::Joined(info) if info.transport == transport));
        let readers = server.server.readers("camera0");
        assert!(readers.count >= 1 && readers.bytes_sent > 0, "{readers:?}");
    }
    eventually("the readers have left", || server.server.readers("camera0").count == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_players_read_it_too() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    let url = server.url();
    tokio::task::spawn_blocking(move || {
        for transport in [Transport::Tcp, Transport::Udp] {
            assert_eq!(ffprobe(&url, transport), format!("h264,{WIDTH},{HEIGHT}"), "{transport}");
            rtspsrc(&url, transport, 20).unwrap();
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_jpeg_is_read_too() {
    let source = Source::start(Kind { codec: Codec::Mjpeg, ..H264 });
    let server = Server::serving(&source);
    let url = server.url();
    let mut reader = Reader::open(&url, Transport::Tcp).await.unwrap();
    assert_eq!(reader.next().await.unwrap().data()[..2], [0xff, 0xd8], "a JPEG");
    tokio::task::spawn_blocking(move || {
        assert_eq!(ffprobe(&url, Transport::Udp), format!("mjpeg,{WIDTH},{HEIGHT}"));
    })
    .await
    .unwrap();
}

#[test]
fn the_description_has_the_decoder_parameters() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    let (status, sdp) = Raw::connect(&server.url()).describe();
    assert_eq!(status, 200);
    assert!(sdp.contains("m=video 0 RTP/AVP 96"), "{sdp}");
    assert!(sdp.contains("packetization-mode=1"), "{sdp}");
    assert!(sdp.contains("profile-level-id=42"), "{sdp}");
    assert!(sdp.contains("sprop-parameter-sets="), "{sdp}");
}

#[test]
fn what_cannot_be_opened_is_refused_with_the_reason() {
    let source = Source::start(H264);
    let server = Server::start();
    let switch = Switch::new();
    server.server.mount("camera0", switch.before(source.open()));
    assert_eq!(Raw::connect(&server.url_of("camera1")).describe().0, 404, "not mounted");
    switch.fail(Some(Error::not_found("camera", "camera0")));
    assert_eq!(Raw::connect(&server.url()).describe().0, 404, "gone");
    switch.fail(Some(Error::new(ErrorKind::Internal, "it does not start")));
    assert_eq!(Raw::connect(&server.url()).describe().0, 503, "broken");
    switch.fail(None);
    assert_eq!(Raw::connect(&server.url()).describe().0, 200, "and well again");
}

#[test]
fn a_source_that_is_slow_to_open_keeps_no_other_reader_waiting() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    let (slow, entered, answer) = held(source.open());
    server.server.mount("slow", slow);
    let url = server.url_of("slow");
    let slow = std::thread::spawn(move || Raw::connect(&url).describe().0);
    entered.recv_timeout(DEADLINE).unwrap();
    for _ in 0..8 {
        assert_eq!(Raw::connect(&server.url()).describe().0, 200);
    }
    answer.send(()).unwrap();
    assert_eq!(slow.join().unwrap(), 200);
}

#[test]
fn whoever_waits_for_a_source_to_open_is_not_idle() {
    let source = Source::start(H264);
    let server = Server::with(RtspSettings { idle_timeout: Duration::from_secs(1), ..RtspSettings::default() });
    let (slow, entered, answer) = held(source.open());
    server.server.mount("camera0", slow);
    let url = server.url();
    let slow = std::thread::spawn(move || Raw::connect(&url).describe().0);
    entered.recv_timeout(DEADLINE).unwrap();
    // Whoever came later and asks for nothing has to go meanwhile.
    Raw::connect(&server.url()).wait_for_close();
    answer.send(()).unwrap();
    assert_eq!(slow.join().unwrap(), 200);
}

#[test]
fn more_connections_than_allowed_are_closed_and_idle_ones_make_room() {
    let source = Source::start(H264);
    let idle_timeout = Duration::from_secs(1);
    let server = Server::with(RtspSettings { max_connections: 1, idle_timeout, ..RtspSettings::default() });
    server.server.mount("camera0", source.open());
    let mut first = Raw::connect(&server.url());
    assert_eq!(first.request("OPTIONS", "", "").0, 200);
    Raw::connect(&server.url()).wait_for_close();
    // It has no session and asks for nothing more.
    first.wait_for_close();
    let mut connection = Raw::connect(&server.url());
    eventually("there is room again", || {
        let answered = connection.answers();
        if !answered {
            connection = Raw::connect(&server.url());
        }
        answered
    });
    let mut reader = connection;
    reader.then_play();
    let frames = source.stream.stats().frames;
    eventually("more time passes than an idle connection has", || source.stream.stats().frames > frames + 60);
    for _ in 0..60 {
        reader.packet();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unmounting_ends_the_readers_and_mounting_again_serves_new_ones() {
    let server = Server::start();
    for transport in [Transport::Udp, Transport::Tcp] {
        let source = Source::start(H264);
        server.server.mount("camera0", source.open());
        let mut reader = Reader::open(&server.url(), transport).await.unwrap();
        reader.take(5).await.unwrap();
        source.end();
        server.server.unmount("camera0");
        assert_eq!(Raw::connect(&server.url()).describe().0, 404);
        while reader.next().await.is_ok() {}
        assert_eq!(server.server.readers("camera0"), Readers::default());
        eventually("everything is given back", || source.demands(0) == 0 && source.stream.stats().readers == 0);
    }
}

#[test]
fn unmounting_ends_nobody_who_has_turned_to_something_else() {
    let source = Source::start(H264);
    let server = Server::start();
    for path in ["one", "two"] {
        server.server.mount(path, source.open());
    }
    let (one, two) = (server.url_of("one"), server.url_of("two"));
    let mut asked = Raw::connect(&one);
    assert_eq!(asked.describe().0, 200);
    let mut left = Raw::set_up(&one);
    assert_eq!(left.request("TEARDOWN", "", "").0, 200);
    for reader in [&mut asked, &mut left] {
        reader.turn_to(&two);
        reader.then_play();
    }
    let about_to_play = Raw::set_up(&one);
    let mut looks_around = Raw::set_up(&one);
    looks_around.turn_to(&two);
    assert_eq!(looks_around.describe().0, 200);
    server.server.unmount("one");
    about_to_play.wait_for_close();
    looks_around.wait_for_close();
    // More than can have come before.
    let frames = source.stream.stats().frames;
    eventually("frames come", || source.stream.stats().frames > frames + 60);
    for reader in [&mut asked, &mut left] {
        for _ in 0..60 {
            reader.packet();
        }
        assert_eq!(server.server.readers("two").count, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_ends_its_readers_and_the_next_one_is_served() {
    let first = Source::start(H264);
    let second = Source::start(H264);
    let server = Server::start();
    let (one, two) = (first.open(), second.open());
    let stream = Arc::clone(&first.stream);
    server.server.mount("camera0", Arc::new(move || if stream.is_closed() { two() } else { one() }));
    let mut reader = Reader::open(&server.url(), Transport::Tcp).await.unwrap();
    reader.take(5).await.unwrap();
    first.end();
    while reader.next().await.is_ok() {}
    Reader::open(&server.url(), Transport::Tcp).await.unwrap().take(5).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demand_lasts_until_the_last_reader_has_left() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    assert_eq!(source.demands(1), 0);
    let mut one = Reader::open(&server.url(), Transport::Tcp).await.unwrap();
    let mut two = Reader::open(&server.url(), Transport::Udp).await.unwrap();
    one.take(2).await.unwrap();
    drop(one);
    eventually("one has left", || server.server.readers("camera0").count == 1);
    two.take(30).await.unwrap();
    assert_eq!(source.demands(1), 1);
    drop(two);
    eventually("the demand is over", || source.demands(1) == 0);
    eventually("nobody reads the stream", || source.stream.stats().readers == 0);
}

#[test]
fn udp_ports_are_those_that_are_configured() {
    let source = Source::start(H264);
    let server = Server::with(RtspSettings { udp_ports: Some((20_400, 20_407)), ..RtspSettings::default() });
    server.server.mount("camera0", source.open());
    let url = server.url();
    let readers: Vec<_> = (0..2).map(|_| readers::Raw::set_up_udp(&url, 6000)).collect();
    for (_, ports) in &readers {
        assert!(ports.iter().all(|port| (20_400..=20_407).contains(port)), "{ports:?}");
    }
}
