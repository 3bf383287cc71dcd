//! What follows from the policy, the limits and the request.

use super::*;

fn settings(policy: Policy) -> Settings {
    let every = Duration::from_secs(300);
    Settings { policy, auto_cleanup: true, every, recording_days: 0, snapshot_days: 0, snapshots: 0 }
}

fn policy(policy_type: PolicyType, enabled: bool) -> Policy {
    Policy { policy_type, max_age_days: 30, max_size_gb: 0.5, enabled }
}

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * 86_400))
}

#[test]
fn the_policy_and_the_limits_hold_side_by_side() {
    let rules = |policy: Policy, limits: (u32, u32, u32)| {
        let (recording_days, snapshot_days, snapshots) = limits;
        let rules = Settings { recording_days, snapshot_days, snapshots, ..settings(policy) }.rules(&policy);
        let [recordings, snapshots] = rules.limits[..] else { panic!("{rules:?}") };
        assert_eq!(recordings.max_count, None);
        (recordings.max_age, snapshots.max_age, snapshots.max_count, rules.max_bytes)
    };
    use PolicyType::{Age, Manual, Size};
    assert_eq!(rules(policy(Age, true), (0, 0, 0)), (days(30), days(30), None, None));
    assert_eq!(rules(policy(Age, true), (7, 90, 5)), (days(7), days(30), Some(5), None), "the shorter time holds");
    assert_eq!(rules(policy(Age, false), (7, 0, 0)), (days(7), None, None, None), "off is the policy alone");
    assert_eq!(rules(policy(Size, true), (0, 7, 0)), (None, days(7), None, Some(500_000_000)));
    assert_eq!(rules(policy(Manual, true), (0, 0, 0)), (None, None, None, None));
    assert!(!settings(policy(Age, false)).rules(&policy(Age, false)).any());
}

#[test]
fn a_policy_that_leaves_it_to_a_person_leaves_all_of_it() {
    for (policy, auto_cleanup, by_itself) in [
        (policy(PolicyType::Age, true), true, true),
        (policy(PolicyType::Age, true), false, false),
        (policy(PolicyType::Age, false), true, true),
        (policy(PolicyType::Manual, true), true, false),
        (policy(PolicyType::Manual, false), true, true),
    ] {
        let settings = Settings { auto_cleanup, snapshots: 5, ..settings(policy) };
        assert_eq!(settings.by_itself(&policy), by_itself, "{settings:?}");
        let words = settings.in_words(&policy);
        assert!(words.contains("snapshots.max_count (5)"), "{words}");
        assert_eq!(words.contains("on request only"), !by_itself, "{words}");
    }
}

#[test]
fn a_number_that_is_left_out_stays() {
    let before = policy(PolicyType::Age, false);
    let change = |params: serde_json::Value| serde_json::from_value::<PolicyParams>(params).unwrap().over(&before);
    let changed = change(serde_json::json!({ "policy_type": "size", "enabled": true }));
    assert_eq!(changed, policy(PolicyType::Size, true));
    let changed = change(serde_json::json!({ "policy_type": "age", "enabled": true, "max_age_days": 7 }));
    assert_eq!((changed.max_age_days, changed.max_size_gb), (7, 0.5));
}

#[tokio::test]
async fn what_was_set_is_in_force_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("retention.json");
    let configured = settings(policy(PolicyType::Age, true));
    let in_force = async || Retention::load(&file, configured).change(|policy| *policy).await;
    assert_eq!(in_force().await.unwrap(), configured.policy);
    let set = policy(PolicyType::Size, true);
    Retention::load(&file, configured).change(move |_| set).await.unwrap();
    assert_eq!(in_force().await.unwrap(), set);
    let refused = Retention::load(&file, configured).change(|policy| Policy { max_size_gb: 0.0, ..*policy }).await;
    assert!(refused.unwrap_err().message().contains("max_size_gb"));
    assert_eq!(in_force().await.unwrap(), set);

    std::fs::write(&file, "broken").unwrap();
    let careful = Retention::load(&file, configured);
    assert!(!careful.settings().by_itself(&careful.policy().await), "nothing goes that somebody may have wanted");
}
