//! How packets reach a reader, and where its own come from.

use std::{
    ffi::CStr,
    net::{IpAddr, SocketAddr},
};

use gst::glib::translate::ToGlibPtr;
use gst_rtsp_server::{RTSPAddressPool, RTSPStreamTransport, prelude::*};

use super::{RtspSettings, Transport};

/// How packets reach a reader.
pub(super) struct Way {
    pub(super) transport: Transport,
    /// Where its RTCP packets come from.
    pub(super) end: End,
}

/// An address, and two ports of it.
pub(super) struct End {
    host: IpAddr,
    /// `None`: any. Those who listen to a group have named none.
    ports: Option<[u16; 2]>,
}

impl End {
    /// Whether this is its address, and one of its ports if it has named some.
    pub(super) fn is_at(&self, from: SocketAddr) -> bool {
        self.host == from.ip().to_canonical() && self.ports.is_none_or(|ports| ports.contains(&from.port()))
    }

    /// Whether it has named its ports.
    pub(super) fn is_exact(&self) -> bool {
        self.ports.is_some()
    }
}

/// What was agreed on with SETUP by whoever is at `remote`. `None` where GStreamer does not say an address.
#[allow(unsafe_code, reason = "the bindings have no getter for it")]
pub(super) fn way(transport: &RTSPStreamTransport, remote: SocketAddr) -> Option<Way> {
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
    if lower & gst_rtsp::ffi::GST_RTSP_LOWER_TRANS_UDP_MCAST != 0 {
        // The address is the group's.
        let end = End { host: remote.ip().to_canonical(), ports: None };
        return Some(Way { transport: Transport::Multicast, end });
    }
    let tcp = lower & gst_rtsp::ffi::GST_RTSP_LOWER_TRANS_TCP != 0;
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    Some(Way { transport, end: End { host: host.to_canonical(), ports: Some(ports) } })
}

/// The addresses and ports that may be used, if they are not any: these UDP ports of this machine, these groups.
pub(super) fn addresses(settings: &RtspSettings) -> Option<RTSPAddressPool> {
    if settings.udp_ports.is_none() && settings.multicast.is_none() {
        return None;
    }
    let pool = RTSPAddressPool::new();
    if let Some((first, last)) = settings.udp_ports {
        for any in [gst_rtsp_server::RTSP_ADDRESS_POOL_ANY_IPV4, gst_rtsp_server::RTSP_ADDRESS_POOL_ANY_IPV6] {
            if let Err(error) = pool.add_range(any, any, first, last, 0) {
                tracing::error!(first, last, %error, "RTSP cannot use these UDP ports");
            }
        }
    }
    if let Some(multicast) = settings.multicast {
        let [first, last] = [multicast.first, multicast.last].map(|group| group.to_string());
        let ports = (multicast.port, multicast.port.saturating_add(1));
        if let Err(error) = pool.add_range(&first, &last, ports.0, ports.1, multicast.ttl) {
            tracing::error!(first, last, %error, "RTSP cannot use these groups");
        }
    }
    Some(pool)
}
