//! Paths as they are: source, tracks, readers, counters.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Answer, List, Moment, Page, Refusal,
    apply::{device, is_plain},
    config::present,
    matched,
    sessions::session_word,
};
use crate::{
    command::Gateway,
    frame::Codec,
    mtx::{Conf, Set},
    output::rtsp::SessionState,
    path::PathStatus,
    stream::Stream,
};

/// A path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    name: String,
    conf_name: String,
    ready: bool,
    ready_time: Option<Moment>,
    available: bool,
    available_time: Option<Moment>,
    online: bool,
    online_time: Option<Moment>,
    source: Option<End>,
    tracks: Vec<&'static str>,
    tracks2: Vec<Track>,
    readers: Vec<End>,
    inbound_bytes: u64,
    outbound_bytes: u64,
    inbound_frames_in_error: u64,
    bytes_received: u64,
    bytes_sent: u64,
}

impl Path {
    /// What it is fed by: a kind and an id, which may be empty. `None`: nothing.
    pub(super) fn source(&self) -> Option<(String, String)> {
        self.source.as_ref().map(|end| (end.kind.to_owned(), end.id.clone()))
    }
}

/// One end of a path: where frames come from or go to.
#[derive(Debug, Serialize)]
struct End {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Empty for what nobody connected with.
    id: String,
}

/// What is in a stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Track {
    codec: &'static str,
    codec_props: Option<Props>,
}

/// What an H.264 stream says of itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Props {
    width: u32,
    height: u32,
    profile: &'static str,
    level: String,
}

/// Every path that is configured by its name, streaming or not, and those that an expression has matched; by name.
pub fn path_states(gateway: &Gateway, page: Page) -> List<Path> {
    let conf = present(gateway);
    let own = conf.paths().into_iter().filter(|(name, _)| is_plain(name));
    let mut all: Vec<_> = own.map(|(name, set)| (name.clone(), name, set)).collect();
    for (name, conf_name) in matched::entries(gateway) {
        if let Some(set) = conf.path(&conf_name) {
            all.push((name, conf_name, set));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    page.of(all).map(|(name, conf_name, set)| describe(gateway, &conf, name, conf_name, &set))
}

/// One of them. Error: there is none.
pub fn path_state(gateway: &Gateway, name: &str) -> Answer<Path> {
    let conf = present(gateway);
    let conf_name = match is_plain(name).then(|| conf.path(name)).flatten() {
        Some(_) => Some(name.to_owned()),
        None => matched::entries(gateway).remove(name),
    };
    let found = conf_name.and_then(|conf_name| conf.path(&conf_name).map(|set| (conf_name, set)));
    let (conf_name, set) = found.ok_or(Refusal::NotFound("path not found"))?;
    Ok(describe(gateway, &conf, name.to_owned(), conf_name, &set))
}

/// Stops what runs on demand and nobody reads, as earlier programs could ask. Error: there is no such path.
pub async fn stop_path(gateway: &Gateway, name: &str) -> Answer<()> {
    present(gateway).path(name).ok_or(Refusal::NotFound("path not found"))?;
    if let Err(error) = gateway.paths.stop_streaming(name).await {
        // It did not run.
        tracing::debug!(path = name, "{}", error.chain());
    }
    Ok(())
}

fn describe(gateway: &Gateway, conf: &Conf, name: String, conf_name: String, set: &Set) -> Path {
    let status = gateway.paths.status(&name).ok();
    // What a path that is always available had just now is over, and what comes next on its way.
    let lasts = status.as_ref().and_then(|status| status.outgoing.as_ref()).is_some_and(|stream| !stream.is_closed());
    let is_there = |stream: &Arc<Stream>| lasts || !stream.is_closed();
    let stream = status.as_ref().and_then(|status| status.available().cloned()).filter(is_there);
    let since = status.as_ref().filter(|_| stream.is_some()).and_then(|status| status.available_since).map(Moment);
    // MediaMTX calls a source online as soon as it is there; so it is written when there is one.
    let is_source =
        |stream: &&Arc<Stream>| !stream.is_closed() && status.as_ref().is_some_and(|status| status.filler.is_none());
    let source_stream = stream.as_ref().filter(is_source);
    let online = source_stream.is_some();
    let online_since = status.as_ref().filter(|_| online).and_then(|status| status.streaming_since).map(Moment);
    let mut sessions = gateway.paths.rtsp().sessions();
    sessions.retain(|session| session.path == name);
    // By type, then by id: those outside of TLS come first.
    sessions.sort_by_key(|session| (session.secure, session.id.to_string()));
    let ends = |state| {
        let sessions = sessions.iter().filter(move |session| session.state == state);
        sessions.map(|session| End { kind: session_word(session.secure), id: session.id.to_string() })
    };
    let readers: Vec<_> = ends(SessionState::Reads).collect();
    let dropped = status.as_ref().map(|status| status.counters.dropped()).unwrap_or_default();
    let in_error = dropped.broken_jpeg + dropped.unreadable;
    let received = source_stream.map_or(0, |stream| stream.stats().bytes);
    let sent = stream.as_ref().map_or(0, |_| gateway.paths.readers(&name).packet_bytes_sent);
    let publisher = ends(SessionState::Publishes).next().filter(|_| online);
    let source = publisher.or_else(|| source(conf, &name, set, status.as_ref()));
    Path {
        conf_name,
        ready: stream.is_some(),
        ready_time: since,
        available: stream.is_some(),
        available_time: since,
        online,
        online_time: online_since,
        source,
        tracks: stream.iter().map(|stream| codec(stream)).collect(),
        tracks2: stream.iter().map(|stream| track(stream)).collect(),
        readers,
        inbound_bytes: received,
        outbound_bytes: sent,
        inbound_frames_in_error: in_error,
        bytes_received: received,
        bytes_sent: sent,
        name,
    }
}

/// What feeds a path, by the word that MediaMTX has for it: a camera is one, whatever it hangs on.
fn source(conf: &Conf, name: &str, set: &Set, status: Option<&PathStatus>) -> Option<End> {
    let kind = match set.text("source") {
        // Of a command that would take a camera of ours, the camera.
        "publisher" => device(set).map(|_| "rpiCameraSource")?,
        "redirect" => "redirect",
        source if source.starts_with("rtsp") => "rtspSource",
        source if source.starts_with("rtmp") => "rtmpSource",
        source if source.starts_with("http") => "hlsSource",
        source if source.starts_with("srt") => "srtSource",
        source if source.starts_with("whep") => "webRTCSource",
        source if source.contains("+rtp://") => "rtpSource",
        source if source.starts_with("udp") || source.contains("+mpegts://") => "mpegtsSource",
        source if source.starts_with("moqt") => "moqSource",
        _ => "rpiCameraSource",
    };
    let is_own = kind == "rpiCameraSource" && conf.is_given(name) && status.is_none();
    (!is_own).then(|| End { kind, id: String::new() })
}

fn codec(stream: &Stream) -> &'static str {
    match stream.format().codec {
        Codec::H264 => "H264",
        Codec::Mjpeg => "M-JPEG",
    }
}

fn track(stream: &Stream) -> Track {
    let format = stream.format();
    let props = (format.codec == Codec::H264).then(|| {
        let (profile, level) = stream.newest_gop().first().and_then(|frame| sps(&frame.data)).unwrap_or_default();
        Props { width: format.width, height: format.height, profile, level }
    });
    Track { codec: codec(stream), codec_props: props }
}

/// Profile and level from the sequence parameter set of a key frame (ITU-T H.264, 7.3.2.1.1 and annex A).
fn sps(frame: &[u8]) -> Option<(&'static str, String)> {
    let start = frame.windows(4).position(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == 7)?;
    let [profile, constraints, level] = *frame.get(start + 4..)?.first_chunk()?;
    let name = match profile {
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4 Predictive",
        _ => "",
    };
    let level = match (level, constraints & 0x10) {
        (11, 0x10) if profile != 100 => "1b".to_owned(),
        (level, _) if level % 10 == 0 => (level / 10).to_string(),
        (level, _) => format!("{}.{}", level / 10, level % 10),
    };
    Some((name, level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_and_level_are_those_of_the_parameter_set() {
        let frame = [0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 100, 0, 41, 0xac, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65];
        assert_eq!(sps(&frame), Some(("High", "4.1".into())));
        assert_eq!(sps(&[0, 0, 1, 0x67, 66, 0xc0, 40]), Some(("Baseline", "4".into())));
        assert_eq!(sps(&[0, 0, 1, 0x65, 66, 0xc0, 40]), None);
        assert_eq!(sps(&[0, 0, 1, 0x67, 66]), None);
    }
}
