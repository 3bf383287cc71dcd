//! Lists of a folder of 100,000 recordings: by its index, by reading the folder, and right after start.
//!
//! Run it with `cargo bench --bench library`; run as a test it has 2,000. Every bench asserts what the list tells. The
//! files have no blocks on the disk, but for the newest thousand, which are films of a known length.

// A bench asserts like a test does.
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use camera_service::output::storage::{Index, NamePattern, Page, Place, Query, Stored, list};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

mod measured;
#[path = "../tests/support/mod.rs"]
mod support;

use support::{Service, rpc::Client};

const ENDINGS: &[&str] = &["mp4", "mkv"];
const DEVICES: usize = 10;
const LIMIT: usize = 50;
const FILMS: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);

/// How many files there are: criterion measures only when it is told to.
fn files() -> usize {
    if std::env::args().any(|argument| argument == "--bench") { 100_000 } else { 2000 }
}

/// The name of a file: one is begun every minute, in turns.
fn name(number: usize) -> String {
    let at = SystemTime::UNIX_EPOCH + MINUTE * 20_000_000 + MINUTE * u32::try_from(number).unwrap();
    let name = NamePattern::default().names(&format!("camera{}", number % DEVICES), at, "mkv").next();
    name.unwrap().to_string()
}

fn fill(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    // The shortest Matroska file that names its duration.
    let head = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x8b\x44\x89\x88";
    let film = [&head[..], &60_000_f64.to_be_bytes()].concat();
    for number in 0..files() {
        let path = folder.join(name(number));
        if number + FILMS >= files() {
            fs::write(&path, &film).unwrap();
        }
        let file = File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        file.set_len(1_000_000).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + MINUTE * u32::try_from(number + 1).unwrap()).unwrap();
    }
}

/// What is asked for, and the number of the first file that is told.
fn queries() -> [(&'static str, Query<'static>, usize); 3] {
    let (all, deep) = (Query { limit: LIMIT, ..Query::default() }, files() / 4 * 3);
    [
        ("first page", all, files() - 1),
        ("deep page", Query { offset: deep, ..all }, files() - 1 - deep),
        ("of a camera", Query { device: Some("camera3"), offset: deep / DEVICES, ..all }, files() - deep - 7),
    ]
}

fn check(first: &str, told: usize, total: usize, query: &Query<'_>, number: usize) {
    assert_eq!((first, told), (name(number).as_str(), LIMIT), "{query:?}");
    assert_eq!(total, if query.device.is_some() { files() / DEVICES } else { files() });
}

fn index(folder: &Path, saved: &Path) -> Index {
    Index::new(Place {
        folder: folder.into(),
        extensions: ENDINGS,
        pattern: NamePattern::default(),
        films: true,
        saved: saved.into(),
    })
}

/// As a list was made before there was an index.
fn without(folder: &Path, query: &Query<'_>) -> (Vec<Stored>, usize) {
    let mut files = list(folder, ENDINGS).unwrap();
    if query.device.is_some() {
        let pattern = NamePattern::default();
        files.retain(|file| pattern.device(file.name.as_str()) == query.device);
    }
    let total = files.len();
    (files.into_iter().skip(query.offset).take(query.limit).collect(), total)
}

/// The list itself, and the first one after a start.
fn lists(criterion: &mut Criterion) {
    let root = tempfile::tempdir().unwrap();
    let (folder, saved) = (root.path().join("recordings"), root.path().join("index"));
    fill(&folder);
    let kept = index(&folder, &saved);
    for (what, query, number) in queries() {
        let mut group = criterion.benchmark_group(what);
        group.bench_function("index", |bencher| {
            bencher.iter(|| {
                let Page { files, total } = kept.page(black_box(&query)).unwrap();
                check(files[0].stored.name.as_str(), files.len(), total, &query, number);
            });
        });
        group.bench_function("folder", |bencher| {
            bencher.iter(|| {
                let (files, total) = without(&folder, black_box(&query));
                check(files[0].name.as_str(), files.len(), total, &query, number);
            });
        });
        group.finish();
    }
    let mut group = criterion.benchmark_group("first page, first time");
    let (_, query, number) = queries()[0];
    let mut first = |name: &str, saved: &Path| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let Page { files, total } = index(&folder, saved).page(&query).unwrap();
                check(files[0].stored.name.as_str(), files.len(), total, &query, number);
            });
        });
    };
    first("nothing saved", &root.path().join("none"));
    kept.save().unwrap();
    first("saved", &saved);
    group.finish();

    let mut group = criterion.benchmark_group("a file comes and goes");
    let path = folder.join("new.mkv");
    group.bench_function("index", |bencher| {
        bencher.iter(|| {
            File::create(&path).unwrap();
            assert_eq!(kept.page(&query).unwrap().files[0].stored.name.as_str(), "new.mkv");
            fs::remove_file(&path).unwrap();
            assert_eq!(kept.page(&query).unwrap().total, files());
        });
    });
    group.finish();
}

async fn ask(client: &mut Client, query: &Query<'_>, number: usize) {
    let mut params = json!({ "limit": query.limit, "offset": query.offset });
    if let Some(device) = query.device {
        params["device"] = json!(device);
    }
    let told: Value = client.call("list_recordings", params).await.unwrap();
    let files = told["files"].as_array().unwrap();
    let total = usize::try_from(told["total"].as_u64().unwrap()).unwrap();
    check(files[0]["filename"].as_str().unwrap(), files.len(), total, query, number);
    if number + FILMS >= self::files() {
        assert!(files.iter().all(|file| file["duration"] == 60), "{told}");
    }
}

/// From a client's hand to the reply in it, and from the start of the service to the first list.
fn served(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let quiet = "camera: { test_pattern: never }\nretention_policy: { auto_cleanup: false }\n";
    let (folder, config) = support::configured(quiet);
    let recordings = folder.path().join("state/recordings");
    fill(&recordings);
    let service = runtime.block_on(Service::start_in(folder, config));
    let mut client = runtime.block_on(service.client("viewer"));
    let mut group = criterion.benchmark_group("list_recordings");
    // A camera that is not plugged in is none to ask for.
    for (what, query, number) in queries().into_iter().filter(|(_, query, _)| query.device.is_none()) {
        group.bench_function(what, |bencher| bencher.iter(|| runtime.block_on(ask(&mut client, &query, number))));
    }
    group.finish();
    drop(client);
    let mut stopped = Some(runtime.block_on(service.stop()));

    let mut group = criterion.benchmark_group("start to first list");
    let (_, query, number) = queries()[0];
    group.sample_size(10);
    for what in ["with all files", "with one file"] {
        if what == "with one file" {
            let names: Vec<PathBuf> = fs::read_dir(&recordings).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.iter().for_each(|path| fs::remove_file(path).unwrap());
            fs::write(recordings.join("a.mkv"), "").unwrap();
        }
        let start = |(folder, config): (tempfile::TempDir, PathBuf)| async {
            let begun = Instant::now();
            let service = Service::start_in(folder, config).await;
            let mut client = service.client("viewer").await;
            match what {
                "with all files" => ask(&mut client, &query, number).await,
                _ => assert_eq!(client.call("list_recordings", json!({})).await.unwrap()["total"], 1),
            }
            (begun.elapsed(), service.stop().await)
        };
        group.bench_function(what, |bencher| {
            bencher.iter_custom(|times| {
                let mut all = Duration::ZERO;
                for _ in 0..times {
                    let (took, folder) = runtime.block_on(start(stopped.take().unwrap()));
                    stopped = Some(folder);
                    all += took;
                }
                all
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = measured::shortly();
    targets = lists, served
}
criterion_main!(benches);
