//! Where `pelton send` puts messages: the source of the pipeline.

use crate::cli::SendArgs;
use crate::commands::open_beside;
use crate::config::{Config, PipelineConfig};
use crate::exit::Fail;
use crate::registry::SourceConfig;
use pelton_core::units;
use pelton_store::EmbeddedConfig;
use pelton_store::{NewMessage, Store};
use std::time::Duration;

/// Takes messages, and keeps them before it answers.
pub trait Target {
    /// For each message its id, or why it was refused. Blocks.
    fn send(&self, batch: &[NewMessage]) -> Result<Vec<Result<String, String>>, Fail>;
}

struct Queue {
    store: Store,
    name: String,
}

impl Target for Queue {
    fn send(&self, batch: &[NewMessage]) -> Result<Vec<Result<String, String>>, Fail> {
        let sent = self.store.send(&self.name, batch)?;
        Ok(sent.into_iter().map(|result| result.map_err(|why| why.to_string())).collect())
    }
}

/// Refuses a message that would wait for longer than anything of its pipeline may.
fn waits_enough(pipeline: &PipelineConfig, args: &SendArgs) -> Result<(), Fail> {
    let longest = Duration::from_millis(pipeline.retry.max_delay_ms);
    if args.delay.is_some_and(|delay| delay > longest) {
        return Err(Fail::usage(format!(
            "--delay is longer than the longest wait of `{name}`, {longest}: wait less, or raise \
             `max_delay` in [pipelines.{name}.retry]",
            name = pipeline.name,
            longest = units::written(longest)
        )));
    }
    Ok(())
}

/// The target of a pipeline; refuses what its broker cannot do.
#[cfg_attr(
    not(any(feature = "kafka", feature = "redis", feature = "sqs")),
    allow(unused_variables, reason = "brokers need it")
)]
pub fn open<'c>(
    config: &Config,
    pipeline: &'c PipelineConfig,
    args: &SendArgs,
) -> Result<Box<dyn Target + 'c>, Fail> {
    match &pipeline.source {
        SourceConfig::Embedded(EmbeddedConfig { queue }) => {
            waits_enough(pipeline, args)?;
            Ok(Box::new(Queue { store: open_beside(config)?, name: queue.clone() }))
        }
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) => super::kafka::target(config, pipeline, kafka, args),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => super::redis::target(config, pipeline, redis, args),
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(sqs) => super::sqs::target(config, pipeline, sqs, args),
    }
}
