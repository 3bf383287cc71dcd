//! What is asked of every request before it is handled, while it can still be refused with any status.
//!
//! gst-rtsp-server asks its `GstRTSPAuth` first. Its signals would come too late for an ANNOUNCE: the media is made
//! before they are emitted (GStreamer 1.22).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use gst::{glib, glib::subclass::prelude::*};
use gst_rtsp::{RTSPAuthMethod, RTSPHeaderField, RTSPMethod, RTSPStatusCode, rtsp_message::RTSPMessage};
use gst_rtsp_server::{RTSPClient, RTSPContext, RTSPFilterResult, RTSPSession, prelude::*, subclass::prelude::*};

use super::{
    asked::{Asked, Chosen, Outside},
    client::path,
    connection::Connection,
    guest::{Admission, Guest, Proof},
    lock,
    message::{field, header, is_text, list, method, path_and_query, set_header, set_path},
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
            let Some((connection, remote)) = context.client().and_then(|client| state.connection_of(client)) else {
                return true;
            };
            let is_sound = |request: &RTSPMessage| is_text(request) && header(request, RTSPHeaderField::Cseq).is_some();
            if !context.request().is_some_and(is_sound) {
                return answer(context, RTSPStatusCode::BadRequest, &[]);
            }
            if state.is_of_another(connection, context) {
                return answer(context, RTSPStatusCode::BadRequest, &[]);
            }
            let secure = state.note_who_asks(connection, context);
            let first = method == RTSPMethod::SETUP && context.session().is_none();
            let mut records = method == RTSPMethod::ANNOUNCE;
            if method == RTSPMethod::SETUP {
                let (udp, groups) = (state.settings.udp, state.settings.multicast.is_some());
                // What is asked for inside TLS stays there.
                let outside = if secure { Outside::default() } else { Outside { udp, groups } };
                let request = context.request();
                let offered = request.map(|request| list(request, RTSPHeaderField::Transport)).unwrap_or_default();
                let Some(chosen) = Chosen::of(&offered, outside) else {
                    return answer(context, RTSPStatusCode::UnsupportedTransport, &[]);
                };
                request.iter().for_each(|request| set_header(request, RTSPHeaderField::Transport, &chosen.transport));
                records = chosen.records;
            }
            let Some(name) = state.read_url(connection, context, method, first) else { return true };
            if method == RTSPMethod::SETUP {
                if state.is_out_of_place(connection, context, &name) {
                    return answer(context, RTSPStatusCode::BadRequest, &[]);
                }
                if !records {
                    name_stream(context, &name);
                }
            }
            // Whoever has a session has been asked.
            let asks = first || matches!(method, RTSPMethod::ANNOUNCE | RTSPMethod::DESCRIBE);
            if asks && !state.lets_in((connection, remote), context, &name, records) {
                return false;
            }
            let status = match method {
                RTSPMethod::ANNOUNCE => state.announce(connection, remote, &name),
                RTSPMethod::DESCRIBE => match state.visit(connection, context, &name) {
                    Some(Told::Elsewhere(place)) => {
                        let place = [(RTSPHeaderField::Location, place.as_str())];
                        return answer(context, RTSPStatusCode::MoveTemporarily, &place);
                    }
                    Some(Told::Unknown) => RTSPStatusCode::BadRequest,
                    None => RTSPStatusCode::Ok,
                },
                RTSPMethod::SETUP if first && !records => match state.visit(connection, context, &name) {
                    Some(Told::Elsewhere(_)) => RTSPStatusCode::NotFound,
                    Some(Told::Unknown) => RTSPStatusCode::BadRequest,
                    None if state.has_described(connection, &name) => RTSPStatusCode::Ok,
                    None => state.describe(connection, &name),
                },
                // A sign of life.
                RTSPMethod::GET_PARAMETER if context.session().is_some() => {
                    return answer(context, RTSPStatusCode::Ok, &[(RTSPHeaderField::ContentType, "text/parameters")]);
                }
                RTSPMethod::GET_PARAMETER | RTSPMethod::SET_PARAMETER => RTSPStatusCode::NotImplemented,
                _ => RTSPStatusCode::Ok,
            };
            status == RTSPStatusCode::Ok || answer(context, status, &[])
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
    /// Whether a request is about the session of another connection. GStreamer has told this one of it by now, and would
    /// end it with this one.
    fn is_of_another(&self, connection: u64, context: &RTSPContext) -> bool {
        let (Some(client), Some(session)) = (context.client(), context.session()) else { return false };
        let is_own = |known: &Connection| known.sessions.iter().any(|own| own.session == *session);
        if lock(&self.connections).get(&connection).is_none_or(is_own) {
            return false;
        }
        let forget = |_: &RTSPClient, other: &RTSPSession| match other == session {
            true => RTSPFilterResult::Remove,
            false => RTSPFilterResult::Keep,
        };
        client.session_filter(Some(&mut { forget }));
        true
    }

    /// Notes that somebody waits for an answer, and the program at the other end, as it calls itself. Whether it came inside
    /// TLS.
    fn note_who_asks(&self, connection: u64, context: &RTSPContext) -> bool {
        let user_agent = context.request().and_then(|request| header(request, RTSPHeaderField::UserAgent));
        let mut connections = lock(&self.connections);
        let Some(known) = connections.get_mut(&connection) else { return false };
        known.waits = true;
        if let Some(user_agent) = user_agent {
            known.user_agent = user_agent;
        }
        known.secure
    }

    /// Leaves a URL without a query to GStreamer, which would take it for a part of the path. The name of the path that it
    /// is about.
    fn read_url(&self, connection: u64, context: &RTSPContext, method: RTSPMethod, first: bool) -> Option<String> {
        let (path, query) = path_and_query(context)?;
        let asked = Asked::new(&path, &query, method == RTSPMethod::SETUP);
        set_path(context, &asked.path);
        if (first || matches!(method, RTSPMethod::ANNOUNCE | RTSPMethod::DESCRIBE))
            && let Some(known) = lock(&self.connections).get_mut(&connection)
        {
            known.query = asked.query;
        }
        Some(self.path_of(context.uri()?, method == RTSPMethod::SETUP))
    }

    /// Whether SETUP comes when it must not: a connection has one session, that is for one path, which was asked about,
    /// and what flows already stays as it was agreed on.
    fn is_out_of_place(&self, connection: u64, context: &RTSPContext, name: &str) -> bool {
        let own: Vec<_> = lock(&self.connections)
            .get(&connection)
            .into_iter()
            .flat_map(|known| &known.sessions)
            .filter_map(|own| Some((own.session.upgrade()?, own.path.clone())))
            .collect();
        let Some(session) = context.session() else {
            // One that is over may not be gone yet.
            return own.iter().any(|(own, _)| own.sessionid().is_some_and(|id| self.sessions.find(&id).is_some()));
        };
        let flows = session.sessionid().is_some_and(|id| self.feeds().iter().any(|feed| feed.has(&id)))
            || lock(&self.publishing).iter().any(|known| known.connection == connection);
        flows || own.iter().any(|(own, path)| own == session && !path.is_empty() && path != name)
    }

    /// Whether whoever asks may have this path; if not, it is answered.
    fn lets_in(
        &self,
        (connection, remote): (u64, SocketAddr),
        context: &RTSPContext,
        name: &str,
        publishes: bool,
    ) -> bool {
        let Some(publishers) = self.publishers.get() else { return true };
        let asked = (name.to_owned(), publishes);
        let method = method(context);
        let kept = lock(&self.connections).get(&connection).map(|known| {
            let id = if method == RTSPMethod::DESCRIBE { known.id } else { known.next_session };
            let own = (id, known.nonce.clone(), known.query.clone(), known.user_agent.clone());
            (known.may.contains(&asked) && method != RTSPMethod::ANNOUNCE, own)
        });
        let Some((known, (id, nonce, query, user_agent))) = kept else { return true };
        // It was asked at ANNOUNCE, for the same session.
        if known && publishes {
            return true;
        }
        let shown = shown(context).filter(|(_, shown)| shown.as_ref().err().is_none_or(|digest| digest.nonce == nonce));
        let shown = shown.as_ref().map(|(user, shown)| {
            (user.as_str(), shown.as_ref().map_or_else(Proof::Digest, |pass| Proof::Password(pass)))
        });
        let (query, user_agent) = (query.as_str(), user_agent.as_str());
        match publishers.admitted(&Guest { path: name, query, publishes, remote, id, known, user_agent, shown }) {
            Admission::Granted => {
                if let Some(known) = lock(&self.connections).get_mut(&connection) {
                    known.may.insert(asked);
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

/// A reader that names no stream gets the first, by its name.
fn name_stream(context: &RTSPContext, name: &str) {
    let whole = format!("/{name}");
    if context.uri().map(path).as_ref() == Some(&whole) {
        set_path(context, &format!("{whole}/trackID=0"));
    }
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
