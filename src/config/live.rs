//! Which keys count at once when the file changes while the service runs, and which wait for the next start.
//!
//! Not here: looking at the file, and doing what the keys say (`app`).

use std::{collections::BTreeMap, fmt};

use super::{Camera, Config, Encoder, Loaded, Recording, Storage};

/// Keys that count at once; a last part of `*` stands for all below. The list of docs/configuration.md, and
/// [`Config::follow`], say the same.
const AT_ONCE: &[&str] = &[
    "camera.always_available",
    "camera.auto_start_streams",
    "camera.devices",
    "camera.restore_controls",
    "camera.test_pattern",
    "streams.*",
    "encoder.bitrate",
    "encoder.gop",
    "encoder.level",
    "encoder.preset",
    "encoder.profile",
    "logging.level",
    "recording.auto_record",
    "recording.cleanup_after_days",
    "recording.format",
    "recording.max_duration",
    "recording.max_segment_size",
    "recording.pre_roll",
    "recording.quality",
    "recording.segment_duration",
    "retention_policy.*",
    "snapshots.*",
    "storage.block_percent",
    "storage.warn_percent",
];

/// Whether a change of `key`, written with its sections (`streams.width`), counts while the service runs.
pub fn counts_at_once(key: &str) -> bool {
    let fits = |pattern: &&str| pattern.strip_suffix('*').map_or(*pattern == key, |start| key.starts_with(start));
    AT_ONCE.iter().any(fits)
}

/// Every key with a mark of its value. Secrets are among them, so it does not show what it has.
#[derive(Clone, Default, PartialEq)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Values").field(&self.0.len()).finish()
    }
}

/// The keys by which two versions of a configuration differ, written with their sections. An entry of a list is not told
/// from the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that count at once.
    pub at_once: Vec<String>,
    /// Those that wait for the next start.
    pub waiting: Vec<String>,
}

impl Values {
    pub(super) fn note(&mut self, key: String, mark: String) {
        self.0.insert(key, mark);
    }

    /// What is another in `now`.
    fn changes(&self, now: &Self) -> Changes {
        let differs = |key: &&String| self.0.get(*key) != now.0.get(*key);
        let keys = self.0.keys().chain(now.0.keys()).filter(differs);
        let mut keys: Vec<String> = keys.map(|key| list(key).to_owned()).collect();
        keys.sort_unstable();
        keys.dedup();
        let (at_once, waiting) = keys.into_iter().partition(|key| counts_at_once(key));
        Changes { at_once, waiting }
    }
}

impl Loaded {
    /// Takes over from `now` what counts at once; the rest stays as the service was started with it. Gives what is another in
    /// `now` than it was here.
    pub fn follow(&mut self, now: &Self) -> Changes {
        let changes = self.values.changes(&now.values);
        let (mine, theirs) = (&mut self.values.0, &now.values.0);
        mine.retain(|key, _| !counts_at_once(list(key)));
        mine.extend(
            theirs.iter().filter(|(key, _)| counts_at_once(list(key))).map(|(key, mark)| (key.clone(), mark.clone())),
        );
        self.config.follow(&now.config);
        changes
    }
}

/// The list that an entry's key is of; of any other key, that.
fn list(key: &str) -> &str {
    key.split('[').next().unwrap_or(key)
}

impl Config {
    fn follow(&mut self, now: &Self) {
        let Self { camera, streams, encoder, logging, recording, snapshots, storage, retention_policy, .. } =
            now.clone();
        self.camera = Camera {
            discovery_enabled: self.camera.discovery_enabled,
            detection_timeout: self.camera.detection_timeout,
            ..camera
        };
        self.streams = streams;
        self.encoder = Encoder {
            order: std::mem::take(&mut self.encoder.order),
            trial_timeout: self.encoder.trial_timeout,
            ..encoder
        };
        self.logging.level = logging.level;
        self.recording =
            Recording { file_name_pattern: std::mem::take(&mut self.recording.file_name_pattern), ..recording };
        self.snapshots = snapshots;
        self.storage = Storage { fallback_path: self.storage.fallback_path.take(), ..storage };
        self.retention_policy = retention_policy;
    }
}

#[cfg(test)]
mod tests {
    use std::iter::empty;

    use super::*;

    fn parsed(text: &str) -> Loaded {
        Config::parse("test", text, empty()).unwrap_or_else(|problems| panic!("{text}: {problems}"))
    }

    /// One of them is another value than the default, for nearly every key.
    const VALUES: [&str; 24] = [
        "true",
        "false",
        "3",
        "98",
        "640",
        "7s",
        "20m",
        "3M",
        "100KB",
        "high",
        "debug",
        "fast",
        "always",
        "mkv",
        "png",
        "MJPEG",
        "size",
        "low",
        "4.1",
        "/tmp",
        "127.0.0.2",
        "[x264enc]",
        "[{match: {serial: a}, name: b}]",
        "[{device: camera0, max_age_days: 3}]",
    ];

    fn leaves(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match inner["properties"].is_object() {
                _ if inner["deprecated"] == true => {}
                true => leaves(inner, &path, found),
                false => found.push(path),
            }
        }
    }

    #[test]
    fn what_counts_at_once_is_taken_over_and_nothing_else() {
        let (defaults, mut keys) = (parsed(""), Vec::new());
        leaves(&Config::schema(), "", &mut keys);
        let with = |key: &str, value: &str| {
            let text = key.rsplit('.').fold(value.to_owned(), |inner, key| format!("{{{key}: {inner}}}"));
            Config::parse("test", &text, empty()).ok().filter(|other| other.config != defaults.config)
        };
        let (mut tried, mut left) = (0, Vec::new());
        for key in keys {
            let Some(other) = VALUES.iter().find_map(|value| with(&key, value)) else {
                left.push(key);
                continue;
            };
            tried += 1;
            let changes = defaults.values.changes(&other.values);
            let at_once = counts_at_once(&key);
            let (told, other_kind) =
                if at_once { (changes.at_once, changes.waiting) } else { (changes.waiting, changes.at_once) };
            // With the state directory others move.
            assert!(told.contains(&key) && other_kind.is_empty(), "{key}: {told:?}, {other_kind:?}");
            let mut followed = defaults.config.clone();
            followed.follow(&other.config);
            assert_eq!(followed, if at_once { other.config } else { defaults.config.clone() }, "{key}");
        }
        assert!(tried > 80, "{tried}");
        // For these no value is made up; none counts at once.
        assert!(!left.iter().any(|key| counts_at_once(key)), "{left:?}");
    }

    #[test]
    fn what_waits_is_told_until_it_is_taken_back() {
        let (mut running, other) = (parsed("server: {port: 1}"), parsed("{server: {port: 2}, streams: {width: 640}}"));
        let changes = |at_once: &[&str], waiting: &[&str]| Changes {
            at_once: at_once.iter().map(|key| (*key).to_owned()).collect(),
            waiting: waiting.iter().map(|key| (*key).to_owned()).collect(),
        };
        assert_eq!(running.follow(&other), changes(&["streams.width"], &["server.port"]));
        assert_eq!(running.follow(&other), changes(&[], &["server.port"]));
        assert_eq!((running.config.server.port, running.config.streams.width), (1, 640));
        assert_eq!(running.follow(&parsed("server: {port: 1}")), changes(&["streams.width"], &[]));
        let devices = parsed("camera: {devices: [{match: {serial: a}, name: b}, {match: {serial: c}}]}");
        assert_eq!(running.follow(&devices), changes(&["camera.devices"], &["server.port"]));
        assert_eq!(running.follow(&parsed("server: {port: 1}")), changes(&["camera.devices"], &[]));
    }

    #[test]
    fn old_spellings_and_a_secret_are_told_apart_by_what_they_mean() {
        let of = |text: &str| parsed(text).values;
        let none = Changes::default();
        assert_eq!(of("streams: {close_after: 60s}").changes(&of("streams: {close_after: 1m}")), none);
        assert_eq!(of("cameras: {auto_start_streams: no}").changes(&of("camera: {auto_start_streams: false}")), none);
        assert_eq!(of("server: {port: 8002}").changes(&of("")), none);
        let secret = |text: &str| of(&format!("security: {{jwt: {{secret_key: {}}}}}", text.repeat(32)));
        let changed = secret("a").changes(&secret("b"));
        assert_eq!((changed.at_once, changed.waiting), (vec![], vec!["security.jwt.secret_key".to_owned()]));
        assert!(!format!("{:?}", secret("a")).contains("aaa"));
    }
}
