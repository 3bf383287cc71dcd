//! `ctl`: the control socket from the command line.
//!
//! What a service answers is printed for people, or as it came with `--json`. Exit codes: 0 done, 1 refused, 69 the
//! service cannot be reached, 77 the caller may not.

pub mod client;
mod show;

use std::{path::PathBuf, process::ExitCode};

use camera_service::{
    app,
    command::Role,
    config::Config,
    error::{Error, Result},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use client::{Client, Failure};

use super::{dial, trust::Trust};

/// `EX_UNAVAILABLE` and `EX_NOPERM` of `sysexits.h`.
const EX_UNAVAILABLE: u8 = 69;
const EX_NOPERM: u8 = 77;

/// The whole of it.
#[derive(Args)]
pub struct Ctl {
    /// The control socket [default: the one in the configuration, on this machine]
    #[arg(long, value_name = "wss://HOST:PORT/ws")]
    url: Option<String>,
    /// Certificates to believe, PEM: the service's own, or its authority's [default: the system's authorities; without
    /// --url: the configured certificate]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Token or API key [default: one made from this machine's secret]
    #[arg(long, env = "CAMERA_SERVICE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// As JSON, as the service answered
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The cameras
    List,
    /// How the service is, or one camera
    Status {
        /// `camera0`, a device node, or a link to one
        device: Option<String>,
    },
    /// Take a picture
    Snapshot {
        /// The camera
        device: String,
        /// The file's name
        #[arg(long)]
        filename: Option<String>,
        /// `jpeg` or `png`
        #[arg(long)]
        format: Option<String>,
        /// 1 to 100
        #[arg(long)]
        quality: Option<u32>,
    },
    /// Begin or end a recording
    Record {
        #[command(subcommand)]
        action: Record,
    },
    /// Show a camera's controls, set some, or reset them all
    Controls {
        /// The camera
        device: String,
        /// Controls to set: `brightness=120`, `auto_exposure="Manual Mode"`
        #[arg(value_name = "NAME=VALUE", conflicts_with = "reset")]
        values: Vec<String>,
        /// Back to what the camera begins with
        #[arg(long)]
        reset: bool,
    },
    /// List recordings or snapshots
    Files {
        /// Which
        #[arg(value_enum)]
        kind: Kind,
        /// Only those of this camera
        #[arg(long)]
        device: Option<String>,
        /// How many, 1 to 1000
        #[arg(long)]
        limit: Option<u32>,
        /// How many to leave out first
        #[arg(long)]
        offset: Option<u32>,
    },
    /// Delete a recording or a snapshot
    Delete {
        /// Which
        #[arg(value_enum)]
        kind: Kind,
        /// As it is listed
        filename: String,
    },
    /// List the external streams
    Streams,
    /// Make an RTSP stream of another machine a stream of this one
    Add {
        /// Where it is
        #[arg(value_name = "rtsp://HOST/PATH")]
        url: String,
        /// Its name here
        name: String,
    },
    /// Remove an external stream; its files stay
    Remove {
        /// As it was added, or as it is listed
        #[arg(value_name = "rtsp://HOST/PATH")]
        url: String,
    },
    /// Print events as they come, until the service ends
    Watch {
        /// Topics, groups (`camera.*`) or `*`
        #[arg(default_value = "*")]
        topics: Vec<String>,
        /// End after so many
        #[arg(long)]
        count: Option<usize>,
    },
    /// Call any method
    Call {
        /// Its name
        method: String,
        /// Its parameters, a JSON object
        params: Option<String>,
    },
}

#[derive(Subcommand)]
enum Record {
    /// Begin
    Start {
        /// The camera
        device: String,
        /// Seconds
        #[arg(long)]
        duration: Option<u32>,
        /// `fmp4`, `mp4`, `mkv` or `mpegts`
        #[arg(long)]
        format: Option<String>,
    },
    /// End
    Stop {
        /// The camera
        device: String,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Recordings,
    Snapshots,
}

impl Ctl {
    /// Does it and prints what came of it.
    pub fn run(&self, config: &Config) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return super::report(Err(Error::internal(format!("the runtime does not start: {error}")))),
        };
        match runtime.block_on(self.work(config)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("camera-service: {failure}");
                match failure {
                    Failure::Unreachable(_) => ExitCode::from(EX_UNAVAILABLE),
                    Failure::NotAllowed(_) => ExitCode::from(EX_NOPERM),
                    Failure::Refused(_) => ExitCode::FAILURE,
                }
            }
        }
    }

    async fn work(&self, config: &Config) -> Result<(), Failure> {
        let token = self.token(config).map_err(|error| {
            let way_out = "be the service's user, or give a token with --token";
            Failure::NotAllowed(format!("{}; {way_out}", error.chain()))
        })?;
        let mut client = Client::connect(&self.url(config), &self.trust(config)).await?;
        client.call("authenticate", json!({ "auth_token": token })).await?;
        let (method, params) = self.request()?;
        let reply = client.call(method, params).await?;
        let Action::Watch { count, .. } = &self.action else {
            match &self.action {
                Action::Call { .. } => show::whole(&reply, self.json),
                _ => show::reply(&reply, self.json),
            }
            return Ok(());
        };
        for _ in 0..count.unwrap_or(usize::MAX) {
            let Some(event) = client.event().await? else { break };
            show::event(&event, self.json);
        }
        Ok(())
    }

    /// The method to call, and with what.
    fn request(&self) -> Result<(&str, Value), Failure> {
        Ok(match &self.action {
            Action::List => ("get_camera_list", json!({})),
            Action::Status { device: None } => ("get_status", json!({})),
            Action::Status { device } => ("get_camera_status", given([("device", json!(device))])),
            Action::Snapshot { device, filename, format, quality } => {
                let (filename, format) = (json!(filename), json!(format));
                let params = [
                    ("device", json!(device)),
                    ("filename", filename),
                    ("format", format),
                    ("quality", json!(quality)),
                ];
                ("take_snapshot", given(params))
            }
            Action::Record { action: Record::Start { device, duration, format } } => {
                let params = [("device", json!(device)), ("duration", json!(duration)), ("format", json!(format))];
                ("start_recording", given(params))
            }
            Action::Record { action: Record::Stop { device } } => {
                ("stop_recording", given([("device", json!(device))]))
            }
            Action::Controls { device, reset: true, .. } => {
                ("reset_camera_controls", given([("device", json!(device))]))
            }
            Action::Controls { device, values, .. } if values.is_empty() => {
                ("get_camera_controls", given([("device", json!(device))]))
            }
            Action::Controls { device, values, .. } => {
                let controls = values.iter().map(|value| assignment(value)).collect::<Result<Map<_, _>, _>>()?;
                ("set_camera_control", given([("device", json!(device)), ("controls", Value::Object(controls))]))
            }
            Action::Files { kind, device, limit, offset } => {
                let method = match kind {
                    Kind::Recordings => "list_recordings",
                    Kind::Snapshots => "list_snapshots",
                };
                (method, given([("device", json!(device)), ("limit", json!(limit)), ("offset", json!(offset))]))
            }
            Action::Delete { kind, filename } => {
                let method = match kind {
                    Kind::Recordings => "delete_recording",
                    Kind::Snapshots => "delete_snapshot",
                };
                (method, given([("filename", json!(filename))]))
            }
            Action::Streams => ("get_external_streams", json!({})),
            Action::Add { url, name } => ("add_external_stream", json!({ "stream_url": url, "stream_name": name })),
            Action::Remove { url } => ("remove_external_stream", json!({ "stream_url": url })),
            Action::Watch { topics, .. } => ("subscribe_events", given([("topics", json!(topics))])),
            Action::Call { method, params } => {
                let params = params.as_deref().unwrap_or("{}");
                let params = serde_json::from_str(params)
                    .map_err(|error| Failure::Refused(format!("the parameters are not JSON: {error}")))?;
                (method, params)
            }
        })
    }

    fn url(&self, config: &Config) -> String {
        self.url.clone().unwrap_or_else(|| dial::control_url(config))
    }

    fn trust(&self, config: &Config) -> Trust {
        match (&self.ca, &self.url) {
            (Some(file), _) => Trust::Listed(file.clone()),
            (None, None) => dial::own_trust(config),
            (None, Some(_)) => Trust::System,
        }
    }

    fn token(&self, config: &Config) -> Result<String> {
        match &self.token {
            Some(token) => Ok(token.clone()),
            None => app::make_token(config, Role::Admin, "ctl", Some(1)),
        }
    }
}

/// `NAME=VALUE`. A value that is not JSON is text: names of menu entries need no quotes.
fn assignment(text: &str) -> Result<(String, Value), Failure> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::Refused(format!("\"{text}\" is not NAME=VALUE, such as brightness=120")))?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

/// Parameters without those that were not given.
fn given<const N: usize>(params: [(&str, Value); N]) -> Value {
    let given = params.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
