//! A fleet: several workers, each with a core of its own, and one ledger in a database that all of them
//! share.
//!
//! They stand still for long, are killed with requests on their way, cut off from the database, drained and
//! begun anew, on the same disk or on another. The broker hands out twice what somebody has, or moves
//! partitions. Answers of the database are lost, those to COMMIT too, and transactions fail late. `books`
//! keeps what was seen, and knows nothing of the cores' state.

mod books;
mod group;
mod handler;
mod ledger;
mod mutants;
mod ports;
mod world;

use crate::checker::Violation;
use crate::effects::Home;
use crate::random::Random;
use books::Books;
use ledger::SharedLedger;
pub use ledger::{CLAIM_TIMEOUT, Incarnation};
pub use mutants::FleetMutant;
use pelton_core::RetryPolicy;
use pelton_core::message::{Identity, Time};
use pelton_core::pipeline::{Command, Input, Pipeline, Rules};
use pelton_core::ports::{Claim, ErrorClass, Work};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use world::{Broker, PARTITIONS};

/// How long things fail, in steps; then nothing fails any more but what the messages bring.
const TROUBLE: u64 = 500;
/// By then everything must have come to rest.
const BOUND: u64 = 30_000;

enum Job {
    /// On its way to the database or the broker: a stall or a death of its worker does not hold it up.
    Perform(Command),
    Tell(Input),
    Run {
        chunk: u64,
        left: VecDeque<(usize, Work)>,
        stopped: Vec<pelton_core::Lane>,
    },
    Revoke,
    /// The group waits no longer for this assignment of a partition.
    LosePatience(usize, u32),
    /// Somebody gets a partition.
    Assign(usize),
    /// The worker begins anew.
    Begin,
}

/// A claim as it was granted.
#[derive(Debug, Clone, Copy)]
struct Claimed {
    by: Incarnation,
    n: usize,
    attempt: u32,
    at: u64,
}

/// One process, over all its lives.
pub struct Worker {
    pipeline: Pipeline,
    life: Incarnation,
    data_dir: u64,
    alive: bool,
    stalled_until: u64,
    cut_until: u64,
    /// Since when the database has not heard of it.
    quiet_since: Option<u64>,
    /// When a silence last ended that was long enough for others to take over.
    long_quiet: Option<u64>,
    told: bool,
    draining: bool,
    home: Home,
    /// The messages of each chunk that were granted.
    chunks: BTreeMap<u64, Vec<usize>>,
    running: BTreeMap<Identity, (usize, Claim)>,
    succeeded: BTreeSet<usize>,
    /// Completions without an answer.
    doubt: BTreeSet<Claim>,
    /// Claims whose answer was lost: the adapter gives them back, unless they are claimed again.
    doubtful: Vec<(Identity, Claim)>,
    reported: BTreeMap<u64, u64>,
    untold: VecDeque<(u32, u32, bool)>,
    unwanted: bool,
}

pub struct Fleet {
    random: Random,
    broker: Broker,
    ledger: SharedLedger,
    books: Books,
    workers: Vec<Worker>,
    /// Every claim that was granted.
    claims: BTreeMap<Claim, Claimed>,
    jobs: BTreeMap<(u64, u64), (usize, Incarnation, Job)>,
    mutant: Option<FleetMutant>,
    now: u64,
    numbers: u64,
    lives: u64,
    calm: bool,
    trace: bool,
}

/// Runs the schedule of a seed; what was broken, first things first.
pub fn run(seed: u64, mutant: Option<FleetMutant>, trace: bool) -> Vec<Violation> {
    let mut random = Random::new(seed ^ 0xf1ee_7000_0000);
    let broker = Broker::new(&mut random);
    let mut fleet = Fleet {
        workers: Vec::new(),
        claims: BTreeMap::new(),
        random,
        ledger: SharedLedger::default(),
        books: Books::default(),
        jobs: BTreeMap::new(),
        mutant,
        now: 0,
        numbers: 0,
        lives: 0,
        calm: false,
        trace,
        broker,
    };
    let home = Home::default();
    for _ in 0..fleet.broker.shape.workers {
        let worker = fleet.worker(home.of_another_worker());
        fleet.ledger.begins(worker.life, worker.data_dir, 0);
        fleet.workers.push(worker);
    }
    (0..PARTITIONS).for_each(|p| fleet.assign(p));
    fleet.live();
    fleet.books.found
}

impl Fleet {
    fn worker(&mut self, home: Home) -> Worker {
        self.lives += 1;
        Worker {
            pipeline: self.pipeline(),
            life: self.lives,
            data_dir: self.lives,
            alive: true,
            stalled_until: 0,
            cut_until: 0,
            quiet_since: None,
            long_quiet: None,
            told: true,
            draining: false,
            home,
            chunks: BTreeMap::new(),
            running: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            doubt: BTreeSet::new(),
            doubtful: Vec::new(),
            reported: BTreeMap::new(),
            untold: VecDeque::new(),
            unwanted: false,
        }
    }

    fn pipeline(&mut self) -> Pipeline {
        let shape = &self.broker.shape;
        let retry = RetryPolicy {
            max_attempts: shape.max_attempts,
            max_receives: 1_000,
            initial_ms: 20,
            max_ms: 200,
            max_delay_ms: 60_000,
            multiplier: 2.0,
            jitter: 0.5,
        };
        let rules = Rules {
            retry,
            max_in_flight: 8,
            max_waiting: 30,
            max_in_flight_bytes: 1 << 20,
            max_message_bytes: 160,
            concurrency: shape.concurrency,
            max_chunk: shape.max_chunk,
            chunk_us: pelton_core::chunk_size::CHUNK_US,
            dedup: true,
            source: shape.caps,
            handler: "sha256:0".into(),
            redrive: false,
            effects: shape.effects,
            flow: pelton_core::flow::FlowRules::default(),
        };
        Pipeline::new(rules, self.random.draw())
    }

    fn live(&mut self) {
        for step in 0..BOUND {
            self.calm = step > TROUBLE;
            (0..self.workers.len()).for_each(|w| self.flush(w));
            let idle = |worker: &Worker| worker.alive && worker.pipeline.is_idle();
            if self.calm && self.broker.unsettled() == 0 && self.workers.iter().all(idle) {
                break;
            }
            self.advance();
            (0..self.workers.len()).for_each(|w| self.trouble(w));
            (0..self.workers.len()).for_each(|w| self.settles_doubts(w));
            self.work_off();
            if !self.books.found.is_empty() {
                return;
            }
        }
        self.books.at_rest(&self.broker, &self.ledger, &self.workers);
        let shown: usize = self.workers.iter().map(|worker| worker.home.shown()).sum();
        if shown > 0 {
            self.books.broken(16, format!("what {shown} calls have staged can be read at the end"));
        }
    }

    fn advance(&mut self) {
        let job = self.jobs.first_key_value().map(|((at, _), _)| *at);
        let awake = self.workers.iter().filter(|worker| worker.alive);
        let wake = awake.filter_map(|w| Some(w.pipeline.next_wake()?.0.max(w.stalled_until))).min();
        let next = job.into_iter().chain(wake).min().unwrap_or(self.now + 10);
        self.now = self.now.max(next);
        if !self.calm && self.random.once_in(80) {
            self.now += 100 + self.random.below(300);
        }
        for worker in &mut self.workers {
            let quiet = !worker.alive || worker.stalled_until > self.now || worker.cut_until > self.now;
            if quiet {
                worker.quiet_since.get_or_insert(self.now);
                continue;
            }
            if worker.quiet_since.take().is_some_and(|since| self.now - since >= CLAIM_TIMEOUT) {
                worker.long_quiet = Some(self.now);
            }
            self.ledger.hears(worker, self.now);
        }
    }

    fn trouble(&mut self, w: usize) {
        let worker = &self.workers[w];
        if !worker.alive || worker.stalled_until > self.now {
            return;
        }
        if worker.draining && worker.pipeline.is_idle() {
            self.say(w, "drained");
            return self.ends(w, true);
        }
        if self.calm {
            return;
        }
        if self.random.once_in(150) {
            self.say(w, "dies");
            self.ends(w, false);
        } else if self.random.once_in(120) {
            let long = if self.random.once_in(2) { 3_000 } else { 500 };
            self.workers[w].stalled_until = self.now + self.random.below(long);
            self.workers[w].quiet_since.get_or_insert(self.now);
            self.say(w, "stands still");
        } else if self.random.once_in(200) {
            self.workers[w].cut_until = self.now + self.random.below(2_500);
            self.workers[w].quiet_since.get_or_insert(self.now);
            self.say(w, "is cut off from the database");
        } else if self.random.once_in(250) {
            self.say(w, "drains");
            self.workers[w].draining = true;
            self.apply(w, Input::Drain);
        } else if self.random.once_in(100) {
            self.rebalance(w);
        }
    }

    /// The process ends: in order, or not. What is on its way arrives or does not.
    fn ends(&mut self, w: usize, in_order: bool) {
        let life = self.workers[w].life;
        let mut random = self.random.clone();
        self.jobs.retain(|_, (of, of_life, job)| {
            let own = *of == w && *of_life == life;
            match job {
                Job::Tell(_) | Job::Run { .. } | Job::Revoke => !own,
                Job::Perform(_) => !own || random.once_in(2),
                Job::LosePatience(..) | Job::Assign(_) | Job::Begin => true,
            }
        });
        self.random = random;
        if in_order && let Some(known) = self.ledger.workers.get_mut(&life) {
            known.ended = true;
        }
        self.workers[w].alive = false;
        self.workers[w].home.died();
        // Nobody is there to hear of it.
        self.workers[w].pipeline = self.pipeline();
        self.leaves_group(w);
        self.at(w, 300, Job::Begin);
    }

    fn begins(&mut self, w: usize) {
        let (home, data_dir) = (self.workers[w].home.clone(), self.workers[w].data_dir);
        let fresh = self.worker(home);
        self.workers[w] = fresh;
        // Its disk may be gone with the host.
        if !self.random.once_in(3) {
            self.workers[w].data_dir = data_dir;
        }
        let Worker { life, data_dir, .. } = self.workers[w];
        self.ledger.begins(life, data_dir, self.now);
        self.say(w, "begins");
    }

    fn work_off(&mut self) {
        while let Some(first) = self.jobs.first_entry()
            && first.key().0 <= self.now
        {
            let (w, life, job) = first.remove();
            let is_there = self.workers[w].alive && self.workers[w].life == life;
            let stalled = self.workers[w].stalled_until;
            match job {
                Job::Perform(command) => self.perform(w, life, command),
                Job::Assign(p) => self.assign(p),
                Job::LosePatience(p, assignment) => self.lose_patience(p, assignment),
                Job::Begin => self.begins(w),
                Job::Tell(_) | Job::Run { .. } | Job::Revoke if !is_there => {}
                job if stalled > self.now => {
                    self.numbers += 1;
                    self.jobs.insert((stalled, self.numbers), (w, life, job));
                }
                Job::Tell(input) => self.tell(w, input),
                Job::Run { chunk, left, stopped } => self.run_one(w, chunk, left, stopped),
                Job::Revoke => self.tell_revoked(w),
            }
            if self.random.once_in(3) {
                break;
            }
        }
    }

    fn apply(&mut self, w: usize, input: Input) {
        let worker = &mut self.workers[w];
        worker.told = true;
        worker.pipeline.apply(Time(self.now), input);
    }

    fn say(&self, w: usize, what: &str) {
        if self.trace {
            println!("{:>7} w{w}/{} {what}", self.now, self.workers[w].life);
        }
    }

    fn at(&mut self, w: usize, longest: u64, job: Job) {
        let at = self.now + self.random.below(longest + 1);
        self.on(w, at, job);
    }

    fn on(&mut self, w: usize, at: u64, job: Job) {
        self.numbers += 1;
        self.jobs.insert((at, self.numbers), (w, self.workers[w].life, job));
    }

    fn fails(&mut self) -> bool {
        !self.calm && self.random.once_in(15)
    }

    fn is_cut(&self, w: usize, life: Incarnation) -> bool {
        let worker = &self.workers[w];
        worker.life == life && worker.cut_until > self.now
    }
}

fn number(id: &str) -> usize {
    id[1..].parse().unwrap_or(0)
}

/// A class of errors that says: ask again.
const BUSY: ErrorClass = ErrorClass::Transient;
