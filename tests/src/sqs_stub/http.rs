//! As much of HTTP/1.1 as a client of SQS speaks: requests with a length, one after another.

use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

/// One request: `ReceiveMessage`, and what it says.
pub struct Request {
    pub operation: String,
    /// The region that it is signed for.
    pub region: String,
    pub body: Value,
}

/// The next request of a connection; none when it has ended.
pub fn read(from: &mut BufReader<TcpStream>) -> Option<Request> {
    let (mut operation, mut region, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => operation = value.trim_start_matches("AmazonSQS.").to_owned(),
            "authorization" => region = value.split('/').nth(2).unwrap_or_default().to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(Request { operation, region, body: serde_json::from_slice(&body).ok()? })
}

/// Answers it; false when nobody listens any more.
pub fn write(to: &mut TcpStream, status: u16, body: &Value) -> bool {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    to.write_all((head + &body).as_bytes()).is_ok()
}

/// Whether the client has closed its side.
pub fn is_gone(client: &TcpStream) -> bool {
    let mut byte = [0];
    let looked = client.set_nonblocking(true).and_then(|()| client.peek(&mut byte));
    let gone = match looked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    gone || client.set_nonblocking(false).is_err()
}
