//! A WebSocket by hand (RFC 6455), for frames that no library would send.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::PATIENCE;

/// The first byte of a frame that is a whole text.
pub const TEXT: u8 = 0x81;
/// That of one that goes on with another.
pub const MORE: u8 = 0x00;
/// That of the last of them.
pub const LAST: u8 = 0x80;
/// That of a text with more to come.
pub const BEGIN: u8 = 0x01;
/// That of a ping.
pub const PING: u8 = 0x89;
/// That of a pong.
pub const PONG: u8 = 0x8a;
/// That of a close.
pub const CLOSE: u8 = 0x88;

/// The connection, after the upgrade.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects and asks for a WebSocket.
    pub async fn open(address: SocketAddr) -> Self {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            reply.push(timeout(PATIENCE, connection.read_u8()).await.expect("a reply").unwrap());
        }
        let reply = String::from_utf8(reply).unwrap();
        // The accept value of RFC 6455's own example.
        assert!(reply.starts_with("HTTP/1.1 101 ") && reply.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{reply}");
        Self(connection)
    }

    /// Sends bytes as they are. An end that has hung up is left to the reader to notice.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.0.write_all(bytes)).await.expect("the bytes are taken");
    }

    /// The next frame: its first byte and what it carries.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        timeout(PATIENCE, self.read()).await.expect("a frame in time").expect("a frame")
    }

    /// The next text, which is JSON. Pings of the service are passed over.
    pub async fn json(&mut self) -> Value {
        loop {
            match self.frame().await {
                (TEXT, text) => return serde_json::from_slice(&text).unwrap(),
                (PING, _) => {}
                other => panic!("{other:?} instead of a text"),
            }
        }
    }

    /// Waits until the service closes: the code it gives.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.frame().await {
                (CLOSE, reason) => return u16::from_be_bytes([reason[0], reason[1]]),
                (PING | PONG, _) => {}
                other => panic!("{other:?} instead of a close"),
            }
        }
    }

    async fn read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await?;
        let length = match self.0.read_u8().await? {
            126 => self.0.read_u16().await?.into(),
            127 => self.0.read_u64().await?,
            short => short.into(),
        };
        let mut carried = vec![0; length as usize];
        self.0.read_exact(&mut carried).await?;
        Ok((first, carried))
    }
}

/// A frame of a client, which masks what it carries.
pub fn frame(first: u8, carried: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(first, 0x80, carried.len());
    bytes.extend(mask);
    bytes.extend(carried.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame that is not masked, as only a service may send it.
pub fn unmasked(first: u8, carried: &[u8]) -> Vec<u8> {
    [header(first, 0, carried.len()), carried.to_vec()].concat()
}

fn header(first: u8, masked: u8, length: usize) -> Vec<u8> {
    match length {
        0..126 => vec![first, masked | length as u8],
        126..65_536 => [&[first, masked | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, masked | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}
