//! Section `mediamtx`: the ports and folders of the media engine, which earlier versions ran as a process of its own.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use super::section::Section;

/// Ports and folders of the media engine.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaMtx {
    /// Host name or address written into the stream URLs that clients are told. None: the address the client itself
    /// used to reach the service. Never one that means "this machine", which a client elsewhere could not use.
    pub host: Option<String>,
    /// Whether the MediaMTX-compatible API is served.
    pub api_enabled: bool,
    /// Address it listens on. Who may use it is another question.
    pub api_bind_address: IpAddr,
    /// Its TCP port; 0 is any free one.
    pub api_port: u16,
    /// Whether metrics are served.
    pub metrics_enabled: bool,
    /// Address they are at. None: where the API is.
    pub metrics_bind_address: Option<IpAddr>,
    /// Their TCP port; 0 is any free one.
    pub metrics_port: u16,
    /// Whether recordings are played back.
    pub playback_enabled: bool,
    /// Address that is at. None: where the API is.
    pub playback_bind_address: Option<IpAddr>,
    /// The TCP port of that; 0 is any free one.
    pub playback_port: u16,
    /// TCP port of RTSP; 0 is any free one.
    pub rtsp_port: u16,
    /// Whether RTSP is served inside TLS too, with the certificate of `security.ssl`.
    pub rtsps_enabled: bool,
    /// TCP port of that; 0 is any free one.
    pub rtsps_port: u16,
    /// TCP port of WebRTC signalling.
    pub webrtc_port: u16,
    /// TCP port of HLS.
    pub hls_port: u16,
    /// Whether commands that are set over the API (`runOn…`) are run. Whoever may use it then runs programs as this user.
    pub api_hooks: bool,
    /// A configuration file of MediaMTX's, read beside this one and again whenever it changes. Read only.
    pub config_file: Option<PathBuf>,
    /// Folders in or below which a `recordPath` may lead that is set over the API.
    pub record_folders: Vec<PathBuf>,
    /// Folder of the recordings.
    pub recordings_path: PathBuf,
    /// Folder of the snapshots.
    pub snapshots_path: PathBuf,
}

impl Default for MediaMtx {
    fn default() -> Self {
        let state = PathBuf::from(super::STATE_DIRECTORY);
        Self {
            host: None,
            api_enabled: true,
            api_bind_address: Ipv4Addr::UNSPECIFIED.into(),
            api_port: 9997,
            metrics_enabled: true,
            metrics_bind_address: None,
            metrics_port: 9998,
            playback_enabled: true,
            playback_bind_address: None,
            playback_port: 9996,
            rtsp_port: 8554,
            rtsps_enabled: false,
            rtsps_port: 8322,
            webrtc_port: 8889,
            hls_port: 8888,
            api_hooks: false,
            config_file: None,
            record_folders: Vec::new(),
            recordings_path: state.join("recordings"),
            snapshots_path: state.join("snapshots"),
        }
    }
}

impl MediaMtx {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("host", &mut self.host);
        // In files of earlier versions it said where the engine's process was: on this machine.
        self.host = self.host.take().filter(|host| !is_this_machine(host));
        s.value("api_enabled", &mut self.api_enabled);
        s.value("api_bind_address", &mut self.api_bind_address);
        s.port("api_port", &mut self.api_port);
        s.value("metrics_enabled", &mut self.metrics_enabled);
        s.value("metrics_bind_address", &mut self.metrics_bind_address);
        s.port("metrics_port", &mut self.metrics_port);
        s.value("playback_enabled", &mut self.playback_enabled);
        s.value("playback_bind_address", &mut self.playback_bind_address);
        s.port("playback_port", &mut self.playback_port);
        s.port("rtsp_port", &mut self.rtsp_port);
        s.value("rtsps_enabled", &mut self.rtsps_enabled);
        s.port("rtsps_port", &mut self.rtsps_port);
        s.port("webrtc_port", &mut self.webrtc_port);
        s.port("hls_port", &mut self.hls_port);
        s.value("api_hooks", &mut self.api_hooks);
        s.value("config_file", &mut self.config_file);
        s.list("record_folders", &mut self.record_folders);
        s.value("recordings_path", &mut self.recordings_path);
        s.records_to("recordings_path", self.recordings_path.clone());
        s.folder("snapshots_path", &mut self.snapshots_path);
        // Read by `encoder`, where these keys live today.
        s.section("codec", |s| s.known(&["video_profile", "video_level", "pixel_format", "bitrate", "preset"]));
    }
}

/// Whether `host` leads to another machine, or to none, when another machine uses it.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_means_this_machine_is_none_to_tell_others() {
        for host in ["localhost", "Localhost", "127.0.0.1", "127.0.1.1", "0.0.0.0", "::1", "[::1]", "::"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["camera.example.org", "localhost.example.org", "192.0.2.7", "2001:db8::7"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
