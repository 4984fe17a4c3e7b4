//! What the store keeps, on real files: through crashes, damage, a full disk, other processes and
//! clocks that jump.

#![allow(clippy::unwrap_used)]

mod aging;
mod atomic;
mod behind;
mod clock;
mod counters;
mod damage;
mod effects;
mod forgetting;
mod full;
mod interrupted;
mod keys;
mod log;
mod recovery;
mod serial;
mod sharing;
mod support;
mod topic_crashes;
mod topics;
mod waiting_keys;
