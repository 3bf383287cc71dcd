//! Replies as clients of MediaMTX know them, whoever gives them: changed on their way out.

use std::sync::Arc;

use gst::{glib, glib::ControlFlow, prelude::*};
use gst_rtsp::{RTSPHeaderField, RTSPMethod, rtsp_message::RTSPMessage};
use gst_rtsp_server::{RTSPClient, RTSPContext};

use super::{message, server::State};

/// What can be asked for.
const PUBLIC: &str = "DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, GET_PARAMETER, TEARDOWN";
/// The server of MediaMTX, as it calls itself over RTSP.
const SERVER: &str = "gortsplib";
/// Replies that are the last of their connection. (The other one is 401 for wrong credentials; see `door`.)
const LAST: [i32; 3] = [400, 404, 454];

/// Follows what a connection is answered.
pub(super) fn follow(state: &Arc<State>, connection: u64, client: &RTSPClient) {
    let weak = Arc::downgrade(state);
    client.connect("send-message", false, move |values| {
        let status = message::shown(values, |reply| {
            let status = message::status(reply)?;
            RTSPContext::with_current_context(|context| dress(context, reply, status));
            Some(status)
        });
        if status.flatten().is_some()
            && let Some(state) = weak.upgrade()
            && let Some(client) = values.first().and_then(|client| client.get::<RTSPClient>().ok())
        {
            state.answered(connection, &client);
        }
        if status.flatten().is_some_and(|status| LAST.contains(&status))
            && let Some(state) = weak.upgrade()
        {
            state.disconnect_afterwards(connection);
        }
        None
    });
    // What a client requires is its wish (ONVIF's back channel): it gets what there is.
    client.connect("check-requirements", false, |_| Some("".to_value()));
}

fn dress(context: &RTSPContext, reply: &RTSPMessage, status: i32) {
    message::set_header(reply, RTSPHeaderField::Server, SERVER);
    match message::method(context) {
        RTSPMethod::OPTIONS if status == 200 => message::set_header(reply, RTSPHeaderField::Public, PUBLIC),
        RTSPMethod::DESCRIBE if status == 200 => {
            // With its query, which the URLs of streams then have too.
            let url = context.request().and_then(message::url).filter(|url| url.contains("://"));
            if let Some(url) = url {
                let base = format!("{}/", url.trim_end_matches('/'));
                message::set_header(reply, RTSPHeaderField::ContentBase, &base);
            }
        }
        RTSPMethod::PLAY => {
            // There is only now.
            message::remove_header(reply, RTSPHeaderField::Range);
            let streams = message::list(reply, RTSPHeaderField::RtpInfo);
            if !streams.is_empty() {
                message::set_header(reply, RTSPHeaderField::RtpInfo, &streams_only(&streams));
            }
        }
        RTSPMethod::ANNOUNCE => message::remove_header(reply, RTSPHeaderField::Session),
        RTSPMethod::TEARDOWN if status == 200 => {
            message::remove_header(reply, RTSPHeaderField::Session);
            // It is not.
            message::remove_header(reply, RTSPHeaderField::Connection);
        }
        _ => {}
    }
}

/// `RTP-Info` without the numbers of the first packet, which is to be a key frame's that is not made yet: GStreamer says
/// those of the last packet of whoever reads it already, or of the frame that answered DESCRIBE, and readers take what
/// comes for lost or too old. MediaMTX leaves them out too as long as it does not know them.
fn streams_only(streams: &[String]) -> String {
    let urls = streams.iter().filter_map(|stream| stream.split(';').next());
    urls.map(str::trim).collect::<Vec<_>>().join(",")
}

impl State {
    /// Closes the connection that this thread is answering, once it is answered.
    fn disconnect_afterwards(self: &Arc<Self>, connection: u64) {
        let weak = Arc::downgrade(self);
        let close = move || {
            if let Some(state) = weak.upgrade() {
                state.disconnect(&[connection]);
            }
            ControlFlow::Break
        };
        // Before the next request, which may be there already.
        let source = glib::idle_source_new(None, glib::Priority::HIGH, close);
        source
            .attach(glib::main_current_source().and_then(|reading| reading.context()).as_ref().or(Some(&self.context)));
    }
}
