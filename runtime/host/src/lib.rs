//! The sandbox: loads WebAssembly components, and handles messages with them.
//!
//! This crate owns everything that knows wasmtime: the engine's settings, what guests may import,
//! their limits of time, memory, handles and output, the threads they run on, and the words in
//! which their failures are told. It implements the port `Handler` of `pelton-core`.
//!
//! It must not know of sources, ledgers, retries or configuration files. A guest's failure is an
//! outcome here, never an error of the host; and no guest can stop, stall or fill the process.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]
#![forbid(unsafe_code)]

mod engine;
mod error;
pub mod file;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grants;
mod guest;
mod host;
mod interfaces;
mod kinds;
mod load;
mod memory_state;
mod options;
mod run;
#[cfg(test)]
mod testing;

pub use error::{Cause, HostError, LoadError};
pub use grants::http::{
    HttpAnswer, HttpError, HttpGrant, HttpLimits, HttpRequest, HttpResolver, HttpResponse, HttpScript,
    HttpSwitch, HttpTarget, IDEMPOTENCY_HEADER, PrivateAddresses,
};
pub use grants::{Grants, OutboxGrant, Outlet, Refuses, SqlGrant, StateGrant};
pub use guest::given::{ClockSwitch, RandomSwitch};
pub use guest::sink::{LogLevel, LogLine, LogSink, TracingSink};
pub use host::Host;
pub use interfaces::counts::EffectCounts;
pub use interfaces::http::{HttpCounts, http_error_codes};
pub use interfaces::state::StoreBound;
pub use interfaces::{Want, missing, unused, wants};
pub use ipnet::IpNet;
pub use kinds::kind::{HandlerKind, PROTOCOL_SECTION, Protocol};
pub use kinds::mark::mark;
pub use load::inspect::{ComponentInfo, Description, describe, digest, inspect};
pub use load::read::component as read_component;
pub use load::validate::Form;
pub use load::worker::{WORKER_ARGUMENTS, WORKER_COMMAND, compile_worker};
pub use memory_state::{MemoryState, StateConflict};
pub use options::{CompileBudget, HandlerSpec, HostOptions, Isolation};
pub use run::handler::WasmHandler;
pub use run::instance_pool::RoomNeed;
pub use run::threads::{NoThreads, there_is_room_for, yield_to_others};
