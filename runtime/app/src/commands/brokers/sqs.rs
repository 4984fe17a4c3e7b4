//! An SQS source, wired to the ledger; and what commands ask its queue.

use super::target::Target;
use crate::cli::SendArgs;
use crate::config::{Config, PipelineConfig};
use crate::exit::Fail;
use crate::registry::{LettersConfig, SourceConfig};
use pelton_sqs::{
    LetterQueue, Outgoing, QueueAdmin, QueueConfig, QueueFacts, SqsConfig, is_fifo, is_message_id,
};
use pelton_store::NewMessage;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The longest delay that a message may be sent with.
const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// A queue, for a command that waits.
pub fn desk(queue: &QueueConfig) -> Result<QueueAdmin, String> {
    queue.open()
}

pub fn facts(queue: &QueueConfig) -> Result<QueueFacts, String> {
    queue.facts()
}

/// The queue that the policy of the pipeline's queue puts messages into: one of the same account and
/// region, as the service demands.
pub fn redriven(pipeline: &PipelineConfig) -> Result<QueueConfig, String> {
    let SourceConfig::Sqs(sqs) = &pipeline.source else {
        return Err(format!("`{}` does not read SQS", pipeline.name));
    };
    let policy = facts(&sqs.queue)?.redrive;
    policy.map(|policy| sqs.queue.target(&policy)).ok_or_else(|| sqs.no_policy())
}

/// How many letters their queue has, as far as the service knows.
pub fn count_letters(pipeline: &PipelineConfig) -> Result<u64, Fail> {
    let queue = match &pipeline.dead_letters {
        LettersConfig::Sqs(LetterQueue::Queue(queue)) => Ok(queue.clone()),
        _ => redriven(pipeline),
    };
    let counted = queue.and_then(|queue| facts(&queue));
    counted.map(|facts| facts.unsettled()).map_err(Fail::refused)
}

struct Queue {
    desk: QueueAdmin,
    max: usize,
    random: RandomState,
    sent: Cell<u64>,
}

impl Queue {
    fn outgoing(&self, message: &NewMessage) -> Outgoing {
        self.sent.set(self.sent.get() + 1);
        let unique = || format!("{}-{:016x}", std::process::id(), self.random.hash_one(self.sent.get()));
        // A producer's own id is what SQS knows a repetition by, for five minutes; nothing else is one.
        let dedup_id = message.id.clone().filter(|id| is_dedup_id(id)).unwrap_or_else(unique);
        Outgoing {
            id: message.id.clone(),
            key: message.key.clone(),
            headers: message.headers.clone(),
            body: message.body.clone(),
            delay_s: i32::try_from(message.delay_ms.div_ceil(1_000)).unwrap_or(i32::MAX),
            dedup_id: Some(dedup_id),
            ..Outgoing::default()
        }
    }
}

fn is_dedup_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

impl Target for Queue {
    fn send(&self, batch: &[NewMessage]) -> Result<Vec<Result<String, String>>, Fail> {
        let fits = |m: &&NewMessage| m.body.len() <= self.max;
        let outgoing: Vec<Outgoing> = batch.iter().filter(fits).map(|m| self.outgoing(m)).collect();
        let mut sent = self.desk.send(&outgoing).into_iter();
        let result = |m: &NewMessage| {
            if !fits(&m) {
                return Err(format!(
                    "the body has {} bytes, and `max_message_bytes` is {}: raise it, or send a reference \
                     to the data instead",
                    m.body.len(),
                    self.max
                ));
            }
            let unsaid = || Err("the service did not say whether it has it".to_owned());
            let given = sent.next().unwrap_or_else(unsaid)?;
            Ok(m.id.clone().unwrap_or(given))
        };
        Ok(batch.iter().map(result).collect())
    }
}

/// Sends to the pipeline's queue.
pub fn target(
    config: &Config,
    pipeline: &PipelineConfig,
    sqs: &SqsConfig,
    args: &SendArgs,
) -> Result<Box<dyn Target>, Fail> {
    let cannot = |what: &str| Fail::usage(format!("`{}` reads SQS, which {what}", pipeline.name));
    if args.delay.is_some_and(|delay| delay > LONGEST_DELAY) {
        return Err(cannot("delays a message by 15m at most"));
    }
    if args.id.as_deref().is_some_and(|id| !is_message_id(id)) {
        return Err(Fail::usage("--id takes 1 to 512 bytes without control characters"));
    }
    if args.delay.is_some() && is_fifo(&sqs.queue.url) {
        return Err(cannot("has no delayed messages in a FIFO queue"));
    }
    let desk = desk(&sqs.queue).map_err(Fail::refused)?;
    // Said once, and not for each of a million lines.
    desk.facts().map_err(|why| Fail::refused(format!("nothing was sent: {why}")))?;
    let (random, sent) = (RandomState::new(), Cell::new(0));
    Ok(Box::new(Queue { desk, max: config.max_message_bytes, random, sent }))
}
