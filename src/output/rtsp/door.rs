//! What is asked of every request before it is handled, while it can still be refused with any status.
//!
//! gst-rtsp-server asks its `GstRTSPAuth` first. Its signals would come too late for an ANNOUNCE: the media is made
//! before they are emitted (GStreamer 1.22).

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use gst::{
    glib,
    glib::{subclass::prelude::*, translate::ToGlibPtr},
};
use gst_rtsp::{RTSPAuthMethod, RTSPHeaderField, RTSPMethod, RTSPStatusCode};
use gst_rtsp_server::{RTSPContext, prelude::*, subclass::prelude::*};

use super::{
    client::query,
    connection::Connection,
    lock,
    publish::{Admission, Guest},
    server::State,
};

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
            let method = method(context);
            let publishes = method == RTSPMethod::ANNOUNCE;
            // Whoever has a session has been asked.
            let asked = publishes
                || method == RTSPMethod::DESCRIBE
                || (method == RTSPMethod::SETUP && context.session().is_none());
            if asked && !state.lets_in(context, publishes) {
                return false;
            }
            match method {
                RTSPMethod::ANNOUNCE => match state.announce(context) {
                    RTSPStatusCode::Ok => true,
                    status => answer(context, status, None),
                },
                RTSPMethod::DESCRIBE => match state.visit(context) {
                    Some(place) => {
                        answer(context, RTSPStatusCode::MoveTemporarily, Some((RTSPHeaderField::Location, &place)))
                    }
                    None => true,
                },
                _ => true,
            }
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

impl State {
    /// Whether whoever asks may have this path; if not, it is answered.
    fn lets_in(&self, context: &RTSPContext, publishes: bool) -> bool {
        let Some(publishers) = self.publishers.get() else { return true };
        let known = context.client().and_then(|client| self.connection_of(client));
        let (Some((connection, remote)), Some(url)) = (known, context.uri()) else { return true };
        let name = self.path_of(url);
        let kept = |connections: &HashMap<u64, Connection>| connections.get(&connection).map(|known| known.may.clone());
        if kept(&lock(&self.connections)).is_some_and(|may| may.contains(&name)) && !publishes {
            return true;
        }
        let shown = shown(context);
        let shown = shown.as_ref().map(|(user, pass)| (user.as_str(), pass.as_str()));
        match publishers.admitted(&Guest { path: &name, query: &query(url), publishes, remote, shown }) {
            Admission::Granted => {
                if let Some(known) = lock(&self.connections).get_mut(&connection) {
                    known.may.insert(name);
                    shown.map_or("", |(user, _)| user).clone_into(&mut known.user);
                }
                true
            }
            Admission::Ask => {
                let ask = (RTSPHeaderField::WwwAuthenticate, "Basic realm=\"ipcam\"");
                answer(context, RTSPStatusCode::Unauthorized, Some(ask))
            }
            Admission::Refused => {
                answer(context, RTSPStatusCode::Unauthorized, None);
                self.disconnect(&[connection]);
                false
            }
        }
    }
}

/// The name and password that a request shows (RFC 7617).
fn shown(context: &RTSPContext) -> Option<(String, String)> {
    let credentials = context.request()?.parse_auth_credentials();
    let basic = credentials.iter().find(|shown| shown.scheme() == RTSPAuthMethod::Basic)?;
    let text = String::from_utf8(BASE64_STANDARD.decode(basic.authorization()?).ok()?).ok()?;
    text.split_once(':').map(|(user, pass)| (user.to_owned(), pass.to_owned()))
}

/// Answers a request in place of handling it. False, as `check` says no.
fn answer(context: &RTSPContext, status: RTSPStatusCode, header: Option<(RTSPHeaderField, &str)>) -> bool {
    if let (Some(response), Some(client)) = (context.response(), context.client()) {
        response.init_response(status, context.request());
        if let Some((field, value)) = header {
            response.add_header(field, value);
        }
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
