//! All pipelines of one worker, from their start to the end of the drain; some may come and go meanwhile.

use crate::driver::{Driver, PipelineSpec, Ports};
use crate::feeders::{Feeders, RunningNames};
use crate::stats::PipelineStats;
use crate::stopped::{Stopped, Why};
use pelton_core::retry::scatter;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What the worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Take messages and handle them.
    Running,
    /// Stop receiving, finish or hand back what is held, end.
    Draining,
}

/// How the worker is steered.
#[derive(Debug, Clone)]
pub struct Control {
    /// The phase; set it to `Draining` once to end the worker.
    pub phase: watch::Receiver<Phase>,
    /// End by itself when nothing is left, scheduled retries included.
    pub until_empty: bool,
    /// How long a drain waits for handlers before it interrupts them.
    pub shutdown_timeout: Duration,
}

/// One pipeline: what it is told, its ports, and where its numbers go.
pub type Job = (PipelineSpec, Ports, Arc<PipelineStats>);

/// What is to change while the others go on.
pub enum Change {
    /// A pipeline begins. None of its name may be there.
    Add(Box<Job>),
    /// A pipeline is drained; answered when it has ended. At once, when there is none.
    Remove(Arc<str>, oneshot::Sender<()>),
}

/// Where changes come from.
pub type Changes = mpsc::UnboundedReceiver<Change>;

/// Runs pipelines until all have ended: drained, emptied with `until_empty`, or stopped by a fault of their
/// own, which leaves the others as they are. When the store fails, which all of them need, the others are
/// drained too. Those that nobody has told to end are returned, the first one first.
///
/// `random` seeds the jitter of retries; the caller draws it.
pub async fn run(pipelines: Vec<Job>, control: Control, random: u64) -> Result<(), Vec<Stopped>> {
    let (_, none) = mpsc::unbounded_channel();
    run_changing(pipelines, none, control, random).await
}

/// As [`run`], with pipelines that come and go.
pub async fn run_changing(
    pipelines: Vec<Job>,
    mut changes: Changes,
    control: Control,
    random: u64,
) -> Result<(), Vec<Stopped>> {
    let mut phase = control.phase.clone();
    let names = RunningNames::default();
    pipelines.iter().for_each(|(spec, ..)| names.add(&spec.name));
    let mut all = Running {
        names,
        random,
        numbers: 0,
        ending: *phase.borrow() == Phase::Draining || control.until_empty,
        control,
        suspects: Arc::new(Semaphore::new(1)),
        tasks: JoinSet::new(),
        stops: HashMap::new(),
        removed: HashMap::new(),
        down: HashSet::new(),
    };
    pipelines.into_iter().for_each(|job| all.start(job));
    let mut stopped = Vec::new();
    loop {
        // With none left that runs, a worker that goes on would seem alive.
        if all.tasks.is_empty() && (all.ending || changes.is_closed() || !all.down.is_empty()) {
            return if stopped.is_empty() { Ok(()) } else { Err(stopped) };
        }
        tokio::select! {
            Some(ended) = all.tasks.join_next() => match ended {
                Ok((name, ended)) => {
                    if let Err(why) = ended {
                        if why.why == Why::Store {
                            all.drain();
                        }
                        all.goes_down(&name);
                        stopped.push(why);
                    }
                    all.ended(&name);
                }
                // Its task contains its own panics: this is what is left, such as a destructor's.
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
            Some(change) = changes.recv() => all.change(change),
            Ok(()) = phase.changed() => {
                if *phase.borrow_and_update() == Phase::Draining {
                    all.drain();
                }
            }
        }
    }
}

/// The pipelines that run.
struct Running {
    names: RunningNames,
    control: Control,
    random: u64,
    numbers: u64,
    suspects: Arc<Semaphore>,
    tasks: JoinSet<(Arc<str>, Result<(), Stopped>)>,
    stops: HashMap<Arc<str>, watch::Sender<Phase>>,
    removed: HashMap<Arc<str>, oneshot::Sender<()>>,
    /// Those that have stopped though nobody told them to, and were not begun again since.
    down: HashSet<Arc<str>>,
    /// Nothing begins any more: the worker ends with the last of them.
    ending: bool,
}

impl Running {
    fn start(&mut self, (spec, ports, stats): Job) {
        let name = spec.name.clone();
        let (stop, stopping) = watch::channel(*self.control.phase.borrow());
        let control = Control { phase: stopping, ..self.control.clone() };
        let seed = scatter(self.random, self.numbers);
        self.numbers += 1;
        self.names.add(&name);
        let feeders = Feeders::new(spec.fed_by.clone(), self.names.clone());
        let driver = Driver::new(spec, ports, control, self.suspects.clone(), seed, stats, feeders);
        self.stops.insert(name.clone(), stop);
        self.tasks.spawn(async move { (name, driver.run().await) });
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Add(job) if !self.ending => self.start(*job),
            // The worker ends: it begins at the next start.
            Change::Add(_) => {}
            Change::Remove(name, done) => {
                self.down.remove(&name);
                match self.stops.get(&name) {
                    Some(stop) => {
                        stop.send_replace(Phase::Draining);
                        self.removed.insert(name, done);
                    }
                    // Who asked may be gone.
                    None => done.send(()).unwrap_or_default(),
                }
            }
        }
    }

    /// One has stopped by itself. Being removed, it would have ended anyway.
    fn goes_down(&mut self, name: &Arc<str>) {
        if !self.removed.contains_key(name) {
            self.down.insert(name.clone());
        }
    }

    fn ended(&mut self, name: &str) {
        self.names.remove(name);
        self.stops.remove(name);
        if let Some(done) = self.removed.remove(name) {
            done.send(()).unwrap_or_default();
        }
    }

    fn drain(&mut self) {
        self.ending = true;
        for stop in self.stops.values() {
            stop.send_replace(Phase::Draining);
        }
    }
}
