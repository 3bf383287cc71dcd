//! Lists tell what the folder has now: whatever is done to it by hand, and to what the service remembers of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use support::{PATIENCE, SMALL, Service, rpc::Client};
use tokio::time::timeout;

/// The shortest Matroska file that names its duration.
fn film(seconds: u32) -> Vec<u8> {
    let head = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x8b\x44\x89\x88";
    [&head[..], &(f64::from(seconds) * 1000.0).to_be_bytes()].concat()
}

fn recordings(service: &Service) -> PathBuf {
    service.folder.path().join("state/recordings")
}

async fn list(client: &mut Client) -> Vec<(String, Value)> {
    let list = client.call("list_recordings", json!({ "order": "oldest" })).await.unwrap();
    let files = list["files"].as_array().unwrap();
    assert_eq!(list["total"], files.len());
    files.iter().map(|file| (file["filename"].as_str().unwrap().to_owned(), file["duration"].clone())).collect()
}

/// Puts a file there that began so many seconds after 1970.
fn put(folder: &Path, name: &str, seconds: u32, modified: u64) {
    let path = folder.join(name);
    fs::write(&path, film(seconds)).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
}

fn told(name: &str, duration: u32) -> (String, Value) {
    (name.to_owned(), json!(duration))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_by_hand_is_told_by_the_next_list() {
    let service = Service::start(SMALL).await;
    let folder = recordings(&service);
    let mut client = service.client("viewer").await;
    assert_eq!(list(&mut client).await, []);
    put(&folder, "a.mkv", 1, 10);
    put(&folder, "b.mkv", 2, 20);
    assert_eq!(list(&mut client).await, [told("a.mkv", 1), told("b.mkv", 2)]);
    fs::rename(folder.join("a.mkv"), folder.join("c.mkv")).unwrap();
    assert_eq!(list(&mut client).await, [told("c.mkv", 1), told("b.mkv", 2)]);
    put(&folder, "c.mkv", 3, 30);
    assert_eq!(list(&mut client).await, [told("b.mkv", 2), told("c.mkv", 3)]);
    fs::remove_file(folder.join("b.mkv")).unwrap();
    assert_eq!(list(&mut client).await, [told("c.mkv", 3)]);

    // Another folder in its place.
    fs::rename(&folder, folder.with_extension("old")).unwrap();
    let gone = client.call("list_recordings", json!({})).await.unwrap_err();
    assert_eq!(gone["code"], -32050, "{gone}");
    fs::create_dir(&folder).unwrap();
    put(&folder, "d.mkv", 4, 1);
    assert_eq!(list(&mut client).await, [told("d.mkv", 4)]);
    put(&folder, "e.mkv", 5, 2);
    assert_eq!(list(&mut client).await, [told("d.mkv", 4), told("e.mkv", 5)]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_over_a_restart_may_be_gone_broken_or_old() {
    let mut service = Service::start(SMALL).await;
    put(&recordings(&service), "a.mkv", 1, 10);
    let mut client = service.client("viewer").await;
    assert_eq!(list(&mut client).await, [told("a.mkv", 1)]);
    drop(client);
    let mut expected = vec![told("a.mkv", 1)];
    let mut remembered = Vec::new();
    for number in 2..6 {
        let (folder, config) = service.stop().await;
        let index = folder.path().join("state/index-recordings");
        match number {
            2 => remembered = fs::read(&index).unwrap(),
            3 => fs::remove_file(&index).unwrap(),
            4 => fs::write(&index, &remembered[..remembered.len() / 2]).unwrap(),
            _ => fs::write(&index, &remembered).unwrap(),
        }
        let name = format!("{number}.mkv");
        put(&folder.path().join("state/recordings"), &name, number, u64::from(number) * 10);
        expected.push(told(&name, number));
        service = Service::start_in(folder, config).await;
        let mut client = service.client("viewer").await;
        assert_eq!(list(&mut client).await, expected, "{number}");
    }
    service.stop().await;
}

/// A disk of 8 MiB, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, and a word about it: only root may mount.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        if !rustix::process::geteuid().is_root() {
            eprintln!("NOT TRIED: a small disk of its own can be mounted by root only");
            return None;
        }
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder).status();
        assert!(mount.unwrap().success());
        Some(Self(folder.to_owned()))
    }

    fn unmount(self) {
        assert!(Command::new("umount").arg(&self.0).status().unwrap().success());
        std::mem::forget(self);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_mounted_or_unmounted_is_told_of() {
    let service = Service::start(SMALL).await;
    let folder = recordings(&service);
    put(&folder, "below.mkv", 1, 10);
    let mut client = service.client("viewer").await;
    assert_eq!(list(&mut client).await, [told("below.mkv", 1)]);
    let Some(disk) = Disk::mount(&folder) else { return };
    put(&folder, "above.mkv", 2, 20);
    assert_eq!(list(&mut client).await, [told("above.mkv", 2)]);
    put(&folder, "more.mkv", 3, 30);
    assert_eq!(list(&mut client).await, [told("above.mkv", 2), told("more.mkv", 3)]);
    disk.unmount();
    assert_eq!(list(&mut client).await, [told("below.mkv", 1)]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_go_when_too_little_is_free() {
    // 8 MiB, of which 6 are taken: two more have to go.
    let policy = "retention_policy: { min_free_gb: 0.004 }";
    let (folder, config) = support::configured(&format!("{SMALL}{policy}"));
    let recordings = folder.path().join("state/recordings");
    let Some(disk) = Disk::mount(&recordings) else { return };
    for number in 1..=6 {
        let path = recordings.join(format!("{number}.mkv"));
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(number)).unwrap();
    }
    let service = Service::start_in(folder, config).await;
    let mut client = service.client("viewer").await;
    let gone = async {
        while list(&mut client).await.len() > 4 {}
        list(&mut client).await
    };
    let left = timeout(PATIENCE, gone).await.expect("they go by themselves");
    assert_eq!(left.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["3.mkv", "4.mkv", "5.mkv", "6.mkv"]);
    let mut admin = service.client("admin").await;
    let cleaned = admin.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!((&cleaned["cleanup_executed"], &cleaned["files_deleted"]), (&json!(true), &json!(0)), "{cleaned}");
    service.stop().await;
    disk.unmount();
}
