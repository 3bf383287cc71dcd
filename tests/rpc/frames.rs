//! Frames: good ones in any cut, and what happens to those who send others. Whatever one socket sends, the others are
//! answered.

use std::net::SocketAddr;

use serde_json::json;

use super::{
    raw::{BEGIN, LAST, MORE, PING, PONG, Raw, TEXT, frame, unmasked},
    service,
};
use crate::support::rpc::Client;

const ASK: &[u8] = br#"{"jsonrpc":"2.0","method":"ping","id":1}"#;

/// Asks once over a socket of its own.
async fn is_well(address: SocketAddr) {
    assert_eq!(Client::connect(address).await.call("ping", json!({})).await.unwrap(), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_many_fragments_is_one_message_whatever_comes_between() {
    let service = service().await;
    let mut raw = Raw::open(service.app.control_address()).await;
    // A letter of two bytes is cut in the middle, too.
    let text = r#"{"jsonrpc":"2.0","method":"ping","id":"ü"}"#.as_bytes();
    raw.write(&frame(BEGIN, b"")).await;
    for (index, byte) in text.iter().enumerate() {
        raw.write(&frame(MORE, &[*byte])).await;
        if index % 10 == 0 {
            raw.write(&frame(PING, &[index as u8])).await;
            assert_eq!(raw.frame().await, (PONG, vec![index as u8]));
        }
    }
    raw.write(&frame(LAST, b"")).await;
    assert_eq!(raw.json().await, json!({ "jsonrpc": "2.0", "result": "pong", "id": "ü" }));
    // And several messages in one write are several.
    raw.write(&[frame(TEXT, ASK), frame(PING, b"x"), frame(TEXT, ASK)].concat()).await;
    assert_eq!(raw.json().await["result"], "pong");
    assert_eq!(raw.frame().await, (PONG, b"x".to_vec()));
    assert_eq!(raw.json().await["result"], "pong");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none_end_their_own_socket_with_the_reason() {
    let service = service().await;
    let address = service.app.control_address();
    let (protocol, not_text, not_utf8) = (1002, 1003, 1007);
    let table: [(&str, Vec<u8>, u16); 15] = [
        ("a reserved bit", frame(0xc1, ASK), protocol),
        ("a reserved opcode", frame(0x83, ASK), protocol),
        ("a reserved control opcode", frame(0x8b, b""), protocol),
        ("a frame that is not masked", unmasked(TEXT, ASK), protocol),
        ("the end of nothing", frame(LAST, ASK), protocol),
        ("the middle of nothing", frame(MORE, ASK), protocol),
        ("a text within a text", [frame(BEGIN, b"{"), frame(TEXT, ASK)].concat(), protocol),
        ("a ping in pieces", frame(0x09, b"x"), protocol),
        ("a ping that is too long", frame(PING, &[b'x'; 126]), protocol),
        ("half a code in a close", frame(0x88, b"x"), protocol),
        ("a binary frame", frame(0x82, ASK), not_text),
        ("a binary frame in pieces", [frame(0x02, b"{"), frame(LAST, b"}")].concat(), not_text),
        ("bytes that are no UTF-8", frame(TEXT, b"\xff"), not_utf8),
        ("half a letter", frame(TEXT, b"\"\xc3"), not_utf8),
        ("half a letter in pieces", [frame(BEGIN, b"\"\xc3"), frame(LAST, b"\"")].concat(), not_utf8),
    ];
    let mut witness = Raw::open(address).await;
    for (what, bytes, code) in table {
        let mut raw = Raw::open(address).await;
        raw.write(&bytes).await;
        assert_eq!(raw.closed().await, code, "{what}");
        witness.write(&frame(TEXT, ASK)).await;
        assert_eq!(witness.json().await["result"], "pong", "after {what}");
    }
    is_well(address).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_in_the_middle_of_a_frame_leaves_nothing_behind() {
    let service = service().await;
    let address = service.app.control_address();
    for length in [1, 2, 6, 20] {
        let mut raw = Raw::open(address).await;
        raw.write(&frame(TEXT, ASK)[..length]).await;
        drop(raw);
    }
    is_well(address).await;
    // Stopping waits for every conversation: those are over.
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_ends_its_own_socket_and_disturbs_nobody() {
    let service = service().await;
    let address = service.app.control_address();
    let mut witness = Client::connect(address).await;
    let whole = frame(TEXT, &vec![b' '; 10 << 20]);
    // No frame of these is too long; all together are.
    let piece = vec![b' '; 64 << 10];
    let mut pieces = frame(BEGIN, &piece);
    (0..160).for_each(|_| pieces.extend(frame(MORE, &piece)));
    for long in [whole, pieces] {
        let mut raw = Raw::open(address).await;
        let sent = tokio::spawn(async move {
            raw.write(&long).await;
            raw.closed().await
        });
        while !sent.is_finished() {
            assert_eq!(witness.call("ping", json!({})).await.unwrap(), "pong");
        }
        assert_eq!(sent.await.unwrap(), 1009);
    }
    service.stop().await;
}
