//! What a source can do, and which cases that leaves.

use pelton_core::ports::Capabilities;
use std::time::Duration;

/// A source, as data: what the suite asks of it depends on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// What the source itself says. The suite checks that it does.
    pub source: Capabilities,
    /// What was sent and not settled outlives the process.
    pub survives_restart: bool,
    /// Bodies, keys and header values may be any bytes.
    pub binary: bool,
    /// Messages have headers, in an order, and names may repeat.
    pub headers: bool,
    /// Messages may have an ordering key; those of one key come in order.
    pub keys: bool,
    /// Keys may be text of any language, and messages may have none.
    pub free_keys: bool,
    /// An empty key differs from none.
    pub empty_keys: bool,
    /// The producer may choose a message's id.
    pub explicit_ids: bool,
    /// Whoever sends a message learns its id.
    pub named: bool,
    /// The time of publishing is known.
    pub dated: bool,
    /// A message may be sent with a delay.
    pub delayed_send: bool,
    /// Messages of a lane that was just given back come again before other work of that lane, and
    /// other lanes go on meanwhile.
    pub lanes_are_independent: bool,
    /// The lag is exact.
    pub exact_lag: bool,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How soon a waiting `receive` sees what another process has sent.
    pub wakes_within: Duration,
    /// How long after a crash the broker still hands messages to what has died.
    pub haunted_for: Duration,
    /// How late a delayed message may be.
    pub delay_slack: Duration,
}

/// What a case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is said in `lacks`")]
pub enum Need {
    Restart,
    Binary,
    Headers,
    Keys,
    FreeKeys,
    EmptyKeys,
    ExplicitIds,
    DelayedSend,
    NativeDelay,
    LaneOrder,
    IndependentLanes,
    ExactLag,
    SharedLedger,
    Individual,
    Dated,
    /// Another source of the kind, beside it.
    Another,
}

impl Need {
    /// Why a source that is so described cannot run the case; none when it can.
    #[must_use]
    pub fn lacks(self, d: &Description) -> Option<&'static str> {
        let (has, why) = match self {
            Self::Restart => (d.survives_restart, "what is queued does not outlive the process"),
            Self::Binary => (d.binary, "it carries text only"),
            Self::Headers => (d.headers, "it has no headers"),
            Self::Keys => (d.keys, "it has no ordering keys"),
            Self::FreeKeys => (d.free_keys, "every message has a key, of a few characters"),
            Self::EmptyKeys => (d.empty_keys, "it cannot tell an empty key from none"),
            Self::ExplicitIds => (d.explicit_ids, "it gives the ids itself"),
            Self::DelayedSend => (d.delayed_send, "it cannot send with a delay"),
            Self::NativeDelay => (d.source.native_delay, "it cannot hold a delivery back: the core waits"),
            Self::LaneOrder => (d.source.lane_order, "it does not hold back a lane: the core does"),
            Self::IndependentLanes => (d.lanes_are_independent, "a lane that waits stops its partition"),
            Self::ExactLag => (d.exact_lag, "its lag is an estimate"),
            Self::SharedLedger => (d.source.shares_ledger, "it is not in the ledger's database"),
            Self::Dated => (d.dated, "it does not know when a message was published"),
            Self::Another => (true, ""),
            Self::Individual => (!d.source.cumulative, "it settles up to a position, not one by one"),
        };
        (!has).then_some(why)
    }
}
