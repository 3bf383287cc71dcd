//! Keys that are read and checked, and that nothing in this version goes by.
//!
//! Whoever sets one to something else than its default is told so. A key leaves this list, and the one in
//! docs/configuration.md, with the change that makes it work.

const ENGINE: &str = "of the media engine only RTSP is served";
const FILE: &str = "log lines go to standard error, which systemd's journal keeps";
const ENCODER: &str = "a recording has the very frames of the stream: encoder.bitrate and encoder.preset decide";

/// Full path (a last part of `*` stands for all below), and what happens instead.
const UNUSED: &[(&str, &str)] = &[
    ("mediamtx.webrtc_port", ENGINE),
    ("mediamtx.hls_port", ENGINE),
    ("logging.file_enabled", FILE),
    ("logging.file_path", FILE),
    ("logging.max_file_size", FILE),
    ("logging.backup_count", FILE),
    ("logging.console_enabled", FILE),
    ("recording.quality", ENCODER),
];

/// What to say of `path` where it is given another value than its default. None: it works.
pub(super) fn warning(path: &str) -> Option<String> {
    let fits = |pattern: &str| pattern.strip_suffix('*').map_or(pattern == path, |start| path.starts_with(start));
    let (_, instead) = UNUSED.iter().find(|(pattern, _)| fits(pattern))?;
    Some(format!("is not used by this version yet: {instead}"))
}
