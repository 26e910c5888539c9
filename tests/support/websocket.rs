//! A WebSocket client that shows every frame, and can break the rules.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// An open connection.
pub struct Socket(TcpStream);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    /// With the payload.
    Pong(Vec<u8>),
    /// With its code and reason.
    Close(u16, String),
    /// Without a farewell.
    Gone,
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const PING: u8 = 9;

impl Socket {
    /// Opens `ws://ADDRESS/PATH`, or gives the answer that refuses it.
    pub fn open(address: &str, path: &str, headers: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).expect("a server");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("an answer") == 1 {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("UTF-8");
        if head.starts_with("HTTP/1.1 101") {
            return Ok(Socket(stream));
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        stream.read_exact(&mut body).expect("a body");
        Err(head + &String::from_utf8_lossy(&body))
    }

    /// Sends one whole frame.
    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // Masked with zeros, which is a mask.
        frame.extend([0; 4]);
        frame.extend(payload);
        // A server that refuses the frame may have closed already.
        let _ = self.0.write_all(&frame);
    }

    /// The next frame.
    pub fn receive(&mut self) -> Frame {
        let mut head = [0; 2];
        if self.0.read_exact(&mut head).is_err() {
            return Frame::Gone;
        }
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.bytes())),
            127 => u64::from_be_bytes(self.bytes()),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.0.read_exact(&mut payload).expect("a payload");
        match head[0] & 0x0f {
            TEXT => Frame::Text(String::from_utf8(payload).expect("UTF-8")),
            8 => {
                let code = payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
                Frame::Close(code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned())
            }
            10 => Frame::Pong(payload),
            other => panic!("a frame of kind {other}"),
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("a length");
        bytes
    }

    /// Sends a text and gives the next one.
    #[track_caller]
    pub fn ask(&mut self, text: &str) -> Value {
        self.send(TEXT, text.as_bytes());
        match self.receive() {
            Frame::Text(text) => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}")),
            other => panic!("{other:?}"),
        }
    }
}
