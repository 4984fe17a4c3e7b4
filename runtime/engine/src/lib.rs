//! The driver: performs what the core decides, in batches, and decides nothing itself.
//!
//! One task per pipeline owns that pipeline's state. It wakes, takes everything that has arrived
//! (receipts, verdicts, outcomes, answers, timers, control), steps the core once, and starts the
//! resulting commands as futures on the ports; each sends its answer back to the task. It knows the
//! ports only: no broker, no database, no WebAssembly. What a deduplication key is, it knows,
//! because every source needs it and the core parses nothing.

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

mod decode;
mod dedup;
mod driver;
mod feeders;
mod flow;
mod former;
mod key;
mod moved;
mod observe;
mod perform;
mod pointer;
mod relay;
mod stats;
mod stopped;
mod versions;
mod worker;

pub use dedup::{DedupKey, Digest};
pub use driver::{PipelineSpec, Ports};
pub use key::Key;
pub use moved::MovedLedger;
pub use observe::Observers;
pub use relay::{Outbox, Outlet, OutletStatus};
pub use stats::PipelineStats;
pub use stopped::{Stopped, Why};
pub use versions::{Canary, Compared, FailureKind, HandlerVersions, Numbers, Role, VersionStats};
pub use worker::{Change, Changes, Control, Job, Phase, run, run_changing};
