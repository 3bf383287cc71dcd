//! The counters of sessions against what was really sent and received, packet by packet.

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    done, get,
    hand::{Hand, framed},
    matching::until,
    support::{Camera, PATIENCE, SMALL, Service},
};

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    packets: u64,
    bytes: u64,
}

/// Packets that came inside a connection: of RTP and of RTCP.
async fn packets(hand: &mut Hand, counts: &mut [Count; 2]) {
    let mut head = [0; 4];
    timeout(PATIENCE, hand.socket.read_exact(&mut head)).await.expect("a packet").unwrap();
    assert_eq!(head[0], b'$');
    let mut packet = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
    hand.socket.read_exact(&mut packet).await.unwrap();
    let count = &mut counts[usize::from(head[1])];
    (count.packets, count.bytes) = (count.packets + 1, count.bytes + packet.len() as u64);
}

/// Waits until the only session is told so.
async fn told(service: &Service, so: impl Fn(&Value) -> bool, what: &str) -> Value {
    let mut last = Value::Null;
    let look = async {
        loop {
            let session = get(service, "/rtspsessions/list").await["items"][0].clone();
            if so(&session) {
                return session;
            }
            assert_ne!(session, Value::Null, "{what}: it has ended; it was told {last}");
            last = session;
        }
    };
    timeout(PATIENCE, look).await.expect("it is told in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_got_is_what_is_counted() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let mut hand = Hand::connect(&service, "camera0").await;
    let way = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    assert_eq!(hand.ask("SETUP", "/trackID=0", way).await.status, 200);
    assert_eq!(hand.ask("PLAY", "", "").await.status, 200);
    let mut counts = [Count::default(); 2];
    while counts[0].packets < 200 || counts[1].packets < 1 {
        packets(&mut hand, &mut counts).await;
    }
    // What was on its way comes before the reply, and nothing after it.
    hand.send("PAUSE", "", "", "").await;
    while hand.socket.buffer().first().copied().or(peek(&mut hand).await) == Some(b'$') {
        packets(&mut hand, &mut counts).await;
    }
    assert_eq!(hand.reply().await.expect("a reply").status, 200);
    let [media, reports] = counts;
    let is = |session: &Value| {
        session["outboundRTPPackets"] == media.packets && session["outboundRTCPPackets"] == reports.packets
    };
    let session = told(&service, is, &format!("{counts:?}")).await;
    assert_eq!(session["outboundBytes"], media.bytes + reports.bytes, "{counts:?}: {session}");
    assert_eq!(session["outboundRTPPacketsDiscarded"], 0);
    service.stop().await;
}

async fn peek(hand: &mut Hand) -> Option<u8> {
    use tokio::io::AsyncBufReadExt;
    timeout(PATIENCE, hand.socket.fill_buf()).await.expect("more").unwrap().first().copied()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_sent_is_what_is_counted_and_what_is_missing_is_lost() {
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    let mut hand = Hand::publish(&service, "studio").await;
    // Slices nobody can decode, three of which are left out.
    let mut sent = Count::default();
    for number in (0_u16..103).filter(|number| ![20, 21, 50].contains(number)) {
        let mut packet = vec![0x80, 0xe0];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 3000).to_be_bytes());
        packet.extend([1, 2, 3, 4]);
        packet.extend(vec![0x41; 100 + usize::from(number)]);
        hand.say(&framed(&packet)).await;
        (sent.packets, sent.bytes) = (sent.packets + 1, sent.bytes + packet.len() as u64);
    }
    let is = |session: &Value| session["inboundRTPPackets"] == sent.packets && session["inboundRTPPacketsLost"] == 3;
    let session = told(&service, is, &format!("{sent:?}")).await;
    assert_eq!((&session["state"], &session["inboundBytes"]), (&json!("publish"), &json!(sent.bytes)), "{session}");
    assert_eq!((&session["bytesReceived"], &session["rtpPacketsLost"]), (&json!(sent.bytes), &json!(3)));
    drop(hand);
    until(&service, "studio", |path| path["source"] == Value::Null).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_no_larger_than_they_may_be() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    done(&service, "PATCH", "/config/global/patch", r#"{"udpMaxPayloadSize":500}"#).await;
    let mut hand = Hand::play(&service, "camera0").await;
    hand.take(100).await;
    assert!((400..=500).contains(&hand.largest), "{}", hand.largest);
    service.stop().await;
}
