//! Sections `recording` and `snapshots`: what files are made of, and how long they are kept.

use std::time::Duration;

use super::{section::Section, unit::ByteSize, value::words};

/// Recordings.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Whether a camera is recorded whenever it is there.
    pub auto_record: bool,
    /// The container.
    pub format: RecordingFormat,
    /// How much is kept of what the camera gives.
    pub quality: Quality,
    /// How much of the past a recording begins with, and every stream keeps for it.
    pub pre_roll: Duration,
    /// Longest recording that a request may begin; it is closed then. Zero: no limit.
    pub max_duration: Duration,
    /// Days after which a recording is deleted, whatever the retention policy says. 0: this deletes none.
    pub cleanup_after_days: u32,
    /// Length at which a new file is begun. Zero: one file.
    pub segment_duration: Duration,
    /// Size at which a new file is begun. Zero: any size.
    pub max_segment_size: ByteSize,
    /// Name of a file without its ending.
    pub file_name_pattern: String,
}

words! {
    /// The container of a recording.
    RecordingFormat {
        /// MP4 in fragments (ISO/IEC 14496-12): what is on the disk plays, whatever happens next. H.264 only.
        Fmp4 = "fmp4",
        /// MP4 in fragments while it grows, plain MP4 once closed. H.264 only.
        Mp4 = "mp4",
        /// Matroska. H.264 and Motion JPEG.
        Mkv = "mkv",
        /// MPEG transport stream (ISO/IEC 13818-1): plays up to wherever it was cut. H.264 only.
        MpegTs = "mpegts" | "ts",
    }
}

words! {
    /// How much is kept of what the camera gives.
    Quality {
        /// Least.
        Low = "low",
        /// Some.
        Medium = "medium",
        /// All.
        High = "high",
    }
}

/// Snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshots {
    /// The file format where a request names none.
    pub format: SnapshotFormat,
    /// JPEG quality in percent where a request names none.
    pub quality: u8,
    /// Width in pixels above which a picture is scaled down, keeping its shape. 0: any.
    pub max_width: u32,
    /// Height in pixels above which a picture is scaled down, keeping its shape. 0: any.
    pub max_height: u32,
    /// Days after which a snapshot is deleted, whatever the retention policy says. 0: this deletes none.
    pub cleanup_after_days: u32,
    /// Snapshots kept, whatever the retention policy says; the oldest go first. 0: all.
    pub max_count: u32,
}

words! {
    /// The file format of a snapshot.
    SnapshotFormat {
        /// JPEG.
        Jpeg = "jpeg" | "jpg",
        /// PNG, without loss.
        Png = "png",
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            auto_record: false,
            format: RecordingFormat::Fmp4,
            quality: Quality::High,
            pre_roll: Duration::ZERO,
            max_duration: Duration::from_secs(86_400),
            cleanup_after_days: 0,
            segment_duration: Duration::from_secs(3600),
            max_segment_size: ByteSize(4_000_000_000),
            file_name_pattern: "{device}_{YYYY-MM-DD_HH-MM-SS}".into(),
        }
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            format: SnapshotFormat::Jpeg,
            quality: 90,
            max_width: 1920,
            max_height: 1080,
            cleanup_after_days: 0,
            max_count: 0,
        }
    }
}

impl Recording {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("auto_record", &mut self.auto_record);
        s.value("format", &mut self.format);
        s.value("quality", &mut self.quality);
        s.time("pre_roll", &mut self.pre_roll, 0..=600);
        s.time("max_duration", &mut self.max_duration, 0..=31_536_000);
        s.number("cleanup_after_days", &mut self.cleanup_after_days, 0..=36_500);
        s.time("segment_duration", &mut self.segment_duration, 0..=86_400);
        s.number("max_segment_size", &mut self.max_segment_size, ByteSize(0)..=ByteSize(1 << 44));
        let name = |name: &String| !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
        s.bounded("file_name_pattern", &mut self.file_name_pattern, name, "a file name without \"/\"".into());
    }
}

impl Snapshots {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("format", &mut self.format);
        s.number("quality", &mut self.quality, 1..=100);
        s.number("max_width", &mut self.max_width, 0..=16_384);
        s.number("max_height", &mut self.max_height, 0..=16_384);
        s.number("cleanup_after_days", &mut self.cleanup_after_days, 0..=36_500);
        s.number("max_count", &mut self.max_count, 0..=10_000_000);
    }
}
