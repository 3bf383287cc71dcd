//! Streams of another machine: GStreamer's own RTSP server, which is taken away and brought back.

use std::thread;

use gst::glib;
use gst_rtsp_server::{gio, prelude::*};

/// A live test pattern as H.264, with a key frame every ten.
pub const H264: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! \
                        x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0";
/// A test pattern with three B-frames in a row, of which one is a reference of the others.
pub const B_FRAMES: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! \
                            x264enc bframes=3 b-pyramid=true b-adapt=false speed-preset=ultrafast rc-lookahead=4 \
                            key-int-max=30 ! video/x-h264,profile=main ! rtph264pay name=pay0";
/// The same as Motion JPEG, and a tone beside it.
pub const MJPEG: &str = "audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 videotestsrc is-live=true ! \
                         video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! jpegenc ! rtpjpegpay name=pay1";
/// What is not taken.
pub const VP8: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! \
                       vp8enc deadline=1 ! rtpvp8pay name=pay0";

/// The server, until it is dropped. Its streams are at `/live`.
pub struct Remote {
    pub port: u16,
    server: gst_rtsp_server::RTSPServer,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thread: Option<thread::JoinHandle<()>>,
    scheme: &'static str,
}

impl Remote {
    /// Serves what `line` says on a port, 0 for any. `user` and `password` are asked for where they are given.
    pub fn start(port: u16, line: &str, user: Option<(&str, &str)>) -> Self {
        Self::serve(port, line, |server, factory| {
            let Some((name, password)) = user else { return "rtsp" };
            let auth = gst_rtsp_server::RTSPAuth::new();
            let token = gst_rtsp_server::RTSPToken::builder().field("media.factory.role", "user").build();
            auth.add_basic(&gst_rtsp_server::RTSPAuth::make_basic(name, password), &token);
            server.set_auth(Some(&auth));
            factory.add_role_from_structure(&everything());
            "rtsp"
        })
    }

    /// The same on any port inside TLS, for everybody, with a certificate and its key (PEM), and these profiles of RTP.
    pub fn inside_tls(line: &str, pem: &str, profiles: gst_rtsp_server::gst_rtsp::RTSPProfile) -> Self {
        Self::serve(0, line, |server, factory| {
            let auth = gst_rtsp_server::RTSPAuth::new();
            auth.set_tls_certificate(Some(&gio::TlsCertificate::from_pem(pem).unwrap()));
            let mut everybody = gst_rtsp_server::RTSPToken::builder().field("media.factory.role", "user").build();
            auth.set_default_token(Some(&mut everybody));
            server.set_auth(Some(&auth));
            factory.add_role_from_structure(&everything());
            factory.set_profiles(profiles);
            "rtsps"
        })
    }

    fn serve(
        port: u16,
        line: &str,
        prepare: impl FnOnce(&gst_rtsp_server::RTSPServer, &gst_rtsp_server::RTSPMediaFactory) -> &'static str,
    ) -> Self {
        gst::init().unwrap();
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let server = gst_rtsp_server::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service(&port.to_string());
        let factory = gst_rtsp_server::RTSPMediaFactory::new();
        factory.set_launch(&format!("( {line} )"));
        factory.set_shared(true);
        let scheme = prepare(&server, &factory);
        server.mount_points().unwrap().add_factory("/live", factory);
        server.attach(Some(&context)).unwrap();
        let (running, own) = (main_loop.clone(), context.clone());
        let thread = Some(thread::spawn(move || {
            let _ = own.with_thread_default(|| running.run());
        }));
        let port = u16::try_from(server.bound_port()).unwrap();
        Self { port, server, context, main_loop, thread, scheme }
    }

    /// Where its streams are, with `before` (credentials, or nothing) before the host.
    pub fn url(&self, before: &str) -> String {
        format!("{}://{before}127.0.0.1:{}/live", self.scheme, self.port)
    }
}

/// What those may whom the server knows.
fn everything() -> gst::Structure {
    gst::Structure::builder("user").field("media.factory.access", true).field("media.factory.construct", true).build()
}

impl Drop for Remote {
    /// Pulls the plug: nobody is told, every connection is cut.
    fn drop(&mut self) {
        let (server, main_loop) = (self.server.clone(), self.main_loop.clone());
        self.context.invoke(move || {
            server.client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
            main_loop.quit();
        });
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
