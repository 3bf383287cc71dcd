//! Who is let in: `users.rs` as configurations have it.

use super::{
    tests::{conf, refused},
    *,
};

/// Somebody from elsewhere who shows nothing.
fn nobody(action: Action, path: &str) -> Asking {
    Asking {
        address: "192.0.2.1".parse().unwrap(),
        action,
        path: path.into(),
        user: String::new(),
        pass: String::new(),
        token: String::new(),
        query: String::new(),
        id: None,
        user_agent: String::new(),
        digest: None,
    }
}

#[test]
fn users_are_let_in_by_address_permission_and_password() {
    let asking = |address: &str, user: &str, pass: &str| Asking {
        address: address.parse().unwrap(),
        user: user.into(),
        pass: pass.into(),
        ..nobody(Action::Api, "")
    };
    let users = Users::new(&conf());
    for (address, admitted) in [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("::1", true), ("192.0.2.1", false)] {
        assert_eq!(users.admit(&asking(address, "", "")), admitted, "{address}");
        assert_eq!(users.admit(&asking(address, "who", "ever")), admitted, "{address}");
    }
    let reading = Asking { action: Action::Read, path: "camera0".into(), ..asking("192.0.2.1", "", "") };
    assert!(users.admit(&reading));
    // What MediaMTX's documentation tells people to make, at less cost.
    let cheap = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    let salt = argon2::password_hash::SaltString::from_b64("c29tZSBzYWx0").unwrap();
    let hashed = argon2::PasswordHasher::hash_password(&argon, b"testpass", &salt).unwrap();
    let body = r#"{"authInternalUsers": [
        {"user": "plain", "pass": "pw", "permissions": [{"action": "api"}]},
        {"user": "sha256:rl3rgi4NcZkpAEcacZnQ2VuOfJ0FxAqCRaKB/SwdZoQ=", "pass": "sha256:E9JJ8stBJ7QM+nV4ZoUCeHk/gU3tPFh/5YieiJp6n2w=", "permissions": [{"action": "api"}]},
        {"user": "argon", "pass": "argon2:ARGON", "permissions": [{"action": "api"}]},
        {"user": "open", "permissions": [{"action": "api"}]},
        {"user": "reader", "pass": "pw", "permissions": [{"action": "read", "path": "~^cam"}, {"action": "read", "path": "door"}]}]}"#
        .replace("ARGON", &hashed.to_string());
    let users = Users::new(&conf().patch_global(body.as_bytes()).unwrap());
    for (user, pass, admitted) in [
        ("plain", "pw", true),
        ("plain", "", false),
        ("plain", "PW", false),
        ("", "", false),
        ("testuser", "testpass", true),
        ("testuser", "testpas", false),
        ("argon", "testpass", true),
        ("argon", "test", false),
        ("open", "anything", true),
        ("reader", "pw", false),
    ] {
        assert_eq!(users.admit(&asking("192.0.2.1", user, pass)), admitted, "{user} {pass}");
    }
    for (path, admitted) in [("camera0", true), ("door", true), ("doors", false)] {
        let reading = Asking { action: Action::Read, path: path.into(), ..asking("192.0.2.1", "reader", "pw") };
        assert_eq!(users.admit(&reading), admitted, "{path}");
    }
}

#[test]
fn credentials_of_a_path_itself_are_users_and_everybody_else_is_out() {
    let conf = conf().add("door", br#"{"readUser": "me", "readPass": "pw"}"#).unwrap().add("yard", b"{}").unwrap();
    let users = Users::new(&conf);
    let asking = |action, path: &str, pass: &str| Asking {
        user: if pass.is_empty() { String::new() } else { "me".into() },
        pass: pass.into(),
        ..nobody(action, path)
    };
    for (action, path, pass, admitted) in [
        (Action::Read, "door", "pw", true),
        (Action::Read, "door", "", false),
        (Action::Read, "door", "no", false),
        (Action::Publish, "door", "", true),
        (Action::Read, "yard", "", true),
        (Action::Read, "other", "", false),
        (Action::Playback, "door", "", true),
        (Action::Api, "", "", false),
    ] {
        assert_eq!(users.admit(&asking(action, path, pass)), admitted, "{action:?} {path} {pass}");
    }
    let message = "authInternalUsers and legacy credentials (publishUser, publishPass, publishIPs, readUser, readPass, readIPs) \
                   cannot be used together";
    assert_eq!(refused(conf.patch_global(br#"{"authInternalUsers": []}"#)), message);
}

#[test]
fn a_digest_shows_that_somebody_knows_the_password() {
    // RFC 2617, 3.5, without its qop.
    let digest = |response: &str| DigestProof {
        realm: "testrealm@host.com".into(),
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093".into(),
        method: "GET".into(),
        uri: "/dir/index.html".into(),
        response: response.into(),
    };
    let good = digest("670fd8c2df070c60b045671b8b24ff02");
    assert!(
        good.fits("Mufasa", "Circle Of Life")
            && !good.fits("Mufasa", "circle of life")
            && !good.fits("Scar", "Circle Of Life")
    );
    assert!(!digest("").fits("Mufasa", "Circle Of Life"));
}
