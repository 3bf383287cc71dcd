//! Who may call what.

use std::collections::BTreeMap;

use serde_json::json;

use super::{methods, name, service};
use crate::support::rpc::Client;

/// As it was agreed with those who write clients. Not read from the code: this is what the code is held against.
const ROLES: &[(&str, &[&str])] = &[
    ("none", &["ping", "authenticate"]),
    (
        "viewer",
        &[
            "get_camera_list",
            "get_camera_status",
            "get_camera_capabilities",
            "get_camera_controls",
            "list_recordings",
            "list_snapshots",
            "get_recording_info",
            "get_snapshot_info",
            "get_stream_url",
            "get_stream_status",
            "get_streams",
            "get_system_status",
            "get_server_info",
            "subscribe_events",
            "unsubscribe_events",
            "get_subscription_stats",
            "get_external_streams",
            "rpc.discover",
        ],
    ),
    (
        "operator",
        &[
            "take_snapshot",
            "start_recording",
            "stop_recording",
            "start_streaming",
            "stop_streaming",
            "set_camera_control",
            "reset_camera_controls",
            "discover_external_streams",
            "add_external_stream",
            "remove_external_stream",
        ],
    ),
    (
        "admin",
        &[
            "delete_recording",
            "delete_snapshot",
            "get_metrics",
            "get_status",
            "get_storage_info",
            "set_retention_policy",
            "cleanup_old_files",
            "set_discovery_interval",
        ],
    ),
];

fn rank(role: &str) -> usize {
    ROLES.iter().position(|(name, _)| *name == role).unwrap()
}

fn least_roles() -> BTreeMap<&'static str, &'static str> {
    ROLES.iter().flat_map(|(role, methods)| methods.iter().map(move |method| (*method, *role))).collect()
}

#[test]
fn the_document_has_the_methods_and_roles_that_were_agreed() {
    let documented = methods().iter().map(|method| (name(method), method["x-role"].as_str().unwrap())).collect();
    assert_eq!(least_roles(), documented);
}

/// Every method as nobody and in every role: refused, or let through to its parameters.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_for_its_role_and_those_above() {
    let (service, agreed) = (service().await, least_roles());
    for (have, _) in ROLES {
        let mut client = match *have {
            "none" => Client::connect(service.app.control_address()).await,
            role => service.client(role).await,
        };
        for method in methods().iter().map(name) {
            let least = agreed.get(method).unwrap_or_else(|| panic!("{method} has no role in the table"));
            // No method takes this parameter: whoever may call is refused for that, after the role was looked at.
            let error = client.call(method, json!({ "nonsense": 1 })).await.unwrap_err();
            match (*have, *least) {
                (have, least) if rank(have) >= rank(least) => {
                    assert_eq!((&error["code"], &error["data"]["param"]), (&json!(-32602), &json!("nonsense")));
                }
                ("none", _) => assert_eq!(error["code"], -32001, "{method} as nobody"),
                (have, least) => {
                    let data = (&error["data"]["required_role"], &error["data"]["have_role"]);
                    assert_eq!((&error["code"], data), (&json!(-32002), (&json!(least), &json!(have))), "{method}");
                }
            }
        }
    }
    service.stop().await;
}

/// As the parameters would let it through: what each role may call is really done for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_answered_wherever_nothing_has_to_be_said() {
    let service = service().await;
    let mut viewer = service.client("viewer").await;
    for method in methods().iter().filter(|method| method["params"] == json!([])) {
        let asked = viewer.call(name(method), json!({})).await;
        let may = rank(method["x-role"].as_str().unwrap()) <= rank("viewer");
        assert_eq!(asked.is_ok(), may, "{}: {asked:?}", name(method));
    }
    service.stop().await;
}
