//! The index tells what the folder has, whatever is done to the folder and to what was saved.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    time::Instant,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::output::storage::list;

const ENDINGS: &[&str] = &["mp4", "mkv"];

/// Nothing here takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder, and a state directory for its index.
struct Disk {
    root: TempDir,
    begin: Begin,
}

impl Disk {
    fn new(begin: Begin) -> Self {
        let disk = Self { root: tempfile::tempdir().unwrap(), begin };
        fs::create_dir(disk.folder()).unwrap();
        disk
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("recordings")
    }

    fn saved(&self) -> PathBuf {
        self.root.path().join("index")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// An index as after a start.
    fn index(&self) -> Index {
        let (folder, saved) = (self.folder(), self.saved());
        let pattern = NamePattern::default();
        Index::watched(Place { folder, extensions: ENDINGS, pattern, films: true, saved }, self.begin)
    }

    fn write(&self, name: &str, text: &[u8], seconds: u64) {
        fs::write(self.path(name), text).unwrap();
        self.age(name, seconds);
    }

    fn age(&self, name: &str, seconds: u64) {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(self.path(name)).unwrap().set_modified(modified).unwrap();
    }
}

fn told() -> Disk {
    Disk::new(Watch::on)
}

fn stored(page: &Page) -> Vec<Stored> {
    page.files.iter().map(|entry| entry.stored.clone()).collect()
}

fn names(files: &[Arc<Entry>]) -> Vec<&str> {
    files.iter().map(|entry| entry.stored.name.as_str()).collect()
}

fn everything(index: &Index) -> Vec<Stored> {
    stored(&index.page(&Query { limit: usize::MAX, ..Query::default() }).unwrap())
}

/// Compares every kind of answer with what the folder has.
fn check(disk: &Disk, index: &Index) {
    let truth = list(&disk.folder(), ENDINGS).unwrap();
    assert_eq!(everything(index), truth);
    let pattern = NamePattern::default();
    for (device, or_device) in [
        (None, None),
        (Some("camera0"), None),
        (Some("camera1"), None),
        (Some("nobody"), None),
        (Some("camera0"), Some("camera1")),
        (Some("nobody"), Some("camera0")),
    ] {
        let of = |file: &&Stored| {
            let named = pattern.device(file.name.as_str());
            device.is_none() || named == device || or_device.is_some() && named == or_device
        };
        let own: Vec<_> = truth.iter().filter(of).cloned().collect();
        for oldest_first in [false, true] {
            for (offset, limit) in [(0, 3), (2, 2), (own.len(), 1), (own.len().saturating_sub(1), 5)] {
                let page = index.page(&Query { device, or_device, oldest_first, offset, limit }).unwrap();
                let mut expected = own.clone();
                if oldest_first {
                    expected.reverse();
                }
                let expected: Vec<_> = expected.into_iter().skip(offset).take(limit).collect();
                assert_eq!((stored(&page), page.total), (expected, own.len()), "{device:?} {offset} {limit}");
            }
        }
    }
    assert_eq!(index.bytes().unwrap(), truth.iter().map(|file| file.size).sum::<u64>());
    assert_eq!(index.all().unwrap().len(), truth.len());
}

/// What may be done by hand, with files that are told by a number.
#[derive(Clone, Debug)]
enum Deed {
    Write { name: usize, size: usize, seconds: u64 },
    Grow { name: usize },
    Age { name: usize, seconds: u64 },
    Delete { name: usize },
    Rename { from: usize, to: usize },
    Link { from: usize, to: usize },
    Folder { name: usize },
    Replace { keep: bool },
    Restart { saved: bool },
}

const NAMES: [&str; 10] = [
    "camera0_2026-11-24_10-00-00.mp4",
    "camera0_2026-11-24_10-00-00_2.mp4",
    "camera0_2026-11-24_11-00-00.MKV",
    "camera1_2026-11-24_10-00-00.mp4",
    "camera1_2026-11-24_10-30-00.mkv",
    "front door.mp4",
    "notes.txt",
    ".hidden.mp4",
    ".unfinished-camera0_2026-11-24_10-00-00.mp4",
    "camera0.mp4.part",
];

fn some_deed() -> impl Strategy<Value = Deed> {
    let name = 0..NAMES.len();
    let seconds = 0u64..5;
    prop_oneof![
        4 => (name.clone(), 0usize..9, seconds.clone())
            .prop_map(|(name, size, seconds)| Deed::Write { name, size, seconds }),
        2 => name.clone().prop_map(|name| Deed::Grow { name }),
        1 => (name.clone(), seconds).prop_map(|(name, seconds)| Deed::Age { name, seconds }),
        2 => name.clone().prop_map(|name| Deed::Delete { name }),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Deed::Rename { from, to }),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Deed::Link { from, to }),
        1 => name.prop_map(|name| Deed::Folder { name }),
        1 => any::<bool>().prop_map(|keep| Deed::Replace { keep }),
        1 => any::<bool>().prop_map(|saved| Deed::Restart { saved }),
    ]
}

/// Does it, where it can be done.
fn act(disk: &Disk, index: &mut Index, deed: &Deed) {
    let path = |name: usize| disk.path(NAMES[name]);
    match deed {
        Deed::Write { name, size, seconds } => {
            if fs::write(path(*name), vec![b'x'; *size]).is_ok() {
                disk.age(NAMES[*name], *seconds);
            }
        }
        Deed::Grow { name } => {
            let _ = OpenOptions::new().append(true).open(path(*name)).and_then(|mut file| file.write_all(b"more"));
        }
        Deed::Age { name, seconds } => {
            if path(*name).is_file() {
                disk.age(NAMES[*name], *seconds);
            }
        }
        Deed::Delete { name } => drop(fs::remove_file(path(*name)).or_else(|_| fs::remove_dir(path(*name)))),
        Deed::Rename { from, to } => drop(fs::rename(path(*from), path(*to))),
        Deed::Link { from, to } => drop(std::os::unix::fs::symlink(path(*from), path(*to))),
        Deed::Folder { name } => drop(fs::create_dir(path(*name))),
        Deed::Replace { keep } => {
            let aside = disk.root.path().join("aside");
            let _ = fs::remove_dir_all(&aside);
            fs::rename(disk.folder(), &aside).unwrap();
            match keep {
                // The same folder comes back with another file.
                true => {
                    fs::write(aside.join(NAMES[0]), "kept").ok();
                    fs::rename(&aside, disk.folder()).unwrap();
                }
                false => {
                    fs::create_dir(disk.folder()).unwrap();
                    fs::write(path(3), "new").unwrap();
                }
            }
        }
        Deed::Restart { saved } => {
            if *saved {
                index.save().unwrap();
            }
            *index = disk.index();
            // What was changed in place meanwhile is found in the background.
            drop(index.current().unwrap());
            while index.lock().verify(index.place()) {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_index_tells_what_the_folder_has(
        deeds in prop::collection::vec((some_deed(), any::<bool>()), 1..40),
        looking in any::<bool>(),
    ) {
        let disk = Disk::new(if looking { Watch::by_looking } else { Watch::on });
        let mut index = disk.index();
        for (deed, asked) in deeds {
            act(&disk, &mut index, &deed);
            if asked {
                check(&disk, &index);
            }
        }
        check(&disk, &index);
    }
}

#[test]
fn a_folder_that_goes_is_an_error_until_it_is_back() {
    let disk = told();
    disk.write("a.mp4", b"a", 1);
    let index = disk.index();
    assert_eq!(everything(&index).len(), 1);
    fs::remove_dir_all(disk.folder()).unwrap();
    let error = index.page(&Query::default()).unwrap_err();
    assert!(error.message().contains("recordings") && index.bytes().is_err(), "{error}");
    fs::create_dir(disk.folder()).unwrap();
    disk.write("b.mp4", b"bb", 1);
    check(&disk, &index);
    disk.write("c.mp4", b"ccc", 1);
    check(&disk, &index);
}

#[test]
fn more_than_the_kernel_keeps_is_read_from_the_folder() {
    let disk = told();
    let index = disk.index();
    assert_eq!(everything(&index), []);
    // Three events each, of 16,384.
    for number in 0..7000 {
        fs::write(disk.path(&format!("camera0_{number:05}.mp4")), "x").unwrap();
    }
    fs::remove_file(disk.path("camera0_06999.mp4")).unwrap();
    assert_eq!(index.page(&Query { limit: 5, ..Query::default() }).unwrap().total, 6999);
    check(&disk, &index);
}

/// The shortest Matroska file that names its duration.
fn film(seconds: u32) -> Vec<u8> {
    let head = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x8b\x44\x89\x88";
    [&head[..], &(f64::from(seconds) * 1000.0).to_be_bytes()].concat()
}

/// Runs the index's keeper until it has read every length.
fn read_all(index: &Index) {
    let _keeper = index.keep().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while index.all().unwrap().iter().any(|entry| entry.film().is_none()) {
        assert!(Instant::now() < deadline, "not read");
        std::thread::yield_now();
    }
}

fn seconds(index: &Index) -> Vec<Option<u64>> {
    let length = |entry: &Arc<Entry>| Some(entry.film()??.duration?.as_secs());
    index.all().unwrap().iter().map(length).collect()
}

#[test]
fn lengths_are_read_in_the_background_and_kept_over_a_restart() {
    let disk = told();
    disk.write("a.mkv", &film(5), 1);
    disk.write("b.mkv", &film(6), 2);
    disk.write("c.mkv", b"no film", 3);
    let index = disk.index();
    read_all(&index);
    assert_eq!(seconds(&index), [Some(5), Some(6), None]);
    index.keep().unwrap().stop().unwrap();

    // As it was by its size and time, so nobody has to read it again; the other one is another file.
    disk.write("a.mkv", &film(7), 1);
    disk.write("b.mkv", &film(8), 9);
    let index = disk.index();
    assert_eq!(index.page(&Query { limit: 3, ..Query::default() }).unwrap().total, 3);
    assert_eq!(seconds(&index), [Some(5), None, None], "{:?}", names(&index.all().unwrap()));
    read_all(&index);
    assert_eq!(seconds(&index), [Some(5), None, Some(8)]);
    check(&disk, &index);
}

#[test]
fn what_was_saved_may_be_gone_broken_or_of_another_folder() {
    let disk = told();
    for (name, seconds) in [(NAMES[0], 1), (NAMES[3], 2), (NAMES[5], 3)] {
        disk.write(name, &film(5), seconds);
    }
    let index = disk.index();
    read_all(&index);
    index.save().unwrap();
    let good = fs::read(disk.saved()).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [Vec::new(), good[..good.len() / 2].to_vec(), flipped, b"other".to_vec()] {
        fs::write(disk.saved(), &bad).unwrap();
        assert!(saved::load(disk.index().place()).is_err());
        check(&disk, &disk.index());
    }
    fs::remove_file(disk.saved()).unwrap();
    check(&disk, &disk.index());
    fs::write(disk.saved(), &good).unwrap();
    let elsewhere = Place { folder: "/srv/elsewhere".into(), ..disk.index().place().clone() };
    assert!(saved::load(&elsewhere).unwrap_err().message().contains("it is of"));
    let otherwise = Place { pattern: NamePattern::parse("{YYYY}_{device}").unwrap(), ..disk.index().place().clone() };
    assert!(saved::load(&otherwise).unwrap_err().message().contains("it is of"));
    check(&disk, &disk.index());
    assert_eq!(saved::load(disk.index().place()).unwrap().unwrap().entries.len(), 3);
}

#[test]
fn what_changed_while_nobody_watched_is_told_rightly_at_once() {
    let disk = told();
    for name in &NAMES[..5] {
        disk.write(name, b"1234", 10);
    }
    let index = disk.index();
    assert_eq!(everything(&index).len(), 5);
    index.save().unwrap();
    drop(index);
    disk.write(NAMES[0], b"longer than before", 20);
    disk.write(NAMES[5], b"new", 5);
    fs::remove_file(disk.path(NAMES[1])).unwrap();
    fs::remove_file(disk.path(NAMES[2])).unwrap();
    fs::create_dir(disk.path(NAMES[2])).unwrap();
    let index = disk.index();
    assert_eq!(everything(&index), list(&disk.folder(), ENDINGS).unwrap());
    check(&disk, &index);
}

#[test]
fn a_folder_that_nobody_touched_is_not_even_read() {
    let disk = told();
    disk.write(NAMES[0], b"1234", 10);
    let index = disk.index();
    let deadline = Instant::now() + PATIENCE;
    while watch::settled_seal(&disk.folder()).is_none() {
        assert!(Instant::now() < deadline, "time stands still");
    }
    assert_eq!(everything(&index).len(), 1);
    index.save().unwrap();
    let place = index.place();
    let mut saved = saved::load(place).unwrap().unwrap();
    assert_eq!(saved.seal, Some(watch::seal(&disk.folder()).unwrap()));
    // A file that never was there, of which only a list that tells it takes notice.
    let name = FileName::parse("zz.mp4").unwrap();
    let ghost = Stored { name, size: 1, modified: SystemTime::UNIX_EPOCH };
    saved.entries.push(Arc::new(Entry::kept(ghost, None, None, None)));
    saved::save(place, &saved).unwrap();
    let index = disk.index();
    assert_eq!(index.all().unwrap().len(), 2, "what was saved is trusted");
    check(&disk, &index);
    index.save().unwrap();
    disk.write(NAMES[3], b"5", 10);
    check(&disk, &disk.index());
}

#[test]
fn segments_of_a_path_are_in_the_order_in_which_they_began() {
    let disk = told();
    // Written to the other way round.
    disk.write("camera0_2026-11-24_11-00-00.mkv", &film(60), 1);
    disk.write("camera0_2026-11-24_10-00-00.mkv", &film(3600), 2);
    disk.write("camera0_2026-11-24_12-00-00.mkv", b"cut off", 3);
    disk.write("camera1_2026-11-24_10-30-00.mkv", &film(1), 4);
    let index = disk.index();
    read_all(&index);
    let segments = index.segments("camera0").unwrap();
    let hours = |segment: &Segment| segment.began.duration_since(segments[0].began).unwrap().as_secs() / 3600;
    let told: Vec<_> = segments.iter().map(|segment| (hours(segment), segment.duration.map(|d| d.as_secs()))).collect();
    assert_eq!(told, [(0, Some(3600)), (1, Some(60)), (2, None)]);
    assert!(index.segments("camera2").unwrap().is_empty());
}
