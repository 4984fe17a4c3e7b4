//! Answering the commands that ask the running worker.

use super::protocol::{Answer, Body, Head, PELTON, PROTOCOL, Progress, Question, REQUEST_BYTES};
use super::protocol::{Refusal, Reply, Request};
use crate::exit::needed;
use pelton_core::contain::contained;
use pelton_core::shown::shown;
use std::io::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// How long a client may take to say what it wants, and to take a line of the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long nobody is accepted when no more files can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_secs(2);
/// Clients at once.
const CLIENTS: usize = 16;
/// Bytes of a client's words that are shown to it.
const SHOWN_BYTES: usize = 200;

/// Does what clients want.
pub trait Service: Send + Sync + 'static {
    /// `Err` says why it is not done.
    fn answer(
        self: Arc<Self>,
        request: Request,
        client: &mut Client,
    ) -> impl Future<Output = Result<Reply, String>> + Send;
}

/// The other side of one request.
pub struct Client(Side);

enum Side {
    /// A command.
    Socket(SocketClient),
    /// Something of this process, which is told no progress: it waits as long as the other end is there.
    Within(mpsc::Receiver<()>),
}

/// A client at the socket.
struct SocketClient {
    read: BufReader<Take<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Client {
    /// One in this process. It is gone when the other end of `waits` is.
    pub fn within(waits: mpsc::Receiver<()>) -> Self {
        Self(Side::Within(waits))
    }

    /// Tells it how far it is. False when it does not take that: it has gone, or is stopped.
    pub async fn progress(&mut self, progress: Progress) -> bool {
        match &mut self.0 {
            Side::Socket(client) => client.write(Body::Progress { progress }).await.is_ok(),
            Side::Within(waits) => !waits.is_closed(),
        }
    }

    /// Waits until it goes, or says more than it may.
    pub async fn gone(&mut self) {
        match &mut self.0 {
            // Whatever it reads, there is nothing to be said any more.
            Side::Socket(client) => drop(client.read.read(&mut [0; 1]).await),
            Side::Within(waits) => drop(waits.recv().await),
        }
    }
}

impl SocketClient {
    fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read: BufReader::new(read.take(REQUEST_BYTES)), write }
    }

    async fn write(&mut self, body: Body) -> Result<(), Error> {
        let mut line = serde_json::to_vec(&Answer::of(body))?;
        line.push(b'\n');
        tokio::time::timeout(CLIENT_TIMEOUT, self.write.write_all(&line)).await?
    }

    /// Its line. `Err` says why there is none.
    async fn request(&mut self) -> Result<Request, (Refusal, String)> {
        let mut line = Vec::new();
        let read = tokio::time::timeout(CLIENT_TIMEOUT, self.read.read_until(b'\n', &mut line)).await;
        match read {
            Err(_) => Err((Refusal::Silence, format!("no request came within {CLIENT_TIMEOUT:?}"))),
            Ok(Err(error)) => Err((Refusal::Silence, format!("no request could be read: {error}"))),
            Ok(Ok(_)) if line.last() != Some(&b'\n') && line.len() as u64 == REQUEST_BYTES => {
                Err((Refusal::TooLong, format!("a request has at most {REQUEST_BYTES} bytes")))
            }
            Ok(Ok(_)) => understood(&line),
        }
    }
}

/// Answers clients side by side until it is aborted. A panic ends the process unless it is of one request.
pub fn serve(listener: UnixListener, service: Arc<impl Service>) -> AbortHandle {
    needed(accept_all(listener, service)).abort_handle()
}

async fn accept_all(listener: UnixListener, service: Arc<impl Service>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                drop(tokio::spawn(async move {
                    match contained(answer(SocketClient::new(stream), service)).await {
                        Ok(answered) => tracing::debug!(?answered, "a client of the socket"),
                        Err(panicked) => {
                            tracing::error!("{panicked}, while a command was answered; please report it")
                        }
                    }
                    drop(place);
                }));
            }
            Err(error) => {
                // No more files can be opened: it is tried again, not at once.
                tracing::debug!(%error, "a client of the socket was not heard");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request. An error is about the client: nobody else is told.
async fn answer(mut socket: SocketClient, service: Arc<impl Service>) -> Result<(), Error> {
    let body = match socket.request().await {
        Ok(request) => {
            socket.write(Body::Progress { progress: Progress::Accepted }).await?;
            let mut client = Client(Side::Socket(socket));
            let body = Body::from(service.answer(request, &mut client).await);
            let Side::Socket(back) = client.0 else { return Ok(()) };
            socket = back;
            body
        }
        Err((refusal, error)) => {
            tracing::debug!(?refusal, error, "a client of the socket is refused");
            Body::Error { error, refusal: Some(refusal) }
        }
    };
    socket.write(body).await
}

/// What a line asks for. `Err` is for people, of whatever version their program is: both versions, and what
/// to do.
fn understood(line: &[u8]) -> Result<Request, (Refusal, String)> {
    let versions = |client: &str| {
        format!(
            "{client}, and the worker is pelton {PELTON} (protocol {PROTOCOL}): use the program that the \
             worker was started with, or restart the worker with the other one"
        )
    };
    let head = serde_json::from_slice::<Head>(line).unwrap_or_default();
    let Some(protocol) = head.protocol else {
        let text = String::from_utf8_lossy(line);
        let text = shown(text.trim_end()).at_most(SHOWN_BYTES).to_string();
        let what = format!("`{text}` names no protocol: what asks is of an older version, or no pelton");
        return Err((Refusal::Malformed, versions(&what)));
    };
    let client = shown(head.pelton.as_deref().unwrap_or("of an unknown version")).to_string();
    if protocol != PROTOCOL {
        let what = format!("what asks is pelton {client} (protocol {protocol})");
        return Err((Refusal::UnknownProtocol, versions(&what)));
    }
    serde_json::from_slice::<Question>(line).map(|question| question.request).map_err(|error| {
        let error = shown(&error.to_string()).at_most(SHOWN_BYTES).to_string();
        let what = format!("the request is not known here ({error}): what asks is pelton {client}");
        (Refusal::UnknownRequest, versions(&what))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::control::protocol::WorkerStatus;
    use serde_json::{Value, json};
    use std::io::{BufRead, Read, Write};
    use std::os::unix::net::UnixStream as Stream;

    struct Nothing;

    impl Service for Nothing {
        async fn answer(self: Arc<Self>, _: Request, _: &mut Client) -> Result<Reply, String> {
            Ok(Reply::Status(WorkerStatus::default()))
        }
    }

    /// The lines that a client gets for what it writes, and that there is an end.
    fn answers(words: &[u8]) -> Vec<Value> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let guard = runtime.enter();
        let serving = serve(UnixListener::bind(dir.path().join("s")).unwrap(), Arc::new(Nothing));
        drop(guard);
        let mut client = Stream::connect(dir.path().join("s")).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // What is too long is not read to its end.
        client.write_all(words).unwrap_or_default();
        let mut read = std::io::BufReader::new(&client);
        let mut lines = Vec::new();
        let mut line = String::new();
        while read.read_line(&mut line).unwrap_or(0) > 0 {
            lines.push(serde_json::from_str(&line).unwrap());
            line.clear();
        }
        assert_eq!(read.read(&mut [0]).unwrap_or(0), 0);
        serving.abort();
        lines
    }

    /// The one answer to what is not understood, with what it was taken for.
    fn refused(words: &[u8], refusal: &str) -> String {
        let answers = answers(words);
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(
            (&answer["protocol"], &answer["refusal"]),
            (&json!(PROTOCOL), &json!(refusal)),
            "{answer}"
        );
        answer["error"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_known_request_is_accepted_and_answered() {
        let line = serde_json::to_string(&Question::of(Request::Status)).unwrap() + "\n";
        let answers = answers(line.as_bytes());
        assert_eq!(answers[0]["progress"], "accepted");
        assert_eq!(answers[1]["reply"]["status"], json!({ "pipelines": {} }));
    }

    /// As the clients before the second protocol asked, to the byte: they show `error`.
    #[test]
    fn a_client_of_an_older_version_is_told_both_versions() {
        for line in [&b"status\n"[..], b"reload {\"pipeline\":null}\n", b"deploy {\"pipeline\":\"a\"}\n"] {
            let error = refused(line, "malformed");
            assert!(error.contains("older version") && error.contains(PELTON), "{error}");
            assert!(error.contains("restart the worker"), "{error}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_a_word_for_programs_and_one_for_people() {
        let newer = b"{\"protocol\":3,\"pelton\":\"7.1.0\",\"ask\":[]}\n";
        let error = refused(newer, "unknown_protocol");
        assert!(error.contains("7.1.0 (protocol 3)") && error.contains(PELTON), "{error}");
        let unknown = b"{\"protocol\":2,\"pelton\":\"7.1.0\",\"request\":{\"rewind\":{}}}\n";
        let error = refused(unknown, "unknown_request");
        assert!(error.contains("rewind") && error.contains("7.1.0") && error.contains(PELTON), "{error}");
        for garbage in
            [&b"\xff\x00\x1b[31m\n"[..], b"\n", b"[]\n", b"{\"protocol\":\"2\"}\n", b"GET / HTTP/1.1\r\n"]
        {
            let error = refused(garbage, "malformed");
            assert!(!error.contains('\x1b') && error.contains(PELTON), "{error:?}");
        }
        let long = vec![b'x'; usize::try_from(REQUEST_BYTES).unwrap()];
        assert!(refused(&long, "too_long").contains("1048576"));
    }

    #[test]
    fn a_client_that_says_nothing_is_left() {
        assert!(refused(b"", "silence").contains("within 2s"));
    }
}
