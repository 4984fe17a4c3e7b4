//! A connection whose client must take what it is sent.

use super::limits::{STALL_TIMEOUT, STALLED_BYTES};
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Fails when a client is slower than it may be.
pub struct Stalling<S> {
    stream: S,
    /// Runs while something waits to be taken, for so many more bytes.
    waits: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Stalling<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, waits: None }
    }

    /// What a write has come to: `taken` bytes, or that it waits.
    fn judge(&mut self, cx: &mut Context<'_>, taken: Option<usize>) -> Poll<Result<(), Error>> {
        if let (Some((sleep, left)), Some(taken)) = (&mut self.waits, taken) {
            *left = left.saturating_sub(taken);
            if *left == 0 {
                sleep.as_mut().reset(Instant::now() + STALL_TIMEOUT);
                *left = STALLED_BYTES;
            }
        }
        if taken.is_none() && self.waits.is_none() {
            self.waits = Some((Box::pin(sleep(STALL_TIMEOUT)), STALLED_BYTES));
        }
        let is_late = self.waits.as_mut().is_some_and(|(sleep, _)| sleep.as_mut().poll(cx).is_ready());
        match taken {
            _ if is_late => Poll::Ready(Err(Error::new(
                ErrorKind::TimedOut,
                "the client does not take what it is sent",
            ))),
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(taken)) => {
                ready!(self.judge(cx, Some(taken)))?;
                Poll::Ready(Ok(taken))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.judge(cx, None))?;
                Poll::Pending
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(done) => {
                // All of it has been taken.
                self.waits = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                ready!(self.judge(cx, None))?;
                Poll::Pending
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => {
                ready!(self.judge(cx, None))?;
                Poll::Pending
            }
        }
    }
}
