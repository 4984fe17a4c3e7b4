//! Where messages come from.

use super::{BoxFuture, Counted, ErrorClass, Scope};
use crate::contain::Panicked;
use crate::message::{Delivery, Message, Receipt};

/// What a source can do, as data. The contract suite and the core are steered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Length of a lease in milliseconds; `None` when deliveries stay ours while the process lives.
    pub lease_ms: Option<u64>,
    /// Deliveries can be given back with a delay that the source keeps, over a restart too.
    pub native_delay: bool,
    /// The source itself holds back a lane while an earlier delivery of it was given back.
    pub lane_order: bool,
    /// Settled by a position that moves on (a watermark) instead of one by one.
    pub cumulative: bool,
    /// Its rows are in the ledger's database: completing, publishing and releasing settle in the
    /// same transaction, by the `settle` field of their items.
    pub shares_ledger: bool,
}

/// How a delivery ended, as told to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Done with: never deliver it again.
    Ack,
    /// Deliver it again, not before this many milliseconds from now.
    RetryLater {
        /// The wait.
        delay_ms: u64,
    },
    /// Deliver it again at once, in order; it was not started.
    GiveBack,
    /// It was given up on, and the broker moves it to its own dead letters: deliver it again until then,
    /// each time not before this many milliseconds from now. What was received behind it goes on. Only
    /// where the pipeline is told to leave dead letters to its broker.
    LeaveToRedrive {
        /// The wait.
        delay_ms: u64,
    },
}

/// What is waiting in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Messages not yet settled, those in flight and delayed included.
    pub unsettled: u64,
}

/// How much waits in a source, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages not yet settled, those in flight and delayed included; where the broker numbers them, the
    /// numbers between.
    pub unsettled: u64,
    /// When the oldest of them was published, in milliseconds since the Unix epoch, where that is known.
    pub oldest_at_ms: Option<u64>,
}

/// Partitions that a source takes back, to give them to another member of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The partitions, as in [`Position`](crate::Position), and the number of the assignment that
    /// ends: what was received with it, or with an earlier one, is no longer ours.
    pub partitions: Vec<(u32, u32)>,
    /// They are another's already: nothing of them may be settled. Otherwise what runs may finish,
    /// and the source waits for `let_go`, as long as its broker lets it.
    pub lost: bool,
}

/// How one partition stands, as its reader knows it; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// As operators write it, such as `orders/3`.
    pub name: String,
    /// As in [`Position`](crate::Position).
    pub partition: u32,
    /// The next offset that would be committed; none until something was settled.
    pub position: Option<u64>,
    /// One past the last record received.
    pub received: Option<u64>,
    /// Records received beyond what may be committed, counted by offsets.
    pub behind: u64,
    /// Nothing more is received of it: `behind` has come to its limit, or too much of it waits in the
    /// pipeline.
    pub held_back: bool,
    /// The second of these.
    pub crowded: bool,
}

/// Where messages come from. One per pipeline, owned by its driver task.
pub trait Source: Send + Sync {
    /// Constant for the life of the source. Called once, at start.
    fn capabilities(&self) -> Capabilities;

    /// Waits for at least one delivery and returns at most `max`, whose weights add up to at most
    /// `max_bytes` (the first one always fits: the caller asks only when the largest allowed
    /// message would). At most one call is under way. Returns an empty list when the source was
    /// closed, or after a transient error it has logged; the caller asks again.
    ///
    /// A source with leases does not know the driver's clock: its `lease_until` counts from the moment
    /// this resolves, and the driver moves it to its own origin.
    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>>;

    /// Tells the broker how deliveries ended. `LeaseLost` for a receipt whose lease has ended.
    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// Renews leases from now on. Called only when `lease_ms` is given. `LeaseLost` when it is too late.
    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// What is not settled, what a receive has handed over included: it may not have arrived yet. Called by
    /// `--until-empty` when the driver holds nothing.
    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>>;

    /// How much waits now. Asked every few seconds while somebody looks at metrics: one request, if it takes
    /// any. Unlike `lag` it may be a little off, and counts what has come since the source was opened.
    fn depth(&self) -> BoxFuture<'_, Result<Depth, ErrorClass>> {
        Box::pin(async {
            self.lag().await.map(|lag| Depth { unsettled: lag.unsettled, oldest_at_ms: None })
        })
    }

    /// Waits until partitions are taken back. Sources that take nothing back wait for ever.
    fn revoked(&self) -> BoxFuture<'_, Revocation> {
        Box::pin(std::future::pending())
    }

    /// Waits until something that runs for it, beside the calls of this port, has panicked: a thread, a
    /// task. What it says then is all there will be, and its pipeline ends. Sources that have nothing of
    /// the kind wait for ever.
    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(std::future::pending())
    }

    /// What numbers this message, as [`Scope`] says. Asked for messages whose handler may have effects.
    fn scope(&self, message: &Message) -> Scope;

    /// How the partitions stand that are ours now; none for sources without partitions.
    fn partition_status(&self) -> Vec<PartitionStatus> {
        Vec::new()
    }

    /// The number of a partition by its name, as in `partition_status`, whether it is ours now or not; none
    /// for what is none of this source.
    fn partition(&self, name: &str) -> Option<u32> {
        let _unknown = name;
        None
    }

    /// What it has counted so far: requests that are paid for, leases. Asked by `pelton status`, now and
    /// then.
    fn counted(&self) -> Counted {
        Vec::new()
    }

    /// Why nothing can be received now and what to do about it, in words; none when all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Told when it changes: of what was handed over, `waiting` wait for other messages and take no place,
    /// so a source that bounds how much it hands over bounds the rest. And of the partitions named, of
    /// which most of that is, nothing more is wanted until they are not named: the others must go on
    /// meanwhile. Must not wait.
    fn holds(&self, waiting: usize, unwanted: &[u32]) {
        let _unheeded = (waiting, unwanted);
    }

    /// Told when it changes: no more than `most` messages are wanted that were not handed over yet, since no
    /// more are started. A source whose broker counts receives must not fetch more, and with 0 it gives back
    /// what it has fetched, if that can go on elsewhere. Must not wait.
    fn wants(&self, most: usize) {
        let _unheeded = most;
    }

    /// Nothing of these partitions is in work any more, and what could be settled was.
    fn let_go(&self, partitions: Vec<u32>) {
        drop(partitions);
    }

    /// Ends a waiting `receive` and gives back what the broker thinks we hold. Called once, last.
    fn close(&self) -> BoxFuture<'_, ()>;
}
