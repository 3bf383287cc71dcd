//! What one connection does, told by the signals of gst-rtsp-server.
//!
//! The signals come on the connection's own thread, so a source that takes its time to open delays nobody else.

use std::{mem, sync::Arc, time::SystemTime};

use gst_rtsp::{RTSPStatusCode, RTSPUrl};
use gst_rtsp_server::{RTSPClient, RTSPContext, prelude::*};

use uuid::Uuid;

use super::{
    ReaderInfo,
    connection::Session,
    lock, publish,
    reader::{ONLY, Seat},
    reply,
    server::State,
    way::way,
};
use crate::error::Kind;

/// Follows a new connection.
pub(super) fn follow(state: &Arc<State>, connection: u64, client: &RTSPClient) {
    if let Some(known) = lock(&state.connections).get(&connection) {
        known.client.set(Some(client));
    }
    publish::follow(state, connection, client);
    reply::follow(state, connection, client);
    let weak = Arc::downgrade(state);
    client.connect_pre_describe_request(move |_, context| {
        let name = context.uri().map(path).unwrap_or_default();
        weak.upgrade().map_or(RTSPStatusCode::ServiceUnavailable, |state| state.describe(connection, &name))
    });
    let weak = Arc::downgrade(state);
    client.connect_new_session(move |_, session| {
        if let Some(state) = weak.upgrade() {
            session.set_timeout_always_visible(true);
            session.set_timeout(u32::try_from(state.settings.session_timeout.as_secs()).unwrap_or(u32::MAX));
            if let Some(known) = lock(&state.connections).get_mut(&connection) {
                known.described = None;
                known.sessions.push(Session {
                    id: mem::replace(&mut known.next_session, Uuid::new_v4()),
                    created: SystemTime::now(),
                    session: session.downgrade(),
                    path: String::new(),
                    query: known.query.clone(),
                    meter: Arc::default(),
                });
            }
        }
    });
    let weak = Arc::downgrade(state);
    client.connect_setup_request(move |client, context| {
        if let Some(state) = weak.upgrade() {
            state.set_up(connection, client, context);
        }
    });
    let weak = Arc::downgrade(state);
    client.connect_pre_play_request(move |_, context| {
        weak.upgrade().map_or(RTSPStatusCode::ServiceUnavailable, |state| state.about_to_play(context))
    });
    let weak = Arc::downgrade(state);
    client.connect_play_request(move |_, context| {
        if let Some(state) = weak.upgrade() {
            state.play(connection, context);
        }
    });
    let weak = Arc::downgrade(state);
    client.connect_pre_teardown_request(move |_, context| {
        if let Some(state) = weak.upgrade() {
            state.pause(context);
        }
        RTSPStatusCode::Ok
    });
    let weak = Arc::downgrade(state);
    client.connect_pre_pause_request(move |_, context| {
        if let Some(state) = weak.upgrade() {
            state.pause(context);
        }
        RTSPStatusCode::Ok
    });
    let weak = Arc::downgrade(state);
    client.connect_closed(move |_| {
        if let Some(state) = weak.upgrade() {
            state.closed(connection);
        }
    });
}

impl State {
    /// Opens the source of a path for a reader, while the request can still be refused.
    pub(super) fn describe(&self, connection: u64, name: &str) -> RTSPStatusCode {
        publish::announced();
        let Some(mount) = self.mount_of(&format!("/{}", name.trim_start_matches('/'))) else {
            return RTSPStatusCode::NotFound;
        };
        if self.is_full(&mount) {
            tracing::info!(path = mount.name, "RTSP reader refused: as many read it as may");
            return RTSPStatusCode::BadRequest;
        }
        if let Some(known) = lock(&self.connections).get_mut(&connection) {
            known.mount = Arc::downgrade(&mount);
        }
        let shared = self.feeds().iter().any(|feed| feed.is_open() && Arc::ptr_eq(&feed.mount, &mount));
        match if shared { Ok(()) } else { mount.open() } {
            Ok(()) => {
                if let Some(known) = lock(&self.connections).get_mut(&connection) {
                    known.described = Some(mount.name.clone());
                }
                RTSPStatusCode::Ok
            }
            Err(error) => {
                tracing::info!(path = mount.name, error = error.chain(), "RTSP reader refused");
                match error.kind() {
                    Kind::NotFound { .. } => RTSPStatusCode::NotFound,
                    _ => RTSPStatusCode::ServiceUnavailable,
                }
            }
        }
    }

    /// Whether this path was described on the connection, and no session has it yet.
    pub(super) fn has_described(&self, connection: u64, name: &str) -> bool {
        lock(&self.connections).get(&connection).is_some_and(|known| known.described.as_deref() == Some(name))
    }

    /// A session knows what it is for, and its connection whether packets go through it. (That must not be asked in another
    /// thread: a TEARDOWN frees what the client would tell of.)
    fn set_up(&self, connection: u64, client: &RTSPClient, context: &RTSPContext) {
        let takes_packets = (0..=u8::MAX).any(|channel| client.stream_transport(channel).is_some());
        let (Some(session), Some(url)) = (context.session(), context.uri()) else { return };
        let name = self.path_of(url, true);
        let mut connections = lock(&self.connections);
        let Some(known) = connections.get_mut(&connection) else { return };
        known.takes_packets = takes_packets;
        if let Some(own) = known.sessions.iter_mut().find(|own| own.session == *session) {
            own.path = name;
        }
    }

    /// The name of the path that a URL is about. Of SETUP, behind it may stand which of its streams is meant: no path has
    /// an equals sign.
    pub(super) fn path_of(&self, url: &RTSPUrl, sets_up: bool) -> String {
        let whole = path(url);
        let mount = |path: &str| self.mount_of(path).map(|mount| mount.name.clone());
        let of = |path: &str| mount(path).unwrap_or_else(|| path.trim_matches('/').to_owned());
        match whole.rsplit_once('/').filter(|_| sets_up && mount(&whole).is_none()) {
            Some((path, stream)) if stream.contains('=') || mount(path).is_some() => of(path),
            _ => of(&whole),
        }
    }

    fn about_to_play(&self, context: &RTSPContext) -> RTSPStatusCode {
        let Some((session, media)) = session_media(context) else { return RTSPStatusCode::Ok };
        let feed = media.media().and_then(|media| self.feed_of(&media));
        if let Some(feed) = feed.filter(|feed| !feed.has(&session)) {
            if self.is_full(&feed.mount) {
                return RTSPStatusCode::BadRequest;
            }
            feed.expect_play();
        }
        RTSPStatusCode::Ok
    }

    fn play(&self, connection: u64, context: &RTSPContext) {
        let Some((session, media)) = session_media(context) else { return };
        let Some(feed) = media.media().and_then(|media| self.feed_of(&media)) else {
            return;
        };
        if feed.is_ended() {
            return self.disconnect(&[connection]);
        }
        // A second PLAY is a sign of life of some players.
        if feed.has(&session) {
            return;
        }
        let remote = lock(&self.connections).get(&connection).map(|known| known.remote);
        let agreed = media.transport(ONLY).zip(remote).and_then(|(transport, remote)| way(&transport, remote));
        let Some(way) = agreed else { return };
        let known = lock(&self.connections).get(&connection).map(|known| {
            let asking = context.session();
            let own = known.sessions.iter().find(|known| asking.is_some_and(|session| known.session == *session));
            let (id, meter) = own.map(|own| (own.id, Arc::clone(&own.meter))).unwrap_or_default();
            (
                ReaderInfo {
                    path: feed.mount.name.clone(),
                    remote: known.remote,
                    transport: way.transport,
                    session: id,
                    query: known.query.clone(),
                    secure: known.secure,
                },
                meter,
            )
        });
        let Some((info, meter)) = known else { return };
        feed.join(info, Seat { connection, session, end: way.end, meter }, &media);
        // The stream may have ended meanwhile, and those who read it then were sent off without this one.
        if feed.is_ended() {
            self.disconnect(&[connection]);
        }
    }

    /// PAUSE or TEARDOWN, about to be done.
    fn pause(&self, context: &RTSPContext) {
        let Some((session, media)) = session_media(context) else { return };
        if let Some(feed) = media.media().and_then(|media| self.feed_of(&media)) {
            feed.leave(|reader| reader.session == session);
        }
    }
}

/// The session of a request and what it reads.
pub(super) fn session_media(context: &RTSPContext) -> Option<(String, gst_rtsp_server::RTSPSessionMedia)> {
    let session = context.session()?;
    let media = session.media(&path(context.uri()?)).0?;
    Some((session.sessionid()?.into(), media))
}

/// The path of a URL, without its query: `/camera0`.
pub(super) fn path(url: &RTSPUrl) -> String {
    let uri = url.request_uri();
    let after_scheme = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("/", |slash| &after_scheme[slash..]);
    path.split('?').next().unwrap_or(path).to_owned()
}
