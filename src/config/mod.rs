//! The configuration: a YAML file and the environment in, a checked [`Config`] or every [`Problems`] at once out.
//!
//! One file a section; the `Default` of its struct is the one list of its defaults, and its `read` the one list of its
//! keys. Text becomes a tree (`document`), the environment is laid on it (`environment`), old spellings are brought up
//! to date (`legacy`), sections take their values (`section`, `value`, `unit`), then what spans several keys is checked
//! (`check`). What of it may change while the service runs is `live`'s. Nothing is changed on the machine, so checking a
//! file is safe anywhere.
//!
//! Not here: what any of it means. Other modules get plain structs.

mod camera;
mod check;
mod document;
mod encoder;
mod environment;
mod external;
mod legacy;
mod live;
mod logging;
mod mediamtx;
mod problem;
mod recording;
mod rtsp;
mod schema;
mod section;
mod security;
mod server;
mod storage;
mod streams;
mod takeover;
mod unit;
mod unused;
mod value;

use std::path::{Path, PathBuf};

pub use camera::{Camera, Match, Pin, PinnedMode, TestPattern};
pub use check::writable;
pub use encoder::{Encoder, EncoderKind, Gop, Level as H264Level, Preset, Profile};
use environment::Variables;
pub use external::{ExternalDiscovery, LONGEST_INTERVAL, LONGEST_SCAN, Network, Targets};
pub use live::{Changes, Values, counts_at_once};
pub use logging::{Level as LogLevel, LogFormat, Logging};
pub use mediamtx::MediaMtx;
pub use problem::{Diagnostic, Place, Problems};
pub use recording::{Quality, Recording, RecordingFormat, SnapshotFormat, Snapshots};
pub use rtsp::{Rtsp, groups};
use section::{Findings, Section, Setting};
pub use security::{Algorithm, ApiKeys, Health, Jwt, RateLimiting, Security, Ssl};
pub use server::Server;
pub use storage::{CameraRetention, Policy, RetentionPolicy, Storage};
pub use streams::{Ring, Streams};
pub use takeover::{Fate, Takeover};
pub use unit::{BitRate, ByteSize};
pub use value::Secret;

/// Where the service keeps what must outlive it, unless somebody says otherwise.
const STATE_DIRECTORY: &str = "/var/lib/camera-service";

/// Largest configuration file read.
const FILE_BYTES: u64 = 1 << 20;

/// Everything that can be configured. `Config::default()` is what an empty file means.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Folder of what must outlive the service: camera identities, what their controls are set to, generated keys.
    pub state_directory: PathBuf,
    /// Folder whose files replace the launch files in the binary, one by one.
    pub pipelines_directory: Option<PathBuf>,
    /// Section `server`.
    pub server: Server,
    /// Section `security`.
    pub security: Security,
    /// Section `mediamtx`.
    pub mediamtx: MediaMtx,
    /// Section `rtsp`.
    pub rtsp: Rtsp,
    /// Section `camera`.
    pub camera: Camera,
    /// Section `streams`.
    pub streams: Streams,
    /// Section `encoder`.
    pub encoder: Encoder,
    /// Section `logging`.
    pub logging: Logging,
    /// Section `recording`.
    pub recording: Recording,
    /// Section `snapshots`.
    pub snapshots: Snapshots,
    /// Section `storage`.
    pub storage: Storage,
    /// Section `retention_policy`.
    pub retention_policy: RetentionPolicy,
    /// Section `external_discovery`.
    pub external_discovery: ExternalDiscovery,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_directory: STATE_DIRECTORY.into(),
            pipelines_directory: None,
            server: Server::default(),
            security: Security::default(),
            mediamtx: MediaMtx::default(),
            rtsp: Rtsp::default(),
            camera: Camera::default(),
            streams: Streams::default(),
            encoder: Encoder::default(),
            logging: Logging::default(),
            recording: Recording::default(),
            snapshots: Snapshots::default(),
            storage: Storage::default(),
            retention_policy: RetentionPolicy::default(),
            external_discovery: ExternalDiscovery::default(),
        }
    }
}

/// A configuration that can be used, and what its writer should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Keys that do nothing, or not yet, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// Every key with what it is, to tell what another version of the file changes.
    pub values: Values,
}

/// What is known of a configuration, whether it can be used or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// What was read. A key whose value is wrong has its default.
    pub config: Config,
    /// Keys that do nothing, or not yet, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// What is wrong with what is written, in the order of the file.
    pub problems: Vec<Diagnostic>,
    /// Folders that are written to, but for recordings, each with the key that names it.
    pub folders: Vec<(String, PathBuf)>,
    /// Folders of recordings, in the order in which they are tried: one is enough.
    pub recordings: Vec<(String, PathBuf)>,
    /// Files that have to be there when the service starts.
    pub files: Vec<(String, PathBuf)>,
}

impl Config {
    /// Reads and checks the file at `path` (none: the defaults) under the environment `env`.
    ///
    /// Where nothing names the state directory it is the first of `$STATE_DIRECTORY` (systemd sets it),
    /// `/var/lib/camera-service` where that can be written to, `$XDG_STATE_HOME/camera-service`,
    /// `$HOME/.local/state/camera-service`. Folders are looked at and not made.
    ///
    /// Errors: everything that is wrong, in the order of the file.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
        let (mut loaded, findings) = Self::read_at(path, env)?;
        let mut problems = findings.problems;
        check::folders(&findings.folders, &mut problems);
        check::recordings(&findings.recordings, &mut problems, &mut loaded.warnings);
        loaded.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        check::files(&findings.files, &mut problems);
        finish(loaded, problems)
    }

    /// As [`Config::load`], for who wants to know of everything that is wrong with a machine: gives what could be read also
    /// where it cannot be used. What has to be there is named and not looked at.
    ///
    /// Errors: the file cannot be read.
    pub fn examine(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Examined, Problems> {
        let (Loaded { config, warnings, .. }, findings) = Self::read_at(path, env)?;
        let mut problems = findings.problems;
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        let named = |settings: Vec<Setting<PathBuf>>| settings.into_iter().map(|it| (it.key, it.value)).collect();
        let (folders, recordings, files) = (findings.folders, findings.recordings, findings.files);
        let (folders, recordings, files) = (named(folders), named(recordings), named(files));
        Ok(Examined { config, warnings, problems, folders, recordings, files })
    }

    /// Reads and checks `text`, without a look at the machine's folders and files. `name` stands for the file in messages.
    pub fn parse(name: &str, text: &str, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
        let (loaded, findings) = Self::read(name, text, &env.collect(), STATE_DIRECTORY.into());
        finish(loaded, findings.problems)
    }

    /// The folders that are written to, but for recordings. Whoever starts the service makes them.
    pub fn folders(&self) -> [&Path; 2] {
        [&self.state_directory, &self.mediamtx.snapshots_path]
    }

    /// The folders of recordings, in the order in which they are tried, by their keys. Whoever starts the service makes
    /// them; one is enough.
    pub fn folders_of_recordings(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let first = ("mediamtx.recordings_path", self.mediamtx.recordings_path.as_path());
        let fallback = self.storage.fallback_path.as_deref().map(|folder| ("storage.fallback_path", folder));
        std::iter::once(first).chain(fallback)
    }

    fn read_at(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(Loaded, Findings), Problems> {
        let variables: Variables = env.collect();
        let (name, text) = match path {
            Some(path) => (path.display().to_string(), read_file(path)?),
            None => ("defaults".into(), String::new()),
        };
        Ok(Self::read(&name, &text, &variables, state_directory(&variables)))
    }

    fn read(name: &str, text: &str, variables: &Variables, state_directory: PathBuf) -> (Loaded, Findings) {
        let mut findings = Findings::default();
        let Findings { problems, warnings, .. } = &mut findings;
        let mut root = document::parse(&name.into(), text, problems);
        environment::substitute(&mut root, "", variables, problems);
        legacy::modernise(&mut root, problems, warnings);
        let mut overrides = environment::overrides(variables, problems);
        legacy::modernise(&mut overrides, problems, warnings);
        if root.data != document::Data::Faulty {
            environment::merge(&mut root, overrides);
        }
        let mut config = Self { state_directory, ..Self::default() };
        Section::walk(&root, ("", ""), &mut findings, |section| config.fill(section));
        check::ports(&mut findings);
        findings.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        let (warnings, values) = (std::mem::take(&mut findings.warnings), std::mem::take(&mut findings.values));
        (Loaded { config, warnings, values }, findings)
    }

    fn fill(&mut self, s: &mut Section<'_>) {
        s.folder("state_directory", &mut self.state_directory);
        self.mediamtx.recordings_path = self.state_directory.join("recordings");
        self.mediamtx.snapshots_path = self.state_directory.join("snapshots");
        s.value("pipelines_directory", &mut self.pipelines_directory);
        if let Some(folder) = self.pipelines_directory.as_ref().filter(|folder| !folder.is_dir()) {
            let message = format!("{} is not a folder", folder.display());
            s.refuse("pipelines_directory", message, "a folder of launch files, or nothing");
        }
        s.section("server", |s| self.server.read(s));
        s.section("security", |s| self.security.read(s));
        s.section("mediamtx", |s| self.mediamtx.read(s));
        s.section("rtsp", |s| self.rtsp.read(s));
        s.section("camera", |s| self.camera.read(s));
        s.section("streams", |s| self.streams.read(s));
        s.section("encoder", |s| self.encoder.read(s));
        s.section("logging", |s| self.logging.read(s));
        s.section("recording", |s| self.recording.read(s));
        s.section("snapshots", |s| self.snapshots.read(s));
        s.section("storage", |s| self.storage.read(s));
        s.section("retention_policy", |s| self.retention_policy.read(s));
        s.section("external_discovery", |s| self.external_discovery.read(s));
    }
}

fn finish(loaded: Loaded, mut problems: Vec<Diagnostic>) -> Result<Loaded, Problems> {
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems)) }
}

fn read_file(path: &Path) -> Result<String, Problems> {
    let place = Place::WholeFile(path.display().to_string().into());
    let refuse = |message: String| Problems(vec![Diagnostic::new(&place, "", message)]);
    let size = path.metadata().map_err(|error| refuse(format!("cannot be read: {error}")))?.len();
    if size > FILE_BYTES {
        return Err(refuse(format!("is too large with its {size} bytes; a configuration has at most {FILE_BYTES}")));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))
}

/// The state directory where the file names none.
fn state_directory(variables: &Variables) -> PathBuf {
    // systemd.exec(5): several directories are separated by colons.
    let given = variables.get("STATE_DIRECTORY").and_then(|list| list.split(':').find(|path| !path.is_empty()));
    if let Some(path) = given {
        return path.into();
    }
    let usual = PathBuf::from(STATE_DIRECTORY);
    if check::writable(&usual).is_ok() {
        return usual;
    }
    let variable = |name: &str| variables.get(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".local/state"));
    variable("XDG_STATE_HOME").or_else(home).map_or(usual, |state| state.join("camera-service"))
}
