//! Kafka: a consumer of a group, with explicit offsets.
//!
//! One thread polls for as long as the source lives, whatever the handlers do, so that the group
//! keeps its member; backpressure is pausing. Committed is only what the core has let pass, never
//! what was merely handed over. The rules are those of the group protocol (KIP-62, KIP-429).

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]
#![deny(unsafe_code)]

mod admin;
mod advice;
mod beginning;
mod client;
mod commit;
mod config;
mod context;
mod convert;
mod dead_letter_config;
mod dead_letter_record;
mod depth;
mod diagnose;
mod ends;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod headers;
mod inspect;
mod jobs;
mod letter_reader;
mod letters;
mod options;
mod ordered;
mod outbox_config;
mod partition;
mod points;
mod poll;
mod producer;
mod publish;
mod range;
mod reader;
mod reassign;
mod receipt;
mod refused;
mod renew;
mod replay;
mod reset;
mod rights;
mod skip;
mod state;
mod style;
mod topic_id;
mod topics;

pub use config::{KafkaConfig, configure};
pub use dead_letter_config::{LetterTopics, configure_letters};
pub use options::{KafkaOptions, Order};
pub use outbox_config::{KafkaTarget, configure_target};

use inspect::{PartitionStatus, inspect};
use letters::{KafkaLetters, LetterOptions};
use options::refused_option;
use pelton_core::ports::{
    BoxFuture, Capabilities, Depth, ErrorClass, Lag, Revocation, Scope, Settle, Source,
};
use pelton_core::{Message, Panicked, Receipt};
use producer::KafkaProducer;
use publish::KafkaPublisher;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use state::SourceShared;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use style::HeaderStyle;
use topics::{LetterTopic, Topics};

/// A consumer cannot be made of these options.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSourceError {
    /// The client library refuses the options.
    #[error(
        "the Kafka client refuses the options: {}. See the table `librdkafka` of the source",
        options::refused(.0)
    )]
    Options(KafkaError),
    /// The thread that polls could not be started.
    #[error("the thread that polls Kafka could not be started: {0}")]
    Thread(std::io::Error),
}

/// How long the broker may take for the last commit and the goodbye.
const LEAVE: Duration = Duration::from_secs(10);

/// A partition by its name, as the status has it: `orders/3`.
fn partition_named(name: &str) -> Option<(&str, i32)> {
    let (topic, number) = name.rsplit_once('/')?;
    Some((topic, number.parse().ok().filter(|number| *number >= 0)?))
}

/// A member of a consumer group, as a source.
pub struct KafkaSource {
    shared: Arc<SourceShared>,
    poller: Mutex<Option<JoinHandle<()>>>,
}

impl KafkaSource {
    /// Joins the group. Returns at once: an unreachable broker is logged and tried again for ever.
    ///
    /// # Errors
    /// When the client library refuses the options, or a thread cannot be started.
    pub fn open(options: KafkaOptions) -> Result<Self, KafkaSourceError> {
        let shared = Arc::new(SourceShared::new(options));
        let consumer = poll::consumer(&shared)?;
        let name = format!("kafka-{}", shared.options.pipeline);
        let polling = shared.clone();
        let poller = std::thread::Builder::new().name(name).spawn(move || {
            polling
                .fuse
                .contain("the thread that polls Kafka", || poll::run(consumer, &polling))
                .unwrap_or_default();
        });
        let poller = poller.map_err(KafkaSourceError::Thread)?;
        Ok(Self { shared, poller: Mutex::new(Some(poller)) })
    }

    /// Whether the client library takes the options. No group is joined, and no broker is asked.
    ///
    /// # Errors
    /// It refuses them.
    pub fn probe(options: &KafkaOptions) -> Result<(), KafkaSourceError> {
        let made = options.client().create::<BaseConsumer>();
        made.map(drop).map_err(KafkaSourceError::Options)
    }
}

impl Source for KafkaSource {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease_ms: None,
            native_delay: false,
            lane_order: false,
            cumulative: true,
            shares_ledger: false,
        }
    }

    fn receive(
        &self,
        max: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<pelton_core::Delivery>, ErrorClass>> {
        Box::pin(async move {
            loop {
                let answer = self.shared.state().answer(max, max_bytes);
                if let Some(answer) = answer {
                    self.shared.taken.notify_one();
                    return answer;
                }
                // What arrived meanwhile has left a permit.
                self.shared.arrived.notified().await;
            }
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let mut state = self.shared.state();
        let settle = |(receipt, how): (Receipt, Settle)| match how {
            Settle::Ack => state.pass(receipt).ok_or(ErrorClass::LeaseLost),
            // What is not acknowledged stays before the committed offset.
            Settle::GiveBack | Settle::RetryLater { .. } | Settle::LeaveToRedrive { .. } => Ok(()),
        };
        let results = batch.into_iter().map(settle).collect();
        Box::pin(std::future::ready(results))
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        let mut state = self.shared.state();
        state.wants_ends = true;
        Box::pin(std::future::ready(Ok(Lag { unsettled: state.unsettled() })))
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, ErrorClass>> {
        Box::pin(depth::depth(&self.shared))
    }

    fn revoked(&self) -> BoxFuture<'_, Revocation> {
        Box::pin(async move {
            loop {
                let next = self.shared.state().revocations.pop_front();
                if let Some(revocation) = next {
                    return revocation;
                }
                self.shared.taken_back.notified().await;
            }
        })
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(self.shared.fuse.blown())
    }

    fn scope(&self, message: &Message) -> Scope {
        self.shared.state().scope(message.origin())
    }

    fn partition_status(&self) -> Vec<pelton_core::ports::PartitionStatus> {
        let state = self.shared.state();
        let ours = state.partitions.iter().filter(|p| p.ours);
        ours.map(|p| p.partition_status(self.shared.options.max_uncommitted)).collect()
    }

    fn partition(&self, name: &str) -> Option<u32> {
        let (topic, number) = partition_named(name)?;
        self.shared.options.partition(topic, number)
    }

    fn trouble(&self) -> Option<String> {
        self.shared.state().trouble()
    }

    fn holds(&self, _waiting: usize, unwanted: &[u32]) {
        self.shared.state().want_all_but(unwanted);
        self.shared.arrived.notify_one();
        self.shared.taken.notify_one();
    }

    fn let_go(&self, partitions: Vec<u32>) {
        self.shared.state().let_go(&partitions);
        self.shared.released.notify_all();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.state().closing = true;
        self.shared.arrived.notify_one();
        self.shared.taken.notify_one();
        self.shared.released.notify_all();
        let poller = self.poller.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            let Some(poller) = poller else { return };
            // It commits, and leaves the group: that takes as long as the broker takes.
            let ended = tokio::task::spawn_blocking(|| poller.join());
            let pipeline = &*self.shared.options.pipeline;
            match tokio::time::timeout(LEAVE, ended).await {
                Ok(Ok(Ok(()))) => {}
                Ok(_) => tracing::error!(pipeline, "the thread that polls Kafka panicked"),
                Err(_) => tracing::warn!(
                    pipeline,
                    "the broker has not answered the last commit for {LEAVE:?}: what it covers is in the \
                     ledger, \
                     and the group notices by itself that this member is gone"
                ),
            }
        })
    }
}
