//! What is looked at: which unit, which configuration in which environment, which user. Put together as systemd and the
//! service put it together.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use camera_service::{
    app,
    config::{Config, Examined, Problems},
};
use clap::Parser;
use rustix::process::geteuid;

use super::{Doctor, unit_file::Unit, user::ServiceUser};
use crate::cli::{Cli, Command, DEFAULT_CONFIG};

/// What is looked at.
pub struct Case {
    /// The unit, where there is one.
    pub unit: Option<Unit>,
    /// Why the unit that was named cannot be read.
    pub no_unit: Option<String>,
    /// Whether systemd knows the unit: it was not named by its file.
    pub installed: bool,
    /// What the unit starts, as our own command line; the error is clap's.
    pub started: Option<Result<Cli, String>>,
    /// The configuration file; `None`: the defaults.
    pub file: Option<PathBuf>,
    /// What was read of it.
    pub examined: Result<Examined, Problems>,
    /// The service's user. The error is for people.
    pub user: Result<ServiceUser, String>,
    /// Whether the service has to be running.
    pub has_to_run: bool,
}

impl Case {
    /// Finds out. `config` and `mediamtx` are what the command line names.
    pub fn take(doctor: &Doctor, config: Option<&Path>, mediamtx: Option<&Path>) -> Self {
        let (unit, no_unit) = match &doctor.unit {
            Some(file) => match Unit::read(file) {
                Ok(unit) => (Some(unit), None),
                Err(reason) => (None, Some(reason)),
            },
            None => (Unit::installed(), None),
        };
        let user = user(doctor, unit.as_ref());
        let started = unit.as_ref().and_then(Unit::command).map(|command| {
            Cli::try_parse_from(&command).map_err(|error| error.to_string()).and_then(|cli| match &cli.command {
                None | Some(Command::Run) => Ok(cli),
                Some(_) => Err("it names a subcommand other than run, which ends".to_owned()),
            })
        });
        let by_unit = started.as_ref().and_then(|started| started.as_ref().ok());
        let default = || Path::new(DEFAULT_CONFIG).exists().then(|| DEFAULT_CONFIG.into());
        let named = config.map(PathBuf::from).or_else(|| by_unit.and_then(|cli| cli.config.clone()));
        let mut case = Self {
            installed: doctor.unit.is_none(),
            no_unit,
            file: named.or_else(default),
            examined: Err(Problems(Vec::new())),
            user,
            has_to_run: doctor.running,
            unit,
            started,
        };
        let mediamtx = mediamtx.map(PathBuf::from).or_else(|| by_unit_mediamtx(&case));
        let environment = case.environment();
        // As the service's user, to whom other folders are open; else as who asks.
        let examine = || Config::examine(case.file.as_deref(), environment.clone().into_iter());
        let examined = case.as_service(examine).unwrap_or_else(|_| examine());
        case.examined = examined.map(|mut examined| {
            examined.config.mediamtx.config_file = mediamtx.or(examined.config.mediamtx.config_file);
            // What keeps it from being served is told by the check of that file.
            let served = || app::as_served(examined.config.clone(), environment.clone());
            if let Ok(Ok(config)) = case.as_service(served) {
                examined.config = config;
            }
            examined
        });
        case
    }

    /// The configuration, as far as it could be read.
    pub fn config(&self) -> Option<&Config> {
        self.examined.as_ref().ok().map(|examined| &examined.config)
    }

    /// The environment of the service: of who asks, and what the unit adds.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment: BTreeMap<String, String> = std::env::vars().collect();
        if let Some(unit) = &self.unit {
            environment.extend(unit.environment().0);
        }
        environment
    }
}

fn by_unit_mediamtx(case: &Case) -> Option<PathBuf> {
    case.started.as_ref()?.as_ref().ok()?.mediamtx_config.clone()
}

fn user(doctor: &Doctor, unit: Option<&Unit>) -> Result<ServiceUser, String> {
    let groups = unit.map(|unit| unit.list("SupplementaryGroups")).unwrap_or_default();
    let group = unit.and_then(|unit| unit.last("Group"));
    match (&doctor.user, unit) {
        (Some(name), _) => ServiceUser::named(name, group, &groups),
        (None, Some(unit)) if geteuid().is_root() || doctor.unit.is_some() => {
            ServiceUser::named(unit.last("User").unwrap_or("root"), group, &groups)
        }
        _ => Ok(ServiceUser::current()),
    }
}
