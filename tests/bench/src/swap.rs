//! P11: the longest gap between two reports of a handler, where the handler is replaced between them.
//!
//! The whole engine empties a queue while another thread loads the next version, from the cache of
//! compiled code, and swaps it in, again and again. The other side looks at as many moments, and
//! swaps nothing.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, Ours};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Context, Result, anyhow};
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use pelton_core::rollout::{JudgeAfter, Plan};
use pelton_engine::HandlerVersions;
use pelton_host::{HandlerSpec, Host, HostOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two swaps.
const PAUSE: Duration = Duration::from_millis(10);
/// An empty custom section: another digest, the same code.
const SECTION: [u8; 4] = [0, 2, 1, b'v'];

/// Notes when something was reported.
struct Timed {
    handler: Arc<HandlerVersions>,
    reports: Arc<Mutex<Vec<Instant>>>,
}

impl Handler for Timed {
    fn digest(&self) -> Arc<str> {
        self.handler.digest()
    }

    fn max_chunk(&self) -> usize {
        self.handler.max_chunk()
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let reports = Arc::clone(&self.reports);
        let timed = Box::new(move |digest: &Arc<str>, outcomes: Vec<_>| {
            lock(&reports).push(Instant::now());
            report(digest, outcomes);
        });
        self.handler.handle(work, timed)
    }

    fn interrupt(&self) {
        self.handler.interrupt();
    }
}

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    Ok(vec![gap(setup)?, throughput(setup)?])
}

/// The embedded queue with a twentieth of it on a version on trial, against without one.
fn throughput(setup: &Setup) -> Result<Row> {
    let load = Load { level: Level::None, first: 1, count: Level::None.messages(setup.quick) };
    let host = Host::new(HostOptions::default())?;
    let spec = HandlerSpec::default();
    let mut void = None;
    let [with, without] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        ours::fill(dir.path(), load, Dedup::MessageId)?;
        let handlers = HandlerVersions::new(host.load(ours::NAME, &setup.guest, &spec)?);
        if side == 0 {
            let judge_after = JudgeAfter::Messages(u64::MAX);
            let plan = Plan {
                share: 0.05,
                judge_after,
                max_increase: 0.02,
                faults: 1,
                shadow: false,
                at_most_ms: u64::MAX,
            };
            handlers.try_out(host.load(ours::NAME, &setup.guest, &spec)?, plan);
        }
        let ours = Ours::of(Arc::new(handlers), spec.concurrency)?;
        let drained = ours.drain(dir.path(), load, Dedup::MessageId)?;
        void = void.take().or_else(|| Set::differs(load.produced(), drained.delivered));
        Ok(load.count as f64 / drained.took.as_secs_f64())
    })?;
    Ok(Row {
        id: "P11",
        what: "embedded queue with a canary of a twentieth, against without".to_owned(),
        unit: "messages/s",
        ours: with,
        theirs: Some(without),
        goal: Goal::Ratio(0.97),
        void,
    })
}

fn gap(setup: &Setup) -> Result<Row> {
    let load = Load { level: Level::None, first: 1, count: Level::None.messages(setup.quick) };
    let code = tempfile::tempdir_in(&setup.work_dir)?;
    let host =
        Host::new(HostOptions { cache_dir: Some(code.path().to_owned()), ..HostOptions::default() })?;
    let first = std::fs::read(&setup.guest)?;
    let versions = [first.clone(), [&first[..], &SECTION].concat()];
    let (mut void, mut swaps) = (None, 0);
    let [with, without] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        ours::fill(dir.path(), load, Dedup::MessageId)?;
        let spec = HandlerSpec::default();
        let handlers = Arc::new(HandlerVersions::new(host.load_bytes(ours::NAME, &versions[0], &spec)?));
        let reports = Arc::default();
        let timed = Timed { handler: Arc::clone(&handlers), reports: Arc::clone(&reports) };
        let ours = Ours::of(Arc::new(timed), spec.concurrency)?;
        let done = AtomicBool::new(false);
        let (drained, moments) = std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let mut moments = Vec::new();
                while !done.load(Ordering::Acquire) {
                    std::thread::park_timeout(PAUSE);
                    if side == 0 {
                        let next = &versions[(moments.len() + 1) % 2];
                        let handler = host.load_bytes(ours::NAME, next, &spec)?;
                        moments.push(Instant::now());
                        handlers.swap(handler);
                    } else {
                        moments.push(Instant::now());
                    }
                }
                anyhow::Ok(moments)
            });
            let drained = ours.drain(dir.path(), load, Dedup::MessageId);
            done.store(true, Ordering::Release);
            (drained, swapper.join())
        });
        let moments = moments.map_err(|_| anyhow!("the swapper ended early"))??;
        let delivered = drained?.delivered;
        void = void.take().or_else(|| Set::differs(load.produced(), delivered));
        let reports = lock(&reports);
        swaps = if side == 0 { moments.len() } else { swaps };
        longest(&reports, &moments).context("nothing was swapped while messages were handled")
    })?;
    Ok(Row {
        id: "P11",
        what: format!("longest gap at one of some {swaps} swaps under load, against moments without one"),
        unit: "ms",
        ours: with,
        theirs: Some(without),
        goal: Goal::AtMost(5.0),
        void,
    })
}

/// The longest gap between two reports in a row with one of these moments in it, in milliseconds.
fn longest(reports: &[Instant], moments: &[Instant]) -> Option<f64> {
    let gap = |moment: &Instant| {
        let after = reports.partition_point(|at| at <= moment);
        let (before, after) = (reports.get(after.checked_sub(1)?)?, reports.get(after)?);
        Some((*after - *before).as_secs_f64() * 1e3)
    };
    moments.iter().filter_map(gap).max_by(f64::total_cmp)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
