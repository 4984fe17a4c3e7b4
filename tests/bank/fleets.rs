//! Two, three and five workers, each with a data directory of its own, that are killed, stopped and made to
//! stand still at random, on a database that is no better off.

use crate::brokers::Shared;
use pelton_tests::bank::Bank;
use pelton_tests::postgres::Postgres;
use pelton_tests::random::{Random, setting};
use pelton_tests::site::Site;
use pelton_tests::sqs::LOGIN;
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::Signal;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Transfers of one fleet, where nothing else is said.
const TRANSFERS: u64 = 240;
/// A worker that is not heard of for so long has lost what it had.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// What happens to a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// A worker dies, and is started again.
    Kill,
    /// A worker is told to end, and started again.
    Stop,
    /// A worker stands still until others have what it had, and goes on.
    StandStill,
    /// Some session of the database ends.
    Terminate,
    /// All of them end.
    TerminateAll,
    /// The database dies, and is started again.
    Restart,
}

const TROUBLES: [Trouble; 12] = [
    Trouble::Kill,
    Trouble::Kill,
    Trouble::Kill,
    Trouble::Kill,
    Trouble::Stop,
    Trouble::Stop,
    Trouble::StandStill,
    Trouble::Terminate,
    Trouble::Terminate,
    Trouble::Terminate,
    Trouble::TerminateAll,
    Trouble::Restart,
];

struct Member {
    site: Site,
    worker: Worker,
    /// It stands still since then.
    still: Option<Instant>,
}

impl Member {
    fn start(site: Site) -> Self {
        let worker = site.worker_with(&[], &LOGIN);
        Self { site, worker, still: None }
    }

    /// In order; or at once, where it has not come to hear of signals yet.
    fn stop(&self) {
        self.worker.signal(Signal::TERM);
        let ended = self.worker.wait();
        let is_early = ended.signal == Some(Signal::TERM.as_raw());
        assert!(ended.code == Some(0) || is_early, "{ended:?}{}", self.worker.log.tail());
    }

    fn again(&mut self) {
        self.worker = self.site.worker_with(&[], &LOGIN);
        self.still = None;
    }
}

struct Fleet {
    server: Postgres,
    bank: Bank,
    members: Vec<Member>,
    random: Random,
    done: Vec<Trouble>,
}

impl Fleet {
    fn start(source: &Shared, count: usize, ledger: &str, seed: u64) -> Self {
        let server = Postgres::with_options("-c max_connections=200");
        let bank = Bank::open(&server);
        let ledger = format!("claim_timeout = \"{}s\"\n{ledger}", CLAIM_TIMEOUT.as_secs());
        let pipeline = source.pipeline().with("handler", "timeout = \"2s\"").with("ledger", &ledger);
        let member = |_| Member::start(bank.site(&pipeline));
        let members = (0..count).map(member).collect();
        Self { server, bank, members, random: Random(seed), done: Vec::new() }
    }

    fn trouble(&mut self) {
        self.go_on();
        let trouble = self.random.of(&TROUBLES);
        let at = self.random.below(self.members.len() as u64) as usize;
        let member = &mut self.members[at];
        match trouble {
            // One that stands still is told, and dies of it first of all.
            Trouble::Kill => {
                assert!(member.worker.kill().signal.is_some());
                member.again();
            }
            Trouble::Stop if member.still.is_none() => {
                member.stop();
                member.again();
            }
            Trouble::StandStill => {
                member.worker.signal(Signal::STOP);
                member.still.get_or_insert(Instant::now());
            }
            Trouble::Stop => return,
            Trouble::Terminate => drop(self.server.terminate_one(&self.bank.db)),
            Trouble::TerminateAll => drop(self.server.terminate_backends(&self.bank.db)),
            Trouble::Restart => self.server.restart_immediate(),
        }
        self.done.push(trouble);
    }

    /// Those go on that have stood still for longer than their claims are good.
    fn go_on(&mut self) {
        for member in &mut self.members {
            if member.still.is_some_and(|since| since.elapsed() > CLAIM_TIMEOUT * 2) {
                member.worker.signal(Signal::CONT);
                member.still = None;
            }
        }
    }

    /// Troubles it until all transfers are in the books, and sees that they are right.
    fn make(mut self, source: &Shared, numbers: RangeInclusive<u64>) {
        let (count, since) = (numbers.clone().count(), Instant::now());
        let mut next = 0;
        loop {
            let now = self.bank.count();
            if now >= count as i64 {
                break;
            }
            // Spread over the transfers: a fleet that is only ever killed gets nowhere.
            if now >= next {
                self.trouble();
                next = now + 1 + self.random.below(count as u64 / 8 + 1) as i64;
            }
            self.go_on();
            assert!(since.elapsed() < limit(count), "{now} of {count}: {:?}{}", self.done, self.tails());
            std::thread::park_timeout(Duration::from_millis(40));
        }
        for member in &mut self.members {
            member.worker.signal(Signal::CONT);
            member.still = None;
        }
        until("all is settled", || source.is_done(count as u64).then_some(()));
        self.end(numbers, since);
    }

    fn end(self, numbers: RangeInclusive<u64>, since: Instant) {
        self.members.iter().for_each(Member::stop);
        self.bank.balance(numbers.clone());
        let count = numbers.count();
        eprintln!(
            "{count} transfers by {} workers in {:.1?}: {:?}",
            self.members.len(),
            since.elapsed(),
            self.done
        );
    }

    fn tails(&self) -> String {
        self.members.iter().map(|member| member.worker.log.tail() + "\n").collect()
    }
}

/// How long a fleet may take.
fn limit(count: usize) -> Duration {
    Duration::from_secs(120 + count as u64 / 5)
}

fn run(source: &Shared, count: usize, ledger: &str) {
    let transfers = setting("PELTON_TRANSFERS", TRANSFERS);
    let seed = setting("PELTON_CRASH_SEED", u64::from(std::process::id()));
    eprintln!("again with PELTON_CRASH_SEED={seed}");
    source.send(1..=transfers / 2);
    let fleet = Fleet::start(source, count, ledger, seed);
    source.send(transfers / 2 + 1..=transfers);
    fleet.make(source, 1..=transfers);
}

#[test]
fn two_workers_on_a_queue_of_sqs() {
    run(&Shared::sqs(), 2, "");
}

#[test]
fn three_workers_on_a_stream() {
    run(&Shared::stream(), 3, "");
}

#[test]
fn three_workers_on_a_list() {
    run(&Shared::list(), 3, "transaction = \"chunk\"");
}

#[test]
fn five_workers_on_a_topic_that_is_handed_around() {
    run(&Shared::kafka(), 5, "");
}
