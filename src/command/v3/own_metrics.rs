//! This service's own metrics: what MediaMTX has no names for.

use std::{
    fmt::{self, Error},
    sync::atomic::Ordering,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode_registry},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    command::{Gateway, library::on_disk},
    output::storage::{self, Space},
    path::PathStatus,
};

/// The metrics as they are now, in the text format of Prometheus.
pub(super) async fn text(gateway: &Gateway) -> String {
    let (recordings, snapshots) = (gateway.folders.recordings.clone(), gateway.folders.snapshots.clone());
    let spaces = on_disk(move || {
        let folders = [("recordings", recordings), ("snapshots", snapshots)];
        // A folder that is gone has no room; health tells of it.
        Ok(folders.into_iter().filter_map(|(name, folder)| Some((name, storage::space(&folder).ok()?))).collect())
    });
    let snapshots = gateway.paths.snapshot_counts();
    let clients = &gateway.clients;
    let look = Look {
        paths: gateway.paths.list(),
        spaces: spaces.await.unwrap_or_default(),
        times: vec![
            ("rtsp_frame_age", "Age of frames, from capture: when RTSP readers are handed them.", {
                gateway.paths.rtsp().handed().clone()
            }),
            ("snapshot", "From the request for a snapshot to the picture.", gateway.paths.snapshot_times().clone()),
            ("recording_sync", "How long the disk took to have what was recorded.", {
                gateway.folders.doors.syncs().histogram().clone()
            }),
        ],
        overflows: vec![
            ("sockets", clients.sockets.refused()),
            ("connections", clients.connections.refused()),
            ("notifications", clients.dropped_slow.load(Ordering::Relaxed)),
            ("snapshots", snapshots.refused),
        ],
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(look));
    let mut text = String::new();
    match encode_registry(&mut text, &registry) {
        Ok(()) => classic(&text),
        // A `String` takes everything.
        Err(Error) => String::new(),
    }
}

/// What was written as OpenMetrics, in the older text format that MediaMTX speaks: there, what is said of a counter is said
/// of its whole name.
fn classic(text: &str) -> String {
    let counters: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let line = |line: &str| {
        let said = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let Some((name, rest)) = said.and_then(|said| said.split_once(' ')) else { return line.to_owned() + "\n" };
        let total = if counters.contains(&name) { "_total" } else { "" };
        format!("{} {name}{total} {rest}\n", &line[..6])
    };
    text.lines().map(line).collect()
}

/// One look at everything that is counted.
struct Look {
    paths: Vec<PathStatus>,
    spaces: Vec<(&'static str, Space)>,
    times: Vec<(&'static str, &'static str, Histogram)>,
    overflows: Vec<(&'static str, u64)>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Look({} paths)", self.paths.len())
    }
}

impl Collector for Look {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.counter(&mut to, "runs", "Times the pipeline of a path was started.", |path| path.runs)?;
        self.counter(&mut to, "appearances", "Comings and goings of a path's source.", |path| path.appearances)?;
        self.counter(&mut to, "panics", "Times the task of a path had to be started again.", |path| path.panics)?;
        let captured = |path: &PathStatus| path.counters.stages().captured();
        self.counter(&mut to, "frames_captured", "Frames that a path's source has delivered.", captured)?;
        let encoded = |path: &PathStatus| path.counters.stages().encoded();
        self.counter(&mut to, "frames_encoded", "Frames that were encoded here.", encoded)?;
        self.streams(&mut to)?;
        self.dropped(&mut to)?;
        let mut delays = to.encode_descriptor(
            "camera_service_frame_delay_seconds",
            "Age of frames, from capture: when they are published to readers.",
            None,
            MetricType::Histogram,
        )?;
        for path in &self.paths {
            let labels = [("path", path.name.as_str())];
            path.counters.delay().encode(delays.encode_family(&labels)?)?;
        }
        let help = "Time that frames take in a stage, without waiting for it.";
        let mut stages = to.encode_descriptor("camera_service_stage_seconds", help, None, MetricType::Histogram)?;
        for path in &self.paths {
            for (stage, times) in path.counters.stages().times() {
                let labels = [("path", path.name.as_str()), ("stage", stage)];
                times.encode(stages.encode_family(&labels)?)?;
            }
        }
        self.recording(&mut to)?;
        for (name, help, times) in &self.times {
            let name = format!("camera_service_{name}_seconds");
            times.encode(to.encode_descriptor(&name, help, None, MetricType::Histogram)?)?;
        }
        let help = "What was refused or dropped because a queue was full.";
        let mut overflows = to.encode_descriptor("camera_service_queue_overflows", help, None, MetricType::Counter)?;
        for (queue, count) in &self.overflows {
            ConstCounter::new(*count).encode(overflows.encode_family(&[("queue", *queue)])?)?;
        }
        self.disks(&mut to)
    }
}

impl Look {
    fn counter(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        count: impl Fn(&PathStatus) -> u64,
    ) -> Result<(), Error> {
        let name = named(name);
        let mut family = to.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for path in &self.paths {
            ConstCounter::new(count(path)).encode(family.encode_family(&[("path", path.name.as_str())])?)?;
        }
        Ok(())
    }

    /// Since the present stream began.
    fn streams(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let of_stream = |path: &PathStatus| path.stream.as_ref().map(|stream| stream.stats()).unwrap_or_default();
        self.counter(to, "frames_published", "Encoded frames of the present stream.", |path| of_stream(path).frames)?;
        self.counter(to, "bytes_published", "Bytes of the present stream.", |path| of_stream(path).bytes)?;
        self.counter(to, "frames_missed", "Frames that readers were too slow for.", |path| of_stream(path).missed)?;
        let mut rates = to.encode_descriptor(
            "camera_service_frames_per_second",
            "Frames per second of the frames in memory.",
            None,
            MetricType::Gauge,
        )?;
        for path in &self.paths {
            let labels = [("path", path.name.as_str())];
            ConstGauge::new(of_stream(path).fps).encode(rates.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn dropped(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Frames that were left out before they were published, and why; of times_mended, that were kept.";
        let mut family = to.encode_descriptor("camera_service_frames_dropped", help, None, MetricType::Counter)?;
        for path in &self.paths {
            let dropped = path.counters.dropped();
            for (reason, count) in [
                ("encoder_too_slow", dropped.raw_overrun),
                ("decoder_too_slow", dropped.undecoded_overrun),
                ("broken_jpeg", dropped.broken_jpeg),
                ("before_first_key_frame", dropped.before_key),
                ("unreadable", dropped.unreadable),
                ("times_mended", dropped.times_mended),
            ] {
                let labels = [("path", path.name.as_str()), ("reason", reason)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn recording(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut family = to.encode_descriptor(
            "camera_service_recording",
            "Whether a path is being recorded.",
            None,
            MetricType::Gauge,
        )?;
        for path in &self.paths {
            let labels = [("path", path.name.as_str())];
            ConstGauge::new(i64::from(path.recording.is_some())).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn disks(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        for (name, help, of) in [
            ("disk_size_bytes", "Size of the file system of a folder.", (|space| space.total) as fn(&Space) -> u64),
            ("disk_free_bytes", "What this service may still use of it.", |space| space.available),
        ] {
            let name = named(name);
            let mut family = to.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            for (folder, space) in &self.spaces {
                let bytes = i64::try_from(of(space)).unwrap_or(i64::MAX);
                ConstGauge::new(bytes).encode(family.encode_family(&[("folder", *folder)])?)?;
            }
        }
        Ok(())
    }
}

fn named(name: &str) -> String {
    format!("camera_service_{name}")
}
