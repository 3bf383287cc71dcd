//! Readers that share no code with the server: `retina`, ffprobe, GStreamer's rtspsrc, and a raw one that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use camera_service::output::rtsp::Transport;
use futures_util::StreamExt;
use gst::prelude::*;
use retina::{
    client::{Demuxed, PlayOptions, Session, SessionOptions, SetupOptions},
    codec::{CodecItem, VideoFrame},
};

use crate::source::DEADLINE;

/// A well-behaved reader.
pub struct Reader {
    frames: std::pin::Pin<Box<Demuxed>>,
    /// RTP time of the newest frame in seconds.
    newest: Option<f64>,
}

impl Reader {
    pub async fn open(url: &str, transport: Transport) -> Result<Self, String> {
        let opening = async {
            let mut session = Session::describe(url.parse().unwrap(), SessionOptions::default()).await?;
            let transport = match transport {
                Transport::Tcp => retina::client::Transport::Tcp(Default::default()),
                Transport::Udp => retina::client::Transport::Udp(Default::default()),
                Transport::Multicast => panic!("retina listens to no groups"),
            };
            session.setup(0, SetupOptions::default().transport(transport)).await?;
            session.play(PlayOptions::default()).await?.demuxed()
        };
        let frames = tokio::time::timeout(DEADLINE, opening).await.map_err(|_| "no answer")?;
        Ok(Self { frames: Box::pin(frames.map_err(|error| error.to_string())?), newest: None })
    }

    /// The next frame, or why there is none.
    pub async fn next(&mut self) -> Result<VideoFrame, String> {
        let next = async {
            loop {
                match self.frames.next().await {
                    Some(Ok(CodecItem::VideoFrame(frame))) => return Ok(frame),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("end".into()),
                }
            }
        };
        tokio::time::timeout(DEADLINE, next).await.map_err(|_| "no frame")?
    }

    /// Takes this many frames and returns the longest gap before one, by their timestamps.
    pub async fn take(&mut self, frames: usize) -> Result<Duration, String> {
        let mut longest = 0f64;
        for _ in 0..frames {
            let at = self.next().await?.timestamp().elapsed_secs();
            longest = longest.max(at - self.newest.replace(at).unwrap_or(at));
        }
        Ok(Duration::from_secs_f64(longest))
    }
}

/// Codec, width and height as ffprobe sees them.
pub fn ffprobe(url: &str, transport: Transport) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-rtsp_transport", if transport == Transport::Tcp { "tcp" } else { "udp" }])
        .args(["-select_streams", "v", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", url])
        .output()
        .unwrap();
    // It complains of packets that UDP loses on a busy machine, and goes on.
    let said = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Pictures decoded by a GStreamer player, until there are `pictures`; the error otherwise.
pub fn rtspsrc(url: &str, transport: Transport, pictures: usize) -> Result<(), String> {
    let protocol = if transport == Transport::Tcp { "tcp" } else { "udp" };
    let line = format!(
        "rtspsrc location={url} protocols={protocol} latency=0 ! decodebin ! fakesink num-buffers={pictures} sync=false"
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = camera_service::media::bus::wait_for_end(&pipeline, DEADLINE);
    pipeline.set_state(gst::State::Null).unwrap();
    match end {
        camera_service::media::bus::End::Eos => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// A connection that speaks RTSP by hand.
pub struct Raw {
    socket: BufReader<TcpStream>,
    url: String,
    sequence: u32,
    session: Option<String>,
    /// What the last SETUP was answered with.
    pub transport: String,
    /// What the last PLAY was answered with.
    pub rtp_info: Option<String>,
}

impl Raw {
    pub fn connect(url: &str) -> Self {
        let authority = url.trim_start_matches("rtsp://").split('/').next().unwrap();
        let socket = TcpStream::connect(authority).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let socket = BufReader::new(socket);
        Self { socket, url: url.into(), sequence: 0, session: None, transport: String::new(), rtp_info: None }
    }

    pub fn port(&self) -> u16 {
        self.socket.get_ref().local_addr().unwrap().port()
    }

    /// Sends a request and reads the reply: its status and its body.
    pub fn request(&mut self, method: &str, path: &str, headers: &str) -> (u16, String) {
        self.sequence += 1;
        let session = self.session.as_ref().map(|id| format!("Session: {id}\r\n")).unwrap_or_default();
        let (url, sequence) = (&self.url, self.sequence);
        let request = format!("{method} {url}{path} RTSP/1.0\r\nCSeq: {sequence}\r\n{session}{headers}\r\n");
        self.socket.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert_ne!(self.socket.read_line(&mut line).unwrap(), 0, "connection closed instead of a reply");
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("RTSP/1.0 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("Content-Length: ") {
                length = rest.parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("Transport: ") {
                self.transport = rest.into();
            } else if let Some(rest) = line.strip_prefix("RTP-Info: ") {
                self.rtp_info = Some(rest.into());
            } else if let Some(rest) = line.strip_prefix("Session: ") {
                self.session = Some(rest.split(';').next().unwrap().into());
            } else if line.is_empty() && status != 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    pub fn describe(&mut self) -> (u16, String) {
        self.request("DESCRIBE", "", "Accept: application/sdp\r\n")
    }

    /// From now on without its session, and about something else.
    pub fn turn_to(&mut self, url: &str) {
        (self.url, self.session) = (url.into(), None);
    }

    /// Whether there is a reply at all.
    pub fn answers(&mut self) -> bool {
        let request = format!("OPTIONS {} RTSP/1.0\r\nCSeq: 1\r\n\r\n", self.url);
        let mut reply = String::new();
        if self.socket.get_mut().write_all(request.as_bytes()).is_err() {
            return false;
        }
        loop {
            let before = reply.len();
            match self.socket.read_line(&mut reply) {
                Ok(0) | Err(_) => return false,
                Ok(_) if reply[before..].trim().is_empty() => return true,
                Ok(_) => {}
            }
        }
    }

    /// DESCRIBE and SETUP over TCP.
    pub fn set_up(url: &str) -> Self {
        let mut raw = Self::connect(url);
        raw.then_set_up();
        raw
    }

    /// SETUP over UDP, to a port and the one behind it; gives the server's.
    pub fn set_up_udp(url: &str, port: u16) -> (Self, Vec<u16>) {
        let mut raw = Self::connect(url);
        let (_, sdp) = raw.describe();
        let control = sdp.lines().filter_map(|line| line.strip_prefix("a=control:")).next_back().unwrap().to_owned();
        let transport = format!("Transport: RTP/AVP;unicast;client_port={port}-{}\r\n", port + 1);
        assert_eq!(raw.request("SETUP", &format!("/{control}"), &transport).0, 200);
        let ports = raw.transport.split(';').find_map(|part| part.strip_prefix("server_port=")).unwrap();
        let ports = ports.split('-').map(|port| port.parse().unwrap()).collect();
        (raw, ports)
    }

    /// Sends an RTCP packet in the connection.
    pub fn report(&mut self, report: &[u8]) {
        let [high, low] = u16::try_from(report.len()).unwrap().to_be_bytes();
        self.socket.get_mut().write_all(&[&[b'$', 1, high, low], report].concat()).unwrap();
    }

    pub fn then_set_up(&mut self) {
        let (status, sdp) = self.describe();
        assert_eq!(status, 200);
        let control = sdp.lines().filter_map(|line| line.strip_prefix("a=control:")).next_back().unwrap().to_owned();
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        assert_eq!(self.request("SETUP", &format!("/{control}"), transport).0, 200);
    }

    /// DESCRIBE, SETUP over TCP and PLAY. From here on nothing is read unless it is asked for.
    pub fn play(url: &str) -> Self {
        let mut raw = Self::connect(url);
        raw.then_play();
        raw
    }

    pub fn then_play(&mut self) {
        self.then_set_up();
        assert_eq!(self.request("PLAY", "", "").0, 200);
    }

    /// The next RTP packet (RFC 3550, RFC 6184): the types of its NAL units and its timestamp, 90 kHz.
    pub fn packet(&mut self) -> (Vec<u8>, u32) {
        loop {
            let mut header = [0; 4];
            self.socket.read_exact(&mut header).unwrap();
            assert_eq!(header[0], b'$');
            let mut packet = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]]))];
            self.socket.read_exact(&mut packet).unwrap();
            if header[1] != 0 {
                continue;
            }
            let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            let mut nals = Vec::new();
            match packet[12] & 0x1f {
                // STAP-A: several, each after its length.
                24 => {
                    let mut rest = &packet[13..];
                    while let [high, low, nal, ..] = rest {
                        nals.push(nal & 0x1f);
                        rest = &rest[2 + usize::from(u16::from_be_bytes([*high, *low]))..];
                    }
                }
                // FU-A: a piece of one.
                28 => nals.push(packet[13] & 0x1f),
                nal => nals.push(nal),
            }
            return (nals, timestamp);
        }
    }

    /// The type of the first NAL unit that is neither a delimiter nor SEI (H.264, table 7-1).
    pub fn first_nal(&mut self) -> u8 {
        loop {
            if let Some(nal) = self.packet().0.into_iter().find(|nal| ![6, 9].contains(nal)) {
                return nal;
            }
        }
    }

    /// Reads what is left; returns once the other side has closed the connection.
    pub fn wait_for_close(mut self) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }
}
