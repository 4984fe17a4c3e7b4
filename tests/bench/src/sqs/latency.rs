//! How long a message waits at a steady thousand a second, from when it was due to be sent to when
//! its handler begins. The producer keeps its pace whatever the consumer does.

use super::emulator::{BATCH, Emulator, send};
use super::{native, ours};
use crate::args::Setup;
use crate::load::{Level, Load, number};
use crate::ours::Ours;
use crate::report::{Goal, Row};
use crate::sample::Samples;
use anyhow::{Result, ensure};
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two batches of ten.
const TICK: Duration = Duration::from_millis(10);
/// Messages of one run.
const MESSAGES: u64 = 10_000;
/// The consumer has begun by then, and the connections are open.
const WARM: u64 = 1_000;

/// When each message began, in the order they did.
type Begun = Arc<Mutex<Vec<(u64, Instant)>>>;

/// The handler, with a clock before it.
struct Watched {
    handler: Arc<dyn Handler>,
    begun: Begun,
}

impl Handler for Watched {
    fn digest(&self) -> Arc<str> {
        self.handler.digest()
    }

    fn max_chunk(&self) -> usize {
        self.handler.max_chunk()
    }

    fn handle(&self, work: Vec<Work>, report: Report) -> BoxFuture<'static, ()> {
        let now = Instant::now();
        let numbers = work.iter().map(|work| (number(work.message.body()), now));
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
        self.handler.handle(work, report)
    }

    fn interrupt(&self) {
        self.handler.interrupt();
    }
}

/// Rows of the median and of the slowest in a hundred.
pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let emulator = Emulator::new(setup, 0)?;
    let count = if setup.quick { MESSAGES / 5 } else { MESSAGES };
    let load = Load { level: Level::None, first: 1, count };
    let (mut halves, mut tails) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..setup.runs.min(5) {
        for side in [0, 1] {
            let waits = measure(setup, &emulator, load, side)?;
            halves[side].push(at(&waits, 0.5));
            tails[side].push(at(&waits, 0.99));
        }
    }
    Ok(vec![row("the median", halves)?, row("one in a hundred waits longer", tails)?])
}

fn row(which: &str, [ours, theirs]: [Vec<f64>; 2]) -> Result<Row> {
    Ok(Row {
        id: "P7",
        what: format!("SQS at 1,000 messages a second: from due to begun, {which}"),
        unit: "ms",
        ours: Samples::new(ours)?,
        theirs: Some(Samples::new(theirs)?),
        goal: Goal::Compare,
        void: None,
    })
}

/// The waits of the messages in milliseconds, sorted. Side 0 is ours.
fn measure(setup: &Setup, emulator: &Emulator, load: Load, side: usize) -> Result<Vec<f64>> {
    let queue_url = emulator.queue();
    let begun = Begun::default();
    let start = Instant::now() + Duration::from_millis(500);
    let producer = emulator.runtime.spawn(produce(emulator.client.clone(), queue_url.clone(), load, start));
    if side == 0 {
        let watched = begun.clone();
        let ours = Ours::around(&setup.guest, |handler| Arc::new(Watched { handler, begun: watched }))?;
        ours::drain(setup, emulator, &ours, &queue_url, load)?;
    } else {
        let watched = begun.clone();
        let note = move |number| {
            watched.lock().unwrap_or_else(PoisonError::into_inner).push((number, Instant::now()));
        };
        native::drain(emulator, &queue_url, load, &(Arc::new(note) as native::Seen))?;
    }
    emulator.runtime.block_on(producer)??;
    let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(begun.len() as u64 == load.count, "{} of {} messages began", begun.len(), load.count);
    let late = |(number, at): &(u64, Instant)| at.saturating_duration_since(due(start, load, *number));
    let counted = begun.iter().filter(|(number, _)| *number >= load.first + WARM);
    let mut waits: Vec<f64> = counted.map(|one| late(one).as_secs_f64() * 1_000.0).collect();
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

fn due(start: Instant, load: Load, number: u64) -> Instant {
    start + TICK * ((number - load.first) / BATCH as u64) as u32
}

/// Sends a batch at each tick, without waiting for the answers before.
async fn produce(client: aws_sdk_sqs::Client, queue_url: String, load: Load, start: Instant) -> Result<()> {
    let numbers: Vec<u64> = load.numbers().collect();
    let mut calls = tokio::task::JoinSet::new();
    for some in numbers.chunks(BATCH) {
        tokio::time::sleep_until(due(start, load, some[0]).into()).await;
        calls.spawn(send(client.clone(), queue_url.clone(), load, some.to_vec()));
    }
    while let Some(sent) = calls.join_next().await {
        sent??;
    }
    Ok(())
}

/// The value that this part of them does not exceed.
fn at(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
