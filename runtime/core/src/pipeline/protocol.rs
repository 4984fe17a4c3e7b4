//! What a pipeline is told, and what it says is to be done.

use crate::flow::{FlowRules, Steering};
use crate::message::{Delivery, Identity, Message, Receipt, Time};
use crate::outcome::{Letter, Outcome};
use crate::ports::{Capabilities, ClaimItem, Completion, ErrorClass, Release, Settle, Verdict, Work};
use crate::retry::RetryPolicy;
use std::sync::Arc;

/// What a pipeline is told at its start. Checked by the configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When to retry and when to give up.
    pub retry: RetryPolicy,
    /// The most deliveries at once that are in work, or could be.
    pub max_in_flight: usize,
    /// How many more may be held that wait: for what is ahead in their lane, for their retry, for their turn.
    pub max_waiting: usize,
    /// The most bytes held at once, whatever waits; at least `max_message_bytes`.
    pub max_in_flight_bytes: usize,
    /// The largest weight a message can have.
    pub max_message_bytes: usize,
    /// Chunks with a handler at once.
    pub concurrency: usize,
    /// The most messages in a chunk.
    pub max_chunk: usize,
    /// How much work a chunk should hold, in microseconds.
    pub chunk_us: u64,
    /// Whether a completed key is a duplicate from then on.
    pub dedup: bool,
    /// What the source can do.
    pub source: Capabilities,
    /// Digest of the handler at the start, for letters of messages that no handler has failed here.
    pub handler: Arc<str>,
    /// Whether the broker itself moves to its dead letters what is given up on.
    pub redrive: bool,
    /// Whether handlers may have effects: then the messages of a lane commit in its order.
    pub effects: bool,
    /// How fast messages are started, and when none is.
    pub flow: FlowRules,
}

/// What a message is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// To the ledger.
    pub identity: Identity,
    /// Its deduplication key in printable form, where that is not its id: for the idempotency key.
    pub key: Option<Arc<str>>,
    /// What handlers see in its place, where that is something else.
    pub seen: Option<Message>,
}

/// Why a message is not given to a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It cannot be read, or has no deduplication key: in words.
    Invalid(String),
    /// It says nothing to a handler.
    Nothing,
}

/// A delivery with what its message is known by, or why no handler is to see it.
pub type Read = (Delivery, Result<Known, Unread>);

/// What has happened.
#[derive(Debug)]
pub enum Input {
    /// The source answered: each delivery with what the ledger knows it by, or why it is invalid.
    Received(Result<Vec<Read>, ErrorClass>),
    /// The ledger answered a claim, one verdict per item.
    Claimed {
        /// The chunk.
        chunk: u64,
        /// The verdicts, or the class of the error.
        verdicts: Result<Vec<Verdict>, ErrorClass>,
    },
    /// The handler reported outcomes, by their place in the chunk's work.
    Handled {
        /// The chunk.
        chunk: u64,
        /// Digest of the component that made them.
        handler: Arc<str>,
        /// Place and outcome.
        outcomes: Vec<(usize, Outcome)>,
    },
    /// The handler is done with the chunk: its worker is free.
    Finished {
        /// The chunk.
        chunk: u64,
        /// How long the handler had it, in microseconds.
        micros: u64,
    },
    /// The answer to `Complete`, `Release` or `Publish`.
    Stored {
        /// The batch.
        batch: u64,
        /// One result per item.
        results: Vec<Result<(), ErrorClass>>,
    },
    /// The answer to `Settle`.
    Settled {
        /// The batch.
        batch: u64,
        /// One result per item.
        results: Vec<Result<(), ErrorClass>>,
    },
    /// The answer to `Extend`: until when each lease now runs.
    Extended {
        /// The batch.
        batch: u64,
        /// One result per item.
        results: Vec<Result<Time, ErrorClass>>,
    },
    /// The turn of this pipeline's suspect has come.
    SuspectTurn,
    /// The source takes partitions back.
    Revoked {
        /// The partitions, each with the assignment that ends.
        partitions: Vec<(u32, u32)>,
        /// They are another's already: nothing of them may be settled.
        lost: bool,
    },
    /// What an operator wants, whole: it replaces what was wanted before.
    Steer(Steering),
    /// Stop receiving; finish what runs, hand back the rest.
    Drain,
}

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// Ask the source for more.
    Receive {
        /// At most so many.
        max: usize,
        /// Of at most this weight together.
        max_bytes: usize,
    },
    /// Ask the ledger for the claims of a chunk.
    Claim {
        /// The chunk.
        chunk: u64,
        /// Its messages.
        items: Vec<ClaimItem>,
        /// One suspect, alone.
        alone: bool,
    },
    /// Tell the source what is held that takes no place, and what is not wanted.
    Holds {
        /// How many deliveries wait for others.
        waiting: usize,
        /// Partitions of which nothing more is wanted now: all of them, each time.
        unwanted: Vec<u32>,
    },
    /// Tell the source how much is to be fetched ahead of what is asked for.
    Wants {
        /// Messages, at most.
        most: usize,
    },
    /// Give a chunk to the handler.
    Handle {
        /// The chunk.
        chunk: u64,
        /// Its messages that were granted.
        work: Vec<Work>,
    },
    /// Complete claims.
    Complete {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Completion>,
    },
    /// Release claims.
    Release {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Release>,
    },
    /// Write dead letters.
    Publish {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Letter>,
    },
    /// Tell the broker.
    Settle {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<(Receipt, Settle)>,
    },
    /// Renew leases.
    Extend {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Receipt>,
    },
    /// Nothing of these partitions is in work any more, and all that could be settled is.
    LetGo {
        /// The partitions.
        partitions: Vec<u32>,
    },
    /// Ask for the turn to run a suspect: one at a time in the process.
    TakeSuspectTurn,
    /// Give the turn on.
    GiveSuspectTurn,
    /// Nothing can be promised any more: end the worker.
    Stop,
}
