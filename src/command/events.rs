//! Events by subscription: what a client wants to hear of, beyond what everybody is told.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use super::{
    Command, Gateway, NoParams,
    access::{Caller, Known, Role},
};
use crate::error::Result;

/// Every topic there is. `system.startup` is there for clients that name it: when the service starts, nobody has
/// subscribed yet.
pub const TOPICS: [&str; 11] = [
    "camera.connected",
    "camera.control_change",
    "camera.disconnected",
    "camera.status_change",
    "recording.error",
    "recording.start",
    "recording.stop",
    "snapshot.taken",
    "system.health",
    "system.shutdown",
    "system.startup",
];

/// A topic, all topics of a group (`camera.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let pattern = Self(text.to_owned());
        TOPICS.iter().any(|topic| pattern.matches(topic)).then_some(pattern)
    }

    fn matches(&self, topic: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some("") => true,
            Some(group) if group.ends_with('.') => topic.starts_with(group),
            _ => self.0 == topic,
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("unknown topic \"{text}\", expected {}, camera.* or *", TOPICS.join(", ")))
        })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "TopicPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let groups = TOPICS.iter().filter_map(|topic| topic.split_once('.')).map(|(group, _)| format!("{group}.*"));
        let groups: BTreeSet<String> = groups.collect();
        let patterns: Vec<_> = TOPICS.map(str::to_owned).into_iter().chain(groups).chain(["*".to_owned()]).collect();
        json_schema!({ "description": "A topic, all topics of a group, or all.", "type": "string", "enum": patterns })
    }
}

/// What one conversation wants to hear of. There are few patterns, so the set is bounded by itself.
#[derive(Debug, Default)]
pub struct Subscriptions(Mutex<BTreeMap<Pattern, Devices>>);

/// The cameras a subscription is about; `None`: all, and what is about none.
type Devices = Option<BTreeSet<String>>;

impl Subscriptions {
    /// Whether an event of `topic` about `device` is wanted.
    pub fn want(&self, topic: &str, device: Option<&str>) -> bool {
        self.lock().iter().any(|(pattern, devices)| {
            let about = |devices: &BTreeSet<String>| device.is_some_and(|device| devices.contains(device));
            pattern.matches(topic) && devices.as_ref().is_none_or(about)
        })
    }

    /// Adds patterns; one that is there already is widened.
    fn add(&self, patterns: Vec<Pattern>, device: Option<&str>) {
        let mut wanted = self.lock();
        for pattern in patterns {
            let devices = wanted.entry(pattern).or_insert_with(|| Some(BTreeSet::new()));
            match (device, devices) {
                (None, all) => *all = None,
                (Some(device), Some(some)) => drop(some.insert(device.to_owned())),
                (Some(_), None) => {}
            }
        }
    }

    /// Takes patterns away, or all. Returns those that were there.
    fn remove(&self, patterns: Option<Vec<Pattern>>) -> Vec<Pattern> {
        let mut wanted = self.lock();
        match patterns {
            None => std::mem::take(&mut *wanted).into_keys().collect(),
            Some(patterns) => patterns.into_iter().filter(|pattern| wanted.remove(pattern).is_some()).collect(),
        }
    }

    /// The patterns.
    fn patterns(&self) -> Vec<Pattern> {
        self.lock().keys().cloned().collect()
    }

    // The map is valid after every statement, so a panic elsewhere under the lock harms nobody.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Pattern, Devices>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The conversations that have ever subscribed, for the statistics. Those that are over fall out.
#[derive(Debug, Default)]
pub struct Subscribers(Mutex<Vec<Known>>);

impl Subscribers {
    fn add(&self, caller: &Caller) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.caller().is_some_and(|one| one.session_id() != caller.session_id()));
        known.push(caller.known());
    }

    fn patterns(&self) -> Vec<Vec<Pattern>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let patterns = known.iter().filter_map(Known::caller).map(|caller| caller.subscriptions().patterns());
        patterns.filter(|patterns| !patterns.is_empty()).collect()
    }
}

/// `subscribe_events`: adds to what this socket is told of.
pub struct Subscribe;

/// The parameters of [`Subscribe`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SubscribeParams {
    /// Topics, groups (`camera.*`) or `*`.
    topics: Vec<Pattern>,
    /// What the events have to be about; else anything.
    filters: Option<Filters>,
}

/// What an event has to be about.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventFilters")]
pub struct Filters {
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The camera.
    device: Option<String>,
}

/// The reply of [`Subscribe`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Subscribed {
    subscribed: bool,
    topics: Vec<Pattern>,
    filters: Filters,
}

impl Command for Subscribe {
    const METHOD: &'static str = "subscribe_events";
    const SUMMARY: &'static str = "Adds to the events that this socket is told of.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = SubscribeParams;
    type Reply = Subscribed;

    async fn run(params: SubscribeParams, caller: &Caller, gateway: &Gateway) -> Result<Subscribed> {
        let mut filters = params.filters.unwrap_or_default();
        filters.device = filters.device.map(|device| gateway.find(&device)).transpose()?;
        caller.subscriptions().add(params.topics.clone(), filters.device.as_deref());
        gateway.subscribers.add(caller);
        Ok(Subscribed { subscribed: true, topics: params.topics, filters })
    }
}

/// `unsubscribe_events`: takes topics back, or all.
pub struct Unsubscribe;

/// The parameters of [`Unsubscribe`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UnsubscribeParams {
    /// As they were subscribed; else all.
    topics: Option<Vec<Pattern>>,
}

/// The reply of [`Unsubscribe`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Unsubscribed {
    unsubscribed: bool,
    /// Those that were taken back.
    topics: Vec<Pattern>,
}

impl Command for Unsubscribe {
    const METHOD: &'static str = "unsubscribe_events";
    const SUMMARY: &'static str = "Takes topics back, or all.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = UnsubscribeParams;
    type Reply = Unsubscribed;

    async fn run(params: UnsubscribeParams, caller: &Caller, _: &Gateway) -> Result<Unsubscribed> {
        Ok(Unsubscribed { unsubscribed: true, topics: caller.subscriptions().remove(params.topics) })
    }
}

/// `get_subscription_stats`: who listens to what.
pub struct GetStats;

/// The reply of [`GetStats`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SubscriptionStats")]
pub struct Stats {
    global_stats: Global,
    client_topics: Vec<Pattern>,
    client_id: Uuid,
}

/// All clients together.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GlobalSubscriptionStats")]
pub struct Global {
    total_subscriptions: usize,
    active_clients: usize,
    topic_counts: BTreeMap<String, usize>,
}

impl Command for GetStats {
    const METHOD: &'static str = "get_subscription_stats";
    const SUMMARY: &'static str = "Who listens to what.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = Stats;

    async fn run(_: NoParams, caller: &Caller, gateway: &Gateway) -> Result<Stats> {
        let all = gateway.subscribers.patterns();
        let mut topic_counts = BTreeMap::new();
        for Pattern(topic) in all.iter().flatten() {
            *topic_counts.entry(topic.clone()).or_default() += 1;
        }
        Ok(Stats {
            global_stats: Global {
                total_subscriptions: all.iter().map(Vec::len).sum(),
                active_clients: all.len(),
                topic_counts,
            },
            client_topics: caller.subscriptions().patterns(),
            client_id: caller.session_id(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).expect(text)).collect()
    }

    #[test]
    fn patterns_are_topics_groups_or_all() {
        for (pattern, topic, fits) in [
            ("camera.connected", "camera.connected", true),
            ("camera.connected", "camera.disconnected", false),
            ("camera.*", "camera.status_change", true),
            ("camera.*", "recording.start", false),
            ("*", "system.health", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(topic), fits, "{pattern} {topic}");
        }
        for nonsense in ["", "camera", "camera.", "cam*", "camera.*.*", "door.*", "**"] {
            assert_eq!(Pattern::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_is_wanted_is_what_was_added_and_not_taken_back() {
        let wanted = Subscriptions::default();
        assert!(!wanted.want("camera.connected", Some("camera0")));
        wanted.add(patterns(&["camera.*"]), Some("camera0"));
        assert!(wanted.want("camera.connected", Some("camera0")));
        assert!(!wanted.want("camera.connected", Some("camera1")));
        wanted.add(patterns(&["camera.*", "system.health"]), None);
        assert!(wanted.want("camera.connected", Some("camera1")) && wanted.want("system.health", None));
        assert_eq!(wanted.remove(Some(patterns(&["camera.*", "*"]))), patterns(&["camera.*"]));
        assert!(!wanted.want("camera.connected", Some("camera0")));
        assert_eq!(wanted.remove(None), patterns(&["system.health"]));
        assert!(wanted.patterns().is_empty());
    }
}
