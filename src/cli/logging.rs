//! Log lines: readable on a terminal, JSON on request, to standard error, where systemd's journal takes them.

use std::io::IsTerminal;

use camera_service::{
    config::{LogFormat, LogLevel, Logging},
    error::{Error, Result},
};
use tracing::subscriber::set_global_default;
use tracing_subscriber::{EnvFilter, reload::Handle};

/// Sets the level that is logged.
pub type SetLevel = Box<dyn Fn(LogLevel) + Send + Sync>;

/// Starts logging, and gives what changes its level. `RUST_LOG` goes before the configured level, now and later. Error: the
/// level is not one.
pub fn init(logging: &Logging, format: Option<LogFormat>) -> Result<SetLevel> {
    let fixed = EnvFilter::try_from_default_env();
    let is_fixed = fixed.is_ok();
    let filter = fixed
        .or_else(|_| EnvFilter::try_new(logging.level.to_string()))
        .map_err(|error| Error::internal(format!("the log level does not parse: {error}")))?;
    // Colours are for a terminal: in a file or the journal they stand between a word and who searches for it.
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // Not `try_init`, which also takes what libraries say through the crate `log`: at the level trace the WebSocket library
    // would write down whole messages, and with them tokens and keys.
    let (started, set) = match format.unwrap_or(logging.format) {
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let set = setter(builder.reload_handle());
            (set_global_default(builder.finish()), set)
        }
        LogFormat::Human => {
            let builder = builder.with_target(false).with_filter_reloading();
            let set = setter(builder.reload_handle());
            (set_global_default(builder.finish()), set)
        }
    };
    started.map_err(|error| Error::internal(format!("logging does not start: {error}")))?;
    Ok(if is_fixed { Box::new(|_| {}) } else { set })
}

fn setter<S: 'static>(handle: Handle<EnvFilter, S>) -> SetLevel {
    Box::new(move |level| {
        let set = EnvFilter::try_new(level.to_string()).ok().map(|filter| handle.reload(filter));
        if !matches!(set, Some(Ok(()))) {
            tracing::error!(%level, "the log level stays as it was");
        }
    })
}
