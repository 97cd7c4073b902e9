//! A small HTTP/1.1 client over loopback TCP that sends bytes exactly as a test writes them.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Answer;

/// A blocking client that sends the bytes it is given.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects. Each read and each write may take at most `patience`.
    pub fn connect(address: SocketAddr, patience: Duration) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.set_write_timeout(Some(patience)).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub fn send(&self, bytes: &[u8]) {
        assert!(self.try_send(bytes), "the server hung up");
    }

    pub fn try_send(&self, bytes: &[u8]) -> bool {
        self.stream().write_all(bytes).is_ok()
    }

    /// Returns whether a byte has arrived, without reading it.
    pub fn has_answer(&self) -> bool {
        self.stream().set_nonblocking(true).unwrap();
        let peeked = self.stream().peek(&mut [0]);
        self.stream().set_nonblocking(false).unwrap();
        peeked.is_ok_and(|bytes| bytes > 0)
    }

    /// Reads one answer, with its body if its length is declared.
    pub fn answer(&mut self) -> Answer {
        let status = StatusCode::try_from(&self.line()[9..12]).unwrap();
        let mut headers = HeaderMap::new();
        while let Some((name, value)) = self.line().split_once(": ") {
            let name = HeaderName::try_from(name).unwrap();
            headers.append(name, HeaderValue::try_from(value).unwrap());
        }
        let length = headers
            .get("content-length")
            .map_or("0", |length| length.to_str().unwrap());
        let body = self.bytes(length.parse().unwrap()).into();
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Reads one answer with its whole body, chunked or not.
    pub fn whole_answer(&mut self) -> Answer {
        let mut answer = self.answer();
        if answer.headers.contains_key("transfer-encoding") {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            }
            answer.body = body.into();
        }
        answer
    }

    /// Reads one chunk. An empty chunk is the clean end of the body.
    pub fn chunk(&mut self) -> Vec<u8> {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let chunk = self.bytes(length);
        assert_eq!(self.line(), "");
        chunk
    }

    /// Reads until the server closes or resets the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").expect("a whole line").to_owned()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// Polls until `holds` returns true. Panics after `patience`, naming `what`.
pub fn within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..patience.as_millis() {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(1));
    }
    panic!("not in {patience:?}: {what}");
}
