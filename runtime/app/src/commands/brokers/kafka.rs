//! What commands send to a Kafka source.

use super::target::Target;
use crate::cli::SendArgs;
use crate::config::{Config, PipelineConfig};
use crate::exit::{CONFIG, Fail};
use crate::worker::assemble::open_fail;
use pelton_kafka::{KafkaConfig, KafkaProducer, Outgoing};
use pelton_store::NewMessage;

struct Topic {
    producer: KafkaProducer,
    name: String,
    max: usize,
}

impl Topic {
    fn too_large(&self, size: usize) -> String {
        format!(
            "the body has {size} bytes, and `max_message_bytes` is {}: raise it, or send a reference to \
             the data instead",
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
    let producer = kafka.producer().map_err(|error| open_fail(&pipeline.name, error))?;
    // Said once, and not for each of a million lines.
    producer.partitions(&name).map_err(|why| Fail::refused(format!("nothing was sent: {why}")))?;
    Ok(Box::new(Topic { producer, name, max: config.max_message_bytes }))
}

pub fn refused(pipeline: &PipelineConfig, why: &str) -> Fail {
    Fail::new(CONFIG, anyhow::anyhow!("pipelines.{}.source: {why}", pipeline.name))
}
