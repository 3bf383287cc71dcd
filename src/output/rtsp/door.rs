//! What is asked of every request before it is handled, while it can still be refused with any status.
//!
//! gst-rtsp-server asks its `GstRTSPAuth` first. Its signals would come too late for an ANNOUNCE: the media is made
//! before they are emitted (GStreamer 1.22).

use std::{
    collections::HashMap,
    ffi::CStr,
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use gst::{
    glib,
    glib::{
        subclass::prelude::*,
        translate::{IntoGlib, ToGlibPtr},
    },
};
use gst_rtsp::{RTSPAuthMethod, RTSPAuthParam, RTSPHeaderField, RTSPMethod, RTSPStatusCode};
use gst_rtsp_server::{RTSPContext, prelude::*, subclass::prelude::*};

use super::{
    client::query,
    guest::{Admission, Guest, Proof},
    lock,
    publish::Told,
    server::State,
};
use crate::mtx::DigestProof;

/// What names and passwords are for (MediaMTX's).
const REALM: &str = "ipcam";
/// The question about a request's method and URL (`GST_RTSP_AUTH_CHECK_URL`).
const URL: &str = "auth.check.url";
/// The question whether a reader may name the group it listens to (`GST_RTSP_AUTH_CHECK_TRANSPORT_CLIENT_SETTINGS`).
const CLIENT_SETTINGS: &str = "auth.check.transport.client-settings";

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
            // Where to send to groups is not for readers to say.
            if question == CLIENT_SETTINGS {
                return false;
            }
            let (Some(state), URL) = (state, question.as_str()) else { return true };
            let method = method(context);
            let publishes = method == RTSPMethod::ANNOUNCE;
            let caller = context.client().and_then(|client| state.connection_of(client));
            let secure = caller.is_some_and(|(connection, _)| state.note_who_asks(connection, context));
            if method == RTSPMethod::SETUP && secure && would_leak(context) {
                return answer(context, RTSPStatusCode::UnsupportedTransport, &[]);
            }
            // Whoever has a session has been asked.
            let asked = publishes
                || method == RTSPMethod::DESCRIBE
                || (method == RTSPMethod::SETUP && context.session().is_none());
            if let Some(caller) = caller.filter(|_| asked)
                && !state.lets_in(caller, context, publishes)
            {
                return false;
            }
            match method {
                RTSPMethod::ANNOUNCE => match state.announce(caller, context) {
                    RTSPStatusCode::Ok => true,
                    status => answer(context, status, &[]),
                },
                RTSPMethod::DESCRIBE => match state.visit(context) {
                    Some(Told::Elsewhere(place)) => {
                        answer(context, RTSPStatusCode::MoveTemporarily, &[(RTSPHeaderField::Location, &place)])
                    }
                    Some(Told::Unknown) => answer(context, RTSPStatusCode::BadRequest, &[]),
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
    /// Notes the program at the other end, as it calls itself. Whether it came inside TLS.
    fn note_who_asks(&self, connection: u64, context: &RTSPContext) -> bool {
        let user_agent = header(context, RTSPHeaderField::UserAgent);
        let mut connections = lock(&self.connections);
        let Some(known) = connections.get_mut(&connection) else { return false };
        if let Some(user_agent) = user_agent {
            known.user_agent = user_agent;
        }
        known.secure
    }

    /// Whether whoever asks may have this path; if not, it is answered.
    fn lets_in(&self, (connection, remote): (u64, SocketAddr), context: &RTSPContext, publishes: bool) -> bool {
        let (Some(publishers), Some(url)) = (self.publishers.get(), context.uri()) else { return true };
        let name = self.path_of(url);
        let kept =
            lock(&self.connections).get(&connection).map(|known| (known.may.contains(&name), known.nonce.clone()));
        let Some((may, nonce)) = kept else { return true };
        if may && !publishes {
            return true;
        }
        let shown = shown(context).filter(|(_, shown)| shown.as_ref().err().is_none_or(|digest| digest.nonce == nonce));
        let shown = shown.as_ref().map(|(user, shown)| {
            (user.as_str(), shown.as_ref().map_or_else(Proof::Digest, |pass| Proof::Password(pass)))
        });
        match publishers.admitted(&Guest { path: &name, query: &query(url), publishes, remote, shown }) {
            Admission::Granted => {
                if let Some(known) = lock(&self.connections).get_mut(&connection) {
                    known.may.insert(name);
                    shown.map_or("", |(user, _)| user).clone_into(&mut known.user);
                }
                true
            }
            Admission::Ask { basic, digest } => {
                let digest = digest.then(|| format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=\"MD5\""));
                let basic = basic.then(|| format!("Basic realm=\"{REALM}\""));
                let ask: Vec<_> = [basic, digest].into_iter().flatten().collect();
                let ask: Vec<_> = ask.iter().map(|way| (RTSPHeaderField::WwwAuthenticate, way.as_str())).collect();
                answer(context, RTSPStatusCode::Unauthorized, &ask)
            }
            Admission::Refused => {
                answer(context, RTSPStatusCode::Unauthorized, &[]);
                self.disconnect(&[connection]);
                false
            }
        }
    }
}

/// Whether what came inside TLS is to leave outside of it: in packets of its own.
fn would_leak(context: &RTSPContext) -> bool {
    let ways = header(context, RTSPHeaderField::Transport).unwrap_or_default();
    !ways.split(',').all(|way| way.split(';').next().is_some_and(|way| way.trim().ends_with("/TCP")))
}

/// The name that a request shows, and its password (RFC 7617) or a digest (RFC 2617).
fn shown(context: &RTSPContext) -> Option<(String, Result<String, DigestProof>)> {
    let credentials = context.request()?.parse_auth_credentials();
    if let Some(basic) = credentials.iter().find(|shown| shown.scheme() == RTSPAuthMethod::Basic) {
        let text = String::from_utf8(BASE64_STANDARD.decode(basic.authorization()?).ok()?).ok()?;
        return text.split_once(':').map(|(user, pass)| (user.to_owned(), Ok(pass.to_owned())));
    }
    let digest = credentials.iter().find(|shown| shown.scheme() == RTSPAuthMethod::Digest)?;
    let fields: HashMap<String, String> = digest.params().iter().filter_map(field).collect();
    let told = |name: &str| fields.get(name).cloned();
    let method = match method(context) {
        RTSPMethod::ANNOUNCE => "ANNOUNCE",
        RTSPMethod::SETUP => "SETUP",
        _ => "DESCRIBE",
    };
    let method = method.to_owned();
    let (realm, nonce) = (told("realm")?, told("nonce")?);
    Some((told("username")?, Err(DigestProof { realm, nonce, method, uri: told("uri")?, response: told("response")? })))
}

/// Answers a request in place of handling it. False, as `check` says no.
fn answer(context: &RTSPContext, status: RTSPStatusCode, headers: &[(RTSPHeaderField, &str)]) -> bool {
    if let (Some(response), Some(client)) = (context.response(), context.client()) {
        response.init_response(status, context.request());
        for (field, value) in headers {
            response.add_header(*field, value);
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

/// A field of credentials, its name in small letters.
#[allow(unsafe_code, reason = "the bindings have no getters for them")]
fn field(field: &RTSPAuthParam) -> Option<(String, String)> {
    let field: *mut gst_rtsp::ffi::GstRTSPAuthParam = field.to_glib_none().0;
    let text = |text: *mut std::ffi::c_char| {
        // SAFETY: not null, and it ends with a zero for as long as the field lives.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    // SAFETY: the field lives for as long as it is borrowed.
    let (name, value) = unsafe { ((*field).name, (*field).value) };
    Some((text(name)?.to_ascii_lowercase(), text(value)?))
}

/// A header of a request.
#[allow(unsafe_code, reason = "the bindings have no getter for them")]
fn header(context: &RTSPContext, field: RTSPHeaderField) -> Option<String> {
    let request = context.request()?;
    let mut value = std::ptr::null_mut();
    // SAFETY: the request lives for as long as it is borrowed, and what is found in it belongs to it.
    unsafe {
        let message: *mut gst_rtsp::ffi::GstRTSPMessage = request.to_glib_none().0;
        let found = gst_rtsp::ffi::gst_rtsp_message_get_header(message, field.into_glib(), &mut value, 0);
        let found = found == gst_rtsp::ffi::GST_RTSP_OK && !value.is_null();
        found.then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}
