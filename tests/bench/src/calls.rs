//! P9, P10 and the isolation modes: what a message costs in the sandbox, without a queue.
//!
//! Through the port `Handler` in chunks of 256, as the engine pays it.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load, number};
use crate::report::{Goal, Row};
use crate::sample::{Samples, alternate};
use crate::work;
use anyhow::Result;
use pelton_core::ports::{Handler, Work};
use pelton_core::{Channel, Message, Name, Outcome, Parts};
use pelton_host::{HandlerSpec, Host, HostOptions, Isolation, WasmHandler};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::runtime::Runtime;

/// Messages of a chunk.
const CHUNK: u64 = 256;
/// The modes, in the order of their price.
const MODES: [(Isolation, &str); 3] =
    [(Isolation::Reuse, "reuse"), (Isolation::Batch, "batch"), (Isolation::Message, "message")];

/// A host, and the handler in each mode.
struct Bench {
    runtime: Runtime,
    handlers: Vec<Arc<WasmHandler>>,
    chunks: u64,
    void: Option<String>,
}

/// P9: a warm call above a native one, at each level of work.
pub fn warm(setup: &Setup) -> Result<Vec<Row>> {
    let mut bench = Bench::new(setup)?;
    Level::ALL.into_iter().map(|level| bench.warm_row(setup.runs, level)).collect()
}

/// P10, and the modes against each other.
pub fn modes(setup: &Setup) -> Result<Vec<Row>> {
    let mut bench = Bench::new(setup)?;
    let [reuse, batch, message] = alternate(setup.runs, |mode| bench.sandboxed(mode, Level::None))?;
    let row = |id, what: String, ours: &Samples, theirs: Option<&Samples>, goal| Row {
        id,
        what,
        unit: "us/message",
        ours: ours.clone(),
        theirs: theirs.cloned(),
        goal,
        void: bench.void.clone(),
    };
    let against = |mode| format!("isolation `{mode}` against `reuse`");
    Ok(vec![
        row("P10", "a fresh instance for each message".to_owned(), &message, None, Goal::AtMost(20.0)),
        row("modes", against("batch"), &batch, Some(&reuse), Goal::Compare),
        row("modes", against("message"), &message, Some(&reuse), Goal::Compare),
    ])
}

impl Bench {
    fn new(setup: &Setup) -> Result<Self> {
        let bytes = std::fs::read(&setup.guest)?;
        let host = Host::new(HostOptions::default())?;
        let load = |(isolation, _)| {
            host.load_bytes("bench", &bytes, &HandlerSpec { isolation, ..HandlerSpec::default() })
        };
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            handlers: MODES.into_iter().map(load).collect::<Result<_, _>>()?,
            chunks: if setup.quick { 40 } else { 400 },
            void: None,
        })
    }

    fn warm_row(&mut self, runs: usize, level: Level) -> Result<Row> {
        let [ours, theirs] = alternate(runs, |side| match side {
            0 => self.sandboxed(0, level),
            _ => Ok(self.native(level)),
        })?;
        let what = format!("a warm call above a native one, 1 KB, {}", level.words());
        let goal = if level == Level::None { Goal::Above(1.0) } else { Goal::Compare };
        let void = self.void.take();
        Ok(Row { id: "P9", what, unit: "us/message", ours, theirs: Some(theirs), goal, void })
    }

    fn chunks(&self, level: Level) -> u64 {
        match level {
            Level::None => self.chunks,
            Level::Hash => self.chunks / 2,
            Level::Json | Level::Wait => self.chunks / 20,
        }
    }

    /// Microseconds of a message in the sandbox.
    fn sandboxed(&mut self, mode: usize, level: Level) -> Result<f64> {
        let chunks = self.chunks(level);
        let (load, work) = chunk(level);
        let handler = Arc::clone(&self.handlers[mode]);
        let delivered = Arc::new(Mutex::new(Set::default()));
        let start = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..chunks {
                handler.handle(work.clone(), report(&work, &delivered)).await;
            }
        });
        let each = start.elapsed().as_secs_f64() * 1e6 / (chunks * CHUNK) as f64;
        let produced = (0..chunks).flat_map(|_| load.numbers()).collect();
        let delivered = *delivered.lock().unwrap_or_else(PoisonError::into_inner);
        self.void = self.void.take().or_else(|| Set::differs(produced, delivered));
        Ok(each)
    }

    /// Microseconds of a message by the same function and books, called natively.
    fn native(&self, level: Level) -> f64 {
        let chunks = self.chunks(level);
        let (_, work) = chunk(level);
        let delivered = Arc::new(Mutex::new(Set::default()));
        let digest = "native".into();
        let start = Instant::now();
        for _ in 0..chunks {
            let work = work.clone();
            let mut report = report(&work, &delivered);
            let run = |(place, work): (usize, &Work)| {
                std::hint::black_box(work::run(work.message.body()));
                (place, Outcome::Ok(None))
            };
            report(&digest, work.iter().enumerate().map(run).collect());
        }
        start.elapsed().as_secs_f64() * 1e6 / (chunks * CHUNK) as f64
    }
}

fn chunk(level: Level) -> (Load, Vec<Work>) {
    let load = Load { level, first: 1, count: CHUNK };
    let channel = Arc::new(Channel::new("bench", "bench"));
    let work = |number: u64| Work {
        message: Message::new(Parts {
            channel: &channel,
            name: Name::Number(number),
            body: &load.body(number),
            published_at_ms: Some(1),
            ..Parts::default()
        }),
        attempt: 1,
        lane: None,
        key: None,
        scope: None,
        redo: None,
    };
    (load, load.numbers().map(work).collect())
}

/// Books what was handled well.
fn report(work: &[Work], delivered: &Arc<Mutex<Set>>) -> pelton_core::ports::Report {
    let numbers: Vec<u64> = work.iter().map(|work| number(work.message.body())).collect();
    let delivered = Arc::clone(delivered);
    Box::new(move |_, outcomes| {
        let mut set = delivered.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.iter().filter(|(_, o)| *o == Outcome::Ok(None)).for_each(|(at, _)| set.add(numbers[*at]));
    })
}
