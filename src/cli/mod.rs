//! What the command line offers. Each subcommand but `run` does its one thing and ends.

mod ctl;
mod dial;
mod doctor;
mod generate;
mod key;
mod list;
mod logging;
mod migrate;
mod trust;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use camera_service::{
    app::{self, App, Signals, Source},
    command::{Role, v3},
    config::{self, Config, Loaded},
    error::Error,
};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// The configuration that is read where none is named and it exists.
const DEFAULT_CONFIG: &str = "/etc/camera-service/camera-service.yaml";

/// `EX_CONFIG` of `sysexits.h`: something in the configuration is wrong, and trying again will not help.
const EX_CONFIG: u8 = 78;

/// Headless camera gateway: a V4L2 camera is plugged in and is on RTSP.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    /// Configuration file [default: /etc/camera-service/camera-service.yaml, if there is one; else built-in defaults]
    #[arg(short, long, global = true, value_name = "FILE", env = "CAMERA_SERVICE_CONFIG")]
    config: Option<PathBuf>,
    /// Configuration file of MediaMTX's (mediamtx.yml), read beside the other; else mediamtx.config_file
    #[arg(long, global = true, value_name = "FILE")]
    mediamtx_config: Option<PathBuf>,
    /// How log lines look
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// One readable line an event
    Human,
    /// One JSON object an event
    Json,
}

impl From<LogFormat> for config::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Human => Self::Human,
            LogFormat::Json => Self::Json,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (what happens without a subcommand)
    Run,
    /// Check a configuration file, print everything that is wrong with it, and end
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Print the JSON Schema of the configuration file, for editors and programs
    Schema,
    /// Look at everything that has to be right for the service to run, before and after it is installed
    ///
    /// One line a check, with what to do where something is wrong. Nothing is changed. As root, the checks are made as the
    /// service's user. Exit code 1: something is wrong; warnings are not.
    Doctor(doctor::Doctor),
    /// Probe the cameras that are plugged in, print them, and end
    ListCameras {
        /// As JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Control a running service: cameras, snapshots, recordings, files, events
    Ctl(ctl::Ctl),
    /// Make a JSON Web Token for a client, from the configured secret
    Token {
        /// What the client may do
        #[arg(long, value_enum, default_value_t = RoleArgument::Viewer)]
        role: RoleArgument,
        /// Who the client is; shows in logs
        #[arg(long, default_value = "cli")]
        user: String,
        /// Hours until it expires [default: security.jwt.expiry_hours]
        #[arg(long, value_name = "HOURS")]
        expires: Option<u32>,
    },
    /// Make, list or revoke API keys, also while the service runs
    Key {
        #[command(subcommand)]
        action: key::Action,
    },
    /// Take over configuration, recordings and snapshots of an earlier installation
    Migrate(migrate::Migrate),
    /// Write manual pages and shell completions into a folder
    #[command(hide = true)]
    Generate {
        /// The folder; made where it is missing
        folder: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArgument {
    Viewer,
    Operator,
    Admin,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Viewer => Self::Viewer,
            RoleArgument::Operator => Self::Operator,
            RoleArgument::Admin => Self::Admin,
        }
    }
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        if !matches!(self.command, None | Some(Command::Run)) {
            end_with_the_reader();
        }
        match &self.command {
            Some(Command::CheckConfig { file }) => check_config(file),
            Some(Command::Schema) => {
                println!("{:#}", Config::schema());
                ExitCode::SUCCESS
            }
            Some(Command::Doctor(doctor)) => doctor.run(self.config.as_deref(), self.mediamtx_config.as_deref()),
            None | Some(Command::Run) => self.with_source(|source, loaded| self.serve(source, loaded)),
            Some(Command::ListCameras { json }) => report(list::run(*json)),
            Some(Command::Ctl(ctl)) => self.with_config(|config| ctl.run(&config)),
            Some(Command::Token { role, user, expires }) => self.with_config(|config| {
                report(app::make_token(&config, (*role).into(), user, *expires).map(|token| println!("{token}")))
            }),
            Some(Command::Key { action }) => {
                self.with_config(|config| report(key::run(action, &app::api_keys_file(&config))))
            }
            Some(Command::Migrate(migrate)) => report(migrate.run()),
            Some(Command::Generate { folder }) => report(generate::run(Self::command(), folder)),
        }
    }

    fn with_config(&self, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
        self.with_source(|_, loaded| then(loaded.config))
    }

    fn with_source(&self, then: impl FnOnce(Source, Loaded) -> ExitCode) -> ExitCode {
        let mediamtx = self.mediamtx_config.clone();
        let source = match &self.config {
            Some(file) => Source::new(file, true, mediamtx),
            None => Source::new(Path::new(DEFAULT_CONFIG), false, mediamtx),
        };
        match source.load() {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    eprintln!("{warning}");
                }
                then(source, loaded)
            }
            Err(problems) => {
                eprintln!("{problems}");
                ExitCode::from(EX_CONFIG)
            }
        }
    }

    fn serve(&self, source: Source, loaded: Loaded) -> ExitCode {
        let log_level = match logging::init(&loaded.config.logging, self.log_format.map(Into::into)) {
            Ok(log_level) => log_level,
            Err(error) => return report(Err(error)),
        };
        app::raise_file_limit();
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return report(Err(Error::internal(format!("the runtime does not start: {error}")))),
        };
        let result = runtime.block_on(async {
            let signals = Signals::listen()?;
            let app = App::start(loaded.config.clone()).await?;
            app.follow(source, loaded, log_level);
            app.run_until_told(signals).await
        });
        // A thread that a wedged driver holds must not hold the process too.
        runtime.shutdown_background();
        report(result)
    }
}

fn check_config(file: &Path) -> ExitCode {
    match Config::load(Some(file), std::env::vars()) {
        Ok(Loaded { warnings, .. }) => {
            for warning in &warnings {
                println!("{warning}");
            }
            println!("{}: valid, {} warning(s)", file.display(), warnings.len());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

fn report(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, for the journal.
            eprintln!("camera-service: {}", error.chain());
            if v3::is_wrong(&error) { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// Ends the process when nobody reads any more what it prints (`camera-service ctl list | head -1`), as other commands do.
/// Not the service: whoever hangs up must not end it.
#[allow(unsafe_code, reason = "the standard library ignores this signal and has no way back")]
fn end_with_the_reader() {
    // SAFETY: no handler of ours runs; the system's own default takes the place of "ignored".
    unsafe { nix::libc::signal(nix::libc::SIGPIPE, nix::libc::SIG_DFL) };
}
