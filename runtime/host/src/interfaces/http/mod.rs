//! HTTP by `wasi:http/outgoing-handler`.

use crate::grants::Grants;
use crate::guest::link::is_number;
use crate::guest::state::{About, GuestState};
use crate::interfaces::Interface;
use std::sync::Arc;
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

fn link(_linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    Ok(())
}

/// What all instances of a handler share.
pub(crate) struct Outgoing {}

impl Outgoing {
    pub(crate) fn new(_pipeline: &str, _grants: &Arc<Grants>) -> Arc<Self> {
        Arc::new(Self {})
    }
}

/// What a store has.
pub(crate) struct InStore {}

impl InStore {
    pub(crate) fn new(_shared: &Arc<Outgoing>, _about: &About) -> Self {
        Self {}
    }
}

/// What is kept of the running call.
#[derive(Default)]
pub(crate) struct InCall {}
