//! Programs that stay alive, and are given one message after another over standard input.
//!
//! The program's run owns its store, and is a future that goes on only during calls: between them it is
//! suspended where it asked for more. docs/handlers/plain-programs.md is what it speaks.

use crate::guest::output::Output;
use crate::guest::port::{Look, Port};
use crate::guest::state::{self, About, Given};
use crate::kinds::program::{Program, failed};
use crate::kinds::{Answers, Handles, Setting};
use pelton_core::outcome::Outcome;
use pelton_core::ports::{BoxFuture, Work};
use std::sync::Arc;
use std::task::Poll;
use wasmtime::Result;

/// A worker that has been started.
pub(crate) struct Worker {
    run: BoxFuture<'static, Result<i32>>,
    port: Arc<Port>,
    output: Arc<Output>,
    over: bool,
}

impl Worker {
    /// Starts it, until it asks for its first message.
    pub(crate) async fn make(setting: &Setting, about: &About, program: &Program) -> Result<Self> {
        let port = Port::worker();
        let environment = vec![
            ("PELTON_PROTOCOL".to_owned(), "worker".to_owned()),
            ("PELTON_PIPELINE".to_owned(), setting.pipeline.to_string()),
        ];
        let given = Given { port: Arc::clone(&port), environment };
        let store = state::store(setting, about.clone(), Some(given));
        let run = Box::pin(program.clone().run(store));
        let mut worker = Self { run, port, output: Arc::clone(&about.output), over: false };
        worker.until_asked().await?;
        Ok(worker)
    }

    async fn until_asked(&mut self) -> Result<()> {
        let ended = std::future::poll_fn(|cx| {
            self.port.resume();
            match self.run.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if self.port.waits() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match ended {
            None => Ok(()),
            Some(Ok(code)) => Err(failed(
                &format!("the worker ended with exit code {code} before it asked for a message"),
                &self.output,
            )),
            Some(Err(error)) => Err(error),
        }
    }

    /// The program has ended, by itself or by a trap.
    fn ended(&mut self, ended: Result<i32>) -> Result<Vec<Outcome>> {
        self.over = true;
        match (ended?, self.port.last()) {
            (0, Some(answers)) => Ok(answers),
            (code, answers) => {
                let when = if answers.is_some() { "after" } else { "before" };
                Err(failed(
                    &format!("the worker ended with exit code {code} {when} it answered"),
                    &self.output,
                ))
            }
        }
    }
}

impl Handles for Worker {
    async fn call(&mut self, work: &[Work]) -> Result<Answers> {
        self.port.ask(work);
        let outcomes = std::future::poll_fn(|cx| {
            self.port.resume();
            if let Poll::Ready(ended) = self.run.as_mut().poll(cx) {
                return Poll::Ready(self.ended(ended));
            }
            match self.port.look() {
                Look::Done(answers) => Poll::Ready(Ok(answers)),
                Look::Silent => Poll::Ready(Err(failed(
                    "the worker asked for the next message before it answered this one",
                    &self.output,
                ))),
                Look::Busy => Poll::Pending,
            }
        });
        Ok(Answers::Many(outcomes.await?))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
