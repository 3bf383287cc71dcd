//! `doctor`: whether this machine, this configuration and, where it runs, this service are as they have to be.
//!
//! One file a group of checks. A check gives [`Finding`]s, which are printed here and nowhere else. What a check does is what
//! the service does at its start, by the same code; nothing is changed. What concerns the service's rights is done as its
//! user (`user`).

mod case;
mod certificate;
mod clock;
mod configuration;
mod devices;
mod finding;
mod folders;
mod http;
mod media;
mod ports;
mod running;
mod sandbox;
mod unit;
mod unit_file;
mod user;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use case::Case;
use clap::{Args, ValueEnum};
use finding::{Finding, Report};

/// How long a disk, a driver or a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to look at.
#[derive(Args)]
pub struct Doctor {
    /// As JSON instead of a line each
    #[arg(long)]
    json: bool,
    /// The unit file that starts the service [default: camera-service.service, where systemd has it]
    #[arg(long, value_name = "FILE")]
    unit: Option<PathBuf>,
    /// The service's user [default: as root that of the unit; else who asks]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// It is wrong if the service does not run
    #[arg(long)]
    running: bool,
    /// Only these groups of checks
    #[arg(long, value_enum, value_name = "GROUP", value_delimiter = ',')]
    only: Vec<Group>,
}

/// A group of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    Config,
    Unit,
    User,
    Folders,
    Ports,
    Certificate,
    Media,
    Devices,
    Clock,
    Running,
}

impl Doctor {
    /// Looks at everything that was asked for, prints it, and says whether nothing is wrong.
    pub fn run(&self, config: Option<&Path>, mediamtx: Option<&Path>) -> ExitCode {
        let case = Case::take(self, config, mediamtx);
        let asked = |group: &&Group| self.only.is_empty() || self.only.contains(group);
        let findings = Group::value_variants().iter().filter(asked).flat_map(|group| group.look(&case)).collect();
        let shown = |path: &Path| path.display().to_string();
        let report = Report {
            file: case.file.as_deref().map(shown),
            unit: case.unit.as_ref().map(|unit| shown(&unit.file)),
            user: case.user.as_ref().ok().map(|user| user.name.clone()),
            findings,
        };
        report.print(self.json);
        if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Group {
    fn look(self, case: &Case) -> Vec<Finding> {
        match self {
            Self::Config => configuration::look(case),
            Self::Unit => unit::look(case),
            Self::User => user::look(case),
            Self::Folders => folders::look(case),
            Self::Ports => ports::look(case),
            Self::Certificate => certificate::look(case),
            Self::Media => media::look(case),
            Self::Devices => devices::look(case),
            Self::Clock => clock::look(),
            Self::Running => running::look(case),
        }
    }
}

/// What `work` gives, on a thread that may be lost: a disk or a driver that hangs holds nobody else. The thread has the
/// rights of the one that asks. `None`: no answer in time.
fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, answer) = mpsc::sync_channel(1);
    // The answer of one that comes too late is nobody's.
    thread::Builder::new().spawn(move || drop(done.send(work()))).ok()?;
    answer.recv_timeout(patience).ok()
}
