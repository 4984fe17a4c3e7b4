//! The outbox of a fleet: messages that are committed with what they are the effect of, and sent by one
//! worker at a time for each target.
//!
//! - **The turn** to send for a target is a lease in its row, by the database's clock. It needs no session
//!   of its own, so that a pooler may stand between, and it ends by itself when its worker does. Its worker
//!   gives it up earlier by its own clock. A worker that begins again with the same data directory has its
//!   turns at once.
//! - **No row is passed over.** Numbers are given before the commit, so a row may appear behind one with a
//!   higher number. Whoever inserts holds a lock on the table until it has ended. So rows are handed out up
//!   to the highest that was there, once everybody has ended who held that lock then.
//! - **What waits is polled**, with a bound on its cost. A notification would be lost at a pooler, and it
//!   makes all commits of a server wait for each other.

mod home;
mod letters;
mod poll;
mod rows;
mod targets;

pub(crate) use home::PostgresOutbox;
pub(crate) use letters::{LAST_LETTER, LETTERS, PURGE_LETTERS, REPLAY, letter};
pub(crate) use poll::counted;
pub(crate) use rows::{PAGE, id_of, number, waiting};
pub(crate) use targets::Outlets;
