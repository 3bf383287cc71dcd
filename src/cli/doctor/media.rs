//! GStreamer: its version, the elements of the launch files, and encoders that really encode. All as the service's user.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use camera_service::{
    app,
    config::{Config, EncoderKind},
    frame::Codec,
    media::{self, launch::LaunchFiles},
    pipeline::Encoders,
};

use serde_json::Value;

use super::{case::Case, finding::Finding, user::ServiceUser, within};

/// How long reading all plugins and trying all encoders may take.
const TRIALS: Duration = Duration::from_secs(180);

/// The oldest GStreamer that has what the launch files use.
const OLDEST: (u32, u32) = (1, 20);

/// The packages that have all elements but those of single boards.
const PACKAGES: &str = "sudo apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
                        gstreamer1.0-plugins-ugly gstreamer1.0-libav";

/// Snapshots are decoded by the first of these that is there.
const DECODERS: &str = "output/snapshot-decode-h264-";

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let Some(config) = case.config() else {
        return vec![Finding::skipped("media", "the configuration cannot be read; that comes first")];
    };
    match case.other_user() {
        None => examine(config),
        Some(user) => match case.as_service(|| apart(case, user)) {
            Ok(Ok(found)) => found,
            Ok(Err(reason)) => {
                vec![Finding::fail("media", reason, "the service's user has to be able to run this program")]
            }
            Err(why) => vec![Finding::skipped("media", why)],
        },
    }
}

/// What a doctor of its own finds, which is the service's user in the service's environment: where GStreamer looks for
/// plugins, and keeps the list of them, is in variables. Error: there is none, for people.
fn apart(case: &Case, user: &ServiceUser) -> Result<Vec<Finding>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(&program);
    command.args(["doctor", "--json", "--only", "media", "--user", &user.name]);
    for (option, file) in [("--config", &case.file), ("--unit", &case.unit.as_ref().map(|unit| unit.file.clone()))] {
        if let Some(file) = file {
            command.arg(option).arg(file);
        }
    }
    command.envs(case.environment()).env("HOME", &user.home).stdin(Stdio::null()).stderr(Stdio::null());
    let output = within(TRIALS, move || command.output());
    let output = output.ok_or("GStreamer does not come to an end")?;
    let output = output.map_err(|error| format!("{} cannot run {}: {error}", user.name, program.display()))?;
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(report["checks"].as_array().into_iter().flatten().filter_map(Finding::read).collect())
}

fn examine(config: &Config) -> Vec<Finding> {
    if let Err(error) = media::init() {
        return vec![Finding::fail("media.gstreamer", error.chain(), PACKAGES)];
    }
    let version = media::version();
    let mut found = vec![match is_recent(&version) {
        true => Finding::ok("media.gstreamer", format!("GStreamer {version}")),
        false => Finding::fail(
            "media.gstreamer",
            format!("GStreamer {version} is older than {}.{}", OLDEST.0, OLDEST.1),
            "use Debian 12, Raspberry Pi OS 12, Ubuntu 22.04, JetPack 6 or newer",
        ),
    }];
    let launch = LaunchFiles::new(config.pipelines_directory.clone());
    found.extend(elements(&launch));
    found.extend(encoders(config, &app::encoders(config, &launch)));
    found
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    parts.next().zip(parts.next()).is_some_and(|version| version >= OLDEST)
}

/// Whether every element is there that a plan may choose; encoders are tried, each by itself.
fn elements(launch: &LaunchFiles) -> Vec<Finding> {
    const CHECK: &str = "media.elements";
    let (mut found, mut files, mut decoders) = (Vec::new(), 0, Vec::new());
    for name in LaunchFiles::names().iter().filter(|name| !name.starts_with("encoder/")) {
        files += 1;
        let fix = format!("{PACKAGES}; see boards.md for {name}.launch");
        match launch.missing_elements(name) {
            Ok(missing) if name.starts_with(DECODERS) => decoders.push(missing),
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                let message = format!("GStreamer has no {}, which {name} needs", missing.join(", "));
                found.push(Finding::fail(CHECK, message, fix));
            }
            Err(error) => found.push(Finding::fail(CHECK, error.chain(), fix)),
        }
    }
    if !decoders.iter().any(Vec::is_empty) {
        let message = format!("no decoder of H.264 is there for snapshots ({})", decoders.concat().join(", "));
        found.push(Finding::fail("media.decoder", message, PACKAGES));
    } else {
        found.push(Finding::ok("media.decoder", "a decoder of H.264 is there for snapshots"));
    }
    if !found.iter().any(|finding| finding.check == CHECK) {
        found.insert(0, Finding::ok(CHECK, format!("every element of {files} launch files is there")));
    }
    found
}

/// What came of the encoders' trials.
fn encoders(config: &Config, encoders: &Encoders) -> Vec<Finding> {
    const CHECK: &str = "media.encoder";
    let mut found = Vec::new();
    let names = |kinds: &[EncoderKind]| kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let refused: Vec<String> = encoders.refused.iter().map(|(kind, why)| format!("{kind}: {why}")).collect();
    let is_needed =
        config.streams.codec == Codec::H264 || config.camera.devices.iter().any(|pin| pin.codec == Some(Codec::H264));
    found.push(match encoders.usable.split_first() {
        Some((first, others)) => {
            let others = if others.is_empty() { String::new() } else { format!("; also {}", names(others)) };
            Finding::ok(CHECK, format!("{first} encodes{others}"))
        }
        None if is_needed => Finding::fail(CHECK, format!("no encoder works ({})", refused.join("; ")), PACKAGES),
        None => Finding::warn(CHECK, format!("no encoder works ({})", refused.join("; ")), PACKAGES),
    });
    for pinned in config.camera.devices.iter().filter_map(|pin| pin.encoder) {
        if !encoders.usable.contains(&pinned) {
            let message = format!("camera.devices pins {pinned}, which does not work: {}", encoders.why_not(pinned));
            found.push(Finding::fail("media.pinned_encoder", message, "install it, or remove it from camera.devices"));
        }
    }
    for (kind, why) in encoders.refused.iter().filter(|(_, why)| why != Encoders::NOT_INSTALLED) {
        let fix = "see boards.md, or leave it out of encoder.order";
        found.push(Finding::warn(format!("media.{kind}"), format!("installed, and does not encode: {why}"), fix));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_recent("1.20.0") && is_recent("1.22.1") && is_recent("2.0.0"));
        assert!(!is_recent("1.18.4") && !is_recent("1.9.90") && !is_recent("0.10.36") && !is_recent("new"));
    }
}
