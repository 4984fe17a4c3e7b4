//! What a pipeline is made of. Each part owns its state alone, and knows no other part and no pipeline:
//! what goes across parts is in the files beside this folder, one for each kind of thing that happens.

pub mod actions;
pub mod admission;
pub mod backoff;
pub mod calls;
pub mod capacity;
pub mod chunks;
pub mod commits;
pub mod departure;
#[allow(clippy::cast_possible_truncation, reason = "a slot is an index and its number of uses")]
pub mod entries;
pub mod entry;
pub mod fences;
pub mod flow;
pub mod key_limits;
pub mod keys;
pub mod lanes;
pub mod leases;
pub mod partitions;
pub mod skips;
pub mod suspects;
pub mod timers;
pub mod waiting;
