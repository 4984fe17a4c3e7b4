//! HTTP by `wasi:http/outgoing-handler`: within the pipeline's grants, on threads of its own, over
//! connections that are kept.
//!
//! A guest that waits for an answer holds an instance and no thread. Everything that a request holds ends
//! with the call that has made it.

mod address;
mod body;
mod connect;
mod counts;
mod failure;
mod hooks;
mod key;
mod net;
mod outgoing;
mod prepare;
mod script;
mod times;
mod types;
mod whole;

pub use counts::HttpCounts;
pub use failure::http_error_codes;
pub(crate) use hooks::InStore;
pub(crate) use net::Net;
pub(crate) use outgoing::Outgoing;

use crate::grants::Grants;
use crate::guest::link::is_number;
use crate::guest::state::GuestState;
use crate::interfaces::Interface;
use body::Exchange;
use key::Ordinals;
use std::sync::{Arc, Weak};
use wasmtime::component::Linker;

/// HTTP, as pipelines grant it.
pub(crate) const INTERFACE: Interface = Interface {
    name: "HTTP",
    provides,
    is_granted: |grants: &Grants| !grants.http.is_empty(),
    lines: "[[pipelines.PIPELINE.grants.http]]\nto = \"https://api.example.com\"\n",
    link,
};

/// Requests go out by this one; the types alone reach nobody.
const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.";

fn provides(import: &str) -> bool {
    import.strip_prefix(OUTGOING).is_some_and(is_number)
}

fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::link(linker)
}

/// Requests of a call after which those that have ended are forgotten.
const FORGET_AT: usize = 64;

/// What is kept of the running call.
#[derive(Default)]
pub(crate) struct InCall {
    ordinals: Ordinals,
    exchanges: Vec<Weak<Exchange>>,
}

impl InCall {
    fn begin(&mut self, exchange: &Arc<Exchange>) {
        if self.exchanges.len() >= FORGET_AT {
            self.exchanges.retain(|one| one.strong_count() > 0);
        }
        self.exchanges.push(Arc::downgrade(exchange));
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        self.exchanges.iter().filter_map(Weak::upgrade).for_each(|exchange| exchange.end());
    }
}
