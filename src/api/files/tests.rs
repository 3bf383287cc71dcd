//! What is said over HTTP, written by hand so that nothing tidies it up on the way.

use std::fs;

use super::*;
use crate::{
    api::fixture::{Served, http},
    command::Role,
    config,
};

#[test]
fn names_do_not_break_out_of_the_header() {
    assert_eq!(disposition("attachment", "a-1.jpg"), "attachment; filename=\"a-1.jpg\"; filename*=UTF-8''a%2D1%2Ejpg");
    assert_eq!(
        disposition("attachment", "tür\"; x=\"\\.jpg"),
        "attachment; filename=\"t_r_; x=__.jpg\"; filename*=UTF-8''t%C3%BCr%22%3B%20x%3D%22%5C%2Ejpg"
    );
}

#[tokio::test]
async fn a_file_is_given_to_whoever_has_a_role() {
    let server = Served::start(config::Server::default()).await;
    fs::write(server.folder.path().join("a b.jpg"), "0123456789").unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", server.token(Role::Viewer));
    let get = async |headers: &str| {
        let path = Kind::Snapshot.download_url("a b.jpg");
        http(server.control, &format!("GET {path} HTTP/1.1"), headers).await
    };
    let whole = get(&bearer).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, "0123456789"));
    assert_eq!(whole.header("content-type"), "image/jpeg");
    assert_eq!(whole.header("content-length"), "10");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert!(whole.header("content-disposition").starts_with("attachment; filename=\"a b.jpg\""));
    let part = get(&format!("{bearer}range: bytes=2-4\r\n")).await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(get(&format!("{bearer}range: bytes=99-\r\n")).await.status, 416);

    let stranger = get("").await;
    assert_eq!((stranger.status, stranger.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(get("authorization: Bearer nonsense\r\n").await.status, 401);
}

#[tokio::test]
async fn nothing_outside_the_folder_is_given() {
    let server = Served::start(config::Server::default()).await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::create_dir(server.folder.path().join("sub")).unwrap();
    for ending in ["jpg", "mp4"] {
        let link = server.folder.path().join(format!("link.{ending}"));
        std::os::unix::fs::symlink(outside.path().join("secret"), link).unwrap();
        fs::create_dir(server.folder.path().join(format!("folder.{ending}"))).unwrap();
        fs::write(server.folder.path().join(format!("sub/secret.{ending}")), "secret").unwrap();
    }
    // Neither a recording nor a snapshot, and what is in it is nobody's business.
    fs::write(server.folder.path().join("secret.txt"), "secret").unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", server.token(Role::Admin));
    let (long, longer) = ("x".repeat(252) + ".EXT", "x".repeat(10_000) + ".EXT");
    let up = format!("..%2f{}%2fsecret", outside.path().file_name().unwrap().to_str().unwrap());
    for (name, status) in [
        ("link.EXT", 400),
        ("folder.EXT", 400),
        (up.as_str(), 400),
        ("..", 400),
        ("%2e%2e", 400),
        ("%2e%2e%2fsecret", 400),
        ("%2fetc%2fpasswd", 400),
        ("/etc/passwd", 400),
        ("a%00.EXT", 400),
        ("%ff.EXT", 400),
        (long.as_str(), 400),
        (&long[1..], 404),
        (longer.as_str(), 400),
        ("sub/secret.EXT", 400),
        ("sub%2fsecret.EXT", 400),
        ("sub%5Csecret.EXT", 400),
        (".new-secret.EXT", 400),
        ("", 400),
        ("sub", 404),
        ("secret.txt", 404),
        ("absent.EXT", 404),
    ] {
        for (folder, ending) in [("recordings", "mp4"), ("snapshots", "jpg")] {
            let name = name.replace("EXT", ending);
            let reply = http(server.control, &format!("GET /files/{folder}/{name} HTTP/1.1"), &bearer).await;
            assert_eq!(reply.status, status, "{folder}/{name}: {}", reply.body);
            assert_ne!(reply.body, "secret");
        }
    }
}

#[tokio::test]
async fn a_file_that_became_too_old_goes_by_itself() {
    let server = Served::start(config::Server::default()).await;
    let bearer = format!("authorization: Bearer {}\r\n", server.token(Role::Viewer));
    let get = async |name: &str| http(server.control, &format!("GET /files/recordings/{name} HTTP/1.1"), &bearer).await;
    for name in ["old.mp4", "new.mp4"] {
        fs::write(server.folder.path().join(name), "0123456789").unwrap();
        assert_eq!(get(name).await.status, 200);
    }
    let old = fs::File::options().write(true).open(server.folder.path().join("old.mp4")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    let gone = async { while get("old.mp4").await.status != 404 {} };
    tokio::time::timeout(crate::api::fixture::DEADLINE, gone).await.expect("it goes");
    assert_eq!(get("new.mp4").await.status, 200);
}
