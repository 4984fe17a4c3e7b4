//! Asking the worker of a data directory.

use super::protocol::{
    Answer, Body, Head, HealthReport, PELTON, PROTOCOL, Progress, Question, Reply, Request,
};
use super::socket::connect;
use crate::exit::Fail;
use pelton_core::shown::shown;
use pelton_store::Store;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a worker that has just started may take to open its socket, and how often that is looked at.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// How long a worker may take to accept a request. What it does then takes as long as it takes.
const REQUEST: Timeouts = Timeouts { accept: Duration::from_secs(10), then: None };
/// It knows at once how it stands.
const STATUS: Timeouts = Timeouts { accept: Duration::from_secs(2), then: Some(Duration::from_secs(2)) };
/// Bytes of an answer, at most: the status of a worker with thousands of partitions has megabytes.
const ANSWER_BYTES: u64 = 1 << 30;
/// Bytes of another's words that are shown.
const SHOWN_BYTES: usize = 4 << 10;

/// How long a worker may be silent.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    /// Before its first line.
    accept: Duration,
    /// After that.
    then: Option<Duration>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum NoReply {
    /// It does not answer.
    Lost(String),
    /// It is of another version: what each is, and the way out.
    OtherVersion(String),
    /// It says why it did not do what was asked.
    Refused(String),
}

/// Asks, and hands on the progress that comes before the reply. `None` when no worker runs. Blocks for as
/// long as the worker takes.
pub fn ask(
    data_dir: &Path,
    request: Request,
    progress: impl FnMut(Progress),
) -> Result<Option<Reply>, Fail> {
    let Some(pid) = Store::owner_of(data_dir) else { return Ok(None) };
    let reply = reach(data_dir)
        .map_err(|error| NoReply::Lost(format!("does not answer: {error}")))
        .and_then(|stream| converse(stream, request, REQUEST, progress));
    reply.map(Some).map_err(|why| fail(pid, why))
}

/// Asks the worker `pid` how its pipelines stand. Blocks, for a moment at most.
pub fn status(data_dir: &Path) -> Result<Reply, NoReply> {
    let stream = connect(data_dir).map_err(|error| NoReply::Lost(format!("does not answer: {error}")))?;
    converse(stream, Request::Status, STATUS, |_| {})
}

/// Asks the worker whether it is well. Blocks, for a moment at most.
pub fn health(data_dir: &Path, ready: bool) -> Result<Reply, NoReply> {
    match connect(data_dir) {
        Ok(stream) => converse(stream, Request::Health { ready }, STATUS, |_| {}),
        // It holds the data directory, and has opened no socket yet: it lives, and does not work.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let wrong = vec!["worker: starts, or ends: its pipelines do not run".to_owned()];
            let wrong = if ready { wrong } else { Vec::new() };
            Ok(Reply::Health(HealthReport { ok: !ready, wrong }))
        }
        Err(error) => Err(NoReply::Lost(format!("does not answer: {error}"))),
    }
}

/// A reply to another request than the one that was made.
pub fn unexpected(reply: &Reply) -> Fail {
    let what = serde_json::to_string(reply).unwrap_or_default();
    let what = shown(&what).at_most(SHOWN_BYTES).to_string();
    Fail::refused(other_version(None, &format!("answers with what was not asked for: {what}")))
}

/// As an error of the command. `pid` is the worker.
pub fn fail(pid: u32, why: NoReply) -> Fail {
    match why {
        NoReply::Lost(what) => Fail::refused(format!(
            "the worker of this data directory (process {pid}) {what}. Look at its log, then ask again"
        )),
        NoReply::OtherVersion(what) => {
            Fail::refused(format!("the worker of this data directory (process {pid}) {what}"))
        }
        NoReply::Refused(why) => Fail::in_lines(&why),
    }
}

/// A worker that has just started opens its socket a moment later.
fn reach(data_dir: &Path) -> std::io::Result<UnixStream> {
    let since = Instant::now();
    loop {
        match connect(data_dir) {
            Err(_) if since.elapsed() < SOCKET_TIMEOUT => std::thread::park_timeout(RETRY_INTERVAL),
            reached => return reached,
        }
    }
}

/// One request.
fn converse(
    mut stream: UnixStream,
    request: Request,
    timeouts: Timeouts,
    mut progress: impl FnMut(Progress),
) -> Result<Reply, NoReply> {
    let timeout = timeouts.accept;
    let silent = |error: Error| NoReply::Lost(silence(&error, timeout));
    let mut line = serde_json::to_string(&Question::of(request)).map_err(|e| silent(e.into()))?;
    line.push('\n');
    stream.set_read_timeout(Some(timeout)).map_err(silent)?;
    stream.set_write_timeout(Some(timeout)).map_err(silent)?;
    // A worker that has refused already reads no more, and has said why.
    let written = stream.write_all(line.as_bytes());
    let mut lines = BufReader::new((&stream).take(ANSWER_BYTES));
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) => {
                written.map_err(silent)?;
                return Err(NoReply::Lost("ended before it was done".to_owned()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(unknown(&line)),
            Err(error) => return Err(silent(written.err().unwrap_or(error))),
        }
        match body(&line)? {
            Body::Reply { reply } => return Ok(reply),
            Body::Error { error, .. } => return Err(NoReply::Refused(error)),
            Body::Progress { progress: Progress::Accepted } => {
                stream.set_read_timeout(timeouts.then).map_err(silent)?;
            }
            Body::Progress { progress: known } => progress(known),
        }
    }
}

fn silence(error: &Error, timeout: Duration) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("does not answer within {timeout:?}; it may be stopped, or have too many clients")
        }
        _ => format!("does not answer: {error}"),
    }
}

/// What a line says, if a worker of this protocol has written it.
fn body(line: &str) -> Result<Body, NoReply> {
    let Ok(head) = serde_json::from_str::<Head>(line) else { return Err(unknown(line)) };
    let Some(protocol) = head.protocol else { return Err(older(head)) };
    let version = head.pelton.as_deref();
    match serde_json::from_str::<Answer>(line) {
        Ok(Answer { body: Body::Error { error, refusal: Some(_) }, .. }) => {
            let what = format!("does not know what is asked of it: {}", shown(&error).at_most(SHOWN_BYTES));
            Err(NoReply::OtherVersion(other_version(Some((protocol, version)), &what)))
        }
        Ok(answer) if protocol == PROTOCOL => Ok(answer.body),
        // A later protocol keeps the form of its errors.
        Ok(_) | Err(_) => {
            let what = head.error.as_deref().unwrap_or("answers with what is not known here");
            let what = shown(what).at_most(SHOWN_BYTES).to_string();
            Err(NoReply::OtherVersion(other_version(Some((protocol, version)), &what)))
        }
    }
}

/// Workers before the second protocol name none.
fn older(head: Head) -> NoReply {
    let what = head.error.map_or_else(
        || "answers as one of an older version does".to_owned(),
        |error| format!("answers: {}", shown(&error).at_most(SHOWN_BYTES)),
    );
    NoReply::OtherVersion(other_version(Some((1, None)), &what))
}

fn unknown(line: &str) -> NoReply {
    let start = shown(line.trim_end()).at_most(200).to_string();
    NoReply::OtherVersion(other_version(None, &format!("answers with what is not known here: {start}")))
}

/// What is wrong, which versions there are, and the way out. Goes on after the worker's name.
fn other_version(worker: Option<(u32, Option<&str>)>, what: &str) -> String {
    let its = match worker {
        Some((protocol, Some(version))) => format!("it is pelton {} (protocol {protocol})", shown(version)),
        Some((protocol, None)) => format!("it is of an older version (protocol {protocol})"),
        None => "its version is not known".to_owned(),
    };
    format!(
        "{what}. {its}, and this program is pelton {PELTON} (protocol {PROTOCOL}): restart the worker with \
         this program, or use the program that it was started with"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A worker that answers one request with these bytes; what the client makes of it.
    fn reply_to(answer: &'static [u8], accept: Duration) -> Result<Reply, NoReply> {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let stream = UnixStream::connect(dir.path().join("s")).unwrap();
        let worker = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&client).read_line(&mut line).unwrap();
            client.write_all(answer).unwrap();
            // It goes when the client has gone, or at once if it has said something.
            if answer.is_empty() {
                BufReader::new(&client).read_line(&mut line).unwrap();
            }
        });
        let reply =
            converse(stream, Request::Reload { pipeline: None }, Timeouts { accept, then: None }, |_| {});
        worker.join().unwrap();
        reply
    }

    fn other_version_of(answer: &'static [u8]) -> String {
        match reply_to(answer, REQUEST.accept) {
            Err(NoReply::OtherVersion(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    /// As the workers before the second protocol answered, to the byte.
    #[test]
    fn a_worker_of_an_older_version_is_told_by_its_answer() {
        let what = other_version_of(
            b"{\"error\":\"this worker does not know the question; is it of another version?\"}\n",
        );
        assert!(what.contains("does not know the question") && what.contains("protocol 1"), "{what}");
        assert!(what.contains(PELTON) && what.contains("restart the worker"), "{what}");
        let what = other_version_of(b"{\"done\":[]}\n");
        assert!(what.contains("older version"), "{what}");
    }

    #[test]
    fn a_worker_of_a_newer_version_is_told_by_its_answer() {
        for answer in [
            &b"{\"protocol\":9,\"pelton\":\"7.1.0\",\"error\":\"what a version!\",\"refusal\":\"new\"}\n"[..],
            b"{\"protocol\":9,\"pelton\":\"7.1.0\",\"error\":\"what a version!\",\"why\":[]}\n",
            b"{\"protocol\":9,\"pelton\":\"7.1.0\",\"outcome\":{}}\n",
            b"{\"protocol\":2,\"pelton\":\"7.1.0\",\"reply\":{\"rewind\":{}}}\n",
            b"{\"protocol\":2,\"pelton\":\"7.1.0\",\"progress\":{\"rewind\":{}}}\n",
        ] {
            let what = other_version_of(answer);
            assert!(what.contains("7.1.0") && what.contains(PELTON), "{what}");
            assert!(what.contains("restart the worker"), "{what}");
        }
    }

    #[test]
    fn what_is_no_answer_is_no_hang_and_no_reply() {
        assert!(other_version_of(b"HTTP/1.1 400 Bad Request\r\n").contains("HTTP/1.1 400"));
        assert!(other_version_of(b"\xff\xfe\n").contains("not known"));
        let gone =
            reply_to(b"{\"protocol\":2,\"pelton\":\"1\",\"progress\":\"accepted\"}\n", REQUEST.accept);
        assert!(matches!(&gone, Err(NoReply::Lost(what)) if what.contains("ended before")), "{gone:?}");
        let silent = reply_to(b"", Duration::from_millis(50));
        assert!(matches!(&silent, Err(NoReply::Lost(what)) if what.contains("within 50ms")), "{silent:?}");
    }

    #[test]
    fn a_refusal_of_what_was_asked_is_shown_as_it_is() {
        let refused = reply_to(b"{\"protocol\":2,\"pelton\":\"1\",\"error\":\"a\\nb\"}\n", REQUEST.accept);
        assert!(matches!(&refused, Err(NoReply::Refused(what)) if what == "a\nb"), "{refused:?}");
    }
}
