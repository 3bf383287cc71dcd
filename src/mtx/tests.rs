//! The model against what MediaMTX is known to do.

use super::*;

pub(super) fn conf() -> Conf {
    Conf::new(global_keys())
}

fn json(set: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(set).unwrap()
}

pub(super) fn refused(result: Result<Conf, Refused>) -> String {
    match result {
        Err(Refused::Invalid(message)) => message,
        Err(Refused::NotFound) => "not found".into(),
        Ok(_) => "taken".into(),
    }
}

#[test]
fn every_default_is_one_that_its_key_takes() {
    for keys in [global::KEYS, path::KEYS] {
        for key in keys {
            let Some(initial) = &key.initial else { continue };
            let decoded = key.kind.decode(&initial.json(), key.name);
            assert!(decoded.is_ok(), "{}: {decoded:?}", key.name);
        }
    }
    assert_eq!(refused(conf().patch_global(b"{}")), "taken");
    assert_eq!(refused(conf().add("camera", b"{}")), "taken");
}

#[test]
fn old_keys_lead_to_keys_that_are_there() {
    use key::Successor::{Alone, Asked, Not, Nothing, PathDefault, Same, Servers};
    for keys in [global::KEYS, path::KEYS] {
        for key in keys {
            let (table, name) = match key.successor {
                Nothing => continue,
                Same(name) | Not(name) | Alone(name) | Servers(name) | Asked(name) => (keys, name),
                PathDefault => (path::KEYS, key.name),
            };
            assert!(table.iter().any(|other| other.name == name), "{} -> {name}", key.name);
        }
    }
}

#[test]
fn keys_are_shown_in_order_with_their_defaults_and_old_ones_only_when_set() {
    let shown = serde_json::to_string(&conf().path_defaults()).unwrap();
    assert!(shown.starts_with(r#"{"name":"","source":"publisher","sourceFingerprint":"","sourceOnDemand":false,"#));
    assert!(shown.contains(r#""recordSegmentDuration":"1h0m0s","recordDeleteAfter":"1d","overridePublisher":true"#));
    assert!(shown.contains(r#""rpiCameraAWBGains":[0,0],"#) && shown.contains(r#""rpiCameraFPS":30,"#), "{shown}");
    assert!(!shown.contains("sourceProtocol"));
    let global = json(&conf().global());
    assert_eq!(global["authInternalUsers"][1]["ips"], serde_json::json!(["127.0.0.1/32", "::1/128"]));
    assert_eq!(global["rtspTransports"], serde_json::json!(["multicast", "tcp", "udp"]));
    assert_eq!(global["hlsSegmentMaxSize"], "50M");
    assert!(global.get("readBufferCount").is_none() && global.get("paths").is_none());
}

#[test]
fn old_keys_are_shown_beside_what_they_stand_for() {
    let body =
        br#"{"source": "rtsp://a/b", "sourceProtocol": "tcp", "runOnReady": "x", "disablePublisherOverride": true}"#;
    let path = json(&conf().add("a", body).unwrap().path("a").unwrap());
    assert_eq!((&path["sourceProtocol"], &path["rtspTransport"]), (&json(&"tcp"), &json(&"tcp")));
    assert_eq!((&path["runOnAvailable"], &path["overridePublisher"]), (&json(&"x"), &json(&false)));
    let body = br#"{"apiAllowOrigin": "http://a", "rtmpDisable": true, "recordFormat": "mpegts",
        "webrtcICEServers": ["stun:a:1", "turn:me:pw:b:2"]}"#;
    let conf = conf().patch_global(body).unwrap();
    let global = json(&conf.global());
    assert_eq!((&global["apiAllowOrigins"], &global["rtmp"]), (&json(&["http://a"]), &json(&false)));
    assert_eq!(
        (&global["webrtcICEServers2"][1]["url"], &global["webrtcICEServers2"][1]["password"]),
        (&json(&"turn:b:2"), &json(&"pw"))
    );
    assert_eq!(json(&conf.path_defaults())["recordFormat"], "mpegts");
}

#[test]
fn what_cannot_be_read_is_said_as_go_says_it() {
    for (body, message) in [
        ("", "unexpected end of JSON input"),
        ("{\"record\": tru}", "invalid character '}' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        (r#"{"Record": true}"#, "json: unknown field \"Record\""),
        (r#"{"record": "yes"}"#, "json: cannot unmarshal string into Go value of type bool"),
        (r#"{"maxReaders": "1"}"#, "json: cannot unmarshal string into Go value of type int"),
        (r#"{"maxReaders": 1.5}"#, "json: cannot unmarshal number 1.5 into Go value of type int"),
        (r#"{"rpiCameraWidth": -1}"#, "json: cannot unmarshal number -1 into Go value of type uint"),
        (r#"{"recordDeleteAfter": 10}"#, "json: cannot unmarshal number into Go value of type string"),
        (r#"{"recordDeleteAfter": "soon"}"#, "time: invalid duration \"soon\""),
        (r#"{"recordFormat": "avi"}"#, "invalid record format 'avi'"),
        (r#"{"forward": [{"to": "x"}]}"#, "json: unknown field \"forward[0].to\""),
        (r#"{"rpiCameraAWBGains": [1, "2"]}"#, "json: cannot unmarshal string into Go value of type float64"),
    ] {
        assert_eq!(refused(conf().add("a", body.as_bytes())), message, "{body}");
    }
    for (body, message) in [
        (
            r#"{"authInternalUsers": [{"user": "me", "ips": null}]}"#,
            "cannot set slice \"authInternalUsers[0].ips\" to nil",
        ),
        (r#"{"authInternalUsers": [{"users": "me"}]}"#, "json: unknown field \"authInternalUsers[0].users\""),
        (
            r#"{"authInternalUsers": [{"user": "m e"}]}"#,
            "credential contains unsupported characters. Supported are: A-Z,0-9,!,$,(,),*,+,.,;,<,=,>,[,],^,_,-,\",\",@,#,&",
        ),
        (r#"{"apiTrustedProxies": ["somewhere"]}"#, "unable to parse IP/CIDR 'somewhere'"),
        (r#"{"paths": {}}"#, "json: unknown field \"paths\""),
    ] {
        assert_eq!(refused(conf().patch_global(body.as_bytes())), message, "{body}");
    }
    // Nothing, in three ways; and the name in a body is nobody's.
    for body in
        ["{}", "null", r#"{"forward": null, "record": null, "name": "other"}"#, r#"{"record": true, "record": false}"#]
    {
        let conf = conf().add("a", body.as_bytes()).unwrap();
        assert_eq!(
            (json(&conf.path("a").unwrap())["name"].clone(), conf.path("a").unwrap().flag("record")),
            ("a".into(), false)
        );
    }
}

#[test]
fn the_whole_is_checked_and_a_broken_change_leaves_nothing() {
    for (name, body, message) in [
        (
            "a b",
            "{}",
            "invalid path name 'a b': can contain only alphanumeric characters, underscore, dot, minus, slash",
        ),
        ("a/", "{}", "invalid path name 'a/': can't end with a slash"),
        ("a/../b", "{}", "invalid path name 'a/../b': can't contain dot path segments"),
        ("~(", "{}", "invalid regular expression: ("),
        ("a", r#"{"source": "ftp://a"}"#, "invalid source: 'ftp://a'"),
        ("a", r#"{"source": "rtsp://me@a/b"}"#, "username and password must be both provided"),
        ("a", r#"{"source": "redirect"}"#, "source redirect must be filled"),
        ("a", r#"{"sourceRedirect": "/b"}"#, "'sourceRedirect' is useless when source is not 'redirect'"),
        ("a", r#"{"sourceOnDemand": true}"#, "'sourceOnDemand' is useless when source is 'publisher'"),
        (
            "~^a",
            r#"{"source": "rtsp://a/b"}"#,
            "a path with a regular expression (or path 'all_others') and a static source must have 'sourceOnDemand' set to true",
        ),
        (
            "a",
            r#"{"source": "rtsp://a/b", "runOnDemand": "x"}"#,
            "'runOnDemand' and 'runOnUnDemand' can be used only when source is 'publisher'",
        ),
        ("a", r#"{"recordPath": "/x"}"#, "'recordPath' must contain %path"),
        ("a", r#"{"recordPath": "/x/%path/%Y"}"#, "'recordPath' must contain either %s or %Y %m %d %H %M %S"),
        ("a", r#"{"recordSegmentDuration": "25h"}"#, "maximum segment duration is 1 day"),
        ("a", r#"{"recordDeleteAfter": "10m"}"#, "'recordDeleteAfter' cannot be lower than 'recordSegmentDuration'"),
        ("a", r#"{"alwaysAvailable": true}"#, "'alwaysAvailableTracks' must contain at least one track"),
        (
            "a",
            r#"{"source": "rpiCamera", "rpiCameraCodec": "vp8"}"#,
            "supported codecs for a RPI Camera stream are auto, hardwareH264, softwareH264, mjpeg",
        ),
        ("a", r#"{"source": "rpiCamera", "rpiCameraAWBGains": [1]}"#, "invalid 'rpiCameraAWBGains' value"),
        (
            "a",
            r#"{"source": "rpiCamera"}"#,
            "'rpiCamera' with same camera ID 0 is used as source in two paths, 'a' and 'pi'",
        ),
        (
            "a",
            r#"{"source": "rpiCamera", "rpiCameraSecondary": true, "rpiCameraCamID": 1}"#,
            "cannot find a primary RPI Camera stream to associate with the secondary stream",
        ),
        (
            "a",
            r#"{"source": "rpiCamera", "rpiCameraSecondary": true}"#,
            "a primary RPI Camera stream is associated with multiple secondary streams",
        ),
        ("all", "{}", "all_others, all and '~^.*$' are aliases"),
        ("there", "{}", "path already exists"),
    ] {
        let conf = conf().add("there", b"{}").unwrap().add("all_others", b"{}").unwrap();
        let small =
            br#"{"source": "rpiCamera", "rpiCameraSecondary": true, "rpiCameraWidth": 640, "rpiCameraHeight": 480}"#;
        let conf = conf.add("pi", br#"{"source": "rpiCamera"}"#).unwrap().add("pi_small", small).unwrap();
        assert_eq!(refused(conf.add(name, body.as_bytes())), message, "{name} {body}");
    }
    for (body, message) in [
        (r#"{"writeQueueSize": 500}"#, "'writeQueueSize' must be a power of two"),
        (r#"{"readTimeout": ""}"#, "'readTimeout' must be greater than zero"),
        (r#"{"udpMaxPayloadSize": 1500}"#, "'udpMaxPayloadSize' must be less than 1472"),
        (r#"{"api": true, "apiAddress": ""}"#, "'apiAddress' must be set when API is enabled"),
        (r#"{"authInternalUsers": [{"user": ""}]}"#, "empty usernames are not supported"),
        (
            r#"{"authInternalUsers": [{"user": "any", "pass": "x"}]}"#,
            "using a password with 'any' user is not supported",
        ),
        (r#"{"rtspTransports": ["smoke"]}"#, "invalid transport: smoke"),
        (r#"{"rtspAuthMethods": []}"#, "at least one 'rtspAuthMethods' must be provided"),
        (
            r#"{"multicastIPRange": ""}"#,
            "'multicastIPRange' must be set when UDP multicast is enabled and RTSP encryption is 'no' or 'optional'",
        ),
    ] {
        assert_eq!(refused(conf().patch_global(body.as_bytes())), message, "{body}");
    }
    let conf = conf().add("a", br#"{"recordSegmentDuration": "12h"}"#).unwrap();
    let message = "'recordDeleteAfter' cannot be lower than 'recordSegmentDuration'";
    assert_eq!(refused(conf.patch_path_defaults(br#"{"recordDeleteAfter": "2h"}"#)), message);
}

#[test]
fn what_an_earlier_version_showed_can_be_sent_back() {
    let body = br#"{"fallback": "", "runOnReady": "", "rpiCameraProfile": "main", "disablePublisherOverride": true}"#;
    let path = conf().add("a", body).unwrap().path("a").unwrap();
    assert!(!path.flag("overridePublisher") && path.text("rpiCameraHardwareH264Profile") == "main");
    let old = |name| path.is_former(name);
    assert!(old("disablePublisherOverride") && !old("overridePublisher") && !old("fallback"));
    assert!(refused(conf().add("b", br#"{"fallback": "x"}"#)).contains("not a valid RTSP URL"));
}

#[test]
fn changes_go_into_what_is_an_entrys_own() {
    let conf = conf().add("a", br#"{"maxReaders": 1, "record": true}"#).unwrap();
    let conf = conf.patch("a", br#"{"maxReaders": 2}"#).unwrap().patch_path_defaults(br#"{"maxReaders": 3}"#).unwrap();
    let a = conf.path("a").unwrap();
    assert_eq!((a.int("maxReaders"), a.flag("record")), (2, true));
    let conf = conf.replace("a", b"{}").unwrap().replace("b", b"{}").unwrap();
    assert_eq!(conf.paths().iter().map(|(_, path)| path.int("maxReaders")).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(refused(conf.patch("c", b"{}")), "not found");
    assert_eq!(refused(conf.patch("c", b"{")), "unexpected end of JSON input");
    let conf = conf.delete("a").unwrap();
    assert_eq!(refused(conf.delete("a")), "not found");
}

#[test]
fn the_services_own_paths_come_and_go_and_keep_what_was_set() {
    let mut conf = conf();
    let camera = |node: &str| path_keys().with("source", Value::Text(node.into()));
    conf.give([("camera0".to_owned(), camera("/dev/video0"))].into());
    assert_eq!(refused(conf.add("camera0", b"{}")), "path already exists");
    let mut conf = conf.patch("camera0", br#"{"maxReaders": 5}"#).unwrap();
    conf.give(Default::default());
    assert!(conf.path("camera0").is_none() && conf.paths().is_empty());
    conf.give([("camera0".to_owned(), camera("/dev/video2"))].into());
    let path = conf.path("camera0").unwrap();
    assert_eq!((path.text("source"), path.int("maxReaders")), ("/dev/video2", 5));
    let conf = conf.delete("camera0").unwrap();
    assert_eq!(conf.path("camera0").unwrap().int("maxReaders"), 0);
}

#[test]
fn a_name_leads_to_its_own_entry_then_to_expressions_by_name_then_to_all() {
    let conf =
        ["all_others", "~^b(.)(.)$", "~^a", "bus"].iter().fold(conf(), |conf, name| conf.add(name, b"{}").unwrap());
    let find = |name: &str| conf.find(name).map(|found| (found.conf_name, found.groups.join(",")));
    assert_eq!(find("bus"), Ok(("bus".into(), String::new())));
    assert_eq!(find("bat"), Ok(("~^b(.)(.)$".into(), "bat,a,t".into())));
    assert_eq!(find("abc"), Ok(("~^a".into(), "a".into())));
    assert_eq!(find("x/y"), Ok(("all_others".into(), "x/y".into())));
    assert_eq!(
        find("x y"),
        Err("invalid path name: can contain only alphanumeric characters, underscore, dot, minus, slash (x y)".into())
    );
    assert_eq!(Conf::new(global_keys()).find("x"), Err("path 'x' is not configured".into()));
}

#[test]
fn passwords_are_not_shown() {
    let body = br#"{"authInternalUsers": [{"user": "me", "pass": "hunter2"}, {"user": "you"}]}"#;
    let conf = conf().patch_global(body).unwrap();
    let shown = conf.global().redacted();
    assert_eq!(json(&shown)["authInternalUsers"][0]["pass"], "<redacted>");
    assert_eq!(json(&shown)["authInternalUsers"][1]["pass"], "");
    assert!(!format!("{:?}", conf.global()).contains("hunter2"));
    assert_eq!(json(&conf.global())["authInternalUsers"][0]["pass"], "hunter2");
}

#[test]
fn a_file_is_read_like_the_bodies_of_requests() {
    let read = |text: &str| conf().read(text);
    let good =
        read("logLevel: debug\nrtspEncryption: \"no\"\npathDefaults: {record: yes}\npaths:\n  a:\n  b: {record: no}\n")
            .unwrap();
    assert_eq!((good.global().text("logLevel"), good.global().text("rtspEncryption")), ("debug", "no"));
    assert_eq!(good.paths().iter().map(|(_, path)| path.flag("record")).collect::<Vec<_>>(), [true, false]);
    for nothing in ["", "# nothing\n", "paths:\n", "~"] {
        assert!(read(nothing).unwrap().paths().is_empty(), "{nothing}");
    }
    for (text, message) in [
        ("logLevel: loud", "invalid log level: 'loud'"),
        ("nothing: 1", "json: unknown field \"nothing\""),
        ("paths: {a: {b: 1}}", "json: unknown field \"paths.a.b\""),
        ("pathDefaults: {b: 1}", "json: unknown field \"pathDefaults.b\""),
        ("paths: [a]", "'paths' is no list of paths"),
        ("- a", "the file is no list of keys"),
        ("paths: {a: {source: x}}", "invalid source: 'x'"),
    ] {
        assert_eq!(read(text).err().as_deref(), Some(message), "{text}");
    }
    assert!(read("a: [").is_err());
}
