//! The document is one that the specification allows, and says what is so.

use jsonschema::Draft;

use super::*;

fn ours() -> Value {
    described(&Table::default(), "ws://localhost:8002/ws")
}

/// The specification's own schema of documents; what it takes from JSON Schema is draft 7.
#[test]
fn it_is_an_openrpc_document() {
    let text = include_str!("../../../tests/fixtures/openrpc/meta-schema.json");
    let mut meta: Value = serde_json::from_str(text).unwrap();
    meta["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    meta["definitions"]["JSONSchema"] = json!({ "$ref": "http://json-schema.org/draft-07/schema#" });
    meta["definitions"]["referenceObject"]["properties"]["$ref"] =
        json!({ "type": "string", "format": "uri-reference" });
    let options = jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true);
    let validator = options.build(&meta).unwrap();
    let document = ours();
    let wrong: Vec<_> =
        validator.iter_errors(&document).map(|error| format!("at {}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And it is not one that lets everything pass.
    let mut broken = document;
    broken["methods"][0]["params"] = json!([{ "name": "without a schema" }]);
    assert!(!validator.is_valid(&broken));
}

/// Every reference leads somewhere.
#[test]
fn nothing_is_referred_to_that_is_not_there() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(list) => list.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }
    let (document, mut found) = (ours(), Vec::new());
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("it is in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// Two types of one name become `Name` and `Name2`, which tells a client nothing.
#[test]
fn every_schema_has_a_name_of_its_own() {
    let document = ours();
    let names = document["components"]["schemas"].as_object().unwrap().keys();
    let numbered: Vec<_> = names.filter(|name| name.ends_with(|last: char| last.is_ascii_digit())).collect();
    assert!(numbered.is_empty(), "give one of each two its own with #[schemars(rename = \"…\")]: {numbered:?}");
}

#[test]
fn what_is_said_of_a_method_is_what_its_type_says() {
    let document = ours();
    let find = |name: &str| document["methods"].as_array().unwrap().iter().find(|method| method["name"] == name);
    let snapshot = find("take_snapshot").unwrap();
    assert_eq!((&snapshot["x-role"], &snapshot["x-deadline-seconds"]), (&json!("operator"), &json!(30)));
    let quality = snapshot["params"].as_array().unwrap().iter().find(|param| param["name"] == "quality").unwrap();
    assert_eq!(
        quality,
        &json!({
            "name": "quality",
            "description": "For JPEG; else as configured.",
            "required": false,
            "schema": { "type": ["integer", "null"], "minimum": 1, "maximum": 100 },
        })
    );
    let taken = &document["components"]["schemas"]["SnapshotTaken"];
    assert!(taken["required"].as_array().unwrap().contains(&json!("download_url")));
    assert!(!taken["required"].as_array().unwrap().contains(&json!("file_path")), "only for some");
    assert_eq!(taken["properties"]["file_path"]["type"], json!(["string"]), "never null");
    let errors = |name: &str| find(name).unwrap()["errors"].as_array().unwrap().len();
    assert_eq!((errors("ping"), errors("authenticate"), errors("get_streams")), (7, 8, 9));
}
