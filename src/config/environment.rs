//! What the environment adds to the file: `${NAME}` inside values, `CAMERA_SERVICE__SECTION__KEY` instead of them.
//!
//! The environment is passed in; nothing here reads the process's own.

use std::collections::BTreeMap;

use super::{
    document::{self, Data, Entry, Node},
    problem::{Diagnostic, Place},
};

const PREFIX: &str = "CAMERA_SERVICE__";

/// The variables of an environment, by name.
pub(super) type Variables = BTreeMap<String, String>;

/// Replaces every `${NAME}` below `node`. `$${` stands for `${` itself.
pub(super) fn substitute(node: &mut Node, written: &str, variables: &Variables, problems: &mut Vec<Diagnostic>) {
    match &mut node.data {
        Data::Text(text) if text.contains("${") => match expand(text, variables) {
            Ok(expanded) if expanded.is_empty() => node.data = Data::Null,
            Ok(expanded) => node.data = Data::Text(expanded),
            Err(message) => {
                let problem = Diagnostic::new(&node.place, written, message);
                problems.push(problem.valid("${NAME} of a variable that is set, or $${ for a plain ${"));
                node.data = Data::Faulty;
            }
        },
        Data::List(nodes) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                substitute(node, &format!("{written}[{index}]"), variables, problems);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                substitute(&mut entry.node, &entry.written, variables, problems);
            }
        }
        Data::Null | Data::Text(_) | Data::Faulty => {}
    }
}

fn expand(text: &str, variables: &Variables) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        let end = after.find('}').ok_or("has a \"${\" without \"}\"")?;
        let name = &after[..end];
        let value = variables.get(name).ok_or_else(|| format!("environment variable {name} is not set"))?;
        out.push_str(before);
        out.push_str(value);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The tree that the `CAMERA_SERVICE__…` variables describe.
pub(super) fn overrides(variables: &Variables, problems: &mut Vec<Diagnostic>) -> Node {
    let mut root = Node { place: Place::Default, data: Data::Map(Vec::new()) };
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path = path.to_lowercase();
        let keys: Vec<&str> = path.split("__").collect();
        let node = document::parse_variable(name, keys.join("."), text, problems);
        let mut tree = node;
        for (depth, key) in keys.iter().enumerate().rev() {
            let place = Place::Variable(name.clone());
            let entry =
                Entry { key: (*key).into(), written: keys[..=depth].join("."), place: place.clone(), node: tree };
            tree = Node { place, data: Data::Map(vec![entry]) };
        }
        merge(&mut root, tree);
    }
    root
}

/// Lays `over` on `base`: sections are joined key by key, everything else is replaced.
pub(super) fn merge(base: &mut Node, over: Node) {
    match (&mut base.data, over.data) {
        (_, Data::Faulty) => {}
        (Data::Map(entries), Data::Map(others)) => {
            for other in others {
                match entries.iter_mut().find(|entry| entry.key == other.key) {
                    Some(entry) => merge(&mut entry.node, other.node),
                    None => entries.push(other),
                }
            }
        }
        (_, data) => *base = Node { place: over.place, data },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_a_missing_one_is_named() {
        let variables = Variables::from([("A".into(), "x".into()), ("B".into(), "${A}".into())]);
        assert_eq!(expand("${A}-${B}-$A-$${A}", &variables).unwrap(), "x-${A}-$A-${A}");
        assert!(expand("${C}", &variables).unwrap_err().contains("C is not set"));
        assert!(expand("${A", &variables).is_err());
    }

    #[test]
    fn an_override_replaces_one_key_and_leaves_its_neighbours() {
        let mut problems = Vec::new();
        let mut base = document::parse(&"f".into(), "server: {host: a, port: 1}\n", &mut problems);
        let variables = Variables::from([
            ("CAMERA_SERVICE__SERVER__PORT".into(), "2".into()),
            ("CAMERA_SERVICE__SECURITY__CORS_ORIGINS".into(), "[a, b]".into()),
            ("OTHER".into(), "x".into()),
        ]);
        merge(&mut base, overrides(&variables, &mut problems));
        let Data::Map(entries) = base.data else { panic!() };
        let Data::Map(server) = &entries[0].node.data else { panic!() };
        assert_eq!(server[0].node.data, Data::Text("a".into()));
        assert_eq!(server[1].node.data, Data::Text("2".into()));
        assert_eq!(server[1].node.place.to_string(), "environment variable CAMERA_SERVICE__SERVER__PORT");
        let Data::Map(security) = &entries[1].node.data else { panic!() };
        assert!(matches!(&security[0].node.data, Data::List(list) if list.len() == 2));
        assert!(problems.is_empty(), "{problems:?}");
    }
}
