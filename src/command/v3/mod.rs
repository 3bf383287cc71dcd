//! The control API of MediaMTX, version 3: what it may be asked, and the replies.
//!
//! [`Engine`] holds the configuration that it shows and changes; `apply` makes of it what can be made. The names of fields
//! and their order are MediaMTX's, as is every message, because its clients read them. How a request comes in and a reply
//! goes out is `api::rest`'s; the model of the configuration is `mtx`.

mod access;
mod apply;
mod capture;
mod config;
mod file;
mod hooks;
mod kept;
mod matched;
mod metrics;
pub mod moment;
mod outside;
mod own_metrics;
mod page;
mod paths;
mod playback;
mod porter;
mod ports;
mod record_path;
mod recordings;
mod sessions;
mod unused;
mod whose;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

pub use access::{Shown, admit};
pub use config::{
    add_path, delete_path, edit_path, global, patch_global, patch_path, patch_path_defaults, path, path_defaults,
    path_list, replace_path,
};
pub use file::{is_wrong, keep, said, settle, wrong};
pub use hooks::follow;
pub use kept::Kept;
use matched::missing;
pub use metrics::{FILTERS, Wanted, metrics};
pub use moment::Moment;
pub use page::{List, Page};
pub use paths::{Path, path_state, path_states, stop_path};
pub use playback::{Container, Film, film, named, playable, recorded};
pub use porter::Porter;
pub use ports::Ports;
pub(in crate::command) use record_path::known_place;
pub use recordings::{Recording, delete_segment, recording, recordings};
use serde::Serialize;
pub use sessions::{Connection, Session, connection, connections, kick, session, sessions};
use tokio::sync::{Mutex as Turn, Semaphore};
use uuid::Uuid;
pub(in crate::command) use whose::Whose;

use self::{apply::Applied, matched::Matched, outside::Outside};
use crate::{
    command::watched::Watched,
    error::Result,
    mtx::{Conf, Environment, Set, Users, Value, global_keys},
};

/// The version of MediaMTX whose replies these are.
const VERSION: &str = "v1.20.1";

/// Why something is not done, in MediaMTX's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is no good.
    Invalid(String),
    /// There is no such thing.
    NotFound(&'static str),
    /// It cannot be done here.
    Failed(&'static str),
    /// It is not known to come from somebody who may.
    Unknown {
        /// Whether it came without credentials, and might come with some.
        ask: bool,
    },
}

/// Shorthand for what can be refused.
pub type Answer<T> = std::result::Result<T, Refusal>;

/// The reply to what was done.
#[derive(Debug, Serialize)]
pub struct Done {
    status: &'static str,
}

/// It is done.
pub const DONE: Done = Done { status: "ok" };

/// The reply to `info`.
#[derive(Debug, Serialize)]
pub struct Info {
    version: &'static str,
    started: Moment,
}

/// Where the service serves what MediaMTX has listeners for.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// The ports of the control API, of metrics and of playback; none where one is not served.
    pub ports: Ports<String>,
    /// Whether they speak TLS.
    pub encrypted: bool,
    /// RTSP.
    pub rtsp: String,
    /// RTSP inside TLS, where it is.
    pub rtsps: Option<String>,
    /// Whether RTP may go over UDP to or from a single address.
    pub udp: bool,
    /// The groups of multicast and the port of RTP there, where it is served.
    pub multicast: Option<(String, u16)>,
}

/// What else the configuration of this service says of it.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// MediaMTX's configuration file.
    pub file: Option<PathBuf>,
    /// Variables that may stand for keys of it.
    pub environment: Environment,
    /// Whether commands that are set over the API are run.
    pub api_hooks: bool,
    /// Folders in or below which a `recordPath` may lead that was set over the API.
    pub record_folders: Vec<PathBuf>,
}

/// The configuration, and who waits for what.
pub struct Engine {
    conf: Mutex<Arc<Conf>>,
    /// One change at a time.
    turn: Turn<()>,
    started: SystemTime,
    /// Where RTSP is served.
    rtsp: String,
    /// Whether RTSP is served inside TLS too.
    rtsps: bool,
    /// By which the service is known there to itself.
    own_pass: String,
    /// Paths that were made for an entry that is a regular expression.
    matched: Mutex<BTreeMap<String, Matched>>,
    /// What was done of each path.
    applied: Mutex<BTreeMap<String, Applied>>,
    /// The configuration file, where there is one, as it looked before it was read first.
    file: Option<Watched>,
    /// Variables that may stand for keys of it.
    environment: Environment,
    /// What both said when they were read last.
    in_file: Mutex<Option<Arc<Conf>>>,
    /// Whether commands that were set over the API are run.
    api_hooks: bool,
    /// Folders in or below which a `recordPath` may lead that was set over the API.
    record_folders: Vec<PathBuf>,
    /// Paths for which a command runs until nobody reads them.
    demanded: Mutex<HashSet<String>>,
    /// Keys of which it was said that they do nothing.
    told: Mutex<HashSet<String>>,
    /// Checks of passwords under way. Each may take a core for a second.
    checks: Semaphore,
    /// Who is asked elsewhere.
    outside: Arc<Outside>,
}

impl Engine {
    /// At the start of the service. Blocks on the disk for MediaMTX's configuration file.
    /// Error: it cannot be read, or says something that cannot be.
    pub fn new(served: Served, allowed: Allowed) -> Result<Self> {
        let text = |text: String| Value::Text(text);
        let off = ["rtmp", "hls", "webrtc", "srt", "moq", "pprof"];
        let given = global_keys().with("rtsp", Value::Flag(true));
        let given = off.iter().fold(given, |given, key| given.with(key, Value::Flag(false)));
        let given = served.ports.named().into_iter().fold(given, |given, (name, address)| {
            let given = given.with(name, Value::Flag(address.is_some()));
            match address {
                Some(address) => given
                    .with(&format!("{name}Address"), text(address))
                    .with(&format!("{name}Encryption"), Value::Flag(served.encrypted)),
                None => given,
            }
        });
        let multicast = served.multicast.as_ref().map(|_| "multicast");
        let transports = multicast.into_iter().chain(["tcp"]).chain(served.udp.then_some("udp"));
        let given = given
            .with("rtspAddress", text(served.rtsp.clone()))
            .with("rtspTransports", Value::Texts(transports.map(Into::into).collect()));
        let given = match &served.multicast {
            Some((range, port)) => given
                .with("multicastIPRange", text(range.clone()))
                .with("multicastRTPPort", Value::Int((*port).into()))
                .with("multicastRTCPPort", Value::Int(i64::from(*port) + 1)),
            None => given,
        };
        let given = match &served.rtsps {
            Some(address) => {
                given.with("rtspEncryption", text("optional".into())).with("rtspsAddress", text(address.clone()))
            }
            None => given.with("rtspEncryption", text("no".into())),
        };
        let (empty, Allowed { file, environment, api_hooks, record_folders }) = (Conf::new(given), allowed);
        let watched = file.as_deref().map(Watched::new);
        let in_file = file::load(&empty, file.as_deref(), &environment)?.map(Arc::new);
        Ok(Self {
            conf: Mutex::new(in_file.clone().unwrap_or_else(|| Arc::new(empty))),
            in_file: Mutex::new(in_file),
            api_hooks,
            record_folders,
            demanded: Mutex::default(),
            turn: Turn::default(),
            started: SystemTime::now(),
            rtsp: served.rtsp,
            rtsps: served.rtsps.is_some(),
            own_pass: Uuid::new_v4().to_string(),
            matched: Mutex::default(),
            applied: Mutex::default(),
            file: watched,
            environment,
            told: Mutex::default(),
            checks: Semaphore::new(access::CHECKS),
            outside: Arc::default(),
        })
    }

    /// `info`.
    pub fn info(&self) -> Info {
        Info { version: VERSION, started: Moment(self.started) }
    }

    /// Whether RTSP is served inside TLS too.
    pub fn serves_rtsps(&self) -> bool {
        self.rtsps
    }

    /// `auth/jwks/refresh`: the keys of tokens are fetched again when the next one comes.
    pub fn forget_keys(&self) {
        self.outside.forget_keys();
    }

    /// The global configuration, for those who act by it.
    pub fn acting(&self) -> Set {
        self.conf().global()
    }

    fn conf(&self) -> Arc<Conf> {
        Arc::clone(&self.conf.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the configuration file says.
    fn in_file(&self) -> Option<Arc<Conf>> {
        self.in_file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put_in_file(&self, conf: Conf) {
        *self.in_file.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(conf));
    }

    fn put(&self, conf: Conf) {
        *self.conf.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(conf);
    }

    fn users(&self) -> Users {
        Users::new(&self.conf())
    }
}
