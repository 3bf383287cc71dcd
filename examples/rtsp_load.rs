//! Many RTSP/TCP readers on one stream: what they cost the server and what they get.
//!
//! `cargo run --release --example rtsp_load -- --readers 50` starts a server of its own, in a process of its own, that
//! sends 720p30 H.264 at 2 Mbit/s, encoded beforehand so that only serving is measured. `--url` and `--pid` measure
//! another server; the latency is then left out, because it needs RTP timestamps that are the time of publishing.
//! Results: `docs/performance.md`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use camera_service::{
    frame::{Codec, Format},
    media::{self, launch::LaunchFiles, sample},
    mode::Rate,
    output::rtsp::{Opened, RtspServer, RtspSettings},
    stream::{Limits, Stream},
};
use clap::Parser;
use gst::prelude::*;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const RATE: u32 = 30;
const GOP: usize = 30;
const KEY_FRAMES: Duration = Duration::from_millis(250);

#[derive(Parser)]
struct Arguments {
    /// Readers at the same time.
    #[arg(long, default_value_t = 50)]
    readers: usize,
    /// How long they read after the last one has joined, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Milliseconds between two readers joining.
    #[arg(long, default_value_t = 50)]
    pause: u64,
    /// Read this instead of starting a server.
    #[arg(long)]
    url: Option<String>,
    /// The process that serves `--url`.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Bits per second of the server this starts.
    #[arg(long, default_value_t = 2_000_000)]
    bitrate: u32,
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    media::init()?;
    if arguments.serve {
        return serve(arguments.bitrate);
    }
    let mut own: Option<Child> = None;
    let (url, pid) = match &arguments.url {
        Some(url) => (url.clone(), arguments.pid),
        None => {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["--serve", "--bitrate", &arguments.bitrate.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut url = String::new();
            let output = child.stdout.take().ok_or("no output of the server")?;
            std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut url)?;
            if url.is_empty() {
                return Err("the server does not start".into());
            }
            let pid = child.id();
            own = Some(child);
            (url.trim().to_owned(), Some(pid))
        }
    };
    let measured = measure(&arguments, &url, pid, own.is_some());
    if let Some(mut child) = own {
        drop(child.stdin.take());
        child.wait()?;
    }
    measured
}

fn measure(arguments: &Arguments, url: &str, pid: Option<u32>, own: bool) -> Result<(), AnyError> {
    // A server that has just started has no key frame yet.
    thread::sleep(Duration::from_secs(1));
    let before = pid.map(Usage::of).transpose()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..arguments.readers {
        let (url, stop) = (url.to_owned(), Arc::clone(&stop));
        readers.push(thread::Builder::new().stack_size(256 << 10).spawn(move || read(&url, &stop))?);
        thread::sleep(Duration::from_millis(arguments.pause));
    }
    thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    let start = pid.map(Usage::of).transpose()?;
    thread::sleep(Duration::from_secs(arguments.seconds));
    let end = pid.map(Usage::of).transpose()?;
    let elapsed = began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);

    let mut all = Got::default();
    let mut joins = Vec::new();
    let mut failed = 0;
    for reader in readers {
        match reader.join().map_err(|_| "a reader panicked")? {
            Ok(read) => {
                joins.push(read.join.as_secs_f64() * 1e3);
                all.packets += read.packets;
                all.bytes += read.bytes;
                all.lost += read.lost;
                all.late_keys += read.late_keys;
                all.seconds += read.seconds;
                all.latencies.extend(read.latencies);
            }
            Err(error) => {
                failed += 1;
                eprintln!("{error}");
            }
        }
    }
    println!(
        "readers {}  failed {failed}  packets {}  lost {}  {:.1} Mbit/s each  not begun at a key frame {}",
        arguments.readers,
        all.packets,
        all.lost,
        all.bytes as f64 * 8e-6 / all.seconds,
        all.late_keys,
    );
    println!("DESCRIBE to first RTP packet  {} ms", spread(&mut joins));
    if own {
        println!("publish to last byte of a frame read  {} ms", spread(&mut all.latencies));
    }
    if let (Some(before), Some(start), Some(end)) = (before, start, end) {
        let cpu = (end.cpu - start.cpu) / elapsed * 100.0;
        println!("server CPU {cpu:.1} % of one core  RSS {:.1} MB  (idle {:.1} MB)", end.rss, before.rss);
        println!("server threads {}  files {}", end.threads, end.files);
    }
    Ok(())
}

/// p50, p95 and the largest.
fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values.get(((values.len() as f64 - 1.0) * part) as usize).copied().unwrap_or(f64::NAN);
    format!("p50 {:.2}  p95 {:.2}  max {:.2}", at(0.5), at(0.95), at(1.0))
}

/// What one reader, or all, got.
#[derive(Default)]
struct Got {
    join: Duration,
    packets: u64,
    bytes: u64,
    lost: u64,
    /// Whether something came before the first key frame.
    late_keys: u64,
    /// From the first packet to the last.
    seconds: f64,
    latencies: Vec<f64>,
}

/// Reads interleaved RTP (RFC 2326, 10.12) until told to stop.
fn read(url: &str, stop: &AtomicBool) -> Result<Got, AnyError> {
    let authority = url.trim_start_matches("rtsp://").split('/').next().unwrap_or_default();
    let mut socket = TcpStream::connect(authority)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let began = Instant::now();
    let sdp = request(&mut socket, "DESCRIBE", url, 1, "Accept: application/sdp\r\n")?.1;
    let control = sdp.lines().filter_map(|line| line.strip_prefix("a=control:")).next_back().ok_or("no control")?;
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session = request(&mut socket, "SETUP", &format!("{url}/{control}"), 2, transport)?.0;
    request(&mut socket, "PLAY", url, 3, &format!("Session: {session}\r\n"))?;

    let mut got = Got::default();
    let mut socket = std::io::BufReader::with_capacity(64 << 10, socket);
    let mut packet = vec![0; 1 << 16];
    let mut expected = None;
    while !stop.load(Ordering::Relaxed) {
        let mut header = [0; 4];
        socket.read_exact(&mut header)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let packet = packet.get_mut(..length).ok_or("too long")?;
        socket.read_exact(packet)?;
        let [_, marked, s1, s0, t3, t2, t1, t0, ..] = *packet else { continue };
        if header[0] != b'$' || header[1] != 0 {
            continue;
        }
        if got.packets == 0 {
            got.join = began.elapsed();
        }
        got.seconds = (began.elapsed() - got.join).as_secs_f64();
        // SPS, or a STAP-A, which none but the first packet of a key frame is here (RFC 6184, 5.7.1).
        if got.packets == 0 && ![7, 24].contains(&(packet[12] & 0x1f)) {
            got.late_keys += 1;
        }
        let sequence = u16::from_be_bytes([s1, s0]);
        got.lost += u64::from(sequence.wrapping_sub(expected.unwrap_or(sequence)));
        expected = Some(sequence.wrapping_add(1));
        got.packets += 1;
        got.bytes += length as u64;
        // The marker bit is on the last packet of a frame.
        if marked & 0x80 != 0 {
            let now = (media::now().as_nanos() * 9 / 100_000) as u32;
            got.latencies.push(f64::from(now.wrapping_sub(u32::from_be_bytes([t3, t2, t1, t0]))) / 90.0);
        }
    }
    Ok(got)
}

/// Sends a request and returns the reply's session and body.
fn request(
    socket: &mut TcpStream,
    method: &str,
    url: &str,
    sequence: u32,
    headers: &str,
) -> Result<(String, String), AnyError> {
    socket.write_all(format!("{method} {url} RTSP/1.0\r\nCSeq: {sequence}\r\n{headers}\r\n").as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        // The first packets may overtake the reply to PLAY.
        if head.is_empty() && byte[0] == b'$' {
            let mut header = [0; 3];
            socket.read_exact(&mut header)?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
            socket.read_exact(&mut packet)?;
        } else {
            head.push(byte[0]);
        }
    }
    let head = String::from_utf8(head)?;
    if !head.starts_with("RTSP/1.0 200") {
        return Err(format!("{method}: {head}").into());
    }
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let mut body = vec![0; header("Content-Length:").parse().unwrap_or(0)];
    socket.read_exact(&mut body)?;
    let session = header("Session:").split(';').next().unwrap_or_default().to_owned();
    Ok((session, String::from_utf8(body)?))
}

/// What a process has used (proc(5)).
struct Usage {
    /// Seconds of CPU.
    cpu: f64,
    /// Resident memory, MB.
    rss: f64,
    threads: usize,
    files: usize,
}

impl Usage {
    fn of(pid: u32) -> Result<Self, AnyError> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name in brackets: fields 3 and on. utime and stime are 14 and 15, in ticks of 10 ms; rss is 24.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).map(Iterator::count);
        Ok(Self {
            cpu: (field(14) + field(15)) / 100.0,
            rss: field(24) * 4096.0 / 1e6,
            threads: count("task")?,
            files: count("fd")?,
        })
    }
}

/// The server: sends encoded frames over and over, until its input is closed.
fn serve(bitrate: u32) -> Result<(), AnyError> {
    let frames = encode(bitrate)?;
    // RTP timestamps that begin with the clock, so that a reader knows when a frame was published.
    let overrides = tempfile::tempdir()?;
    std::fs::create_dir(overrides.path().join("output"))?;
    let line = LaunchFiles::default().line("output/rtsp-h264")?;
    std::fs::write(overrides.path().join("output/rtsp-h264.launch"), format!("{line} timestamp-offset=0"))?;

    let format = Format { codec: Codec::H264, width: 1280, height: 720, rate: Rate::per_second(RATE) };
    let stream = Stream::new(format, Limits::default());
    let settings = RtspSettings { address: [127, 0, 0, 1].into(), port: 0, ..RtspSettings::default() };
    let server = RtspServer::start(settings, LaunchFiles::new(Some(overrides.path().into())))?;
    let shared = Arc::clone(&stream);
    let open = move || {
        let stream = Arc::clone(&shared);
        Ok(Opened { stream, key_frames_on_demand: true, demand: Box::new(()) })
    };
    server.mount("load", Arc::new(open));
    thread::spawn(move || {
        let mut due = Instant::now();
        let mut at = 0usize;
        let mut forced = due;
        loop {
            due += Duration::from_secs(1) / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Not more often than a capture pipeline would.
            if forced <= due && stream.take_key_frame_request() {
                forced = due + KEY_FRAMES;
                at = at.next_multiple_of(GOP);
            }
            at %= frames.len();
            stream.publish(media::now(), at.is_multiple_of(GOP), SystemTime::now(), frames[at].clone());
            at += 1;
        }
    });
    println!("rtsp://127.0.0.1:{}/load", server.port());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(server.stop()?)
}

/// Ten seconds of a moving picture.
fn encode(bitrate: u32) -> Result<Vec<Bytes>, AnyError> {
    let line = format!(
        "videotestsrc num-buffers={} pattern=snow ! video/x-raw,format=I420,width=1280,height=720,framerate={RATE}/1 ! \
         x264enc tune=zerolatency speed-preset=ultrafast bitrate={} key-int-max={GOP} ! \
         h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au ! \
         appsink name=frames sync=false max-buffers=0",
        RATE * 10,
        bitrate / 1000,
    );
    let pipeline = media::launch::pipeline(&line)?;
    let sink: gst_app::AppSink = media::launch::element(&pipeline, "frames")?;
    pipeline.set_state(gst::State::Playing)?;
    let mut frames = Vec::new();
    while let Ok(taken) = sink.pull_sample() {
        frames.push(sample::bytes(taken.buffer_owned().ok_or("no buffer")?)?);
    }
    pipeline.set_state(gst::State::Null)?;
    if frames.is_empty() { Err("nothing was encoded".into()) } else { Ok(frames) }
}
