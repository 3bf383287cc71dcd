//! Whether an RTSP stream is at an address: one DESCRIBE, and what it answers. A probe and no client: it knows neither
//! credentials nor redirects.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::rtsp_url::RtspUrl;

/// How long a machine may take to accept a connection, and then to answer. On the networks that are scanned, those that
/// are there take milliseconds.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing listens there, or nothing is there.
    Nobody,
    /// An RTSP server, which has no such stream.
    NoStream,
    /// A stream, and the encoding of its video.
    Stream(Option<String>),
    /// A stream that asks for credentials, or will not say without them whether it is one.
    Locked,
    /// Something listens and does not do what an RTSP server does.
    Odd(String),
}

/// Asks for the stream at `url`.
pub(super) async fn ask(socket: SocketAddr, url: &RtspUrl) -> Answer {
    let mut connection = match timeout(CONNECT, TcpStream::connect(socket)).await {
        Ok(Ok(connection)) => connection,
        Err(_) => return Answer::Nobody,
        Ok(Err(error)) => return refused(&error),
    };
    describe(&mut connection, url).await
}

/// Asks for the stream at `url` over a connection to its server.
pub async fn describe(connection: &mut (impl AsyncRead + AsyncWrite + Unpin), url: &RtspUrl) -> Answer {
    let url = url.expose();
    let request =
        format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\nUser-Agent: camera-service\r\n\r\n");
    exchange(connection, &request).await.map_or_else(Answer::Odd, |text| understood(&text))
}

/// Asks what methods are known over a connection to a server: those, as it lists them.
///
/// Errors: it does not answer in time, or not as an RTSP server does.
pub async fn options(connection: &mut (impl AsyncRead + AsyncWrite + Unpin), url: &RtspUrl) -> Result<String, String> {
    let request = format!("OPTIONS {} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: camera-service\r\n\r\n", url.expose());
    let methods = |text: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let public = fields.find(|(name, _)| name.eq_ignore_ascii_case("public"));
        match public.map(|(_, methods)| methods.trim().to_owned()) {
            Some(methods) if text.starts_with("RTSP/1.0 200 ") => Ok(methods),
            _ => Err(format!("answers \"{}\"", text.lines().next().unwrap_or_default())),
        }
    };
    methods(&exchange(connection, &request).await?)
}

/// One request, and the answer to it.
async fn exchange(connection: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Result<String, String> {
    let asking = async {
        connection.write_all(request.as_bytes()).await?;
        read(connection).await
    };
    match timeout(ANSWER, asking).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("ends the connection: {error}")),
        Err(_) => Err(format!("accepts a connection and does not answer within {} s", ANSWER.as_secs())),
    }
}

fn refused(error: &io::Error) -> Answer {
    let nobody = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::TimedOut,
        ErrorKind::AddrNotAvailable,
    ];
    match nobody.contains(&error.kind()) {
        true => Answer::Nobody,
        false => Answer::Odd(format!("cannot be connected to: {error}")),
    }
}

/// The head of the answer and as much of its body as it says there is.
async fn read(connection: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while text.len() < LONGEST && !is_whole(&text) {
        match connection.read(&mut chunk).await? {
            0 => break,
            read => text.extend_from_slice(&chunk[..read]),
        }
        // Whoever does not begin like this will not go on like it.
        if !text.starts_with(&b"RTSP/"[..text.len().min(5)]) {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut length = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.next().and_then(|(_, value)| value.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or_default()
}

fn understood(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let speaks = words.next().is_some_and(|version| version.starts_with("RTSP/"));
    match words.next().and_then(|code| code.parse::<u16>().ok()).filter(|_| speaks) {
        Some(200) => Answer::Stream(codec(body)),
        Some(401) => Answer::Locked,
        Some(code @ 500..) => Answer::Odd(format!("answers {code}")),
        Some(_) => Answer::NoStream,
        None if head.is_empty() => Answer::Odd("ends the connection without an answer".into()),
        None => Answer::Odd("answers in another language than RTSP".into()),
    }
}

/// The encoding of the first video in an SDP (RFC 8866), e.g. `H264`.
fn codec(sdp: &str) -> Option<String> {
    let video = sdp.lines().skip_while(|line| !line.starts_with("m=video "));
    let mut lines = video.take_while({
        let mut media = 0;
        move |line| {
            media += usize::from(line.starts_with("m="));
            media < 2
        }
    });
    let payload = lines.next()?.split_whitespace().nth(3)?;
    let map = format!("a=rtpmap:{payload} ");
    let name = lines.find_map(|line| line.strip_prefix(&map)).and_then(|rest| rest.split('/').next());
    // A static payload type needs no map (RFC 3551, table 5).
    name.or((payload == "26").then_some("JPEG")).map(|name| name.trim().chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let sdp = "v=0\r\nm=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\na=fmtp:96 x\r\na=rtpmap:96 H265/90000\r\n\
                   m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n";
        let with = |body: &str| format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(understood(&with(sdp)), Answer::Stream(Some("H265".into())));
        assert_eq!(understood(&with("m=video 0 RTP/AVP 26\r\n")), Answer::Stream(Some("JPEG".into())));
        assert_eq!(understood(&with("m=audio 0 RTP/AVP 0\r\n")), Answer::Stream(None));
        assert_eq!(understood("RTSP/1.0 401 Unauthorized\r\n\r\n"), Answer::Locked);
        assert_eq!(understood("RTSP/1.0 404 Not Found\r\n\r\n"), Answer::NoStream);
        for odd in
            ["RTSP/1.0 503 Busy\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0-x\r\n", "", "RTSP/1.0 what\r\n\r\n"]
        {
            assert!(matches!(understood(odd), Answer::Odd(_)), "{odd}");
        }
    }

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let text = b"RTSP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nv=0\n";
        assert!(is_whole(text) && !is_whole(&text[..text.len() - 1]) && !is_whole(&text[..20]));
        assert!(is_whole(b"RTSP/1.0 404 Not Found\r\n\r\n"));
    }
}
