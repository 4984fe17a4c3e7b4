//! Programs that stay alive, and are given one message after another over standard input.
//!
//! The program's run owns its store, and is a future that goes on only during calls: between them it is
//! suspended where it asked for more. docs/handlers/plain-programs.md is what it speaks.

use crate::guest::output::Output;
use crate::guest::port::{Look, Port};
use crate::guest::protocol::{Call, Version};
use crate::guest::state::{self, About, Given};
use crate::interfaces::{Caller, config, worker_calls};
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
    setting: Arc<Setting>,
    about: About,
    over: bool,
}

/// How a worker is spoken to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Speaks {
    /// Whether a request may have several messages.
    pub(crate) batches: bool,
    pub(crate) version: Version,
}

/// Why a worker is suspended.
enum Suspended {
    /// It has answered.
    Answered(Vec<Outcome>),
    /// It waits for the answer to its call.
    Calls(Call),
}

impl Worker {
    /// Starts it, until it asks for its first message.
    pub(crate) async fn make(
        setting: &Arc<Setting>,
        about: &About,
        program: &Program,
        version: Version,
    ) -> Result<Self> {
        let port = Port::worker(version, Arc::clone(about.output.secrets()));
        let own = vec![
            ("PELTON_PROTOCOL".to_owned(), "worker".to_owned()),
            ("PELTON_PIPELINE".to_owned(), setting.pipeline.to_string()),
        ];
        let environment = config::environment(&setting.shared.grants, own);
        let given = Given { port: Arc::clone(&port), environment };
        let store = state::store(setting, about.clone(), Some(given));
        let run = Box::pin(program.clone().run(store));
        let (output, setting, about) = (Arc::clone(&about.output), Arc::clone(setting), about.clone());
        let mut worker = Self { run, port, output, setting, about, over: false };
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

impl Worker {
    /// Goes on with it until it has answered, or asks for something.
    async fn until_suspended(&mut self) -> Result<Suspended> {
        std::future::poll_fn(|cx| {
            self.port.resume();
            if let Poll::Ready(ended) = self.run.as_mut().poll(cx) {
                return Poll::Ready(self.ended(ended).map(Suspended::Answered));
            }
            match self.port.look() {
                Look::Calls(call) => Poll::Ready(Ok(Suspended::Calls(call))),
                Look::Done(answers) => Poll::Ready(Ok(Suspended::Answered(answers))),
                Look::Silent => Poll::Ready(Err(failed(
                    "the worker asked for the next message before it answered this one",
                    &self.output,
                ))),
                Look::Busy => Poll::Pending,
            }
        })
        .await
    }
}

impl Handles for Worker {
    async fn call(&mut self, work: &[Work]) -> Result<Answers> {
        self.port.ask(work);
        loop {
            match self.until_suspended().await? {
                Suspended::Answered(outcomes) => return Ok(Answers::Many(outcomes)),
                Suspended::Calls(call) => {
                    let Setting { shared, memory, .. } = &*self.setting;
                    let caller = Caller::new(&self.about, shared, *memory);
                    self.port.reply(worker_calls::answer(&caller, call).await);
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
