//! Section `logging`: what is logged, how, and where to.

use std::path::PathBuf;

use super::{section::Section, unit::ByteSize, value::words};

/// What is logged, how, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// The least important lines written.
    pub level: Level,
    /// The shape of a line.
    pub format: LogFormat,
    /// Whether lines are written to a file.
    pub file_enabled: bool,
    /// That file.
    pub file_path: PathBuf,
    /// Size at which it is put aside and a new one begun.
    pub max_file_size: ByteSize,
    /// Files put aside that are kept.
    pub backup_count: u32,
    /// Whether lines are written to standard error.
    pub console_enabled: bool,
}

words! {
    /// Importance of a line.
    Level {
        /// Every step.
        Trace = "trace",
        /// What a developer wants to know.
        Debug = "debug",
        /// What an operator wants to know.
        Info = "info",
        /// What may need somebody.
        Warn = "warn" | "warning",
        /// What went wrong.
        Error = "error" | "critical" | "fatal",
    }
}

words! {
    /// The shape of a line.
    LogFormat {
        /// For people.
        Human = "human" | "text",
        /// One JSON object a line.
        Json = "json",
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: LogFormat::Human,
            file_enabled: false,
            file_path: "/var/log/camera-service/camera-service.log".into(),
            max_file_size: ByteSize(10_000_000),
            backup_count: 5,
            console_enabled: true,
        }
    }
}

impl Logging {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("level", &mut self.level);
        let instead = "has no meaning: lines have a fixed shape, human or json; human is used";
        s.value_unless("format", &mut self.format, "%(", instead);
        s.value("file_enabled", &mut self.file_enabled);
        s.value("file_path", &mut self.file_path);
        s.number("max_file_size", &mut self.max_file_size, ByteSize(1_000)..=ByteSize(100_000_000_000));
        s.number("backup_count", &mut self.backup_count, 0..=1000);
        s.value("console_enabled", &mut self.console_enabled);
        if self.file_enabled
            && let Some(folder) = self.file_path.parent()
        {
            s.writes_to("file_path", folder.to_owned());
        }
    }
}
