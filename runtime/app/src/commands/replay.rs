//! `pelton replay`: a part of a topic once more, beside the group.

use super::kafka::{self, PATIENCE};
use super::{find, load, options, replay_live, run, store_fail, table};
use crate::cli::{FromOffset, ReplayArgs};
use crate::config::{Config, KafkaConfig, PipelineConfig, SourceConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::{logs, progress};
use indicatif::ProgressBar;
use pelton_core::ports::{DeadLetters, Handler, Source};
use pelton_engine::{Control, Phase, PipelineStats, Ports};
use pelton_sources::kafka::{KafkaReplay, Part, PartitionStatus, Reader, inspect};
use pelton_store::{PipelineStore, Store};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// The parts of each topic.
pub type Parts = Vec<(String, Vec<Part>)>;

/// Replays, and says what came of it.
pub fn replay(file: &Path, args: &ReplayArgs) -> Outcome {
    let mut config = load(file)?;
    let name = find(&config, &args.pipeline)?.name.clone();
    // Only this one's handler is needed.
    config.pipelines.retain(|p| p.name == name);
    let pipeline = find(&config, &name)?;
    #[cfg(feature = "redis")]
    if let SourceConfig::Redis(redis) = &pipeline.source {
        return super::replay_stream::replay(file, &config, pipeline, redis, args);
    }
    let SourceConfig::Kafka(kafka) = &pipeline.source else {
        return Err(Fail::usage(format!(
            "`{name}` reads {}, which keeps nothing that was handled; `pelton dlq replay` brings back dead letters",
            pipeline
                .source
                .queue()
                .map_or_else(|| pipeline.source.describe(), |_| "an embedded queue".to_owned())
        )));
    };
    #[cfg(feature = "redis")]
    if args.from_id.is_some() {
        return Err(Fail::usage(format!(
            "`{name}` reads Kafka, which has no such ids: give --from-offset"
        )));
    }
    let parts = plan(pipeline, kafka, args)?;
    let count: u64 = parts.iter().flat_map(|(_, parts)| parts).map(length).sum();
    if count == 0 {
        println!("nothing to replay: the group `{}` has passed no record in that range", kafka.group_id);
        return Ok(());
    }
    let bar = progress::bar(count);
    let done = if Store::owner_of(&config.data_dir).is_some() {
        replay_live::ask(&config, pipeline, args, &parts, &bar)
    } else {
        logs::start(args.log_format, bar.clone());
        alone(file, &config, pipeline, args.redo, &bar, |store, ledger| {
            open(store, &config, pipeline, kafka, ledger, parts, args.rate)
        })
    };
    bar.finish_and_clear();
    report(&name, &done?)
}

/// A source with an end.
pub trait Ending: Source {
    /// Messages that the pipeline is done with.
    fn settled(&self) -> u64;

    /// Everything was read and settled.
    fn is_complete(&self) -> bool;

    /// Why it ended before its end, if it did.
    fn failed(&self) -> Option<String>;
}

impl Ending for KafkaReplay {
    fn settled(&self) -> u64 {
        self.settled()
    }

    fn is_complete(&self) -> bool {
        self.is_complete()
    }

    fn failed(&self) -> Option<String> {
        self.failed()
    }
}

fn open(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    ledger: &PipelineStore,
    parts: Parts,
    rate: Option<f64>,
) -> Result<Arc<dyn Ending>, Fail> {
    let options = kafka::options(store, config, pipeline, kafka, ledger).map_err(store_fail)?;
    let source = KafkaReplay::open(options, parts, rate);
    Ok(Arc::new(source.map_err(|why| kafka::refused(pipeline, &why))?))
}

/// In this process, which owns the data directory meanwhile.
pub fn alone(
    file: &Path,
    config: &Config,
    pipeline: &PipelineConfig,
    redo: bool,
    bar: &ProgressBar,
    open: impl FnOnce(&Store, &PipelineStore) -> Result<Arc<dyn Ending>, Fail>,
) -> Result<Done, Fail> {
    let store = Store::open_owner(&config.data_dir, options(config)).map_err(store_fail)?;
    let handler = run::load_handlers(file, config)?.pop();
    let handler = handler.ok_or_else(|| Fail::usage(format!("`{}` has no handler", pipeline.name)))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let ended = runtime.block_on(async {
        let (phase, phases) = watch::channel(Phase::Running);
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listening = tokio::spawn(run::listen(signals, phase));
        let ledger = run::ledger(&store, pipeline, &handler)?;
        let letters = run::letters(pipeline, &ledger)?;
        let source = open(&store, &ledger)?;
        let work = Work { config, pipeline, store: &store, redo };
        let ended =
            work.drive(source, ledger, letters, handler, phases, |settled| bar.set_position(settled)).await;
        listening.abort();
        ended
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    store.close();
    ended
}

fn length(part: &Part) -> u64 {
    u64::try_from(part.to - part.from).unwrap_or(0)
}

/// Which offsets: from where it was said, and no further than the group has come. What lies behind that
/// is the group's to handle.
fn plan(pipeline: &PipelineConfig, kafka: &KafkaConfig, args: &ReplayArgs) -> Result<Parts, Fail> {
    let standing =
        inspect(&kafka.bootstrap_servers, &kafka.group_id, &kafka.topics, &kafka.librdkafka, PATIENCE);
    let standing = standing.map_err(|problems| Fail::refused(problems.join("; ")))?;
    let reader = Reader::open(&kafka.bootstrap_servers, &kafka.librdkafka, PATIENCE);
    let reader = reader.map_err(|why| kafka::refused(pipeline, &why))?;
    for from in &args.from_offset {
        known(from, kafka, &standing)?;
    }
    let mut all = Vec::new();
    for topic in &kafka.topics {
        let of_topic = standing.iter().filter(|s| s.topic == *topic);
        let mut parts: Vec<Part> = of_topic.filter_map(|s| passed(s, &args.from_offset)).collect();
        let at = |ms| reader.at_time(topic, &parts, ms).map_err(Fail::refused);
        let from = args.from_timestamp.map(at).transpose()?;
        let to = args.to_timestamp.map(at).transpose()?;
        for (part, offset) in parts.iter_mut().zip(from.into_iter().flatten()) {
            part.from = part.from.max(offset);
        }
        for (part, offset) in parts.iter_mut().zip(to.into_iter().flatten()) {
            part.to = part.to.min(offset);
        }
        parts.retain(|p| p.from < p.to);
        all.push((topic.clone(), parts));
    }
    Ok(all)
}

/// Refuses a place that the pipeline does not read.
fn known(from: &FromOffset, kafka: &KafkaConfig, standing: &[PartitionStatus]) -> Outcome {
    if from.topic.is_none() && kafka.topics.len() > 1 {
        return Err(Fail::usage(format!(
            "--from-offset {}:{}: say of which topic, as TOPIC/{}:{}; the pipeline reads {}",
            from.partition,
            from.offset,
            from.partition,
            from.offset,
            kafka.topics.join(", ")
        )));
    }
    if standing.iter().any(|s| is_of(from, s)) {
        return Ok(());
    }
    let count = standing.iter().filter(|s| from.topic.as_ref().is_none_or(|t| *t == s.topic)).count();
    Err(Fail::usage(format!(
        "--from-offset {}:{}: the pipeline reads no such partition; there are {count}, counted from 0",
        from.partition, from.offset
    )))
}

fn is_of(from: &FromOffset, status: &PartitionStatus) -> bool {
    from.partition == status.partition && from.topic.as_ref().is_none_or(|t| *t == status.topic)
}

/// What the group has passed of one partition; from an offset on, if one is named for any.
fn passed(status: &PartitionStatus, named: &[FromOffset]) -> Option<Part> {
    let from = match named.iter().find(|from| is_of(from, status)) {
        Some(from) => from.offset.max(status.first),
        None if named.is_empty() => status.first,
        None => return None,
    };
    let to = status.committed.unwrap_or(status.first).min(status.end);
    Some(Part { partition: status.partition, from, to })
}

/// A replay of topics, wherever it runs.
pub struct Job<'c> {
    pub config: &'c Config,
    pub pipeline: &'c PipelineConfig,
    pub kafka: &'c KafkaConfig,
    pub store: &'c Store,
    pub redo: bool,
    pub rate: Option<f64>,
}

/// A replay, whatever it reads.
struct Work<'c> {
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    store: &'c Store,
    redo: bool,
}

/// What came of a replay.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// All of it was read and settled.
    pub complete: bool,
    pub settled: u64,
    pub handled: u64,
    pub retries: u64,
    pub dead_letters: u64,
    /// Why it could not be read to its end.
    pub failed: Option<String>,
}

impl Job<'_> {
    /// Runs it to its end, or until `phase` says drain. `seen` is told now and then how many are settled.
    pub async fn work(
        &self,
        ledger: PipelineStore,
        letters: Arc<dyn DeadLetters>,
        handler: Arc<dyn Handler>,
        parts: Parts,
        phase: watch::Receiver<Phase>,
        seen: impl FnMut(u64),
    ) -> Result<Done, Fail> {
        let Self { config, pipeline, kafka, store, redo, rate } = *self;
        let source = open(store, config, pipeline, kafka, &ledger, parts, rate)?;
        Work { config, pipeline, store, redo }.drive(source, ledger, letters, handler, phase, seen).await
    }
}

impl Work<'_> {
    async fn drive(
        &self,
        source: Arc<dyn Ending>,
        ledger: PipelineStore,
        letters: Arc<dyn DeadLetters>,
        handler: Arc<dyn Handler>,
        phase: watch::Receiver<Phase>,
        mut seen: impl FnMut(u64),
    ) -> Result<Done, Fail> {
        let ledger = if self.redo { ledger.redoing() } else { ledger };
        let ports = Ports { source: source.clone(), ledger: Arc::new(ledger), letters, handler };
        let stats = Arc::new(PipelineStats::default());
        let control = Control { phase, until_empty: true, shutdown_timeout: self.config.shutdown_timeout };
        let random = RandomState::new().hash_one(self.pipeline.name.as_str());
        let spec = run::spec(self.config, self.pipeline);
        let mut running = pin!(pelton_engine::run(vec![(spec, ports, stats.clone())], control, random));
        let mut tick = tokio::time::interval(LOOK);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                _ = tick.tick() => seen(source.settled()),
            }
        };
        ended.map_err(|stopped| run::stopped_fail(self.store, &stopped))?;
        let counts = stats.snapshot();
        Ok(Done {
            complete: source.is_complete(),
            settled: source.settled(),
            handled: counts.handled,
            retries: counts.retries,
            dead_letters: counts.dead_letters,
            failed: source.failed(),
        })
    }
}

pub fn report(name: &str, done: &Done) -> Outcome {
    let n = table::number;
    let known = done.settled.saturating_sub(done.handled + done.dead_letters);
    println!(
        "replayed {} of {name}: {} handled, {} known to the ledger, {} retries, {} dead letters",
        n(done.settled),
        n(done.handled),
        n(known),
        n(done.retries),
        n(done.dead_letters),
    );
    let again = "What was handled is in the ledger: without --redo the same command goes on";
    match &done.failed {
        Some(why) => Err(Fail::refused(format!("the replay ended early: {why}. {again}"))),
        None if !done.complete => Err(Fail::refused(format!("the replay was ended early. {again}"))),
        None => Ok(()),
    }
}
