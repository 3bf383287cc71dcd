//! Probes that answer, hang, come too late, and devices that change under them.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::{
    device::{Usb, sysfs::Instance},
    mode::{FourCc, Mode, Rate},
};

const PATIENCE: Duration = Duration::from_secs(5);
const NODE: &str = "/dev/video0";

fn sighting(node: &str, inode: u64) -> Sighting {
    let device =
        Device { node: node.into(), links: Vec::new(), id_path: None, index: 0, usb: None, name: "Lab Webcam".into() };
    Sighting { device, instance: Instance::numbered(inode), captures: None }
}

fn capture(fps: u32) -> Capture {
    let mode = Mode { format: FourCc::YUYV, width: 640, height: 480, rate: Rate::per_second(fps) };
    Capture { driver: "uvcvideo".into(), card: "Lab Webcam".into(), bus_info: "usb-1".into(), modes: vec![mode] }
}

fn failed(settling: bool) -> Finding {
    Finding::Failed { reason: Error::dependency("device", "permission denied"), settling }
}

/// `probe`, `ready`, `unusable` or `gone` and the node, for each step.
fn words(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::Probe(node, _) => format!("probe {}", node.display()),
        Step::Tell(DeviceEvent::Ready { device, .. }) => format!("ready {}", device.node.display()),
        Step::Tell(DeviceEvent::Unusable { device, .. }) => format!("unusable {}", device.node.display()),
        Step::Tell(DeviceEvent::Gone { node }) => format!("gone {}", node.display()),
    };
    steps.iter().map(word).collect()
}

fn ticket(steps: &[Step]) -> Ticket {
    match steps.iter().find(|step| matches!(step, Step::Probe(..))) {
        Some(Step::Probe(_, ticket)) => *ticket,
        _ => panic!("nothing is probed: {steps:?}"),
    }
}

/// A roster with one camera on [`NODE`] that was told.
fn with_camera(now: Instant) -> Roster {
    let mut roster = Roster::new(PATIENCE);
    let ticket = ticket(&roster.seen(now, vec![sighting(NODE, 1)]));
    let steps = roster.probed(now, Path::new(NODE), ticket, Finding::Camera(capture(30)));
    assert_eq!(words(&steps), ["ready /dev/video0"]);
    roster
}

#[test]
fn a_camera_is_probed_and_told_once() {
    let now = Instant::now();
    let mut roster = with_camera(now);
    assert_eq!(words(&roster.seen(now, vec![sighting(NODE, 1)])), [""; 0]);
    assert!(roster.next_tick().is_none());
    assert_eq!(words(&roster.seen(now, Vec::new())), ["gone /dev/video0"]);
    assert_eq!(words(&roster.seen(now, Vec::new())), [""; 0]);
}

#[test]
fn another_camera_on_the_same_node_is_noticed_without_an_event() {
    let now = Instant::now();
    let mut roster = with_camera(now);
    assert_eq!(words(&roster.seen(now, vec![sighting(NODE, 2)])), ["gone /dev/video0", "probe /dev/video0"]);
}

#[test]
fn a_finding_about_a_camera_that_left_is_not_told() {
    let now = Instant::now();
    let mut roster = Roster::new(PATIENCE);
    let first = ticket(&roster.seen(now, vec![sighting(NODE, 1)]));
    assert_eq!(words(&roster.seen(now, Vec::new())), [""; 0]);
    // Its successor waits, for the node has a probe out; the late finding is about the first.
    assert_eq!(words(&roster.seen(now, vec![sighting(NODE, 2)])), ["unusable /dev/video0"]);
    let steps = roster.probed(now, Path::new(NODE), first, Finding::Camera(capture(15)));
    assert_eq!(words(&steps), ["probe /dev/video0"]);
    let steps = roster.probed(now, Path::new(NODE), ticket(&steps), Finding::Camera(capture(30)));
    assert!(matches!(&steps[..], [Step::Tell(DeviceEvent::Ready { capture: told, .. })] if *told == capture(30)));
}

#[test]
fn a_driver_that_does_not_answer_costs_one_probe_and_is_heard_when_it_does() {
    let now = Instant::now();
    let mut roster = Roster::new(PATIENCE);
    let out = ticket(&roster.seen(now, vec![sighting(NODE, 1), sighting("/dev/video2", 1)]));
    assert_eq!(roster.next_tick(), Some(now + PATIENCE));
    let later = now + PATIENCE;
    assert_eq!(words(&roster.tick(later)), ["unusable /dev/video0", "unusable /dev/video2"]);
    assert!(roster.next_tick().is_none(), "it is left alone");
    assert_eq!(words(&roster.changed(later, Path::new(NODE))), [""; 0]);
    let steps = roster.probed(later, Path::new(NODE), out, Finding::Camera(capture(30)));
    assert_eq!(words(&steps), ["ready /dev/video0"]);
}

#[test]
fn permissions_that_come_late_are_not_told_as_trouble() {
    let mut now = Instant::now();
    let mut roster = Roster::new(PATIENCE);
    let mut steps = roster.seen(now, vec![sighting(NODE, 1)]);
    for _ in 1..SETTLED {
        let told = roster.probed(now, Path::new(NODE), ticket(&steps), failed(true));
        assert_eq!(words(&told), [""; 0]);
        now = roster.next_tick().unwrap();
        steps = roster.tick(now);
    }
    let told = roster.probed(now, Path::new(NODE), ticket(&steps), failed(true));
    assert_eq!(words(&told), ["unusable /dev/video0"]);
    now = roster.next_tick().unwrap();
    steps = roster.tick(now);
    let told = roster.probed(now, Path::new(NODE), ticket(&steps), failed(true));
    assert_eq!(words(&told), [""; 0], "the same trouble is told once");
    // udev sets the permissions: no need to wait for the next retry.
    steps = roster.changed(now, Path::new(NODE));
    let told = roster.probed(now, Path::new(NODE), ticket(&steps), Finding::Camera(capture(30)));
    assert_eq!(words(&told), ["ready /dev/video0"]);
}

#[test]
fn retries_slow_down_to_half_a_minute_and_go_on() {
    let mut now = Instant::now();
    let mut roster = Roster::new(PATIENCE);
    let mut steps = roster.seen(now, vec![sighting(NODE, 1)]);
    let mut delays = Vec::new();
    for _ in 0..12 {
        roster.probed(now, Path::new(NODE), ticket(&steps), failed(false));
        let next = roster.next_tick().unwrap();
        delays.push((next - now).as_millis());
        now = next;
        steps = roster.tick(now);
    }
    assert_eq!(delays, [100, 200, 300, 500, 1000, 2000, 5000, 10000, 20000, 30000, 30000, 30000]);
}

#[test]
fn a_node_that_captures_nothing_is_no_trouble_when_it_cannot_be_opened() {
    let now = Instant::now();
    let mut roster = Roster::new(PATIENCE);
    let metadata = Sighting { captures: Some(false), ..sighting(NODE, 1) };
    let steps = roster.seen(now, vec![metadata]);
    assert_eq!(words(&roster.probed(now, Path::new(NODE), ticket(&steps), failed(false))), [""; 0]);
    assert!(roster.next_tick().is_none());
}

#[test]
fn a_change_is_looked_at_and_told_only_if_something_changed() {
    let now = Instant::now();
    let mut roster = with_camera(now);
    let mut look = |finding| {
        let steps = roster.changed(now, Path::new(NODE));
        words(&roster.probed(now, Path::new(NODE), ticket(&steps), finding))
    };
    assert_eq!(look(Finding::Camera(capture(30))), [""; 0]);
    assert_eq!(look(failed(false)), [""; 0], "it is busy, streaming");
    assert_eq!(look(Finding::Camera(capture(15))), ["ready /dev/video0"]);
    assert_eq!(look(Finding::Other("video output")), ["gone /dev/video0"]);
}

#[test]
fn a_device_that_is_going_is_still_who_it_was() {
    let now = Instant::now();
    let usb = |serial: &str| Usb { vendor: 0x046d, product: 0x08e5, serial: Some(serial.into()), interface: 0 };
    let mut whole = sighting(NODE, 1);
    whole.device.usb = Some(usb("8F3E"));
    let mut roster = Roster::new(PATIENCE);
    let steps = roster.seen(now, vec![whole.clone()]);
    roster.probed(now, Path::new(NODE), ticket(&steps), Finding::Camera(capture(30)));
    for usb in [None, Some(Usb { serial: None, ..usb("") })] {
        let mut going = whole.clone();
        (going.device.usb, going.device.name) = (usb, String::new());
        assert_eq!(words(&roster.seen(now, vec![going])), [""; 0]);
    }
    // Another one on the node is another instance.
    let mut other = sighting(NODE, 2);
    other.device.usb = Some(usb("OTHER"));
    assert_eq!(words(&roster.seen(now, vec![other])), ["gone /dev/video0", "probe /dev/video0"]);
}

#[test]
fn new_links_are_told() {
    let now = Instant::now();
    let mut roster = with_camera(now);
    let mut linked = sighting(NODE, 1);
    linked.device.links = vec!["/dev/v4l/by-id/usb-Lab".into()];
    assert_eq!(words(&roster.seen(now, vec![linked])), ["ready /dev/video0"]);
}

#[derive(Clone, Debug)]
enum Happening {
    Seen(Vec<(u8, u64)>),
    Changed(u8),
    Answer(usize, u8),
    Time(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        prop::collection::vec((0..3u8, 0..3u64), 0..3).prop_map(Happening::Seen),
        (0..3u8).prop_map(Happening::Changed),
        (any::<usize>(), 0..5u8).prop_map(|(which, what)| Happening::Answer(which, what)),
        (0..40_000u64).prop_map(Happening::Time),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_story_told_is_one_that_can_be_true(happenings in prop::collection::vec(happening(), 0..60)) {
        let mut now = Instant::now();
        let mut roster = Roster::new(PATIENCE);
        let mut out: Vec<(PathBuf, Ticket)> = Vec::new();
        let mut told: BTreeSet<PathBuf> = BTreeSet::new();
        let mut present: HashMap<PathBuf, u64> = HashMap::new();
        for happening in happenings {
            let steps = match happening {
                Happening::Seen(nodes) => {
                    present = nodes.iter().map(|(node, inode)| (PathBuf::from(format!("/dev/video{node}")), *inode)).collect();
                    let sightings = present.iter().map(|(node, inode)| sighting(&node.to_string_lossy(), *inode));
                    roster.seen(now, sightings.collect())
                }
                Happening::Changed(node) => roster.changed(now, &PathBuf::from(format!("/dev/video{node}"))),
                Happening::Answer(..) if out.is_empty() => Vec::new(),
                Happening::Answer(which, what) => {
                    let (node, ticket) = out.remove(which % out.len());
                    let finding = match what {
                        0 => Finding::Other("metadata node"),
                        1 => failed(false),
                        2 => failed(true),
                        fps => Finding::Camera(capture(u32::from(fps))),
                    };
                    roster.probed(now, &node, ticket, finding)
                }
                Happening::Time(milliseconds) => {
                    now += Duration::from_millis(milliseconds);
                    roster.tick(now)
                }
            };
            for step in steps {
                match step {
                    Step::Probe(node, ticket) => {
                        prop_assert!(present.contains_key(&node), "an absent node is probed");
                        prop_assert!(out.iter().all(|(busy, _)| *busy != node), "two probes of one node");
                        out.push((node, ticket));
                    }
                    Step::Tell(DeviceEvent::Gone { node }) => prop_assert!(told.remove(&node), "gone, never told"),
                    Step::Tell(DeviceEvent::Ready { device, .. } | DeviceEvent::Unusable { device, .. }) => {
                        prop_assert!(present.contains_key(&device.node), "told, but absent");
                        told.insert(device.node);
                    }
                }
            }
            prop_assert!(told.iter().all(|node| present.contains_key(node)), "absent, but not told");
        }
        // Once every probe has come back with a camera, every camera is told.
        loop {
            let steps = if let Some((node, ticket)) = out.pop() {
                roster.probed(now, &node, ticket, Finding::Camera(capture(30)))
            } else if let Some(next) = roster.next_tick() {
                now = now.max(next);
                roster.tick(now)
            } else {
                break;
            };
            for step in steps {
                match step {
                    Step::Probe(node, ticket) => out.push((node, ticket)),
                    Step::Tell(DeviceEvent::Ready { device, .. }) => drop(told.insert(device.node)),
                    Step::Tell(_) => {}
                }
            }
        }
        let untold = present.keys().filter(|node| !told.contains(*node));
        let forgotten: Vec<_> = untold.filter(|node| !matches!(roster.nodes[*node].state, State::Settled)).collect();
        prop_assert!(forgotten.is_empty(), "{:?} are waited for in vain", forgotten);
    }
}
