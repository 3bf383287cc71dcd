//! Variables of the environment in place of keys of `mediamtx.yml`: `MTX_PATHS_CAM_SOURCE`, `MTX_RTSPADDRESS`.
//!
//! A key is its way from the top, in capitals, with `_` between. A list of texts or numbers is written with commas, one of
//! objects by the number of each: `MTX_AUTHINTERNALUSERS_0_USER`. The name of a path is in small letters and has no `_`.
//! Only what stands for a key is looked at: hooks give their children other variables that begin alike.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{
    Set, Value,
    file::Parts,
    global,
    key::{Key, Kind},
    path,
};

/// The variables of a process.
pub type Environment = BTreeMap<String, String>;

/// What all begin with.
const PREFIX: &str = "MTX";
/// What they began with when MediaMTX was called rtsp-simple-server. The newer ones count where both say something.
const FORMER_PREFIX: &str = "RTSP";

/// Puts what the environment says in place of what is in the file. Error: what MediaMTX would say, with the variable.
pub(super) fn put_into(parts: &mut Parts, environment: &Environment) -> Result<(), String> {
    [FORMER_PREFIX, PREFIX].iter().try_for_each(|prefix| put_those_into(parts, prefix, environment))
}

fn put_those_into(parts: &mut Parts, prefix: &str, environment: &Environment) -> Result<(), String> {
    fill(&mut parts.global, global::KEYS, prefix, environment)?;
    fill(&mut parts.path_defaults, path::KEYS, &format!("{prefix}_PATHDEFAULTS"), environment)?;
    let paths = format!("{prefix}_PATHS_");
    let names = environment.keys().filter_map(|variable| variable.strip_prefix(&paths)?.split('_').next());
    let names: BTreeSet<_> = names.filter(|name| !name.is_empty() && **name == name.to_uppercase()).collect();
    for name in names {
        let mut set = Set::new(path::KEYS);
        fill(&mut set, path::KEYS, &format!("{paths}{name}"), environment)?;
        let name = name.to_lowercase();
        match parts.paths.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.take_over(&set),
            None => parts.paths.push((name, set)),
        }
    }
    Ok(())
}

/// Whether any variable stands for a key. Error: one has a value that cannot be.
pub fn says_something(environment: &Environment) -> Result<bool, String> {
    let mut parts = Parts::default();
    put_into(&mut parts, environment)?;
    Ok(!parts.is_empty())
}

/// The variable that stands for a global key.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}_{}", key.to_uppercase())
}

fn fill(set: &mut Set, keys: &'static [Key], prefix: &str, environment: &Environment) -> Result<(), String> {
    for (at, key) in keys.iter().enumerate() {
        let variable = format!("{prefix}_{}", key.name.to_uppercase());
        if let Kind::Records(keys) = key.kind {
            let there = if set.get(key.name).is_some() { set.clone() } else { Set::defaults(set.keys()) };
            if let Some(records) = records(there.records(key.name), keys, &variable, environment)? {
                set.put_at(at, Value::Records(records));
            }
        } else if let Some(text) = environment.get(&variable) {
            let json = json(&key.kind, text).ok_or_else(|| format!("{variable}: invalid value '{text}'"))?;
            let value = key.kind.decode(&json, key.name).map_err(|error| format!("{variable}: {error}"))?;
            set.put_at(at, value);
        }
    }
    Ok(())
}

/// A list of objects, of which some may be there already. `None`: nothing is said of it.
fn records(
    there: &[Set],
    keys: &'static [Key],
    variable: &str,
    environment: &Environment,
) -> Result<Option<Vec<Set>>, String> {
    if environment.get(variable).is_some_and(String::is_empty) {
        return Ok(Some(Vec::new()));
    }
    let mut records = there.to_vec();
    let mut said = false;
    for number in 0.. {
        let prefix = format!("{variable}_{number}");
        let own = format!("{prefix}_");
        let named = environment.keys().any(|name| name.starts_with(&own));
        if !named && number >= records.len() {
            break;
        }
        if named {
            said = true;
            if number >= records.len() {
                records.push(Set::defaults(keys));
            }
            fill(&mut records[number], keys, &prefix, environment)?;
        }
    }
    Ok(said.then_some(records))
}

/// What a text would be in a file. `None`: it is no value of this kind.
fn json(kind: &Kind, text: &str) -> Option<Json> {
    let split = || if text.is_empty() { Vec::new() } else { text.split(',').collect() };
    Some(match kind {
        Kind::Flag => match text.to_lowercase().as_str() {
            "yes" | "true" => true.into(),
            "no" | "false" => false.into(),
            _ => return None,
        },
        Kind::Int(_) => text.parse::<i32>().ok()?.into(),
        Kind::Number => text.parse::<f64>().ok()?.into(),
        Kind::Words(_) | Kind::Texts | Kind::Networks => split().into(),
        Kind::Counts => split().into_iter().map(|text| text.parse::<u32>().ok()).collect::<Option<Vec<_>>>()?.into(),
        Kind::Numbers => split().into_iter().map(|text| text.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?.into(),
        _ => text.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtx::{Conf, Nanos, global_keys};

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Conf, String> {
        Conf::new(global_keys()).read_with(text, &environment(variables))
    }

    #[test]
    fn a_variable_counts_instead_of_a_key_of_the_file() {
        let text = "
readTimeout: 20s
pathDefaults: { maxReaders: 3 }
paths:
  cam: { source: 'rtsp://one/a', record: yes }
  other:
";
        let conf = read(
            text,
            &[
                ("MTX_READTIMEOUT", "30s"),
                ("MTX_APIALLOWORIGINS", "http://a,http://b"),
                ("MTX_RTSPTRANSPORTS", "tcp"),
                ("MTX_PATHDEFAULTS_RECORDSEGMENTDURATION", "30m"),
                ("MTX_PATHS_CAM_SOURCE", "rtsp://two/b"),
                ("MTX_PATHS_CAM_SOURCEONDEMAND", "YES"),
                ("MTX_PATHS_CAM_RPICAMERAAWBGAINS", "1.5,2"),
                ("MTX_PATHS_NEW_MAXREADERS", "7"),
                ("MTX_AUTHINTERNALUSERS_0_USER", "me"),
                ("MTX_AUTHINTERNALUSERS_0_PASS", "pw"),
                ("MTX_AUTHINTERNALUSERS_0_PERMISSIONS_0_ACTION", "read"),
            ],
        )
        .unwrap();
        let global = conf.global();
        assert_eq!(global.time("readTimeout"), Nanos::seconds(30));
        assert_eq!(global.texts("apiAllowOrigins"), ["http://a", "http://b"]);
        let user = &global.records("authInternalUsers")[0];
        assert_eq!((user.text("user"), user.text("pass")), ("me", "pw"));
        assert_eq!(user.records("permissions")[0].text("action"), "read");
        assert_eq!(global.records("authInternalUsers").len(), 2, "the other default stays");
        let cam = conf.path("cam").unwrap();
        assert_eq!((cam.text("source"), cam.flag("sourceOnDemand"), cam.flag("record")), ("rtsp://two/b", true, true));
        assert_eq!((cam.int("maxReaders"), cam.time("recordSegmentDuration")), (3, Nanos::seconds(1800)));
        assert_eq!(conf.path("new").unwrap().int("maxReaders"), 7);
        assert!(conf.path("other").is_some());
    }

    #[test]
    fn the_former_prefix_counts_where_the_present_one_says_nothing() {
        let both = [("RTSP_READTIMEOUT", "20s"), ("MTX_READTIMEOUT", "30s"), ("RTSP_PATHS_CAM_SOURCE", "rtsp://one/a")];
        let conf = read("", &both).unwrap();
        assert_eq!(conf.global().time("readTimeout"), Nanos::seconds(30));
        assert_eq!(conf.path("cam").unwrap().text("source"), "rtsp://one/a");
    }

    #[test]
    fn what_hooks_say_to_their_children_is_none_of_it() {
        let of_a_hook = [
            ("MTX_PATH", "cam"),
            ("MTX_QUERY", "a=b"),
            ("MTX_SOURCE_TYPE", "rtspSession"),
            ("MTX_CONN_ID", "x"),
            ("MTX_SEGMENT_PATH", "/a.mp4"),
            ("RTSP_PORT", "8554"),
            ("MTX_PATHS_", "x"),
            ("MTX_PATHS_cam_SOURCE", "x"),
            ("MTX_UNKNOWN", "x"),
        ];
        assert!(!says_something(&environment(&of_a_hook)).unwrap());
        assert!(read("{}", &of_a_hook).unwrap().paths().is_empty());
        assert!(says_something(&environment(&[("MTX_PATHS_CAM_RECORD", "no")])).unwrap());
    }

    #[test]
    fn a_wrong_one_is_named() {
        for (variable, value, error) in [
            ("MTX_API", "maybe", "MTX_API: invalid value 'maybe'"),
            ("MTX_PATHS_CAM_MAXREADERS", "many", "MTX_PATHS_CAM_MAXREADERS: invalid value 'many'"),
            ("MTX_READTIMEOUT", "soon", "MTX_READTIMEOUT: time: invalid duration \"soon\""),
            ("MTX_PATHS_CAM_SOURCE", "nowhere", "invalid source: 'nowhere'"),
        ] {
            assert_eq!(read("{}", &[(variable, value)]).err().as_deref(), Some(error), "{variable}");
        }
    }

    #[test]
    fn an_empty_one_is_an_empty_list() {
        let text = "authInternalUsers: [{ user: any, permissions: [{ action: read }] }]";
        let conf = read(text, &[("MTX_AUTHINTERNALUSERS", "")]).unwrap();
        assert!(conf.global().records("authInternalUsers").is_empty());
        let conf = read(text, &[("MTX_AUTHINTERNALUSERS_0_USER", "me")]).unwrap();
        let global = conf.global();
        let permissions = global.records("authInternalUsers")[0].records("permissions");
        assert_eq!((permissions.len(), permissions[0].text("action")), (1, "read"), "what is not said stays");
    }
}
