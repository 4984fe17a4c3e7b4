//! A Kafka source, wired to the ledger.

use super::target::Target;
use crate::cli::SendArgs;
use crate::commands::store_fail;
use crate::config::{Config, PipelineConfig};
use crate::exit::{CONFIG, Fail};
use crate::registry::{LettersConfig, SourceConfig};
use pelton_core::ports::{DeadLetters, Source};
use pelton_engine::DedupKey;
use pelton_kafka::{
    KafkaConfig, KafkaLetters, KafkaOptions, KafkaProducer, KafkaSource, KnownTopic, LetterOptions,
    LetterTopics, Outgoing, unreadable_files,
};
use pelton_store::{NewMessage, NotedLetters, PipelineStore, Store, StoreError, TopicBefore};
use std::sync::Arc;

/// Joins the group. The broker need not be there yet.
pub fn open(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    ledger: &PipelineStore,
) -> Result<Arc<dyn Source>, Fail> {
    has_files(pipeline, kafka)?;
    let options = options(store, config, pipeline, kafka, ledger).map_err(store_fail)?;
    let source = KafkaSource::open(options).map_err(|error| {
        Fail::new(CONFIG, anyhow::anyhow!("pipelines.{}.source: {error}", pipeline.name))
    })?;
    Ok(Arc::new(source))
}

pub fn options(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    ledger: &PipelineStore,
) -> Result<KafkaOptions, StoreError> {
    let numbered = |topic: &String| Ok((topic.clone(), store.topic_number(&pipeline.name, topic)?));
    let (ledger, forgets, meets, knows) = (ledger.clone(), ledger.clone(), ledger.clone(), ledger.clone());
    let (group, dedup) = (kafka.group_id.clone(), pipeline.dedup.clone());
    let mut has_read = false;
    for topic in &kafka.topics {
        has_read |= store.has_read(&pipeline.name, topic, &group)?;
    }
    Ok(KafkaOptions {
        has_read,
        topics: kafka.topics.iter().map(numbered).collect::<Result<_, StoreError>>()?,
        forget: Arc::new(move |partition| forgets.forget_positions(partition)),
        settled: Arc::new(move |partition, offset| ledger.settled_before(partition, offset)),
        topic_is: Arc::new(move |number, id| {
            meets.topic_is(number, id, &group).map(|before| known(before, id, &group))
        }),
        completed: Arc::new(move |partition, offset| match dedup {
            DedupKey::MessageId => Some(knows.completed_from(partition, offset)),
            DedupKey::Off => Some(0),
            DedupKey::Header(_) | DedupKey::Json { .. } | DedupKey::Body => None,
        }),
        ..unopened(config, pipeline, kafka)
    })
}

/// As they are configured; no ledger is behind them.
fn unopened(config: &Config, pipeline: &PipelineConfig, kafka: &KafkaConfig) -> KafkaOptions {
    KafkaOptions {
        pipeline: pipeline.name.as_str().into(),
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        topics: Vec::new(),
        group_id: kafka.group_id.clone(),
        auto_offset_reset: kafka.auto_offset_reset.to_owned(),
        has_read: false,
        out_of_range: kafka.out_of_range.to_owned(),
        group_protocol: kafka.group_protocol.to_owned(),
        order: kafka.order,
        librdkafka: kafka.librdkafka.clone(),
        max_buffered: pipeline.max_in_flight,
        max_buffered_bytes: pipeline.max_in_flight_bytes,
        max_uncommitted: kafka.max_uncommitted,
        revoke_timeout: config.shutdown_timeout,
        forget: Arc::new(|_| None),
        settled: Arc::new(|_, _| {}),
        topic_is: Arc::new(|_, _| None),
        completed: Arc::new(|_, _| None),
    }
}

/// What stands against opening a source and its letters. No broker is asked. Blocks.
pub fn probe(config: &Config, pipeline: &PipelineConfig, kafka: &KafkaConfig) -> Vec<String> {
    let mut problems = unreadable_files(&kafka.librdkafka);
    // The library would say the same of them, or wait for a pipe.
    if problems.is_empty() {
        let source = KafkaSource::probe(&unopened(config, pipeline, kafka)).err();
        problems.extend(source.map(|error| error.to_string()));
    }
    if problems.is_empty() && matches!(pipeline.dead_letters, LettersConfig::Topics(_)) {
        problems.extend(KafkaProducer::open(&kafka.bootstrap_servers, &kafka.librdkafka).err());
    }
    problems
}

/// Refuses before the client library would wait.
fn has_files(pipeline: &PipelineConfig, kafka: &KafkaConfig) -> Result<(), Fail> {
    let wrong = unreadable_files(&kafka.librdkafka);
    if wrong.is_empty() { Ok(()) } else { Err(refused(pipeline, &wrong.join("; "))) }
}

fn known(before: TopicBefore, id: &str, group: &str) -> KnownTopic {
    KnownTopic {
        met: before.id.is_some(),
        other: before.is_other_than(id),
        former_group: before.group.filter(|former| former != group),
    }
}

struct Topic {
    producer: KafkaProducer,
    name: String,
    max: usize,
}

impl Topic {
    fn too_large(&self, size: usize) -> String {
        format!(
            "the body has {size} bytes, and `max_message_bytes` is {}: raise it, or send a reference to the data instead",
            self.max
        )
    }
}

impl Target for Topic {
    fn send(&self, batch: &[NewMessage]) -> Result<Vec<Result<String, String>>, Fail> {
        let fits = |m: &&NewMessage| m.body.len() <= self.max;
        let records: Vec<Outgoing<'_>> =
            batch.iter().filter(fits).map(|m| outgoing(&self.name, m)).collect();
        let mut sent = self.producer.send(&records).into_iter();
        let result = |m: &NewMessage| {
            if !fits(&m) {
                return Err(self.too_large(m.body.len()));
            }
            let unsaid = || Err("the broker did not say whether it has it".to_owned());
            sent.next().map_or_else(unsaid, |sent| sent.map_err(|refused| refused.words))
        };
        Ok(batch.iter().map(result).collect())
    }
}

fn outgoing<'m>(topic: &'m str, message: &'m NewMessage) -> Outgoing<'m> {
    Outgoing {
        topic,
        key: message.key.as_deref(),
        value: Some(&message.body),
        headers: &message.headers,
        published_at_ms: None,
        partition: None,
        replays: None,
    }
}

/// Sends to the pipeline's topic; to the first, where it reads several.
pub fn target(
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    args: &SendArgs,
) -> Result<Box<dyn Target>, Fail> {
    let cannot = |what: &str| Fail::usage(format!("`{}` reads Kafka, which {what}", pipeline.name));
    if args.id.is_some() {
        return Err(cannot(
            "gives the ids itself; send an id of your own in a header, and name it in `dedup.key`",
        ));
    }
    if args.delay.is_some() {
        return Err(cannot("has no delayed records"));
    }
    let name = kafka.topics.first().cloned().unwrap_or_default();
    let producer = producer(pipeline, kafka)?;
    // Said once, and not for each of a million lines.
    producer.partitions(&name).map_err(|why| Fail::refused(format!("nothing was sent: {why}")))?;
    Ok(Box::new(Topic { producer, name, max: config.max_message_bytes }))
}

/// Dead letters in topics, written down in the ledger too.
pub fn letters(
    pipeline: &PipelineConfig,
    topics: &LetterTopics,
    ledger: &PipelineStore,
) -> Result<Arc<dyn DeadLetters>, Fail> {
    let SourceConfig::Kafka(kafka) = &pipeline.source else { return Ok(Arc::new(ledger.clone())) };
    has_files(pipeline, kafka)?;
    let options = LetterOptions {
        pipeline: pipeline.name.as_str().into(),
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        librdkafka: kafka.librdkafka.clone(),
        group_id: kafka.group_id.clone(),
        topics: topics.topics.clone(),
        style: topics.style,
        create: topics.create,
    };
    let (noted, otherwise) = (Arc::new(NotedLetters(ledger.clone())), Arc::new(ledger.clone()));
    let letters = KafkaLetters::open(options, noted, otherwise);
    Ok(Arc::new(letters.map_err(|why| refused(pipeline, &why))?))
}

pub fn refused(pipeline: &PipelineConfig, why: &str) -> Fail {
    Fail::new(CONFIG, anyhow::anyhow!("pipelines.{}.source: {why}", pipeline.name))
}

pub fn producer(pipeline: &PipelineConfig, kafka: &KafkaConfig) -> Result<KafkaProducer, Fail> {
    has_files(pipeline, kafka)?;
    KafkaProducer::open(&kafka.bootstrap_servers, &kafka.librdkafka).map_err(|why| refused(pipeline, &why))
}
