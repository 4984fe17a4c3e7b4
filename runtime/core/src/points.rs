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

/// The points of what runs for one pipeline alone: its panic ends this pipeline, and not the process.
pub const TASK_NAMES: &[&str] = &[
    "driver-turn",
    "guest-chunk",
    "kafka-poll",
    "kafka-record",
    "kafka-commit",
    "kafka-assign",
    "kafka-letter",
    "redis-read",
    "redis-entry",
    "redis-settle",
    "redis-chores",
    "sqs-receive",
    "sqs-message",
    "sqs-settle",
    "sqs-call",
    "queue-read",
    "shadow",
];

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
    debug_assert!(
        [NAMES, DEPLOY_NAMES, TASK_NAMES].iter().any(|names| names.contains(&name)),
        "a point that is in no list"
    );
    #[cfg(feature = "crash-points")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "crash-points"))]
    let _unused = name;
}
