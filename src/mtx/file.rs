//! MediaMTX's own configuration file, `mediamtx.yml`.

use serde_json::Value as Json;

use super::{
    Conf, Set,
    conf::Refused,
    decode,
    env::{self, Environment},
    global, path,
};

/// The three parts of a file.
pub(super) struct Parts {
    pub(super) global: Set,
    pub(super) path_defaults: Set,
    pub(super) paths: Vec<(String, Set)>,
}

impl Default for Parts {
    /// Those of an empty file.
    fn default() -> Self {
        Self { global: Set::new(global::KEYS), path_defaults: Set::new(path::KEYS), paths: Vec::new() }
    }
}

impl Parts {
    /// Whether nothing is set.
    pub(super) fn is_empty(&self) -> bool {
        let sets = [&self.global, &self.path_defaults].into_iter().chain(self.paths.iter().map(|(_, set)| set));
        sets.into_iter().all(|set| set.names().next().is_none())
    }
}

impl Conf {
    /// The configuration that a file describes, in place of everything that was set. Error: MediaMTX's message, or where
    /// the text is no YAML.
    pub fn read(&self, text: &str) -> Result<Self, String> {
        self.read_with(text, &Environment::new())
    }

    /// The same, with what the environment says in place of what is in the file.
    pub fn read_with(&self, text: &str, environment: &Environment) -> Result<Self, String> {
        let mut parts = parts(text)?;
        env::put_into(&mut parts, environment)?;
        self.with_parts(parts).map_err(|refused| match refused {
            Refused::Invalid(message) => message,
            Refused::NotFound => "there is no such path".into(),
        })
    }
}

/// The global keys that a file and the environment say, and nothing else. Error: as of [`Conf::read`].
pub fn said(text: &str, environment: &Environment) -> Result<Set, String> {
    let mut parts = parts(text)?;
    env::put_into(&mut parts, environment)?;
    parts.global.translate();
    Ok(parts.global)
}

fn parts(text: &str) -> Result<Parts, String> {
    // What is only comments is nothing.
    let json: Json = serde_yaml::from_str::<Option<Json>>(text).map_err(|error| error.to_string())?.unwrap_or_default();
    let mut fields = match json {
        Json::Null => serde_json::Map::new(),
        Json::Object(fields) => fields,
        _ => return Err("the file is no list of keys".into()),
    };
    let path_defaults = decode::object(&fields.remove("pathDefaults").unwrap_or_default(), path::KEYS, "pathDefaults")?;
    let paths = match fields.remove("paths") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Object(paths)) => {
            let own = |(name, keys): (String, Json)| {
                let place = format!("paths.{name}");
                decode::object(&keys, path::KEYS, &place).map(|set| (name, set))
            };
            paths.into_iter().map(own).collect::<Result<_, _>>()?
        }
        Some(_) => return Err("'paths' is no list of paths".into()),
    };
    Ok(Parts { global: decode::object(&Json::Object(fields), global::KEYS, "")?, path_defaults, paths })
}
