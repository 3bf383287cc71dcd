//! Replies and events as a person reads them.

use serde_json::{Map, Value};

/// Prints a reply: the list that it is about as a table, anything else a field a line.
pub fn reply(reply: &Value, as_json: bool) {
    let list = reply.as_object().filter(|_| !as_json).and_then(|fields| fields.values().find_map(rows));
    match list {
        Some(rows) => print!("{}", table(&rows)),
        None => whole(reply, as_json),
    }
}

/// Prints a reply of which nobody knows what it is about: a list as a table, of anything else every field in a line.
pub fn whole(reply: &Value, as_json: bool) {
    if as_json {
        return println!("{reply:#}");
    }
    match (reply, rows(reply)) {
        (_, Some(rows)) => print!("{}", table(&rows)),
        (Value::Object(fields), None) => {
            fields.iter().for_each(|(name, value)| println!("{name}: {}", text(value)));
        }
        (other, None) => println!("{}", text(other)),
    }
}

/// Prints an event in a line.
pub fn event(event: &Value, as_json: bool) {
    match as_json {
        true => println!("{event}"),
        false => println!("{} {} {}", text(&event["timestamp"]), text(&event["topic"]), event["data"]),
    }
}

/// The objects of a list of objects; `None` for anything else.
fn rows(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    value.as_array()?.iter().map(Value::as_object).collect()
}

/// Objects under the names of the first one's fields.
fn table(rows: &[&Map<String, Value>]) -> String {
    let Some(first) = rows.first() else { return "none\n".to_owned() };
    let names: Vec<&String> = first.keys().collect();
    let mut lines = vec![names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>()];
    let cell = |row: &Map<String, Value>, name: &str| row.get(name).map(text).unwrap_or_default();
    lines.extend(rows.iter().map(|row| names.iter().map(|name| cell(row, name)).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let padded = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(padded).collect()
}

/// A value without the quotes of JSON; an object by its non-empty members.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let filled = fields.iter().filter(|(_, value)| **value != Value::String(String::new()));
            filled.map(|(name, value)| format!("{name} {}", text(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
