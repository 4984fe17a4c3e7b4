//! Named points of the hot path, where a test build can end the process.
//!
//! Without the feature `crash-points` a point is nothing at all; with it, it calls the hook the binary has
//! set. The crash suite kills the worker at every one of them, and panics at those of threads and tasks.

/// Every point there is, in the order a message meets them.
pub const NAMES: &[&str] = &[
    "received",
    "before-claim",
    "claimed",
    "handled",
    "before-commit",
    "in-transaction",
    "committed",
    "settled",
];

/// The points of a deploy, in the order a new version meets them.
pub const DEPLOY_NAMES: &[&str] = &[
    "deploy-begun",
    "deploy-loaded",
    "deploy-stored",
    "deploy-promoting",
    "deploy-promoted",
    "deploy-swapped",
];

/// The points of the outbox, in the order a message to be sent meets them.
pub const OUTBOX_NAMES: &[&str] = &["outbox-sending", "outbox-sent", "outbox-noted"];

/// The points of what a handler has staged, in the order a commit meets them. A worker whose handlers have no
/// effects never comes there.
pub const EFFECT_NAMES: &[&str] = &["effects-checked", "effects-written"];

/// The points of a ledger in a database, in the order a message meets them. A worker whose ledgers are its
/// own never comes there.
pub const DATABASE_NAMES: &[&str] = &[
    "database-claiming",
    "database-claimed",
    "database-completing",
    "database-committing",
    "database-committed",
    "database-completed",
];

/// The points of what runs for one pipeline alone: its panic ends this pipeline, and not the process. Each
/// adapter of a broker has a list of its own.
pub const TASK_NAMES: &[&str] = &["driver-turn", "guest-chunk", "queue-read", "shadow"];

#[cfg(feature = "crash-points")]
static HOOK: std::sync::OnceLock<fn(&'static str)> = std::sync::OnceLock::new();

/// Sets what a point does. Once, at start; later calls are ignored.
#[cfg(feature = "crash-points")]
pub fn on_reach(hook: fn(&'static str)) {
    HOOK.get_or_init(|| hook);
}

/// Marks that the point `name` is reached.
#[inline(always)]
pub fn reach(name: &'static str) {
    reach_one_of(&[NAMES, DEPLOY_NAMES, EFFECT_NAMES, OUTBOX_NAMES, DATABASE_NAMES, TASK_NAMES], name);
}

/// The same, of a point that is in one of these lists.
#[inline(always)]
pub fn reach_one_of(lists: &[&[&str]], name: &'static str) {
    debug_assert!(lists.iter().any(|names| names.contains(&name)), "a point that is in no list");
    #[cfg(feature = "crash-points")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "crash-points"))]
    let _unused = name;
}
