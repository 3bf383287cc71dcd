//! What a method takes and what it refuses, drawn from the schemas of its parameters: what the document forbids is
//! refused and named, what it allows is read.

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::{methods, name, service};
use crate::support::rpc::Client;

fn parameters(method: &Value) -> &[Value] {
    method["params"].as_array().unwrap()
}

/// Whether a value is one that the schema allows.
fn validator(schema: &Value) -> Validator {
    jsonschema::options().with_draft(Draft::Draft7).build(schema).unwrap()
}

/// A schema and those it is made of, as far as they are about the value itself or what is in it.
fn parts<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(schema);
    for list in ["oneOf", "anyOf", "allOf"].map(|key| &schema[key]) {
        list.as_array().into_iter().flatten().for_each(|part| parts(part, found));
    }
}

/// Some value that the schema allows.
fn sample(schema: &Value) -> Value {
    let mut all = Vec::new();
    parts(schema, &mut all);
    let words = all.iter().flat_map(|part| [&part["const"], &part["enum"][0], &part["minimum"]]).cloned();
    let plain = [json!("nonsense"), json!(1), json!(true), json!([]), json!({})];
    let allowed = validator(schema);
    let mut candidates = words.filter(|word| !word.is_null()).chain(plain);
    candidates.find(|value| allowed.is_valid(value)).unwrap_or_else(|| panic!("what would fit {schema}?"))
}

/// Values of every type, and those on and beside every edge that the schema has.
fn candidates(schema: &Value) -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("nonsense"),
        json!("1"),
        json!([]),
        json!(["nonsense"]),
        json!([null]),
        json!({}),
        json!({ "nonsense": null }),
        json!({ "nonsense": [1] }),
    ];
    let mut all = Vec::new();
    parts(schema, &mut all);
    for part in all {
        for (edge, beyond) in [("minimum", -1), ("maximum", 1)] {
            if let Some(number) = part[edge].as_i64() {
                values.extend([
                    json!(number),
                    json!(number as f64),
                    json!(number + beyond),
                    json!(number as f64 + 0.5),
                ]);
            }
        }
        let words = part["enum"].as_array().into_iter().flatten().chain(part.get("const"));
        for word in words.filter_map(Value::as_str) {
            values.extend([json!(word), json!(format!("{word}x")), json!([word]), json!({ word: null })]);
        }
    }
    values
}

/// The parameters that have to be there, with this one as it is given.
fn with(method: &Value, parameter: &str, value: Value) -> Value {
    let required = parameters(method).iter().filter(|one| one["required"] == true);
    let mut all: Map<_, _> = required.map(|one| (name(one).to_owned(), sample(&one["schema"]))).collect();
    all.insert(parameter.to_owned(), value);
    all.into()
}

/// Calls, and wants to be refused for this parameter with a rule and a way out.
async fn refused(client: &mut Client, method: &str, params: &Value, parameter: &str) -> Value {
    let answer = client.call(method, params.clone()).await;
    let Err(error) = answer else { panic!("{method} took {params}: {answer:?}") };
    let data = &error["data"];
    assert_eq!(error["code"], -32602, "{method} {params}: {error}");
    let named = data["param"].as_str().unwrap();
    let inside = named.strip_prefix(parameter).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    assert!(inside, "{method} {params}: {error} does not name {parameter}");
    assert!(["rule", "hint"].iter().all(|field| data[field].as_str().is_some_and(|text| text.len() > 3)), "{error}");
    error["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_forbids_is_refused_and_what_it_allows_is_read() {
    let service = service().await;
    let mut admin = service.client("admin").await;
    let (mut forbidden, mut allowed) = (0, 0);
    for method in methods() {
        for parameter in parameters(method) {
            let schema = validator(&parameter["schema"]);
            for value in candidates(&parameter["schema"]) {
                let params = with(method, name(parameter), value.clone());
                if !schema.is_valid(&value) {
                    refused(&mut admin, name(method), &params, name(parameter)).await;
                    forbidden += 1;
                    continue;
                }
                allowed += 1;
                let Err(error) = admin.call(name(method), params.clone()).await else { continue };
                // There may be no such camera, but the value is one that can be meant.
                let rule = error["data"]["rule"].as_str().unwrap_or_default();
                assert!(!rule.starts_with("does not fit"), "{} {params}: {error}", name(method));
            }
        }
    }
    assert!(forbidden > 300 && allowed > 100, "{forbidden} and {allowed} values were tried");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_parameter_is_told_the_nearest() {
    let service = service().await;
    let mut admin = service.client("admin").await;
    for method in methods() {
        for parameter in parameters(method) {
            let misspelt = format!("{}e", name(parameter));
            let data = refused(&mut admin, name(method), &with(method, &misspelt, json!(1)), &misspelt).await;
            assert_eq!(data["rule"], "is unknown");
            assert_eq!(data["hint"], format!("did you mean \"{}\"?", name(parameter)), "{}", name(method));
        }
        let data = refused(&mut admin, name(method), &with(method, "zzz", json!(1)), "zzz").await;
        let hint = data["hint"].as_str().unwrap();
        match parameters(method) {
            [] => assert_eq!(hint, "this method takes no parameters"),
            all => assert!(all.iter().all(|one| hint.contains(name(one))), "{}: {hint}", name(method)),
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_there_is_asked_for_by_name() {
    let service = service().await;
    let mut admin = service.client("admin").await;
    for method in methods() {
        for parameter in parameters(method).iter().filter(|one| one["required"] == true) {
            let mut params = with(method, name(parameter), json!(1));
            params.as_object_mut().unwrap().remove(name(parameter));
            let data = refused(&mut admin, name(method), &params, name(parameter)).await;
            assert_eq!(
                (&data["rule"], data["hint"].as_str().unwrap().contains(name(parameter))),
                (&json!("is missing"), true)
            );
        }
        // By name it is, for every method.
        let data = refused(&mut admin, name(method), &json!(["camera0"]), "params").await;
        assert_eq!(data["rule"], "are not named");
    }
    service.stop().await;
}

/// A value that JSON can write and no type can hold is laid at its own door.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_nothing_can_hold_are_named_too() {
    let service = service().await;
    let mut viewer = service.client("viewer").await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for value in ["1e999", "-1e999", r#""\ud800""#, &deep] {
        viewer
            .send(&format!(
                r#"{{"jsonrpc":"2.0","method":"list_recordings","params":{{"order":"newest","limit":{value}}},"id":1}}"#
            ))
            .await;
        let response = viewer.receive().await;
        let shown = &value[..value.len().min(20)];
        assert_eq!((&response["id"], &response["error"]["code"]), (&json!(1), &json!(-32602)), "{shown}: {response}");
        assert_eq!(response["error"]["data"]["param"], "limit", "{shown}: {response}");
    }
    service.stop().await;
}
