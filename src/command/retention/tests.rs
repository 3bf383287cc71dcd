//! What follows from the policy, the limits and the request.

use super::*;

fn settings(policy: Policy) -> Settings {
    let every = Duration::from_secs(300);
    Settings { policy, auto_cleanup: true, every, recording_days: 0, snapshot_days: 0, snapshots: 0 }
}

fn policy(policy_type: PolicyType, enabled: bool) -> Policy {
    Policy { policy_type, max_age_days: 30, max_size_gb: 0.5, min_free_gb: 0.0, cameras: Vec::new(), enabled }
}

#[test]
fn the_policy_and_the_limits_hold_side_by_side() {
    let rules = |policy: Policy, limits: (u32, u32, u32)| {
        let (recording_days, snapshot_days, snapshots) = limits;
        let rules = Settings { recording_days, snapshot_days, snapshots, ..settings(policy.clone()) }.rules(&policy);
        let [recordings, snapshots] = rules.limits[..] else { panic!("{rules:?}") };
        assert_eq!(recordings.max_count, None);
        (rules.max_age, recordings.max_age, snapshots.max_age, snapshots.max_count, rules.max_bytes)
    };
    use PolicyType::{Age, Manual, Size};
    assert_eq!(rules(policy(Age, true), (0, 0, 0)), (days(30), None, None, None, None));
    assert_eq!(rules(policy(Age, true), (7, 90, 5)), (days(30), days(7), days(90), Some(5), None));
    assert_eq!(rules(policy(Age, false), (7, 0, 0)), (None, days(7), None, None, None), "off is the policy alone");
    assert_eq!(rules(policy(Size, true), (0, 7, 0)), (None, None, days(7), None, Some(500_000_000)));
    assert_eq!(rules(policy(Manual, true), (0, 0, 0)), (None, None, None, None, None));
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
        let settings = Settings { auto_cleanup, snapshots: 5, ..settings(policy.clone()) };
        assert_eq!(settings.by_itself(&policy), by_itself, "{settings:?}");
        let words = settings.in_words(&policy);
        assert!(words.contains("snapshots.max_count (5)"), "{words}");
        assert_eq!(words.contains("on request only"), !by_itself, "{words}");
    }
}

#[test]
fn room_and_cameras_hold_whatever_the_policy_is() {
    let camera =
        |device: &str, max_age_days, max_size_gb| CameraLimits { device: device.into(), max_age_days, max_size_gb };
    let cameras = vec![camera("camera0", Some(90), None), camera("camera1", Some(1), Some(0.5))];
    let off = Policy { min_free_gb: 2.0, cameras, ..policy(PolicyType::Age, false) };
    let rules = settings(off.clone()).rules(&off);
    assert!(rules.any());
    assert_eq!((rules.max_age, rules.max_bytes, rules.min_free), (None, None, Some(2_000_000_000)));
    let expected = [
        ("camera0".to_owned(), DeviceLimits { max_age: days(90), max_bytes: None }),
        ("camera1".to_owned(), DeviceLimits { max_age: days(1), max_bytes: Some(500_000_000) }),
    ];
    assert_eq!(rules.devices, expected.into());
    let words = off.in_words();
    assert!(
        words.contains("less than 2 GB are free") && words.contains("1 days and 0.5 GB are kept of camera1"),
        "{words}"
    );
    assert!(off.check().is_ok());
    for cameras in [
        vec![camera("camera0", None, None)],
        vec![camera("", Some(1), None)],
        vec![camera("camera0", Some(0), None)],
        vec![camera("camera0", None, Some(f64::NAN))],
        vec![camera("camera0", Some(1), None), camera("camera0", None, Some(1.0))],
        (0..1001).map(|number| camera(&format!("camera{number}"), Some(1), None)).collect(),
    ] {
        assert!(Policy { cameras: cameras.clone(), ..off.clone() }.check().is_err(), "{cameras:?}");
    }
    for min_free_gb in [-1.0, 1e7, f64::NAN] {
        assert!(Policy { min_free_gb, ..off.clone() }.check().is_err(), "{min_free_gb}");
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
    let load = || Retention::load(&file, configured.clone());
    let in_force = async || load().change(Policy::clone).await;
    assert_eq!(in_force().await.unwrap(), configured.policy);
    let camera = CameraLimits { device: "camera0".into(), max_age_days: None, max_size_gb: Some(2.0) };
    let set = Policy { min_free_gb: 5.0, cameras: vec![camera], ..policy(PolicyType::Size, true) };
    let wanted = set.clone();
    load().change(move |_| wanted).await.unwrap();
    assert_eq!(in_force().await.unwrap(), set);
    let refused = load().change(|policy| Policy { max_size_gb: 0.0, ..policy.clone() }).await;
    assert!(refused.unwrap_err().message().contains("max_size_gb"));
    assert_eq!(in_force().await.unwrap(), set);

    std::fs::write(&file, "broken").unwrap();
    let careful = load();
    assert!(!careful.settings().by_itself(&careful.policy().await), "nothing goes that somebody may have wanted");
}

#[tokio::test]
async fn another_configuration_counts_unless_a_request_has_set_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("retention.json");
    let retention = Retention::load(&file, settings(policy(PolicyType::Age, true)));
    let other = Settings { snapshots: 7, ..settings(policy(PolicyType::Size, true)) };
    retention.follow(other.clone()).await;
    assert_eq!((retention.policy().await, retention.settings()), (other.policy.clone(), other.clone()));
    retention.change(|_| policy(PolicyType::Manual, true)).await.unwrap();
    retention.follow(Settings { snapshots: 8, ..settings(policy(PolicyType::Age, false)) }).await;
    assert_eq!((retention.policy().await, retention.settings().snapshots), (policy(PolicyType::Manual, true), 8));
    std::fs::write(&file, "broken").unwrap();
    retention.follow(other).await;
    assert_eq!(retention.policy().await, policy(PolicyType::Manual, true), "what is not understood changes nothing");
}
