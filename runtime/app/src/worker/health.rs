//! Whether a worker lives, and whether it is ready: what orchestrators ask.

use super::pipeline::RunningPipeline;
use crate::exit::needed;
use pelton_engine::Phase;
use pelton_store::Store;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Between two beats.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a beat may be missing.
const BEAT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a broker may be away while its pipeline is called ready.
const AWAY: Duration = Duration::from_secs(30);
/// Bytes of a reason.
const REASON_BYTES: usize = 1_000;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `worker`, `store` or `pipelines.NAME`.
    pub name: String,
    /// Why it is not as it should be; none while all is well.
    pub wrong: Option<String>,
    /// What is to be known all the same, such as a broker that has been away for a moment.
    pub remark: Option<String>,
}

impl Check {
    fn of(name: impl Into<String>, wrong: Option<String>) -> Self {
        Self { name: name.into(), wrong, remark: None }
    }
}

/// What the worker does, once it does anything.
struct Work {
    phase: watch::Receiver<Phase>,
    /// Those that run now.
    pipelines: Box<dyn Fn() -> Vec<Arc<RunningPipeline>> + Send + Sync>,
}

/// What beats, and since when something is wrong.
pub struct Health {
    began: Instant,
    /// When the runtime has last had a turn, in milliseconds after `began`.
    runtime: AtomicU64,
    /// The same of the thread that writes.
    writer: AtomicU64,
    store: OnceLock<Store>,
    work: OnceLock<Work>,
    /// What keeps pipelines from their brokers, and since when.
    away: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl Health {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            runtime: AtomicU64::new(0),
            writer: AtomicU64::new(0),
            store: OnceLock::new(),
            work: OnceLock::new(),
            away: Mutex::default(),
        })
    }

    /// From now on its runtime and its writer are listened to. Within the runtime.
    pub fn listen(self: &Arc<Self>, store: &Store) {
        self.store.set(store.clone()).unwrap_or_default();
        let (runtime, writer, of) = (self.clone(), self.clone(), store.clone());
        drop(needed(async move {
            loop {
                runtime.note(&runtime.runtime);
                runtime.look();
                tokio::time::sleep(BEAT_INTERVAL).await;
            }
        }));
        drop(needed(async move {
            loop {
                of.writer_moves().await;
                writer.note(&writer.writer);
                tokio::time::sleep(BEAT_INTERVAL).await;
            }
        }));
    }

    /// The handlers are loaded, and the pipelines begin.
    pub fn begin(
        &self,
        phase: watch::Receiver<Phase>,
        pipelines: impl Fn() -> Vec<Arc<RunningPipeline>> + Send + Sync + 'static,
    ) {
        // A process has one worker.
        drop(self.work.set(Work { phase, pipelines: Box::new(pipelines) }));
    }

    fn note(&self, beat: &AtomicU64) {
        beat.store(pelton_core::number::millis(self.began.elapsed()), Ordering::Relaxed);
    }

    fn away(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, String)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes since when brokers are away.
    fn look(&self) {
        let pipelines = self.pipelines();
        let mut away = self.away();
        away.retain(|name, _| pipelines.iter().any(|live| live.pipeline.name == *name));
        for live in &pipelines {
            let name = &live.pipeline.name;
            match cut_off(live) {
                None => drop(away.remove(name)),
                Some(why) => away.entry(name.clone()).or_insert((Instant::now(), String::new())).1 = why,
            }
        }
    }

    fn pipelines(&self) -> Vec<Arc<RunningPipeline>> {
        self.work.get().map(|work| (work.pipelines)()).unwrap_or_default()
    }

    /// Whether runtime and writer move.
    pub fn live(&self) -> Vec<Check> {
        let now = pelton_core::number::millis(self.began.elapsed());
        let still = |beat: &AtomicU64, what: &str| {
            let silent = Duration::from_millis(now.saturating_sub(beat.load(Ordering::Relaxed)));
            (silent > BEAT_TIMEOUT).then(|| format!("{what} has not moved for {} s", silent.as_secs()))
        };
        let failed = || self.store.get().and_then(Store::failed).map(|why| format!("has failed: {why}"));
        vec![
            Check::of("worker", still(&self.runtime, "its runtime")),
            Check::of("store", failed().or_else(|| still(&self.writer, "the thread that writes"))),
        ]
    }

    /// Whether it does its work, or only waits for what an operator has said.
    pub fn ready(&self) -> Vec<Check> {
        let mut all = self.live();
        let held = || self.store.get().and_then(Store::trouble).map(|why| format!("cannot write: {why}"));
        for check in &mut all {
            check.wrong = check.wrong.take().or_else(|| match check.name.as_str() {
                "store" => held().map(|why| short(&why)),
                _ => self.phase(),
            });
        }
        all.extend(self.pipelines().iter().map(|live| self.of_pipeline(live)));
        all
    }

    fn phase(&self) -> Option<String> {
        let Some(work) = self.work.get() else {
            return Some("is starting: handlers are compiled".to_owned());
        };
        (*work.phase.borrow() == Phase::Draining).then(|| "is draining: it ends".to_owned())
    }

    fn of_pipeline(&self, live: &RunningPipeline) -> Check {
        let name = format!("pipelines.{}", live.pipeline.name);
        if let Some(why) = live.stats.stopped() {
            return Check::of(name, Some(short(&format!("has ended: {why}"))));
        }
        let away = self.away().get(&live.pipeline.name).cloned();
        let Some((since, why)) = away else {
            return Check { name, wrong: None, remark: live.stats.outbox_trouble().map(|why| short(&why)) };
        };
        let since = since.elapsed();
        let what = short(&format!("for {} s: {why}", since.as_secs()));
        match since > AWAY {
            true => Check::of(name, Some(what)),
            false => Check { name, wrong: None, remark: Some(what) },
        }
    }
}

/// Why a pipeline cannot receive, settle or give up on anything. What its handlers send is another matter.
fn cut_off(live: &RunningPipeline) -> Option<String> {
    let ports = &live.ports;
    let decoder = || ports.decoder.as_ref().and_then(|decoder| decoder.trouble());
    ports
        .ledger
        .trouble()
        .or_else(|| ports.source.trouble())
        .or_else(|| ports.letters.trouble())
        .or_else(decoder)
}

/// On one line, whatever a broker has said.
fn short(why: &str) -> String {
    pelton_core::shown::shown(why).at_most(REASON_BYTES).to_string()
}

/// What is wrong, a line each; with `all` the rest too.
pub fn lines(checks: &[Check], all: bool) -> Vec<String> {
    let wrong = |check: &Check| check.wrong.as_ref().map(|why| format!("{}: {why}", check.name));
    if !all {
        return checks.iter().filter_map(wrong).collect();
    }
    let line = |check: &Check| match (&check.wrong, &check.remark) {
        (Some(why), _) => format!("[-] {}: {why}", check.name),
        (None, Some(remark)) => format!("[+] {}: ok; {remark}", check.name),
        (None, None) => format!("[+] {}: ok", check.name),
    };
    checks.iter().map(line).collect()
}
