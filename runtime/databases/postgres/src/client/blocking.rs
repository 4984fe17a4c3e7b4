//! For commands, which wait for what they ask.

use super::{Fault, Session};
use crate::config::PostgresConfig;
use pelton_core::broker::OpenError;
use pelton_core::database::DatabaseConfig;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a command may take with one thing that it asks.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection of a command. It has a runtime of its own, and is waited for on a thread of its own: whoever
/// asks may be on another's.
pub struct Blocking {
    config: PostgresConfig,
    runtime: Option<Runtime>,
    session: Session,
}

impl Blocking {
    /// Connects. Blocks.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn open(config: &PostgresConfig) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime =
            runtime.map_err(|error| OpenError::Refused(format!("no thread can be had: {error}")))?;
        let connected = within(&runtime, async {
            let server = config.server("pelton")?;
            server.connect(Duration::ZERO).await.map_err(|fault| said(config, &fault))
        });
        match connected {
            Ok(session) => Ok(Self { config: config.clone(), runtime: Some(runtime), session }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Asks. Blocks.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn ask<T: Send>(
        &self,
        ask: impl AsyncFnOnce(&Session) -> Result<T, Fault> + Send,
    ) -> Result<T, OpenError> {
        let Some(runtime) = &self.runtime else { unreachable!("only its end takes it") };
        let asked = runtime_block(runtime, &self.session, ask);
        asked.map_err(|fault| said(&self.config, &fault))
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime_block<T: Send>(
    runtime: &Runtime,
    session: &Session,
    ask: impl AsyncFnOnce(&Session) -> Result<T, Fault> + Send,
) -> Result<T, Fault> {
    let work = move || {
        runtime.block_on(async {
            let limited = tokio::time::timeout(LIMIT, ask(session)).await;
            limited.unwrap_or_else(|_| Err(Fault::no_answer()))
        })
    };
    joined(std::thread::scope(|scope| scope.spawn(work).join()))
}

fn within<T: Send>(runtime: &Runtime, future: impl Future<Output = T> + Send) -> T {
    joined(std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join()))
}

fn joined<T>(joined: std::thread::Result<T>) -> T {
    joined.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
}

/// What to say of a fault, to somebody who waits.
fn said(config: &PostgresConfig, fault: &Fault) -> OpenError {
    let advice = if fault.is_refusal() { String::new() } else { format!("; {}", fault.advice()) };
    OpenError::Refused(format!("{}: {fault}{advice}", config.describe()))
}
