//! The bindings of `pelton:handler` and the way between them and the crate's own types. Compiled
//! for WebAssembly only, and public only to the code that the attribute macros expand to.
//!
//! The bindings are generated from the repository's `wit/`, the one source of truth: a path that
//! holds for a dependency by path and by git, where the whole repository is checked out.

use crate::{Failure, Header, Message};
use std::panic::PanicHookInfo;
use std::sync::Once;

/// Bindings of the world `handler`, with the types that both worlds share.
pub mod message {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "handler",
        pub_export_macro: true,
        export_macro_name: "export_handler",
        default_bindings_module: "::pelton_sdk::wire::message",
    });
}

/// Bindings of the world `batch`.
pub mod batch {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "batch",
        pub_export_macro: true,
        export_macro_name: "export_batch_handler",
        default_bindings_module: "::pelton_sdk::wire::batch",
        with: { "pelton:handler/types@0.1.0": crate::wire::message::pelton::handler::types },
    });
}

pub use batch::exports::pelton::handler::batch_handler::Guest as BatchHandler;
pub use message::exports::pelton::handler::message_handler::Guest as MessageHandler;
pub use message::pelton::handler::types;

/// Calls a message handler with a message from the runtime.
///
/// # Errors
/// What the handler answered.
pub fn handle(
    handler: impl FnOnce(Message) -> Result<(), Failure>,
    message: types::Message,
) -> Result<(), types::Failure> {
    report_panics_plainly();
    handler(message.into()).map_err(types::Failure::from)
}

/// Calls a batch handler with messages from the runtime.
///
/// # Panics
/// When the handler's list is of another length than the messages': the runtime would call it a
/// trap without knowing how it came about.
pub fn handle_batch(
    handler: impl FnOnce(Vec<Message>) -> Vec<Result<(), Failure>>,
    messages: Vec<types::Message>,
) -> Vec<Result<(), types::Failure>> {
    report_panics_plainly();
    let asked = messages.len();
    let results = handler(messages.into_iter().map(Message::from).collect());
    let answered = results.len();
    assert!(answered == asked, "the batch handler answered {answered} results for {asked} messages");
    results.into_iter().map(|result| result.map_err(types::Failure::from)).collect()
}

/// Makes a panic one line on standard error, before it traps. The usual report names a thread and
/// recommends an environment variable; a guest has neither.
fn report_panics_plainly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(report_panic)));
}

#[allow(clippy::disallowed_macros, reason = "the host reads it")]
fn report_panic(info: &PanicHookInfo<'_>) {
    let text = info.payload_as_str().unwrap_or("no message");
    match info.location() {
        Some(place) => eprintln!("panicked at {place}: {text}"),
        None => eprintln!("panicked: {text}"),
    }
}

impl From<types::Message> for Message {
    fn from(message: types::Message) -> Self {
        Self {
            id: message.id,
            pipeline: message.pipeline,
            origin: message.origin,
            idempotency_key: message.idempotency_key,
            key: message.key,
            headers: message.headers.into_iter().map(Header::from).collect(),
            body: message.body,
            attempt: message.attempt,
            published_at_ms: message.published_at_ms,
            replayed: message.replayed,
            tombstone: message.tombstone,
        }
    }
}

impl From<types::Header> for Header {
    fn from(header: types::Header) -> Self {
        Self { name: header.name, value: header.value }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let after_ms = failure.after_ms();
        match failure {
            Failure::Reject { reason } => Self::Reject(reason),
            Failure::Retry { reason, .. } => Self::Retry(types::Retry { reason, after_ms }),
        }
    }
}
