//! What is asked of the service from outside.

use crate::{QueueAdmin, QueueConfig, QueueFacts, Redrive, SqsConfig};
use pelton_core::broker::{Cell, Column, Fact, Facts, Row, SourceStatus};

/// The table of queues. The service counts approximately.
const COLUMNS: &[Column] = &[
    Column { title: "queue", cell: Cell::Fact("queue") },
    Column { title: "visible", cell: Cell::Of(|facts| about(facts, "visible")) },
    Column { title: "in flight", cell: Cell::Of(|facts| about(facts, "in_flight")) },
    Column { title: "delayed", cell: Cell::Of(|facts| about(facts, "delayed")) },
];

fn about(facts: &Facts, name: &str) -> String {
    format!("about {}", facts.shown(name))
}

impl QueueConfig {
    /// The queue, for a command that waits.
    ///
    /// # Errors
    /// When its address is none, in words.
    pub fn open(&self) -> Result<QueueAdmin, String> {
        QueueAdmin::open(&self.url, self.connection())
    }

    /// What the service says of it. Blocks.
    ///
    /// # Errors
    /// When the service says nothing, in words with the queue's address.
    pub fn facts(&self) -> Result<QueueFacts, String> {
        self.open()?.facts().map_err(|why| format!("{}: {why}", self.url))
    }
}

impl QueueConfig {
    /// The target of this queue's policy: a queue of the same account and region, as the service demands.
    #[must_use]
    pub fn target(&self, policy: &Redrive) -> Self {
        let name = policy.target_arn.rsplit(':').next().unwrap_or_default();
        let account = self.url.rsplit_once('/').map_or("", |(account, _)| account);
        Self { url: format!("{account}/{name}"), ..self.clone() }
    }
}

impl SqsConfig {
    /// The queue that the policy of this one puts messages into. Blocks.
    ///
    /// # Errors
    /// In words: the service says nothing, or there is no policy.
    pub fn redriven(&self) -> Result<QueueConfig, String> {
        let policy = self.queue.facts()?.redrive;
        policy.map(|policy| self.queue.target(&policy)).ok_or_else(|| self.no_policy())
    }

    /// What to say where nothing would ever be moved to dead letters.
    #[must_use]
    pub fn no_policy(&self) -> String {
        format!(
            "`redrive` leaves dead letters to the queue's own policy, and the queue {} has none: what is \
             given up on would come again until its retention ends. Set its RedrivePolicy, or write \
             `queue_url` instead of `redrive`",
            self.queue.name()
        )
    }
}

/// How the queue stands.
pub fn status(sqs: &SqsConfig) -> Result<SourceStatus, Vec<String>> {
    let found = sqs.queue.facts().map_err(|why| vec![why])?;
    let facts = Facts(vec![
        ("queue", sqs.queue.name().into()),
        ("visible", Fact::Count(found.visible)),
        ("in_flight", Fact::Count(found.in_flight)),
        ("delayed", Fact::Count(found.delayed)),
        ("approximate", Fact::Flag(true)),
    ]);
    let row = Row { facts, lag: found.unsettled(), ..Row::default() };
    Ok(SourceStatus { name: "queues", columns: COLUMNS, below: None, rows: vec![row] })
}
