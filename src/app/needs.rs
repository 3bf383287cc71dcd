//! What the service needs of the machine, as it is started with: for the commands that do one thing of it, and for who looks
//! beforehand whether all of it is there.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{as_served, make_folder, ports, settings};
use crate::{
    command::{Role, token, v3},
    config::Config,
    error::Result,
    media::launch::LaunchFiles,
    mtx::Environment,
    pipeline::Encoders,
};

/// A TCP port that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The key that sets it.
    pub key: &'static str,
    /// Where it is. Port 0: any free one.
    pub address: SocketAddr,
}

/// Every TCP port that is served with this configuration.
pub fn listeners(config: &Config) -> Vec<Listener> {
    let engine = settings::engine_addresses(config);
    let rtsp = settings::rtsp(config);
    let wanted = [
        ("server.port", Some(settings::control_address(config))),
        ("security.health.port", Some(settings::health_address(config))),
        ("mediamtx.rtsp_port", Some((rtsp.address, rtsp.port).into())),
        ("mediamtx.rtsps_port", settings::rtsps_address(config)),
        ("mediamtx.api_port", engine.api),
        ("mediamtx.metrics_port", engine.metrics),
        ("mediamtx.playback_port", engine.playback),
    ];
    let served = wanted.into_iter().filter_map(|(key, address)| Some(Listener { key, address: address? }));
    served.collect()
}

/// Listens as the service would, and stops at once. Errors: those of the service's start.
pub async fn try_to_listen(address: SocketAddr) -> Result<()> {
    ports::bind(address).await.map(drop)
}

/// Reads the certificates that TLS is spoken with, where it is. Blocks on the disk. Errors: those of the service's start.
pub fn check_certificates(config: &Config) -> Result<()> {
    settings::certificate(config)?;
    settings::rtsps_certificate(config).map(drop)
}

/// Reads `mediamtx.config_file`, where there is one, in the environment of the service. Blocks on the disk. Errors: those of
/// the service's start.
pub fn check_mediamtx(config: &Config, environment: Environment) -> Result<()> {
    let config = as_served(config.clone(), environment.clone())?;
    let engine = settings::engine_addresses(&config);
    let rtsps = settings::rtsps_address(&config);
    let served = settings::served(&config, &engine, config.mediamtx.rtsp_port, rtsps);
    v3::Engine::new(served, settings::allowed(&config, environment)).map(drop)
}

/// Tries the encoders that may be used. Blocks; GStreamer has to be initialised.
pub fn encoders(config: &Config, launch: &LaunchFiles) -> Encoders {
    Encoders::probe(&config.encoder.order, launch, config.encoder.trial_timeout)
}

/// Whether there is a secret that tokens are signed with: configured, or made by an earlier start. Blocks on the disk.
pub fn has_secret(config: &Config) -> bool {
    !config.security.jwt.secret_key.expose().is_empty() || settings::secret_file(config).exists()
}

/// Makes a token for a client, signed with the secret the service would use. Blocks on the disk.
/// Errors: the secret cannot be read or made.
pub fn make_token(config: &Config, role: Role, user: &str, hours: Option<u32>) -> Result<String> {
    if !has_secret(config) {
        make_folder(&config.state_directory)?;
    }
    let hours = hours.unwrap_or(config.security.jwt.expiry_hours);
    token::make_token(&settings::secret(config)?, role, Duration::from_secs(u64::from(hours) * 3600), user)
}

/// Where API keys are kept.
pub fn api_keys_file(config: &Config) -> PathBuf {
    let file = config.security.api_keys.storage_file.clone();
    file.unwrap_or_else(|| config.state_directory.join("api-keys.json"))
}
