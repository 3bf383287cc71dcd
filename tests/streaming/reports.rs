//! What readers report of their reception, over UDP and in the connection, is told of them and of nobody else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::net::UdpSocket;

use camera_service::output::rtsp::{SessionInfo, Traffic, Transport};

use super::{Server, eventually};
use crate::{
    readers::{Raw, Reader},
    source::{H264, Kind, Source},
};

/// A receiver report (RFC 3550, 6.4.2) that says so many packets are lost.
fn report(raw: &Raw, lost: u32) -> Vec<u8> {
    let ssrc = raw.transport.split(';').find_map(|part| part.strip_prefix("ssrc=")).unwrap();
    let ssrc = u32::from_str_radix(ssrc, 16).unwrap();
    let words = [0x81c9_0007, u32::from(raw.port()), ssrc, lost, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Two ports in a row, the first of them even (RFC 3550, 11).
fn two_ports() -> [UdpSocket; 2] {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(second) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return [first, second];
        }
    }
}

fn session(server: &Server, port: u16) -> SessionInfo {
    server.server.sessions().into_iter().find(|session| session.remote.port() == port).unwrap()
}

fn traffic(server: &Server, port: u16) -> Traffic {
    session(server, port).traffic
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_reports_lost_is_told_of_it_and_of_nobody_else() {
    for shared in [true, false] {
        let source = Source::start(Kind { key_frames_on_demand: shared, ..H264 });
        let server = Server::serving(&source);
        let mut silent = Reader::open(&server.url(), Transport::Udp).await.unwrap();
        silent.take(2).await.unwrap();
        tokio::task::block_in_place(|| {
            let [rtp, rtcp] = two_ports();
            let (mut udp, ports) = Raw::set_up_udp(&server.url(), rtp.local_addr().unwrap().port());
            assert_eq!(udp.request("PLAY", "", "").0, 200);
            let mut tcp = Raw::play(&server.url());
            let (at_udp, at_tcp) = (udp.port(), tcp.port());

            rtcp.send_to(&report(&udp, 42), ("127.0.0.1", ports[1])).unwrap();
            tcp.report(&report(&tcp, 7));
            eventually("both are told", || {
                (traffic(&server, at_udp).reported_lost, traffic(&server, at_tcp).reported_lost) == (42, 7)
            });
            rtcp.send_to(&report(&udp, 45), ("127.0.0.1", ports[1])).unwrap();
            rtcp.send_to(b"not a report", ("127.0.0.1", ports[1])).unwrap();
            eventually("the newest counts", || {
                let told = traffic(&server, at_udp);
                (told.reported_lost, told.reports_received, told.reports_in_error) == (45, 2, 1)
            });
            assert_eq!(session(&server, at_udp).transport, Some(Transport::Udp));
            assert_eq!(session(&server, at_tcp).transport, Some(Transport::Tcp));
            let told = traffic(&server, at_tcp);
            assert_eq!((told.reported_lost, told.reports_received, told.reports_in_error), (7, 1, 0));
            assert_eq!(told.bytes_received, report(&tcp, 0).len() as u64);
            eventually("reports go out", || {
                [at_udp, at_tcp].iter().all(|port| traffic(&server, *port).reports_sent > 0)
            });
            let sessions = server.server.sessions();
            let mut lost: Vec<_> = sessions.iter().map(|session| session.traffic.reported_lost).collect();
            lost.sort_unstable();
            assert_eq!(lost, [0, 7, 45]);
        });
        silent.take(2).await.unwrap();
    }
}
