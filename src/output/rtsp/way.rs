//! How packets reach a reader, and where its own come from.

use std::{
    ffi::CStr,
    net::{IpAddr, SocketAddr},
};

use gst::glib::translate::ToGlibPtr;
use gst_rtsp_server::RTSPStreamTransport;

use super::Transport;

/// How packets reach a reader.
pub(super) struct Way {
    pub(super) transport: Transport,
    /// Where its RTCP packets come from.
    pub(super) end: End,
}

/// An address, and two ports of it.
pub(super) struct End {
    host: IpAddr,
    ports: [u16; 2],
}

impl End {
    pub(super) fn is_at(&self, from: SocketAddr) -> bool {
        self.host == from.ip().to_canonical() && self.ports.contains(&from.port())
    }
}

/// What was agreed on with SETUP. `None` where GStreamer does not say an address.
#[allow(unsafe_code, reason = "the bindings have no getter for it")]
pub(super) fn way(transport: &RTSPStreamTransport) -> Option<Way> {
    let transport: *mut gst_rtsp_server::ffi::GstRTSPStreamTransport = transport.to_glib_none().0;
    // SAFETY: it belongs to the stream's transport, which is borrowed, and is written by SETUP only: on the thread of its
    // connection, as this is.
    let (lower, ports, host) = unsafe {
        let agreed = gst_rtsp_server::ffi::gst_rtsp_stream_transport_get_transport(transport).as_ref()?;
        let host = (!agreed.destination.is_null()).then(|| CStr::from_ptr(agreed.destination));
        (agreed.lower_transport, agreed.client_port, host?.to_str().ok()?.parse::<IpAddr>().ok()?)
    };
    // In the connection it is the connection's, which GStreamer notes as the first; the second is none then.
    let ports = [ports.min, ports.max].map(|port| u16::try_from(port).unwrap_or(0));
    let tcp = lower & gst_rtsp::ffi::GST_RTSP_LOWER_TRANS_TCP != 0;
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    Some(Way { transport, end: End { host: host.to_canonical(), ports } })
}
