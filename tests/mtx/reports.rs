//! What is lost on the way to a reader is told in the API and in the metrics, of this reader.

use std::sync::atomic::{AtomicU32, Ordering};

use gst::prelude::*;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    get,
    metrics::scrape,
    support::{Camera, PATIENCE, SMALL, Service},
};

/// A GStreamer reader over UDP. If it is `losing`, every tenth packet does not reach it.
fn read(url: &str, losing: bool) -> gst::Pipeline {
    let line =
        format!("rtspsrc location={url} protocols=udp latency=0 user-agent=losing-{losing} ! fakesink sync=false");
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.connect_deep_element_added(move |_, _, element| {
        if losing && element.factory().is_some_and(|factory| factory.name() == "udpsrc") {
            let count = AtomicU32::new(0);
            element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                let lost = count.fetch_add(1, Ordering::Relaxed) % 10 == 9;
                if lost { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
            });
        }
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_loses_packets_is_told_from_one_that_does_not() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let readers = [true, false].map(|losing| read(&service.url("camera0"), losing));
    let reported = |session: &Value| {
        session["inboundRTCPPackets"].as_u64() > Some(0)
            && session["outboundRTCPPackets"].as_u64() > Some(0)
            && (session["userAgent"] == "losing-false" || session["outboundRTPPacketsReportedLost"].as_u64() > Some(0))
    };
    let both = async {
        loop {
            let sessions = get(&service, "/rtspsessions/list").await["items"].as_array().unwrap().clone();
            if sessions.len() == 2 && sessions.iter().all(reported) {
                return sessions;
            }
        }
    };
    let sessions = timeout(PATIENCE, both).await.expect("both report in time");
    let scraped = scrape(&service, "?type=rtsp_sessions").await;
    let metric = |name: &str, session: &Value| {
        let samples = &scraped[&format!("rtsp_sessions_{name}")];
        samples.iter().find(|(labels, _)| session["id"] == labels["id"].as_str()).map(|(_, value)| *value).unwrap()
    };
    for session in &sessions {
        let lost = session["outboundRTPPacketsReportedLost"].as_f64().unwrap();
        assert_eq!(lost > 0.0, session["userAgent"] == "losing-true", "{session}");
        assert!(lost < session["outboundRTPPackets"].as_f64().unwrap() / 2.0, "{session}");
        assert!(metric("outbound_rtp_packets_reported_lost", session) >= lost, "{session}");
        assert_eq!(metric("outbound_rtp_packets_reported_lost", session) > 0.0, lost > 0.0, "{session}");
        assert!(metric("inbound_rtcp_packets", session) > 0.0 && metric("outbound_rtcp_packets", session) > 0.0);
        assert_eq!(metric("outbound_rtp_packets_discarded", session), 0.0);
        for (old, new) in [
            ("rtcpPacketsReceived", "inboundRTCPPackets"),
            ("rtcpPacketsSent", "outboundRTCPPackets"),
            ("rtpPacketsSent", "outboundRTPPackets"),
            ("bytesReceived", "inboundBytes"),
            ("bytesSent", "outboundBytes"),
        ] {
            assert_eq!(session[old], session[new], "{old}");
        }
    }
    for reader in readers {
        reader.set_state(gst::State::Null).unwrap();
    }
    service.stop().await;
}
