//! Paths on the real RTSP server, with the test pattern as their source.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    config::EncoderKind,
    frame::Codec,
    media::publication::Publication,
    output::{
        recorder::RecordingFormat,
        rtsp::RtspSettings,
        storage::{NamePattern, Uses},
    },
    path::{
        Doors, OwnFolders, Publishing, RecordingRequest,
        recording::{Desk, Recording},
        task::Request,
    },
    pipeline::{Source, Wanted},
    stream::Limits,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn paths(folder: &std::path::Path) -> Paths {
    crate::media::init().unwrap();
    let launch = LaunchFiles::default();
    let settings = RtspSettings { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, ..RtspSettings::default() };
    let order = [EncoderKind::X264, EncoderKind::OpenH264];
    Paths::new(Parts {
        encoders: Arc::new(Encoders::probe(&order, &launch, PATIENCE)),
        rtsp: Arc::new(RtspServer::start(settings, launch.clone()).unwrap()),
        rtsp_host: "localhost".into(),
        launch,
        folders: Folders {
            recordings: folder.into(),
            fallback: None,
            own: OwnFolders::default(),
            snapshots: folder.into(),
            pattern: NamePattern::default(),
            uses: Uses::default(),
            doors: Doors::default(),
        },
    })
}

fn settings() -> PathSettings {
    PathSettings {
        always_on: true,
        close_after: Duration::from_secs(1),
        start_timeout: PATIENCE,
        frame_timeout: PATIENCE,
        stop_timeout: PATIENCE,
        ring: Limits::default(),
        publishing: Publishing::Never,
        auto_record: None,
        always_available: None,
    }
}

fn pattern() -> CaptureRequest {
    CaptureRequest { source: Source::Test, wanted: Wanted { width: 320, height: 180, ..Wanted::default() } }
}

async fn wait(paths: &Paths, name: &str, fits: impl Fn(&PathStatus) -> bool) {
    let mut status = paths.with(name, |entry| entry.status.clone()).unwrap();
    tokio::time::timeout(PATIENCE, status.wait_for(fits)).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_whose_task_panics_is_started_again_and_shows_it_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    for name in ["one", "two"] {
        paths.add(name, settings());
        paths.set_source(name, Some(pattern())).await.unwrap();
        wait(&paths, name, |status| status.stream.is_some()).await;
    }
    let other = paths.status("two").unwrap().stream.unwrap();
    let inbox = paths.with("one", |entry| entry.inbox.clone()).unwrap();
    inbox.send(Request::Panic).await.ok().unwrap();
    wait(&paths, "one", |status| status.panics == 1 && status.trouble.is_some()).await;
    wait(&paths, "one", |status| status.panics == 1 && status.stream.is_some() && status.trouble.is_none()).await;
    assert!(!other.is_closed());
    tokio::time::timeout(PATIENCE, paths.close()).await.expect("closed in time");
    assert!(other.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_nobody_made_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let error = paths(folder.path()).set_source("camera7", None).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::NotFound { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_publish_at_once_one_is_the_source_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    for (name, publishing) in [("first", Publishing::First), ("newest", Publishing::Newest)] {
        paths.add(name, PathSettings { always_on: false, publishing, ..settings() });
        for round in 0..100 {
            let both = [1, 2].map(|port| Publication::new(([127, 0, 0, 1], port).into(), Codec::H264));
            let come = both.clone().map(|publication| {
                let paths = paths.clone();
                tokio::spawn(async move { paths.publish(name, publication).await.is_ok() })
            });
            let come = join_all(come).await;
            let let_in = come.into_iter().filter(|come| matches!(come, Ok(true))).count();
            assert_eq!(let_in, if publishing == Publishing::First { 1 } else { 2 }, "{name}, {round}");
            let sent_off = both.iter().filter(|publication| publication.is_refused()).count();
            assert_eq!(sent_off, let_in - 1, "{name}, {round}");
            assert_eq!(paths.status(name).unwrap().phase, Phase::Idle, "{name}, {round}");
            for publication in &both {
                publication.end();
                publication.drain();
            }
            wait(&paths, name, |status| status.phase == Phase::Away).await;
        }
    }
    // Whoever comes while somebody else is coming has taken nothing yet.
    let place = paths.with("newest", |entry| Arc::clone(&entry.publisher)).unwrap();
    let turn = place.turn.lock().await;
    let mut comes = Box::pin(paths.publish("newest", Publication::new(([127, 0, 0, 1], 1).into(), Codec::H264)));
    assert!((&mut comes).now_or_never().is_none());
    assert!(paths.publisher("newest").unwrap().is_none());
    drop(turn);
    comes.await.unwrap();
    assert!(paths.publisher("newest").unwrap().is_some());
    tokio::time::timeout(PATIENCE, paths.close()).await.expect("closed in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_does_not_wait_for_a_stream_that_has_ended_just_now() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    paths.add("camera0", settings());
    let status = paths.with("camera0", |entry| entry.status.clone()).unwrap();
    let desk = Desk {
        path: "camera0".into(),
        folders: paths.0.parts.folders.clone(),
        launch: LaunchFiles::default(),
        events: paths.0.events.clone(),
        disks: paths.0.disks.subscribe(),
        trouble: Trouble::default(),
    };
    let request = RecordingRequest::new(RecordingFormat::Fmp4);
    let begun = tokio::time::timeout(PATIENCE, Recording::start(desk, request, status, None)).await;
    assert!(begun.expect("an answer").is_err());
    paths.close().await;
}
