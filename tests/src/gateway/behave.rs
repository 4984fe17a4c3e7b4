//! What a gateway does with a request, however it came.

use super::{Books, Seen};
use std::sync::Arc;
use std::time::Duration;

/// What it does.
pub(super) enum Deed {
    /// A whole answer.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// An answer without a length.
    Chunks(usize),
    /// These bytes, whatever they are.
    Raw { bytes: Vec<u8>, then: Then },
}

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Hang,
    Close,
    Reset,
    Dribble,
    GoOn,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Deed {
    Deed::Answer { status, headers: Vec::new(), body: body.into() }
}

fn raw(bytes: &str, then: Then) -> Deed {
    Deed::Raw { bytes: bytes.as_bytes().to_vec(), then }
}

/// Decides, and waits where it is to wait.
pub(super) async fn deed(books: &Arc<Books>, seen: &Seen) -> Deed {
    let path = seen.path.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let what = parts.next().unwrap_or_default();
    let number: usize = parts.next().and_then(|part| part.parse().ok()).unwrap_or_default();
    match what {
        "echo" => answer(200, echo(seen)),
        "status" => answer(u16::try_from(number).unwrap_or(500), "as asked"),
        "charge" => answer(200, charge(books, seen)),
        "flaky" => {
            let count = books.lock().seen.iter().filter(|other| other.path == seen.path).count();
            if count.is_multiple_of(number.max(1)) { answer(200, "ok") } else { answer(503, "not now") }
        }
        "delay" => {
            tokio::time::sleep(Duration::from_millis(number as u64)).await;
            answer(200, "ok")
        }
        "hold" => {
            let released = books.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            let held = !books.lock().is_released;
            if held {
                released.await;
            }
            answer(200, "ok")
        }
        "big" => answer(200, vec![b'b'; number]),
        "chunks" => Deed::Chunks(number),
        "headers" => {
            let headers = (0..number).map(|n| (format!("x-{n}"), "v".to_owned())).collect();
            Deed::Answer { status: 200, headers, body: b"ok".to_vec() }
        }
        "header" => {
            let headers = vec![("x-long".to_owned(), "v".repeat(number))];
            Deed::Answer { status: 200, headers, body: b"ok".to_vec() }
        }
        "redirect" => {
            let to = seen.path.split_once('?').map_or("/ok", |(_, to)| to).to_owned();
            Deed::Answer { status: 302, headers: vec![("location".to_owned(), to)], body: Vec::new() }
        }
        "hang" => raw("", Then::Hang),
        "stall" => raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", Then::Hang),
        "dribble" => raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Then::Dribble),
        "reset" => raw("", Then::Reset),
        "close" => raw("", Then::Close),
        "last" => raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Close),
        "short" => raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", Then::Close),
        "more" => raw(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
             HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
            Then::GoOn,
        ),
        "garbage" => raw("SSH-2.0-OpenSSH_9.2p1\r\n", Then::Close),
        _ => answer(200, "ok"),
    }
}

fn echo(seen: &Seen) -> String {
    let mut text = format!("{} {}\n", seen.method, seen.path);
    for (name, value) in &seen.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text + "\n" + &String::from_utf8_lossy(&seen.body)
}

fn charge(books: &Books, seen: &Seen) -> String {
    let key = seen.header("idempotency-key").unwrap_or_default().to_owned();
    let mut kept = books.lock();
    let count = kept.charges.entry(key.clone()).or_default();
    *count += 1;
    format!("{{\"key\": \"{key}\", \"count\": {count}}}")
}
