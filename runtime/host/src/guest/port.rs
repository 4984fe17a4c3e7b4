//! The standard input of a program, and the output of a worker: what the host and its guest hand each other.
//!
//! The guest is suspended when it asks for input that is not there; nobody wakes it, since the host goes on
//! with it itself when it has given it more.

use crate::guest::protocol::{Answers, Call, Version};
use crate::guest::request::request;
use crate::guest::secrets::Secrets;
use bytes::Bytes;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that one read gets at most, and that one write may have.
const PIECE: usize = 256 << 10;

/// Between the host and one program.
pub(crate) struct Port {
    inner: Mutex<Inner>,
    answers: bool,
    version: Version,
}

struct Inner {
    input: Bytes,
    /// No more input will come: what is read beyond it is the end.
    ended: bool,
    waits: Waits,
    answers: Answers,
}

/// How a guest asked for input that was not there, since it last ran.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Waits {
    No,
    /// It may be waiting for something else beside, such as a timer.
    Polls,
    /// For nothing else.
    Reads,
}

/// What a look at a suspended worker finds.
#[derive(Debug, PartialEq)]
pub(crate) enum Look {
    /// It is at work, or waits for something beside input.
    Busy,
    /// It asks for input: the answer to this call.
    Calls(Call),
    /// It asks for input, and has answered all it was given.
    Done(Vec<Outcome>),
    /// It asks for nothing but input, and has not answered all it was given.
    Silent,
}

impl Port {
    /// Of a worker that speaks this version: its input stays open, its output is answers.
    pub(crate) fn worker(version: Version, secrets: Arc<Secrets>) -> Arc<Self> {
        Self::new(Bytes::new(), Some(Answers::new(version, secrets)), version)
    }

    /// Of a command: its input is these bytes, its output is its own.
    pub(crate) fn command(input: Bytes) -> Arc<Self> {
        Self::new(input, None, Version::One)
    }

    fn new(input: Bytes, answers: Option<Answers>, version: Version) -> Arc<Self> {
        let has_answers = answers.is_some();
        let answers = answers.unwrap_or_default();
        let inner = Inner { input, ended: !has_answers, waits: Waits::No, answers };
        Arc::new(Self { inner: Mutex::new(inner), answers: has_answers, version })
    }

    pub(crate) fn input(self: &Arc<Self>) -> Input {
        Input(Arc::clone(self))
    }

    /// None: what the program prints is no answer.
    pub(crate) fn output(self: &Arc<Self>) -> Option<Output> {
        self.answers.then(|| Output(Arc::clone(self)))
    }

    /// Gives a worker the request for these messages.
    pub(crate) fn ask(&self, work: &[Work]) {
        let request = request(work, self.version);
        let mut inner = self.lock();
        inner.input = request.into();
        inner.answers.ask(work.len());
    }

    /// Gives a worker what came of its call.
    pub(crate) fn reply(&self, reply: Vec<u8>) {
        self.lock().input = reply.into();
    }

    /// The guest is about to run.
    pub(crate) fn resume(&self) {
        self.lock().waits = Waits::No;
    }

    /// Whether the guest has asked for input that is not there.
    pub(crate) fn waits(&self) -> bool {
        self.lock().waits != Waits::No
    }

    /// How a suspended worker stands.
    pub(crate) fn look(&self) -> Look {
        let mut inner = self.lock();
        if inner.waits != Waits::No
            && let Some(call) = inner.answers.take_call()
        {
            return Look::Calls(call);
        }
        match (inner.waits, inner.answers.complete()) {
            (Waits::Polls | Waits::Reads, true) => Look::Done(inner.answers.take()),
            (Waits::Reads, false) => Look::Silent,
            (Waits::No, _) | (Waits::Polls, false) => Look::Busy,
        }
    }

    /// The answers of a worker that has ended, if it gave all of them.
    pub(crate) fn last(&self) -> Option<Vec<Outcome>> {
        let mut inner = self.lock();
        inner.answers.complete().then(|| inner.answers.take())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there of the input; `None` at its end, empty when there is nothing yet.
    fn read(&self, size: usize) -> Option<Bytes> {
        let mut inner = self.lock();
        if inner.input.is_empty() {
            return (!inner.ended).then(Bytes::new);
        }
        let size = size.min(PIECE).min(inner.input.len());
        Some(inner.input.split_to(size))
    }

    /// Resolves when a read gets something, or the end. Nobody is woken: the host goes on with the guest
    /// itself.
    async fn ready(&self, waits: Waits) {
        std::future::poll_fn(|_| {
            let mut inner = self.lock();
            if inner.ended || !inner.input.is_empty() {
                return Poll::Ready(());
            }
            inner.waits = waits;
            Poll::Pending
        })
        .await;
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.lock().answers.write(bytes)
    }
}

/// The standard input of a program.
pub(crate) struct Input(Arc<Port>);

/// The standard output of a worker.
pub(crate) struct Output(Arc<Port>);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.0.input())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.0.input())
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Self(Arc::clone(&self.0)))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.0.ready(Waits::Polls).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.read(size).ok_or(StreamError::Closed)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size > 0 {
            self.0.ready(Waits::Reads).await;
        }
        self.read(size)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes).map_err(|wrong| StreamError::trap(&wrong))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

// The newer interfaces of WASI ask for these; no guest can import them yet.
impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0.read(buf.remaining()) {
            Some(bytes) if bytes.is_empty() => Poll::Pending,
            Some(bytes) => {
                buf.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
