use serde_json::{Value, json, value::to_raw_value};

use super::*;

/// The server of the specification's examples.
async fn example(call: Call) -> Outcome {
    let params: Value = call.params.map_or(Value::Null, |params| serde_json::from_str(params.get()).unwrap());
    let number = |value: &Value| value.as_i64().unwrap();
    let result = match call.method.as_str() {
        "subtract" => match &params {
            Value::Array(list) => json!(number(&list[0]) - number(&list[1])),
            named => json!(number(&named["minuend"]) - number(&named["subtrahend"])),
        },
        "sum" => json!(params.as_array().unwrap().iter().map(number).sum::<i64>()),
        "get_data" => json!(["hello", 5]),
        "update" | "notify_hello" | "notify_sum" => json!(null),
        _ => return Err(RpcError::method_not_found("")),
    };
    Ok(to_raw_value(&result).unwrap())
}

async fn answered(text: &str) -> Option<Value> {
    let mut answer: Value = serde_json::from_str(&answer(text, example).await?).unwrap();
    // The specification's examples carry no data.
    let each: &mut [Value] = match &mut answer {
        Value::Array(list) => list,
        one => std::slice::from_mut(one),
    };
    for response in each {
        if let Some(error) = response["error"].as_object_mut() {
            error.remove("data");
        } else {
            response.as_object_mut().unwrap().remove("error");
        }
    }
    Some(answer)
}

/// Section 7 of the specification, example by example.
#[tokio::test]
async fn the_specifications_own_examples() {
    let examples = [
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 1}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
            r#"{"jsonrpc": "2.0", "result": -19, "id": 2}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 3}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 4}"#,
        ),
        (r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#, ""),
        (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, ""),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#,
        ),
        (
            r#"[
                {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
                {"jsonrpc": "2.0", "method"
            ]"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#,
        ),
        ("[]", r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#),
        ("[1]", r#"[{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}]"#),
        (
            "[1,2,3]",
            r#"[
                {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
                {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
                {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
            ]"#,
        ),
        (
            r#"[
                {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
                {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
            ]"#,
            r#"[
                {"jsonrpc": "2.0", "result": 7, "id": "1"},
                {"jsonrpc": "2.0", "result": 19, "id": "2"},
                {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
                {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
                {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
            ]"#,
        ),
        (
            r#"[
                {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
            ]"#,
            "",
        ),
    ];
    for (request, response) in examples {
        let expected = (!response.is_empty()).then(|| serde_json::from_str::<Value>(response).unwrap());
        assert_eq!(answered(request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn ids_come_back_as_they_were() {
    for id in ["1", "-7", "1.0", "1e3", "123456789012345678901234567890", "\"\"", "\"ü\\u00fc\\ud800\"", "null"] {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
        let expected = format!(r#"{{"jsonrpc":"2.0","result":["hello",5],"id":{id}}}"#);
        assert_eq!(answer(&request, example).await.unwrap(), expected);
    }
    for id in ["true", "false", "{}", "[1]"] {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
        let response = answered(&request).await.unwrap();
        assert_eq!((&response["id"], &response["error"]["code"]), (&json!(null), &json!(-32600)), "{id}");
    }
}

#[tokio::test]
async fn what_is_not_a_request_is_refused_with_its_id() {
    for (request, id, code) in [
        (r#"{"method":"get_data","id":7}"#, json!(7), -32600),
        (r#"{"jsonrpc":"1.0","method":"get_data","id":7}"#, json!(7), -32600),
        (r#"{"jsonrpc":2.0,"method":"get_data","id":7}"#, json!(7), -32600),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, json!("x"), -32600),
        (r#"{"jsonrpc":"2.0","method":null,"id":"x"}"#, json!("x"), -32600),
        (r#"{"jsonrpc":"2.0","method":"get_data","params":1,"id":7}"#, json!(7), -32600),
        (r#"{"jsonrpc":"2.0","method":"get_data","method":"sum","id":7}"#, json!(null), -32600),
        ("\"ping\"", json!(null), -32600),
        ("", json!(null), -32700),
        ("{} {}", json!(null), -32700),
    ] {
        let response = answered(request).await.unwrap();
        assert_eq!((&response["id"], &response["error"]["code"]), (&id, &json!(code)), "{request}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(answered(&deep).await.unwrap()["error"]["code"], -32700);
}

#[tokio::test]
async fn null_params_are_absent_params() {
    let response = answered(r#"{"jsonrpc":"2.0","method":"get_data","params":null,"id":7}"#).await.unwrap();
    assert_eq!(response["result"], json!(["hello", 5]));
}

#[tokio::test]
async fn a_long_batch_is_answered_in_order() {
    let members: Vec<String> =
        (0..10_000).map(|id| format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#)).collect();
    let responses = answered(&format!("[{}]", members.join(","))).await.unwrap();
    let ids: Vec<u64> = responses.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..10_000).collect::<Vec<_>>());
}
