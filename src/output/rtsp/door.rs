//! What is asked of every request before it is handled, while it can still be refused with any status.
//!
//! gst-rtsp-server asks its `GstRTSPAuth` first. Its signals would come too late for an ANNOUNCE: the media is made
//! before they are emitted (GStreamer 1.22).

use std::sync::{Arc, OnceLock, Weak};

use gst::{
    glib,
    glib::{subclass::prelude::*, translate::ToGlibPtr},
};
use gst_rtsp::{RTSPHeaderField, RTSPMethod, RTSPStatusCode};
use gst_rtsp_server::{RTSPContext, prelude::*, subclass::prelude::*};

use super::server::State;

/// The question about a request's method and URL (`GST_RTSP_AUTH_CHECK_URL`).
const URL: &str = "auth.check.url";

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Door {
        pub(super) state: OnceLock<Weak<State>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Door {
        const NAME: &'static str = "CameraServiceRtspDoor";
        type Type = super::Door;
        type ParentType = gst_rtsp_server::RTSPAuth;
    }

    impl ObjectImpl for Door {}

    impl RTSPAuthImpl for Door {
        fn check(&self, context: &RTSPContext, question: &glib::GString) -> bool {
            let state = self.state.get().and_then(Weak::upgrade);
            let (Some(state), URL) = (state, question.as_str()) else { return true };
            let status = match method(context) {
                RTSPMethod::ANNOUNCE => state.announce(context),
                RTSPMethod::DESCRIBE => match state.visit(context) {
                    Some(place) => return send_elsewhere(context, &place),
                    None => RTSPStatusCode::Ok,
                },
                _ => RTSPStatusCode::Ok,
            };
            status == RTSPStatusCode::Ok || refuse(context, status)
        }
    }
}

glib::wrapper! {
    /// Asks about every request.
    pub struct Door(ObjectSubclass<imp::Door>) @extends gst_rtsp_server::RTSPAuth;
}

impl Door {
    pub(super) fn new(state: &Arc<State>) -> Self {
        let door: Self = glib::Object::new();
        // The cell is empty: the object is a line old.
        let _ = door.imp().state.set(Arc::downgrade(state));
        door
    }
}

/// Answers a request with this status, in place of handling it. False, as `check` says no.
fn refuse(context: &RTSPContext, status: RTSPStatusCode) -> bool {
    if let (Some(response), Some(client)) = (context.response(), context.client()) {
        response.init_response(status, context.request());
        client.send_message(response, context.session());
    }
    false
}

/// Answers a request with the place to go to, in place of handling it. False, as `check` says no.
fn send_elsewhere(context: &RTSPContext, place: &str) -> bool {
    if let (Some(response), Some(client)) = (context.response(), context.client()) {
        response.init_response(RTSPStatusCode::MoveTemporarily, context.request());
        response.add_header(RTSPHeaderField::Location, place);
        client.send_message(response, context.session());
    }
    false
}

#[allow(unsafe_code, reason = "the bindings have no getter for it")]
fn method(context: &RTSPContext) -> RTSPMethod {
    let context: *mut gst_rtsp_server::ffi::GstRTSPContext = context.to_glib_none().0;
    // SAFETY: the context lives for as long as the request it is borrowed from, and nobody else writes to it.
    RTSPMethod::from_bits_truncate(unsafe { (*context).method })
}
