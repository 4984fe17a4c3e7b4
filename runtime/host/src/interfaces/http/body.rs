//! Bodies on their way: bounded, and ended with the call that they belong to.

use super::failure::{Code, Failed};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use wasmtime_wasi_http::{Error, WasiBody};

/// A body that ends within so many bytes and so soon is taken whole: a request's is sent with its length
/// then, since many servers take no other, and an answer's holds up no connection.
pub(super) const SHORT_BODY: usize = 32 << 10;
pub(super) const SHORT_WAIT: Duration = Duration::from_millis(20);

/// What goes out.
pub(super) type Upload = UnsyncBoxBody<Bytes, Failed>;

/// The body of a request, of at most so many bytes.
pub(super) struct Bounded {
    pub(super) inner: WasiBody,
    pub(super) left: u64,
    pub(super) max: u64,
}

/// A request that was sent, and what holds its place among those at once. Whoever ends it lets all of it go,
/// and closes its connection.
#[derive(Default)]
pub(crate) struct Exchange(Mutex<Held>);

#[derive(Default)]
struct Held {
    ended: bool,
    task: Option<AbortHandle>,
    body: Option<Incoming>,
    /// Its turn among those at once, and its room in memory.
    turn: Option<Box<dyn Send>>,
    room: Option<Box<dyn Send>>,
}

/// The body of an answer, of at most so many bytes, until a moment.
pub(super) struct Answer {
    exchange: Arc<Exchange>,
    /// What has come already, and how it ended if it did.
    begun: VecDeque<Frame<Bytes>>,
    ended: Option<Result<(), Failed>>,
    left: u64,
    max: u64,
    until: Instant,
    between: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    done: bool,
    /// Told how it failed.
    failed: Box<dyn Fn(&Failed) + Send>,
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It runs in this task, until there is an answer.
    pub(super) fn runs(&self, task: AbortHandle) {
        let mut held = self.lock();
        if held.ended {
            task.abort();
        }
        held.task = Some(task);
    }

    /// It has its turn among those at once, and room in memory.
    pub(super) fn has_place(&self, turn: Box<dyn Send>, room: Box<dyn Send>) {
        let mut held = self.lock();
        if !held.ended {
            (held.turn, held.room) = (Some(turn), Some(room));
        }
    }

    /// Nothing of it is under way any more; what has come waits in memory.
    fn has_come(&self) {
        drop(self.lock().turn.take());
    }

    /// There is an answer, and this is its body.
    fn answers(&self, body: Incoming) {
        let mut held = self.lock();
        if !held.ended {
            held.body = Some(body);
        }
    }

    /// Ends it, whatever it does.
    pub(crate) fn end(&self) {
        let held = {
            let mut held = self.lock();
            let ended = Held { ended: true, ..Held::default() };
            std::mem::replace(&mut *held, ended)
        };
        if let Some(task) = &held.task {
            task.abort();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let mut held = self.lock();
        let ended = held.ended;
        match &mut held.body {
            Some(body) => Pin::new(body).poll_frame(cx).map_err(|error| Failed::of(&error)),
            None if ended => {
                let words = "the call that it belongs to has ended";
                Poll::Ready(Some(Err(Code::ConnectionTerminated.says(words))))
            }
            None => Poll::Ready(None),
        }
    }
}

impl Answer {
    /// Takes what comes at once: a short answer is whole then, and its connection free for the next request,
    /// though its reader may come to it much later.
    pub(super) async fn new(
        exchange: Arc<Exchange>,
        mut body: Incoming,
        max: u64,
        until: Instant,
        between: Option<Duration>,
        failed: Box<dyn Fn(&Failed) + Send>,
    ) -> Self {
        let (mut begun, mut ended) = (VecDeque::new(), None);
        let (mut bytes, soon) = (0, until.min(Instant::now() + SHORT_WAIT));
        while ended.is_none() && bytes <= SHORT_BODY {
            match timeout_at(soon, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                    begun.push_back(frame);
                }
                Ok(Some(Err(error))) => ended = Some(Err(Failed::of(&error))),
                Ok(None) => ended = Some(Ok(())),
                Err(_) => break,
            }
        }
        match &ended {
            Some(_) => exchange.has_come(),
            None => exchange.answers(body),
        }
        let first = between.map_or(until, |between| until.min(Instant::now() + between));
        let timer = Box::pin(sleep_until(first));
        Self { exchange, begun, ended, left: max, max, until, between, timer, done: false, failed }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        if let Some(frame) = self.begun.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.ended.take() {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(failed)) => Poll::Ready(Some(Err(failed))),
            None => self.exchange.poll(cx),
        }
    }

    fn end(&mut self, failed: Failed) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.exchange.end();
        self.done = true;
        (self.failed)(&failed);
        Poll::Ready(Some(Err(failed.to_wasi())))
    }

    fn late(&self) -> Failed {
        if Instant::now() >= self.until {
            return Code::ResponseTimeout.says("the answer did not end in time");
        }
        Code::ReadTimeout.says("the answer stopped for longer than the handler waits")
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.next(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > self.left {
                    let max = self.max;
                    let words = format!("the answer is larger than {max} bytes (`max_response`)");
                    return self.end(Failed::too_large(Code::ResponseBodySize, max, words));
                }
                self.left -= bytes;
                if let Some(between) = self.between {
                    let next = self.until.min(Instant::now() + between);
                    self.timer.as_mut().reset(next);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(failed))) => {
                let failed = match failed.code {
                    Code::ConnectionTerminated => Failed { code: Code::ResponseIncomplete, ..failed },
                    _ => failed,
                };
                self.end(failed)
            }
            Poll::Ready(None) => {
                self.exchange.end();
                self.done = true;
                Poll::Ready(None)
            }
            Poll::Pending => match self.timer.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    let late = self.late();
                    self.end(late)
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.end();
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Failed::of_wasi(&error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > self.left {
            return Poll::Ready(Some(Err(too_large(self.max))));
        }
        self.left -= bytes;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body is too large.
pub(super) fn too_large(max: u64) -> Failed {
    let words = format!("the request's body is larger than {max} bytes (`max_request`)");
    Failed::too_large(Code::RequestBodySize, max, words)
}

/// A body of these bytes and what follows.
pub(super) fn upload(begun: Vec<Bytes>, rest: Option<Bounded>) -> Upload {
    let begun = Begun { begun: begun.into(), rest };
    begun.boxed_unsync()
}

/// Of a body whose begin has been read.
struct Begun {
    begun: VecDeque<Bytes>,
    rest: Option<Bounded>,
}

impl Body for Begun {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        if let Some(bytes) = self.begun.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let begun: u64 = self.begun.iter().map(|bytes| bytes.len() as u64).sum();
        match &self.rest {
            None => SizeHint::with_exact(begun),
            Some(rest) => {
                let hint = rest.size_hint();
                let mut all = SizeHint::new();
                all.set_lower(begun.saturating_add(hint.lower()));
                if let Some(upper) = hint.upper() {
                    all.set_upper(begun.saturating_add(upper));
                }
                all
            }
        }
    }
}
