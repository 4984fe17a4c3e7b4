//! The pipeline of a member of a group.

#![allow(clippy::unwrap_used)]

mod assignments;
mod effects;
mod elsewhere;
mod flow;
mod gaps;
mod group;
mod interruptions;
mod invariants;
mod leases;
mod many;
mod one_worker;
mod room;
mod skip;
