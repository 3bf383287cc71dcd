//! Rules for a path. Each returns MediaMTX's message.

use super::{Nanos, Set, Value, conf, name};

/// What a camera of this machine, or the test pattern, is as a source. MediaMTX has none of it.
pub(super) fn is_own(source: &str) -> bool {
    source.starts_with("/dev/") || source.starts_with("v4l2://") || source == crate::id::TEST_PATTERN
}

/// Schemes of sources that are pulled from elsewhere.
const SCHEMES: [&str; 16] = [
    "rtsp",
    "rtsps",
    "rtsp+http",
    "rtsps+http",
    "rtsp+ws",
    "rtsps+ws",
    "rtmp",
    "rtmps",
    "http",
    "https",
    "udp",
    "udp+mpegts",
    "udp+rtp",
    "srt",
    "moqt",
    "whep",
];

fn refuse_if(broken: bool, message: impl Into<String>) -> Result<(), String> {
    if broken { Err(message.into()) } else { Ok(()) }
}

/// Checks the entry `name`, all of whose keys are in `path`.
pub(super) fn check(name: &str, path: &Set, global: &Set, all: &[(String, Set)]) -> Result<(), String> {
    let is_expression = match conf::expression(name) {
        None => {
            name::check(name).map_err(|rule| format!("invalid path name '{name}': {rule}"))?;
            false
        }
        Some(Err(_)) => return Err(format!("invalid regular expression: {}", name.trim_start_matches('~'))),
        Some(Ok(_)) => true,
    };
    let source = path.text("source");
    let useless = !path.text("srtPublishPassphrase").is_empty() && source != "publisher";
    refuse_if(useless, "'srtPublishPassphase' can only be used when source is 'publisher'")?;
    let useless = source != "redirect" && !path.text("sourceRedirect").is_empty();
    refuse_if(useless, "'sourceRedirect' is useless when source is not 'redirect'")?;
    check_source(name, source, path, all)?;
    on_demand(source, is_expression, path)?;
    passphrase("srtPublishPassphrase", path)?;
    passphrase("srtReadPassphrase", path)?;
    forward(path)?;
    // MediaMTX v1.13 showed it empty; clients send back what they were shown.
    if !path.text("fallback").is_empty() {
        name::check_redirect(path.text("fallback"))?;
    }
    always_available(is_expression, path)?;
    record(path, global)?;
    let init = is_expression && !path.text("runOnInit").is_empty();
    refuse_if(
        init,
        "a path with a regular expression (or path 'all_others') does not support option 'runOnInit'; use another path",
    )?;
    let demand = !path.text("runOnDemand").is_empty() || !path.text("runOnUnDemand").is_empty();
    refuse_if(demand && source != "publisher", ONLY_PUBLISHERS)
}

fn check_source(name: &str, source: &str, path: &Set, all: &[(String, Set)]) -> Result<(), String> {
    match source {
        "publisher" => return Ok(()),
        "redirect" => {
            refuse_if(path.text("sourceRedirect").is_empty(), "source redirect must be filled")?;
            return name::check_redirect(path.text("sourceRedirect"));
        }
        "rpiCamera" => return pi_camera(name, path, all),
        source if is_own(source) => return Ok(()),
        _ => {}
    }
    let scheme = source.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        "unix+mpegts" => Ok(()),
        "unix+rtp" => refuse_if(path.text("rtpSDP").is_empty(), "`rtpSDP` was not provided"),
        scheme if SCHEMES.contains(&scheme) || scheme == "wheps" => {
            let url = name::url(source)?;
            let datagrams = scheme.starts_with("udp");
            refuse_if(datagrams && url.port().is_none(), format!("'{source}' is missing the port"))?;
            refuse_if(scheme == "udp+rtp" && path.text("rtpSDP").is_empty(), "`rtpSDP` was not provided")
        }
        _ => Err(format!("invalid source: '{source}'")),
    }
}

fn on_demand(source: &str, is_expression: bool, path: &Set) -> Result<(), String> {
    let demand = path.flag("sourceOnDemand");
    refuse_if(demand && source == "publisher", "'sourceOnDemand' is useless when source is 'publisher'")?;
    let is_static = !["publisher", "redirect"].contains(&source);
    refuse_if(
        !demand && is_static && is_expression,
        "a path with a regular expression (or path 'all_others') and a static source must have 'sourceOnDemand' set to true",
    )
}

fn passphrase(key: &str, path: &Set) -> Result<(), String> {
    let text = path.text(key);
    let broken = !text.is_empty() && !(10..=79).contains(&text.len());
    refuse_if(broken, format!("invalid '{key}': must be between 10 and 79 characters"))
}

fn forward(path: &Set) -> Result<(), String> {
    for (at, entry) in path.records("forward").iter().enumerate() {
        let wrong = |message: String| format!("invalid 'forward': entry {at}: {message}");
        let dest = entry.text("dest");
        refuse_if(dest.is_empty(), wrong("destination is empty".into()))?;
        let url = name::url(dest).map_err(wrong)?;
        let known = ["rtmp", "rtmps", "rtsp", "rtsps", "srt", "whip", "whips"].contains(&url.scheme());
        let list = "supported ones are rtmp, rtmps, rtsp, rtsps, srt, whip and whips";
        refuse_if(!known, wrong(format!("unsupported scheme '{}', {list}", url.scheme())))?;
    }
    Ok(())
}

fn always_available(is_expression: bool, path: &Set) -> Result<(), String> {
    if !path.flag("alwaysAvailable") {
        return Ok(());
    }
    let demand = !path.text("runOnDemand").is_empty() || !path.text("runOnUnDemand").is_empty();
    let (file, tracks) = (!path.text("alwaysAvailableFile").is_empty(), path.records("alwaysAvailableTracks"));
    for (broken, message) in [
        (is_expression, "'alwaysAvailable' cannot be used in a path with a regular expression (or path 'all_others')"),
        (path.flag("sourceOnDemand"), "'sourceOnDemand' is not compatible with 'alwaysAvailable'"),
        (demand, "'runOnDemand' and 'runOnUnDemand' cannot be used with 'alwaysAvailable'"),
        (file && !tracks.is_empty(), "'alwaysAvailableFile' and 'alwaysAvailableTracks' cannot be used together"),
        (!file && tracks.is_empty(), "'alwaysAvailableTracks' must contain at least one track"),
        (path.flag("useAbsoluteTimestamp"), "'useAbsoluteTimestamp' cannot be used with 'alwaysAvailable'"),
    ] {
        refuse_if(broken, message)?;
    }
    tracks.iter().try_for_each(track)
}

fn track(track: &Set) -> Result<(), String> {
    let (codec, rate, channels) = (track.text("codec"), track.int("sampleRate"), track.int("channelCount"));
    let least = match codec {
        "MPEG4Audio" => 22_050,
        "G711" | "LPCM" => 8_000,
        "" => return Err("unsupported codec ''".into()),
        _ => {
            refuse_if(rate != 0, format!("sampleRate must not be specified for codec '{codec}'"))?;
            return refuse_if(channels != 0, format!("channelCount must not be specified for codec '{codec}'"));
        }
    };
    refuse_if(rate == 0, format!("sampleRate is mandatory for codec '{codec}'"))?;
    refuse_if(rate < least, format!("sampleRate must be greater than or equal to {least} for codec '{codec}'"))?;
    refuse_if(channels == 0, format!("channelCount is mandatory for codec '{codec}'"))
}

fn record(path: &Set, global: &Set) -> Result<(), String> {
    let template = path.text("recordPath");
    refuse_if(!template.contains("%path"), "'recordPath' must contain %path")?;
    let dated = ["%Y", "%m", "%d", "%H", "%M", "%S"].iter().all(|part| template.contains(part));
    let broken = !template.contains("%s") && !dated;
    refuse_if(broken, "'recordPath' must contain either %s or %Y %m %d %H %M %S")?;
    refuse_if(global.flag("playback") && !template.contains("%f"), "'recordPath' must contain %f")?;
    let (segment, kept) = (path.time("recordSegmentDuration"), path.time("recordDeleteAfter"));
    refuse_if(segment > Nanos::seconds(86_400), "maximum segment duration is 1 day")?;
    let broken = kept != Nanos(0) && kept < segment;
    refuse_if(broken, "'recordDeleteAfter' cannot be lower than 'recordSegmentDuration'")
}

/// Of a path with a source of its own that is to run a command for its readers.
pub const ONLY_PUBLISHERS: &str = "'runOnDemand' and 'runOnUnDemand' can be used only when source is 'publisher'";

/// Words that keys of a Raspberry Pi's camera take.
const PI_WORDS: [(&str, &[&str]); 13] = [
    ("rpiCameraExposure", &["normal", "short", "long", "custom"]),
    ("rpiCameraAWB", &["auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy", "custom"]),
    ("rpiCameraDenoise", &["off", "cdn_off", "cdn_fast", "cdn_hq"]),
    ("rpiCameraMetering", &["centre", "spot", "matrix", "custom"]),
    ("rpiCameraAfMode", &["auto", "manual", "continuous"]),
    ("rpiCameraAfRange", &["normal", "macro", "full"]),
    ("rpiCameraAfSpeed", &["normal", "fast"]),
    ("rpiCameraHardwareH264Profile", &["baseline", "main", "high"]),
    ("rpiCameraHardwareH264Level", &["4.0", "4.1", "4.2"]),
    ("rpiCameraSoftwareH264Profile", &["baseline", "main", "high"]),
    ("rpiCameraSoftwareH264Level", &["4.0", "4.1", "4.2"]),
    ("rpiCameraH264Profile", &["auto", "baseline", "main", "high"]),
    ("rpiCameraH264Level", &["4.0", "4.1", "4.2"]),
];

fn pi_camera(name: &str, path: &Set, all: &[(String, Set)]) -> Result<(), String> {
    let (secondary, codec) = (path.flag("rpiCameraSecondary"), path.text("rpiCameraCodec"));
    let jpeg = codec == "mjpeg" || (secondary && codec == "auto");
    for key in ["rpiCameraWidth", "rpiCameraHeight"] {
        refuse_if(path.int(key) == 0, format!("invalid '{key}' value"))?;
    }
    for key in ["rpiCameraWidth", "rpiCameraHeight"] {
        let broken = jpeg && (path.int(key) >= 2048 || path.int(key) % 8 != 0);
        refuse_if(broken, format!("'{key}' must be a multiple of 8 and less than 2048 when using MJPEG"))?;
    }
    let red_and_blue = matches!(path.get("rpiCameraAWBGains"), Some(Value::Numbers(gains)) if gains.len() == 2);
    refuse_if(!red_and_blue, "invalid 'rpiCameraAWBGains' value")?;
    for (key, words) in PI_WORDS {
        let broken = path.get(key).is_some() && !words.contains(&path.text(key));
        refuse_if(broken, format!("invalid '{key}' value"))?;
    }
    let known = ["auto", "hardwareH264", "softwareH264", "mjpeg"].contains(&codec);
    refuse_if(!known, "supported codecs for a RPI Camera stream are auto, hardwareH264, softwareH264, mjpeg")?;
    let id = path.int("rpiCameraCamID");
    // What else has this camera: its picture (primary), and the smaller one that the camera makes beside it.
    let other = |secondary: bool| {
        all.iter().find(|(other, set)| {
            other != name
                && set.text("source") == "rpiCamera"
                && set.int("rpiCameraCamID") == id
                && set.flag("rpiCameraSecondary") == secondary
        })
    };
    match (secondary, other(false)) {
        (false, Some((other, _))) => {
            Err(format!("'rpiCamera' with same camera ID {id} is used as source in two paths, '{name}' and '{other}'"))
        }
        (true, None) => Err("cannot find a primary RPI Camera stream to associate with the secondary stream".into()),
        (true, _) if other(true).is_some() => {
            Err("a primary RPI Camera stream is associated with multiple secondary streams".into())
        }
        _ => Ok(()),
    }
}
