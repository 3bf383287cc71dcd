//! A camera that is unplugged while it is read leaves nothing behind. Alone in its file: it counts what the process holds.

mod support;

use camera_service::path::Phase;
use support::{Camera, SMALL, Service, peers::run};

/// Open files and threads of this process.
fn held() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Plugs a camera in, lets somebody read it, unplugs it, and waits until the reader has noticed.
async fn round(service: &Service, camera: &Camera) {
    service.plug(camera).await;
    service.streaming("camera0").await;
    let url = service.url("camera0");
    let reading = tokio::spawn(async move {
        run("ffmpeg", &["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"]).await
    });
    while service.app.paths().readers("camera0").count == 0 {
        tokio::task::yield_now().await;
    }
    service.unplug(camera).await;
    service.path("camera0", |status| status.phase == Phase::Away).await;
    // How it ends is ffmpeg's business; that it ends is ours.
    let _ = reading.await.expect("ffmpeg is waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_threads_do_not_grow() {
    let service = Service::start(SMALL).await;
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    // The first rounds make what stays: thread pools, caches.
    for _ in 0..2 {
        round(&service, &camera).await;
    }
    let before = held();
    for _ in 0..8 {
        round(&service, &camera).await;
    }
    // Connections are closed by threads of their own, soon after.
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while held().0 > before.0 || held().1 > before.1 {
        assert!(std::time::Instant::now() < deadline, "before: {before:?}, now: {:?}", held());
        tokio::task::yield_now().await;
    }
    service.stop().await;
}
