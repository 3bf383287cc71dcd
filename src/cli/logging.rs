//! Log lines: readable on a terminal, JSON on request, to standard error, where systemd's journal takes them.

use std::io::IsTerminal;

use camera_service::{
    config::{LogFormat, Logging},
    error::{Error, Result},
};
use tracing::subscriber::set_global_default;
use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` goes before the configured level. Error: the level is not one.
pub fn init(logging: &Logging, format: Option<LogFormat>) -> Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(logging.level.to_string()))
        .map_err(|error| Error::internal(format!("the log level does not parse: {error}")))?;
    // Colours are for a terminal: in a file or the journal they stand between a word and who searches for it.
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // Not `try_init`, which also takes what libraries say through the crate `log`: at the level trace the WebSocket library
    // would write down whole messages, and with them tokens and keys.
    let started = match format.unwrap_or(logging.format) {
        LogFormat::Json => set_global_default(builder.json().finish()),
        LogFormat::Human => set_global_default(builder.with_target(false).finish()),
    };
    started.map_err(|error| Error::internal(format!("logging does not start: {error}")))
}
