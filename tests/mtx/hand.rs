//! A client of RTSP that says what it is told to, right or wrong.

use std::collections::BTreeMap;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::{
    Reply,
    support::{PATIENCE, Service},
};

/// A connection.
pub struct Hand {
    pub socket: BufReader<TcpStream>,
    pub url: String,
    number: u32,
    /// The session it has, sent along with requests.
    pub session: Option<String>,
    /// Packets that came in the connection.
    pub packets: usize,
    /// The bytes of the largest of those that were [taken](Self::take).
    pub largest: usize,
}

impl Hand {
    /// `path` may have a query.
    pub async fn connect(service: &Service, path: &str) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", service.app.rtsp_port())).await.unwrap();
        Self {
            socket: BufReader::new(socket),
            url: service.url(path),
            number: 0,
            session: None,
            packets: 0,
            largest: 0,
        }
    }

    /// Sends these bytes, if somebody still takes them.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.socket.get_mut().write_all(bytes)).await.expect("it is taken");
    }

    /// A request to the URL and what follows it. `headers` end with a line's end each.
    pub async fn ask(&mut self, method: &str, more: &str, headers: &str) -> Reply {
        self.send(method, more, headers, "").await;
        let reply = self.reply().await.unwrap_or_else(|| panic!("no reply to {method} {more}"));
        assert_eq!(reply.header("cseq"), self.number.to_string(), "{method} {more}: {reply:?}");
        assert_eq!(reply.header("server"), "gortsplib", "{reply:?}");
        if let Some((session, timeout)) = reply.header("session").split_once(';') {
            assert_eq!(timeout, "timeout=60");
            self.session = Some(session.to_owned());
        }
        reply
    }

    /// The same, not waiting for the reply.
    pub async fn send(&mut self, method: &str, more: &str, headers: &str, body: &str) {
        self.number += 1;
        let session = self.session.as_ref().map(|session| format!("Session: {session}\r\n")).unwrap_or_default();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let (url, number) = (&self.url, self.number);
        let text = format!("{method} {url}{more} RTSP/1.0\r\nCSeq: {number}\r\n{session}{headers}{length}\r\n{body}");
        self.say(text.as_bytes()).await;
    }

    /// The next reply. `None`: the connection was closed.
    pub async fn reply(&mut self) -> Option<Reply> {
        timeout(PATIENCE, self.read()).await.expect("a reply, or an end")
    }

    async fn read(&mut self) -> Option<Reply> {
        while self.socket.fill_buf().await.ok()?.first()? == &b'$' {
            let mut head = [0; 4];
            self.socket.read_exact(&mut head).await.ok()?;
            let mut packet = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
            self.socket.read_exact(&mut packet).await.ok()?;
            self.packets += 1;
        }
        let (mut lines, mut line) = (Vec::new(), String::new());
        while self.socket.read_line(&mut line).await.ok()? > 0 && !line.trim().is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        let status = lines.first()?.strip_prefix("RTSP/1.0 ").expect("a reply").split(' ').next()?.parse().ok()?;
        let fields = lines.iter().filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<_, _> =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
        self.socket.read_exact(&mut body).await.ok()?;
        Some(Reply { status, headers, body: String::from_utf8(body).unwrap() })
    }

    /// Whether the other end closes it, or answers.
    pub async fn is_closed(&mut self) -> bool {
        self.send("OPTIONS", "", "", "").await;
        let reply = self.reply().await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status == 200), "{reply:?}");
        reply.is_none()
    }

    /// Waits until so many more packets have come.
    pub async fn take(&mut self, packets: usize) {
        let enough = self.packets + packets;
        while self.packets < enough {
            let found = timeout(PATIENCE, self.socket.fill_buf()).await.expect("packets").unwrap();
            assert_eq!(found.first(), Some(&b'$'), "packets");
            let mut head = [0; 4];
            self.socket.read_exact(&mut head).await.unwrap();
            let mut packet = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
            self.socket.read_exact(&mut packet).await.unwrap();
            self.largest = self.largest.max(packet.len());
            self.packets += 1;
        }
    }

    /// Reads the path of the URL.
    pub async fn play(service: &Service, path: &str) -> Self {
        let mut hand = Self::connect(service, path).await;
        assert_eq!(hand.ask("SETUP", "/trackID=0", "Transport: RTP/AVP/TCP;unicast\r\n").await.status, 200);
        assert_eq!(hand.ask("PLAY", "", "").await.status, 200);
        hand.take(1).await;
        hand
    }

    /// Publishes H.264 to a path, none of which is sent yet.
    pub async fn publish(service: &Service, path: &str) -> Self {
        let mut hand = Self::announce(service, path).await;
        hand.record().await;
        hand
    }

    /// The first half of that.
    pub async fn announce(service: &Service, path: &str) -> Self {
        let mut hand = Self::connect(service, path).await;
        hand.send("ANNOUNCE", "", "Content-Type: application/sdp\r\n", &sdp("trackID=0")).await;
        assert_eq!(hand.reply().await.expect("a reply").status, 200);
        hand
    }

    /// The second.
    pub async fn record(&mut self) {
        let way = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
        assert_eq!(self.ask("SETUP", "/trackID=0", way).await.status, 200);
        assert_eq!(self.ask("RECORD", "", "").await.status, 200);
    }
}

/// H.264, its stream named so.
pub fn sdp(control: &str) -> String {
    format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
         a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:{control}\r\n"
    )
}

/// An RTP packet inside a connection.
pub fn framed(packet: &[u8]) -> Vec<u8> {
    let mut framed = vec![b'$', 0];
    framed.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
    framed.extend(packet);
    framed
}
