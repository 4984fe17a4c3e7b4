//! Running messages: the threads, the clock that interrupts guests, chunks and their instances.

pub(crate) mod chunk;
pub(crate) mod chunk_outcomes;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod handler;
pub(crate) mod instance;
pub(crate) mod instance_pool;
pub(crate) mod pools;
pub(crate) mod threads;
pub(crate) mod together;
pub(crate) mod watch;
