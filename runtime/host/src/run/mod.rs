//! Running messages: the threads, the clock that interrupts guests, chunks and their instances.

pub(crate) mod book;
pub(crate) mod chunk;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod handler;
pub(crate) mod instance;
pub(crate) mod pools;
pub(crate) mod room;
pub(crate) mod threads;
pub(crate) mod watch;
