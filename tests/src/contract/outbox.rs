//! The contract of what an outbox sends to: the same for every broker.
//!
//! A target joins by an `OutboxSubject`. The cases send as a relay does: what was not taken stays, the oldest
//! first, and goes again with the id that it has.

use libtest_mimic::{Completion, Trial};
use pelton_core::Header;
use pelton_core::broker::{OutboxTarget, Publisher};
use pelton_core::effects::{ID_HEADER, StagedMessage, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A kind of target.
pub trait OutboxSubject: Send + Sync + 'static {
    /// Its name, for the report.
    fn name(&self) -> &'static str;

    /// An empty one, apart from all others.
    fn fresh(&self) -> Box<dyn Outlet>;

    /// Rules that do not concern it.
    fn without(&self) -> &'static [&'static str] {
        &[]
    }
}

/// One target, and what a consumer finds there.
pub trait Outlet: Send + Sync {
    /// As it is configured.
    fn target(&self) -> Arc<dyn OutboxTarget>;

    /// The way out.
    fn publisher(&self) -> Box<dyn Publisher>;

    /// What it can.
    fn can(&self) -> Can;

    /// All that it has now, in its order; within a key at least.
    fn read(&self) -> Vec<Arrived>;

    /// Ends every connection, and each new one at once.
    fn cut(&self);

    /// Takes connections again.
    fn mend(&self);

    /// Makes the place itself unusable, and usable again: no such topic or queue, or something else is there.
    /// What the words about it have.
    fn spoil(&self) -> &'static str;

    /// See `spoil`.
    fn repair(&self);

    /// Messages that it cannot carry, and what the words about each have.
    fn uncarried(&self) -> Vec<(StagedMessage, &'static str)>;
}

/// What a target can.
#[derive(Debug, Clone, Copy)]
pub struct Can {
    /// It has a place for keys and headers.
    pub parts: bool,
    /// It keeps the order of a key.
    pub order: bool,
    /// A repetition with the same id is not there twice.
    pub knows_repetitions: bool,
}

/// A message, as a consumer finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Arrived {
    /// What tells it from others: its body, where the place has no room for its id.
    fn id(&self) -> String {
        let header = self.headers.iter().find(|h| h.name == ID_HEADER);
        String::from_utf8_lossy(header.map_or(&self.body, |h| &h.value)).into_owned()
    }
}

/// One rule that every target must keep.
type Rule = fn(&dyn Outlet);

const RULES: [(&str, Rule); 7] = [
    ("what_is_sent_arrives_whole_and_with_its_id", whole),
    ("messages_of_a_key_arrive_in_their_order", in_order),
    ("a_repetition_is_known_by_its_id", repeated),
    ("what_it_cannot_carry_is_said_before_it_is_committed", uncarried),
    ("a_broker_that_goes_away_loses_nothing_and_no_order", cut),
    ("a_place_that_is_not_usable_refuses_nothing_for_good", spoiled),
    ("what_is_not_a_handlers_is_refused", marks),
];

/// How long a relay goes on trying here: far longer than it takes.
const LIMIT: Duration = Duration::from_secs(90);

/// The rules for one target, as tests.
#[must_use]
pub fn outbox_trials(subject: &Arc<dyn OutboxSubject>) -> Vec<Trial> {
    let trial = |(rule_name, rule): (&str, Rule)| {
        let subject = subject.clone();
        let name = format!("outbox::{}::{rule_name}", subject.name());
        let concerns_it = !subject.without().contains(&rule_name);
        Trial::ignorable_test(name, move || {
            if !concerns_it {
                return Ok(Completion::ignored_with("it cannot be away, and carries all"));
            }
            rule(&*subject.fresh());
            Ok(Completion::Completed)
        })
    };
    RULES.into_iter().map(trial).collect()
}

/// A message that every target carries.
#[must_use]
pub fn staged(number: usize, can: Can) -> StagedMessage {
    let key = format!("key-{}", number % 5);
    StagedMessage {
        target: Target(1),
        id: format!("{number:032x}").into(),
        topic: None,
        key: can.parts.then(|| key.into_bytes()),
        headers: Vec::new(),
        body: format!("{number:032x}").into_bytes(),
        delay_ms: None,
    }
}

fn many(count: usize, can: Can) -> Vec<StagedMessage> {
    (0..count).map(|number| staged(number, can)).collect()
}

/// Sends as a relay does, until all are taken; what was said of those that were not.
///
/// # Panics
/// When one is refused for good, or it takes too long.
fn relay(outlet: &dyn Outlet, publisher: &mut dyn Publisher, all: &[StagedMessage]) -> BTreeSet<String> {
    let (mut waiting, most) = ((0..all.len()).collect::<Vec<_>>(), outlet.target().most());
    let (mut said, since) = (BTreeSet::new(), Instant::now());
    while !waiting.is_empty() {
        assert!(since.elapsed() < LIMIT, "{} still wait: {said:?}", waiting.len());
        let next: Vec<usize> = waiting.iter().copied().take(most).collect();
        let batch: Vec<_> = next.iter().map(|number| all[*number].outgoing(None)).collect();
        let results = publisher.publish(&batch).expect("there are no books that could fail");
        assert_eq!(results.len(), batch.len(), "one answer for each");
        for (number, result) in next.into_iter().zip(results) {
            match result {
                Ok(_) => waiting.retain(|waits| *waits != number),
                Err(unsent) => {
                    assert!(!unsent.for_good, "nothing is wrong with it: {}", unsent.words);
                    said.insert(unsent.words);
                }
            }
        }
    }
    said
}

/// The numbers that arrived, by key, each where it came first.
fn arrived(outlet: &dyn Outlet) -> BTreeMap<Option<Vec<u8>>, Vec<String>> {
    let (mut seen, mut by_key) = (BTreeSet::new(), BTreeMap::<_, Vec<String>>::new());
    for one in outlet.read() {
        if seen.insert(one.id()) {
            by_key.entry(one.key.clone()).or_default().push(one.id());
        }
    }
    by_key
}

fn assert_all_in_order(outlet: &dyn Outlet, all: &[StagedMessage]) {
    let mut expected = BTreeMap::<_, Vec<String>>::new();
    for message in all {
        expected.entry(message.key.clone()).or_default().push(message.id.to_string());
    }
    let mut found = arrived(outlet);
    if !outlet.can().order {
        found.values_mut().for_each(|ids| ids.sort());
    }
    assert_eq!(found, expected);
}

fn whole(outlet: &dyn Outlet) {
    let can = outlet.can();
    let headers = [("trace", "a1"), ("sch", "gr\u{fc}n")].map(|(name, value)| Header::new(name, value));
    let message = StagedMessage {
        headers: if can.parts { headers.to_vec() } else { Vec::new() },
        body: b"{\"n\":1}".to_vec(),
        ..staged(1, can)
    };
    assert_eq!(outlet.target().cannot_send(&message), None);
    let mut publisher = outlet.publisher();
    publisher.check().expect("it is there");
    relay(outlet, &mut *publisher, std::slice::from_ref(&message));
    let [mut one]: [Arrived; 1] = outlet.read().try_into().expect("one message");
    one.headers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut expected = message.headers.clone();
    expected.extend(can.parts.then(|| Header::new(ID_HEADER, &*message.id)));
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!((one.key, one.headers, one.body), (message.key, expected, message.body));
}

fn in_order(outlet: &dyn Outlet) {
    let all = many(300, outlet.can());
    let said = relay(outlet, &mut *outlet.publisher(), &all);
    assert_eq!(said, BTreeSet::new());
    assert_all_in_order(outlet, &all);
    assert_eq!(outlet.read().len(), all.len(), "each once");
}

/// As after a crash between the broker's answer and the note of it: by another process.
fn repeated(outlet: &dyn Outlet) {
    let all = many(7, outlet.can());
    for _ in 0..2 {
        relay(outlet, &mut *outlet.publisher(), &all);
    }
    let times = if outlet.can().knows_repetitions { 1 } else { 2 };
    assert_eq!(outlet.read().len(), all.len() * times);
    assert_all_in_order(outlet, &all);
}

fn uncarried(outlet: &dyn Outlet) {
    let all = outlet.uncarried();
    assert!(!all.is_empty(), "there is always something");
    for (message, part) in all {
        let words = outlet.target().cannot_send(&message).unwrap_or_default();
        assert!(words.contains(part), "{part}: {words}");
    }
}

fn marks(outlet: &dyn Outlet) {
    let mark = Header::new("pelton-replay", "forged");
    let message = StagedMessage { headers: vec![mark], ..staged(1, outlet.can()) };
    let words = outlet.target().cannot_send(&message).unwrap_or_default();
    assert!(words.contains("`pelton-replay`"), "{words}");
}

/// Every connection ends again and again while messages are sent.
fn cut(outlet: &dyn Outlet) {
    let all = many(2_000, outlet.can());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, cuts) = (&done, 4);
        scope.spawn(move || {
            for _ in 0..cuts {
                std::thread::park_timeout(Duration::from_millis(60));
                outlet.cut();
                std::thread::park_timeout(Duration::from_millis(60));
                outlet.mend();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut publisher = outlet.publisher();
        // Until all cuts were made while something was on its way.
        let (mut sent, mut rounds) = (0, 0);
        while sent < all.len() {
            let end =
                if done.load(Ordering::Relaxed) { all.len() } else { (sent + 100).min(all.len() - 1) };
            if end > sent {
                relay(outlet, &mut *publisher, &all[sent..end]);
            } else {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            (sent, rounds) = (end, rounds + 1);
        }
        assert!(rounds > 0);
    });
    assert_all_in_order(outlet, &all);
}

fn spoiled(outlet: &dyn Outlet) {
    let all = many(3, outlet.can());
    let part = outlet.spoil();
    let mut publisher = outlet.publisher();
    let batch: Vec<_> = all.iter().map(|message| message.outgoing(None)).collect();
    let results = publisher.publish(&batch).expect("there are no books that could fail");
    let mut words: Vec<String> = Vec::new();
    for result in results {
        let unsent = result.expect_err("there is no place for it");
        assert!(!unsent.for_good, "it may be made: {}", unsent.words);
        words.push(unsent.words);
    }
    assert!(words[0].contains(part), "{part}: {words:?}");
    outlet.repair();
    relay(outlet, &mut *publisher, &all);
    assert_all_in_order(outlet, &all);
}
