//! JSON-RPC 2.0 over the socket: ids, batches, notifications, and texts that mean to do harm. What an envelope is, case
//! by case, is tested where it is read (`src/api/rpc/envelope_tests.rs`).

use serde_json::{Value, json};

use super::service;
use crate::support::rpc::Client;

/// The examples of the specification (section 7), with a method of this service for the one that succeeds there.
#[tokio::test(flavor = "multi_thread")]
async fn the_specifications_examples_hold_over_the_socket() {
    let service = service().await;
    let mut client = Client::connect(service.app.control_address()).await;
    let refused = |code: i64, id: Value| json!({ "code": code, "id": id });
    let pong = |id: Value| json!({ "result": "pong", "id": id });
    for (request, expected) in [
        (r#"{"jsonrpc": "2.0", "method": "ping", "id": 1}"#, pong(json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "ping", "params": {}, "id": 3}"#, pong(json!(3))),
        (r#"{"jsonrpc": "2.0", "method": "ping", "params": [42, 23], "id": 1}"#, refused(-32602, json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#, refused(-32601, json!("1"))),
        (r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#, refused(-32700, json!(null))),
        (r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#, refused(-32600, json!(null))),
        (
            r#"[{"jsonrpc": "2.0", "method": "ping", "id": "1"}, {"jsonrpc": "2.0", "method"]"#,
            refused(-32700, json!(null)),
        ),
        ("[]", refused(-32600, json!(null))),
        ("[1]", json!([refused(-32600, json!(null))])),
        ("[1,2,3]", json!([refused(-32600, json!(null)), refused(-32600, json!(null)), refused(-32600, json!(null))])),
        (
            r#"[
                {"jsonrpc": "2.0", "method": "ping", "id": "1"},
                {"jsonrpc": "2.0", "method": "ping"},
                {"jsonrpc": "2.0", "method": "ping", "id": "2"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "ping", "id": "9"}
            ]"#,
            json!([
                pong(json!("1")),
                pong(json!("2")),
                refused(-32600, json!(null)),
                refused(-32601, json!("5")),
                pong(json!("9")),
            ]),
        ),
    ] {
        // What gets no reply comes first: were there one, it would be taken for the reply that follows.
        client.send(r#"{"jsonrpc": "2.0", "method": "foobar"}"#).await;
        client.send(r#"[{"jsonrpc": "2.0", "method": "ping"}, {"jsonrpc": "2.0", "method": "foobar"}]"#).await;
        client.send(request).await;
        let short = |response: &Value| {
            assert_eq!(response["jsonrpc"], "2.0", "{response}");
            match response.get("error") {
                Some(error) => json!({ "code": error["code"], "id": response["id"] }),
                None => json!({ "result": response["result"], "id": response["id"] }),
            }
        };
        let response = match client.receive().await {
            Value::Array(list) => list.iter().map(short).collect(),
            one => short(&one),
        };
        assert_eq!(response, expected, "{request}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_every_type_come_back_to_the_letter_and_others_are_refused() {
    let service = service().await;
    let mut client = Client::connect(service.app.control_address()).await;
    let huge = "9".repeat(400);
    let long = format!("\"{}\"", "x".repeat(10_000));
    let good =
        ["0", "-7", "1.0", "-0.0", "1.50", "1e3", "1E+3", &huge, r#""""#, r#""1""#, r#""\u00fc\"""#, &long, "null"];
    for id in good {
        let text = client.ask(&format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{id}}}"#)).await;
        assert_eq!(text, format!(r#"{{"jsonrpc":"2.0","result":"pong","id":{id}}}"#));
        let text = client.ask(&format!(r#"{{"id":{id},"method":"foobar","jsonrpc":"2.0"}}"#)).await;
        assert!(text.contains("-32601") && text.ends_with(&format!(r#","id":{id}}}"#)), "{text}");
    }
    for id in ["true", "false", "[]", "[1]", "{}", r#"{"id":1}"#] {
        client.send(&format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{id}}}"#)).await;
        let response = client.receive().await;
        assert_eq!((&response["id"], &response["error"]["code"]), (&json!(null), &json!(-32600)), "{id}");
    }
    service.stop().await;
}

/// As many as fit into a message; what bounds them beside that is the number of requests a minute.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_members_of_a_batch_are_answered_in_order_and_nobody_waits_for_them() {
    let service = service().await;
    let address = service.app.control_address();
    let (mut client, mut other) = (Client::connect(address).await, Client::connect(address).await);
    let member = |id: usize| match id % 100 {
        // A stranger may not.
        99 => json!({ "jsonrpc": "2.0", "method": "get_streams", "id": id }),
        _ => json!({ "jsonrpc": "2.0", "method": "ping", "id": id }),
    };
    let batch: Vec<_> = (0..10_000).map(member).collect();
    client.send(&json!(batch).to_string()).await;
    let answered = tokio::spawn(async move { client.receive().await });
    while !answered.is_finished() {
        assert_eq!(other.call("ping", json!({})).await.unwrap(), "pong");
    }
    let responses = answered.await.unwrap();
    let responses = responses.as_array().unwrap();
    assert_eq!(responses.len(), 10_000);
    for (id, response) in responses.iter().enumerate() {
        assert_eq!(response["id"], id);
        assert_eq!(response["error"]["code"] == -32001, id % 100 == 99, "{response}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_levels_are_refused_wherever_they_stand() {
    let service = service().await;
    let mut client = service.client("viewer").await;
    let lists = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    for deep in [&lists, &objects] {
        let with = |place: &str| match place {
            "id" => format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{deep}}}"#),
            "method" => format!(r#"{{"jsonrpc":"2.0","method":{deep},"id":1}}"#),
            "jsonrpc" => format!(r#"{{"jsonrpc":{deep},"method":"ping","id":1}}"#),
            "params" => format!(r#"{{"jsonrpc":"2.0","method":"ping","params":{deep},"id":1}}"#),
            "param" => format!(r#"{{"jsonrpc":"2.0","method":"get_stream_url","params":{{"device":{deep}}},"id":1}}"#),
            _ => format!("[{deep}]"),
        };
        for (place, code) in [
            ("id", -32600),
            ("method", -32600),
            ("jsonrpc", -32600),
            ("params", -32602),
            ("param", -32602),
            ("batch", -32600),
        ] {
            client.send(&with(place)).await;
            let response = match client.receive().await {
                Value::Array(mut list) => list.remove(0),
                one => one,
            };
            assert_eq!(response["error"]["code"], code, "{place}: {response}");
        }
    }
    // No end of it at all.
    client.send(&"[".repeat(100_000)).await;
    assert_eq!(client.receive().await["error"]["code"], -32700);
    assert_eq!(client.call("ping", json!({})).await.unwrap(), "pong");
    service.stop().await;
}
