//! HTTP/1.1 by hand, since no library would send what a bad server sends.

use super::behave::{Deed, Then, deed};
use super::{Books, Seen};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection, with TLS or without.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send {
    /// Beneath.
    fn tcp(&self) -> &TcpStream;
}

impl Line for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Line for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Answers requests until the connection ends.
pub(super) async fn serve(mut line: impl Line, books: Arc<Books>, number: usize) {
    let mut read = Vec::new();
    while let Some(seen) = request(&mut line, &mut read, number).await {
        let head_only = seen.method == "HEAD";
        let at_work = books.begin(seen.clone());
        let deed = deed(&books, &seen).await;
        drop(at_work);
        if !perform(&mut line, deed, head_only).await {
            return;
        }
    }
}

/// Reads until the client closes.
pub(super) async fn until_closed(mut line: impl Line) {
    let mut dropped = [0; 1024];
    while line.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
}

/// Whether the connection goes on.
async fn perform(line: &mut impl Line, deed: Deed, head_only: bool) -> bool {
    let mut bytes = Vec::new();
    let then = match deed {
        Deed::Answer { status, headers, body } => {
            write!(bytes, "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len()).expect("memory");
            for (name, value) in headers {
                write!(bytes, "{name}: {value}\r\n").expect("memory");
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(if head_only { b"" } else { &body });
            Then::GoOn
        }
        Deed::Chunks(count) => {
            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            for part in vec![b'c'; count].chunks(8192) {
                write!(bytes, "{:x}\r\n", part.len()).expect("memory");
                bytes.extend_from_slice(part);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            Then::GoOn
        }
        Deed::Raw { bytes: raw, then } => {
            bytes = raw;
            then
        }
    };
    if line.write_all(&bytes).await.is_err() || line.flush().await.is_err() {
        return false;
    }
    match then {
        Then::GoOn => return true,
        Then::Close => {
            // The client may be told by either.
            line.shutdown().await.unwrap_or_default();
        }
        Then::Reset => line.tcp().set_zero_linger().expect("it is set"),
        Then::Hang => {
            let mut dropped = [0; 1024];
            while line.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
        }
        Then::Dribble => {
            while line.write_all(b"1\r\nx\r\n").await.is_ok() && line.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    false
}

/// The next request; none when the client has closed.
async fn request(line: &mut impl Line, read: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        more(line, read).await?;
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    read.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut seen = Seen { method, path, headers, body: Vec::new(), connection, version: "1.1" };
    if seen.header("transfer-encoding") == Some("chunked") {
        seen.body = chunked(line, read).await?;
    } else if let Some(length) = seen.header("content-length").and_then(|text| text.parse().ok()) {
        while read.len() < length {
            more(line, read).await?;
        }
        seen.body = read.drain(..length).collect();
    }
    Some(seen)
}

async fn chunked(line: &mut impl Line, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(2).position(|two| two == b"\r\n") {
                break end;
            }
            more(line, read).await?;
        };
        let length = usize::from_str_radix(std::str::from_utf8(&read[..end]).ok()?.trim(), 16).ok()?;
        while read.len() < end + 2 + length + 2 {
            more(line, read).await?;
        }
        body.extend_from_slice(&read[end + 2..end + 2 + length]);
        read.drain(..end + 2 + length + 2);
        if length == 0 {
            return Some(body);
        }
    }
}

async fn more(line: &mut impl Line, read: &mut Vec<u8>) -> Option<()> {
    let count = line.read_buf(read).await.ok()?;
    (count > 0).then_some(())
}
