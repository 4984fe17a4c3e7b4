//! The contract of `wit/` in Rust. Parameters are borrowed, so a message is copied once: into the
//! guest's memory.

/// The world of handlers that take one message.
#[allow(missing_docs)]
pub(crate) mod one {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "handler",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

/// The world of handlers that take a batch. Its types are those of the other.
#[allow(missing_docs)]
pub(crate) mod many {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "batch",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "pelton:handler/types@0.1.0": super::one::pelton::handler::types },
    });
}

/// The standard's world of handlers of messages.
#[allow(missing_docs)]
pub(crate) mod incoming {
    wasmtime::component::bindgen!({
        path: "wit/messaging.wit",
        world: "incoming",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "wasi:messaging/types.message": crate::guest::messaging::Envelope,
            "wasi:messaging/types.client": crate::guest::messaging::Client,
        },
    });
}

pub(crate) use one::pelton::handler::types::{Failure, Header, Message};
