//! One schedule: the loop that the engine is, with chance in place of threads.

mod complete;
mod flow;
mod notes;
mod ports;
mod revoke;
mod tamper;

use crate::checker::{Checker, Violation};
use crate::effects::Home;
use crate::mutants::Mutant;
use crate::random::Random;
use crate::world::{MAX_RECEIVES, World};
use pelton_core::effects::Staged;
use pelton_core::flow::FlowRules;
use pelton_core::message::Time;
use pelton_core::pipeline::{Command, Input, Pipeline, Rules};
use pelton_core::ports::{Claim, Work};
use pelton_core::{Receipt, RetryPolicy};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long things fail, in steps; then nothing fails any more but what the messages bring.
const TROUBLE: u64 = 400;
/// By then everything must have come to rest.
const BOUND: u64 = 20_000;

enum Job {
    Perform(Command),
    /// An answer, and the deliveries that end with it.
    Tell(Input, Vec<Receipt>),
    /// The core is told what it has not been told yet of partitions that are taken back.
    Revoke,
    /// The group waits no longer for this assignment to be let go.
    LosePatience(u32),
    /// The partition is ours again.
    Assign,
    /// A chunk, with what is left of it.
    Run {
        chunk: u64,
        handler: Arc<str>,
        left: VecDeque<(usize, Work)>,
        stopped: Vec<pelton_core::Lane>,
    },
}

struct Sim {
    random: Random,
    world: World,
    checker: Checker,
    mutant: Option<Mutant>,
    pipeline: Pipeline,
    jobs: BTreeMap<(u64, u64), Job>,
    claims: BTreeMap<Claim, usize>,
    /// The messages of each chunk: as they were asked for, then with the attempts that were granted.
    chunks: BTreeMap<u64, Vec<(usize, u32)>>,
    /// The messages of each batch that the ledger is asked to complete.
    completing: BTreeMap<u64, Vec<usize>>,
    /// Batches that wait for what they have read to be committed, each until when at most.
    held: BTreeMap<u64, u64>,
    /// When the core hears, or has heard, last of a chunk.
    reported: BTreeMap<u64, u64>,
    /// Leases that were renewed, until the core learns of it.
    renewals: BTreeMap<u64, Vec<(Receipt, u64)>>,
    now: u64,
    numbers: u64,
    calm: bool,
    draining: bool,
    /// The partition was asked back, and not let go yet.
    revoking: bool,
    /// What the core has not been told yet of that: whether the assignment was lost.
    untold: VecDeque<(u32, bool)>,
    /// Until then no letter can be written.
    letters_down: u64,
    /// Of the handler that new chunks are given to.
    version: u64,
    /// Who keeps state, over all lives of the process.
    home: Home,
    /// What handlers do with it: apart, so that a seed still means the schedule that it meant without.
    whim: Random,
    /// Chunks whose claim was answered since the core has last decided.
    answered: Vec<u64>,
    /// What a mutant keeps.
    kept: Vec<Staged>,
    /// The core was told something that it has not decided on.
    told: bool,
    trace: bool,
}

/// Runs the schedule of a seed; what was broken, first things first.
pub fn run(seed: u64, mutant: Option<Mutant>, trace: bool) -> Vec<Violation> {
    let mut random = Random::new(seed);
    let world = World::new(&mut random);
    let pipeline = fresh(&world, &mut random, flow::rules(&world.shape.flow, mutant));
    let mut sim = Sim {
        random,
        world,
        checker: Checker::default(),
        mutant,
        pipeline,
        jobs: BTreeMap::new(),
        claims: BTreeMap::new(),
        chunks: BTreeMap::new(),
        completing: BTreeMap::new(),
        held: BTreeMap::new(),
        reported: BTreeMap::new(),
        renewals: BTreeMap::new(),
        now: 0,
        numbers: 0,
        calm: false,
        draining: false,
        revoking: false,
        untold: VecDeque::new(),
        letters_down: 0,
        version: 0,
        home: Home::default(),
        whim: Random::new(seed ^ 0xeffe),
        answered: Vec::new(),
        kept: Vec::new(),
        told: true,
        trace,
    };
    sim.live();
    sim.checker.found
}

fn fresh(world: &World, random: &mut Random, flow: FlowRules) -> Pipeline {
    let shape = &world.shape;
    let retry = RetryPolicy {
        max_attempts: shape.max_attempts,
        max_receives: MAX_RECEIVES,
        initial_ms: 20,
        max_ms: 200,
        max_delay_ms: 60_000,
        multiplier: 2.0,
        jitter: 0.5,
    };
    let rules = Rules {
        retry,
        max_in_flight: shape.max_in_flight,
        max_waiting: shape.max_waiting,
        max_in_flight_bytes: shape.max_bytes,
        max_message_bytes: 160,
        concurrency: shape.concurrency,
        max_chunk: 8,
        chunk_us: pelton_core::chunk_size::CHUNK_US,
        dedup: shape.dedup,
        source: shape.caps,
        handler: "sha256:0".into(),
        redrive: shape.redrive,
        effects: shape.effects,
        flow,
    };
    Pipeline::new(rules, random.draw())
}

impl Sim {
    fn live(&mut self) {
        for step in 0..BOUND {
            self.calm = step > TROUBLE;
            if step == TROUBLE + 1 && self.world.shape.steered {
                self.steer();
            }
            self.flush();
            if self.calm && self.world.unsettled() == 0 && self.pipeline.is_idle() {
                break;
            }
            self.advance();
            self.trouble();
            self.work_off();
            if !self.checker.found.is_empty() {
                return;
            }
        }
        self.checker.at_rest(&self.world);
        let shown = self.home.shown();
        if shown > 0 {
            self.checker.broken(16, format!("what {shown} calls have staged can be read at the end"));
        }
    }

    /// To the next thing that happens; now and then a leap.
    fn advance(&mut self) {
        let job = self.jobs.first_key_value().map(|((at, _), _)| *at);
        let wake = self.pipeline.next_wake().map(|t| t.0);
        let next = job.into_iter().chain(wake).min().unwrap_or(self.now + 10);
        self.now = self.now.max(next);
        if !self.calm && self.random.once_in(60) {
            self.now += 100 + self.random.below(400);
        }
    }

    fn trouble(&mut self) {
        if !self.calm && self.world.shape.effects && self.whim.once_in(20) {
            self.home.disturb(&mut self.whim);
        }
        if !self.calm && self.world.shape.steered && self.whim.once_in(40) {
            self.steer();
        }
        if self.draining && self.pipeline.is_idle() {
            self.say("drained");
            self.die(None);
        } else if !self.calm && self.random.once_in(70) {
            self.say("the process dies");
            self.die(None);
        } else if !self.calm && self.random.once_in(150) {
            self.letters_down = self.now + self.random.below(3_000);
        } else if !self.calm && self.random.once_in(100) {
            self.say("the handler is replaced");
            self.version += 1;
        } else if !self.calm && self.random.once_in(150) {
            // A second time the time is up.
            self.say("drain");
            self.draining = true;
            self.checker.leaves(true, self.now);
            self.apply(Input::Drain);
        } else if !self.calm && self.world.shape.caps.cumulative && self.random.once_in(80) {
            self.revoke();
        }
    }

    fn die(&mut self, killer: Option<usize>) {
        self.jobs.clear();
        self.claims.clear();
        self.chunks.clear();
        self.completing.clear();
        self.held.clear();
        self.reported.clear();
        self.untold.clear();
        self.checker.died(&self.world, killer);
        self.world.died();
        self.home.died();
        (self.draining, self.revoking) = (false, false);
        self.told = true;
        self.answered.clear();
        let flow = self.flow();
        self.pipeline = fresh(&self.world, &mut self.random, flow);
    }

    fn work_off(&mut self) {
        while let Some(first) = self.jobs.first_entry()
            && first.key().0 <= self.now
        {
            match first.remove() {
                Job::Perform(command) => self.perform(command),
                Job::Tell(input, ended) => {
                    ended.into_iter().for_each(|r| self.checker.ended(r));
                    self.tell(input);
                }
                Job::Run { chunk, handler, left, stopped } => self.run_one(chunk, handler, left, stopped),
                Job::Revoke => self.tell_revoked(),
                Job::LosePatience(assignment) => self.lose_patience(assignment),
                Job::Assign => self.world.assign(),
            }
            if self.random.once_in(3) {
                break;
            }
        }
    }

    fn tell(&mut self, input: Input) {
        if self.trace {
            self.say(&format!("{input:?}"));
        }
        if let Input::Received(Ok(deliveries)) = &input {
            for (delivery, _) in deliveries {
                let until = delivery.lease_until.map_or(u64::MAX, |t| t.0);
                self.checker.delivered(&self.world, delivery.receipt, until, self.now);
            }
        }
        if let Input::Stored { batch, results } = &input {
            self.note_conflicts(*batch, results);
        }
        if matches!(input, Input::SuspectTurn) {
            self.checker.has_turn();
        }
        if let Input::Extended { batch, .. } = &input {
            for (receipt, until) in self.renewals.remove(batch).unwrap_or_default() {
                self.checker.renewed(receipt, until, self.now);
            }
        }
        self.note_told(&input);
        self.note_waits(&input);
        self.apply(input);
    }

    fn apply(&mut self, input: Input) {
        self.told = true;
        self.pipeline.apply(Time(self.now), input);
    }

    fn say(&self, what: &str) {
        if self.trace {
            println!("{:>7} {what}", self.now);
        }
    }

    fn at(&mut self, longest: u64, job: Job) {
        self.numbers += 1;
        let at = self.now + self.random.below(longest + 1);
        self.jobs.insert((at, self.numbers), job);
    }

    /// As rarely as the engine: a decision that waits for another flush waits for ever.
    fn flush(&mut self) {
        let due = self.pipeline.next_wake().is_some_and(|at| at.0 <= self.now);
        if !std::mem::take(&mut self.told) && !due {
            return;
        }
        let commands = self.pipeline.flush(Time(self.now));
        if let Err(broken) = self.pipeline.check_all() {
            self.checker.broken(broken.invariant, format!("the core's own check: {}", broken.what));
        }
        self.note_unstarted(&commands);
        for command in commands {
            if self.trace {
                self.say(&format!("  {command:?}"));
            }
            let Some(command) = self.tamper(command) else { continue };
            match &command {
                Command::Stop => return self.die(None),
                Command::TakeSuspectTurn => self.checker.asks_turn(),
                Command::GiveSuspectTurn => self.checker.gives_turn(),
                Command::Claim { chunk, items, alone } => {
                    if *alone {
                        self.checker.uses_turn();
                    }
                    let asked: Vec<usize> = items.iter().map(|i| number(&i.message.id().text())).collect();
                    asked.iter().for_each(|n| self.checker.claimed(&self.world, *n));
                    self.chunks.insert(*chunk, asked.into_iter().map(|n| (n, 0)).collect());
                }
                Command::Handle { chunk, work } => {
                    let granted: Vec<_> =
                        work.iter().map(|w| (number(&w.message.id().text()), w.attempt)).collect();
                    granted.iter().for_each(|(n, _)| self.checker.handed_over(*n));
                    self.chunks.insert(*chunk, granted);
                }
                Command::Publish { items, .. } => items.iter().for_each(|l| {
                    self.checker.lettered(&self.world, number(&l.message.id().text()), l);
                }),
                Command::Complete { batch, items } => {
                    let of = |claim| self.claims.get(claim).copied().unwrap_or(0);
                    self.completing.insert(*batch, items.iter().map(|item| of(&item.claim)).collect());
                }
                Command::LetGo { .. } => self.let_go(),
                Command::Holds { unwanted, .. } => {
                    self.world.unwanted = !unwanted.is_empty();
                    continue;
                }
                _ => {}
            }
            self.note_decision(&command);
            if let Command::Settle { items, .. } = &command {
                for (receipt, how) in items {
                    self.checker.told(&self.world, *receipt, *how, self.now);
                }
            }
            self.at(15, Job::Perform(command));
        }
        self.checker.decided();
    }

    fn fails(&mut self) -> bool {
        !self.calm && self.random.once_in(15)
    }

    /// A store whose disk fails: it says so to everything, and does nothing.
    fn fails_for_good(&mut self) -> bool {
        !self.calm && self.random.once_in(300)
    }
}

/// Messages are named by their number.
fn number(id: &str) -> usize {
    id[1..].parse().unwrap_or(0)
}
