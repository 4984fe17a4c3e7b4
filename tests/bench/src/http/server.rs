//! The server of P16: on a thread of its own, it reads each request whole, notes its number and answers.

use crate::book::Set;
use crate::load::number;
use anyhow::{Context, Result, bail};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Bytes of a request, at most.
const REQUEST: usize = 16 << 10;

/// What was served since it was last asked.
#[derive(Default, Clone, Copy)]
pub struct Served {
    pub requests: u64,
    pub set: Set,
}

pub struct Server {
    port: u16,
    served: Arc<Mutex<Served>>,
}

impl Server {
    pub fn start(delay: Duration) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let served = Arc::new(Mutex::new(Served::default()));
        let book = served.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // It serves as long as the process lives.
        std::thread::Builder::new().name("server".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((stream, _)) = listener.accept().await {
                    let book = book.clone();
                    tokio::spawn(async move {
                        // A client that goes away ends its connection, and is all there is to say.
                        drop(serve(stream, delay, &book).await);
                    });
                }
            });
        })?;
        Ok(Self { port, served })
    }

    pub fn place(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn take(&self) -> Served {
        std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(mut stream: TcpStream, delay: Duration, book: &Mutex<Served>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; REQUEST];
    let mut filled = 0;
    loop {
        let (head, length) = loop {
            if let Some(sizes) = sizes(&buffer[..filled])? {
                break sizes;
            }
            filled += read(&mut stream, &mut buffer, filled).await?;
        };
        while filled < head + length {
            filled += read(&mut stream, &mut buffer, filled).await?;
        }
        let sent = number(&buffer[head..head + length]);
        buffer.copy_within(head + length..filled, 0);
        filled -= head + length;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        {
            let mut served = book.lock().unwrap_or_else(PoisonError::into_inner);
            served.requests += 1;
            served.set.add(sent);
        }
        stream.write_all(ANSWER).await?;
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut [u8], filled: usize) -> Result<usize> {
    match stream.read(&mut buffer[filled..]).await? {
        0 => bail!("the connection is closed"),
        more => Ok(more),
    }
}

/// Bytes of head and body of the request that begins here, once its head is there.
fn sizes(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let is_length = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("content-length");
    let length = head.lines().filter_map(|line| line.split_once(':')).find(is_length);
    let (_, length) = length.context("a request without its length")?;
    Ok(Some((end + 4, length.trim().parse()?)))
}
