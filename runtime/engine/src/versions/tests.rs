#![allow(clippy::unwrap_used)]

use super::*;
use pelton_core::effects::{Bucket, Effects, Seen as SeenKey, Staged, Stamp};
use pelton_core::message::{Lane, Message, Parts};
use pelton_core::outcome::FaultKind;
use pelton_core::rollout::JudgeAfter;
use std::sync::atomic::AtomicU64;
use tokio::sync::Semaphore;

/// A handler that answers by a function, each chunk when `turns` lets it.
struct Fake {
    digest: Arc<str>,
    answer: fn(&Work) -> Outcome,
    turns: Arc<Semaphore>,
}

impl Handler for Fake {
    fn digest(&self) -> Arc<str> {
        self.digest.clone()
    }

    fn max_chunk(&self) -> usize {
        256
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let (digest, answer, turns) = (self.digest.clone(), self.answer, self.turns.clone());
        Box::pin(async move {
            turns.acquire().await.unwrap().forget();
            report(&digest, work.iter().map(answer).enumerate().collect());
        })
    }

    fn interrupt(&self) {}
}

fn fake(digest: &str, answer: fn(&Work) -> Outcome, turns: &Arc<Semaphore>) -> Arc<dyn Handler> {
    Arc::new(Fake { digest: digest.into(), answer, turns: turns.clone() })
}

/// One that never waits.
fn quick(digest: &str, answer: fn(&Work) -> Outcome) -> Arc<dyn Handler> {
    fake(digest, answer, &Arc::new(Semaphore::new(1_000_000)))
}

fn good(_: &Work) -> Outcome {
    Outcome::Ok(None)
}

fn rejects(_: &Work) -> Outcome {
    Outcome::Reject { reason: "no".to_owned() }
}

fn traps(_: &Work) -> Outcome {
    Outcome::Fault { kind: FaultKind::Trap, reason: "unreachable".to_owned() }
}

fn work(id: u64, lane: Option<u64>) -> Work {
    let message = Message::new(Parts::named(&format!("m{id}")));
    Work { message, attempt: 1, lane: lane.map(Lane), key: None, scope: None, redo: None }
}

type Seen = Arc<Mutex<Vec<(usize, String, Outcome)>>>;

fn seen() -> (Seen, Report) {
    let seen = Seen::default();
    let kept = seen.clone();
    let report = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        kept.lock().unwrap().extend(outcomes.into_iter().map(|(at, o)| (at, digest.to_string(), o)));
    });
    (seen, report)
}

/// Handles a chunk; for each place who reported it, and what.
async fn handle(versions: &HandlerVersions, work: Vec<Work>) -> Vec<(String, Outcome)> {
    let count = work.len();
    let (seen, report) = seen();
    versions.handle(work, report).await;
    let mut all = std::mem::take(&mut *seen.lock().unwrap());
    all.sort_by_key(|(at, ..)| *at);
    assert_eq!(all.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    all.into_iter().map(|(_, digest, outcome)| (digest, outcome)).collect()
}

fn plan(messages: u64, faults: u32) -> Plan {
    Plan {
        share: 0.5,
        judge_after: JudgeAfter::Messages(messages),
        max_increase: 0.02,
        faults,
        shadow: false,
        at_most_ms: 60_000,
    }
}

fn fresh(count: u64) -> Vec<Work> {
    (0..count).map(|id| work(id, None)).collect()
}

#[tokio::test]
async fn what_has_begun_ends_on_the_old_version_which_is_gone_then() {
    let turns = Arc::new(Semaphore::new(0));
    let versions = HandlerVersions::new(fake("old", good, &turns));
    let (seen, report) = seen();
    let running = tokio::spawn(versions.handle(fresh(1), report));
    versions.swap(quick("new", good));
    assert_eq!(versions.digest(), "new".into());
    assert_eq!(handle(&versions, fresh(1)).await, [("new".to_owned(), Outcome::Ok(None))]);
    let roles = |g: &HandlerVersions| g.all().into_iter().map(|(_, role, _)| role).collect::<Vec<_>>();
    assert_eq!(roles(&versions), [Role::Stable, Role::Draining]);
    turns.add_permits(1);
    running.await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(0, "old".to_owned(), Outcome::Ok(None))]);
    assert_eq!(roles(&versions), [Role::Stable, Role::Gone]);
}

#[tokio::test]
async fn what_fails_on_trial_gets_the_old_versions_word_and_costs_no_attempt() {
    let versions = HandlerVersions::new(quick("old", good));
    let canary = versions.try_out(quick("new", rejects), plan(1_000, 1));
    let all = handle(&versions, fresh(64)).await;
    assert!(all.iter().all(|one| *one == ("old".to_owned(), Outcome::Ok(None))), "{all:?}");
    let Judgement::Failed(why) = canary.judged().await else { panic!("all of them failed") };
    assert!(why.contains("first attempts failed"), "{why}");
    assert!(versions.canary().is_none());
    assert_eq!(versions.digest(), "old".into());
}

#[tokio::test]
async fn one_trap_sends_it_back_and_says_whose() {
    let versions = HandlerVersions::new(quick("old", good));
    let canary = versions.try_out(quick("new", traps), plan(1_000, 1));
    handle(&versions, fresh(16)).await;
    let Judgement::Failed(why) = canary.judged().await else { panic!("it trapped") };
    assert!(why.contains("trap") && why.contains("message \"m") && why.contains("unreachable"), "{why}");
}

#[tokio::test]
async fn a_good_one_is_promoted_after_its_messages() {
    let versions = HandlerVersions::new(quick("old", good));
    let canary = versions.try_out(quick("new", good), plan(20, 1));
    let mut by_new = 0;
    for _ in 0..10 {
        let all = handle(&versions, fresh(16)).await;
        by_new += all.iter().filter(|(digest, _)| digest == "new").count();
    }
    assert_eq!(canary.judged().await, Judgement::Passed);
    assert_eq!(versions.digest(), "new".into());
    assert!(by_new > 20);
}

#[tokio::test]
async fn failures_of_both_and_later_attempts_are_not_held_against_it() {
    let versions = HandlerVersions::new(quick("old", rejects));
    let canary = versions.try_out(quick("new", rejects), plan(50, 1));
    while versions.canary().is_some() {
        let all = handle(&versions, fresh(16)).await;
        assert!(all.iter().all(|(digest, _)| digest == "old"), "the old version has the last word");
    }
    assert_eq!(canary.judged().await, Judgement::Passed);

    let versions = HandlerVersions::new(quick("old", good));
    let canary = versions.try_out(quick("new", traps), plan(50, 1));
    let again = fresh(64).into_iter().map(|work| Work { attempt: 2, ..work }).collect();
    handle(&versions, again).await;
    assert_eq!(canary.tallies().0.started, 0);
    assert!(versions.canary().is_some());
}

#[tokio::test]
async fn a_lane_meets_one_side_in_its_order() {
    let versions = HandlerVersions::new(quick("old", good));
    versions.try_out(quick("new", good), plan(1_000_000, 1));
    let lanes: Vec<Work> = (0..64).map(|id| work(id, Some(id % 8))).collect();
    let all = handle(&versions, lanes).await;
    for lane in 0..8 {
        let sides: Vec<&String> = (0..8).map(|n| &all[lane + 8 * n].0).collect();
        assert!(sides.iter().all(|side| *side == sides[0]), "lane {lane}: {sides:?}");
    }
    assert!(all.iter().any(|(d, _)| d == "new") && all.iter().any(|(d, _)| d == "old"));
}

#[tokio::test]
async fn a_slow_old_version_holds_nobody_up() {
    let turns = Arc::new(Semaphore::new(0));
    let versions = HandlerVersions::new(fake("old", good, &turns));
    versions.try_out(quick("new", good), plan(1_000, 1));
    let (seen, report) = seen();
    let running = tokio::spawn(versions.handle(fresh(64), report));
    // The new version's part comes back while the old one's has not ended.
    while seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(seen.lock().unwrap().iter().all(|(.., outcome)| *outcome == Outcome::NotStarted));
    turns.add_permits(1);
    running.await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 64);
}

#[tokio::test]
async fn another_deploy_ends_a_trial() {
    let versions = HandlerVersions::new(quick("old", good));
    let canary = versions.try_out(quick("new", good), plan(1_000, 1));
    versions.swap(quick("newer", good));
    assert!(matches!(canary.judged().await, Judgement::Failed(_)));
    assert!(!versions.send_back("too late"), "there is none any more");
    assert_eq!(versions.digest(), "newer".into());
}

/// In the shadow of another, with so many copies wanted of all messages.
fn in_shadow(versions: &HandlerVersions, handler: Arc<dyn Handler>, messages: u64) -> Arc<Canary> {
    versions.try_out(handler, Plan { share: 1.0, shadow: true, ..plan(messages, 1) })
}

#[tokio::test]
async fn a_shadow_gets_copies_and_has_no_word() {
    let versions = HandlerVersions::new(quick("old", good));
    let shadow = in_shadow(&versions, quick("new", rejects), 1_000);
    for _ in 0..4 {
        for (digest, outcome) in handle(&versions, fresh(2)).await {
            assert_eq!((digest.as_str(), outcome), ("old", Outcome::Ok(None)));
        }
    }
    let Judgement::Failed(why) = shadow.judged().await else { panic!("it rejects everything") };
    assert!(why.starts_with("8 of 8 first attempts failed"), "{why}");
    let seen = shadow.compared().unwrap();
    assert_eq!((seen.agreed, seen.differed, seen.dropped), (0, 8, 0));
    assert_eq!(seen.first.as_deref(), Some("message \"m0\": ok before, reject now"));
    assert!(versions.canary().is_none());
}

/// A handler that is refused a request for every second message that it is ever given.
struct Denied(AtomicU64);

impl Handler for Denied {
    fn digest(&self) -> Arc<str> {
        "new".into()
    }

    fn max_chunk(&self) -> usize {
        256
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let refuses = |at: usize| at % 2 == 1;
        self.0.fetch_add((0..work.len()).filter(|at| refuses(*at)).count() as u64, Ordering::SeqCst);
        let outcome = |at| if refuses(at) { Outcome::NotStarted } else { Outcome::Ok(None) };
        report(&self.digest(), (0..work.len()).map(|at| (at, outcome(at))).collect());
        Box::pin(std::future::ready(()))
    }

    fn interrupt(&self) {}

    fn refused(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn what_waits_for_a_shadow_keeps_nothing_of_what_was_staged() {
    let stages = |_: &Work| {
        let mut effects = Effects::default();
        effects.reads.push(SeenKey { bucket: Bucket(1), key: b"k".to_vec(), stamp: Stamp(1) });
        Outcome::Ok(Staged::of(effects, 1))
    };
    let versions = HandlerVersions::new(quick("old", stages));
    let shadow = in_shadow(&versions, fake("new", good, &Arc::new(Semaphore::new(0))), 1_000);
    let handled = handle(&versions, fresh(1)).await;
    let Outcome::Ok(Some(staged)) = &handled[0].1 else { panic!("nothing is staged: {handled:?}") };
    assert_eq!(Arc::strong_count(&staged.effects), 1, "it would be shown for as long as the shadow takes");
    assert_eq!(shadow.compared().unwrap().dropped, 0, "the copy waits");
}

#[tokio::test]
async fn a_message_to_which_something_was_refused_in_the_shadow_counts_for_nothing() {
    let versions = HandlerVersions::new(quick("old", good));
    let shadow = in_shadow(&versions, Arc::new(Denied(AtomicU64::new(0))), 3);
    handle(&versions, fresh(6)).await;
    assert_eq!(shadow.judged().await, Judgement::Passed);
    let seen = shadow.compared().unwrap();
    assert_eq!((seen.agreed, seen.differed, seen.dropped, seen.refused), (3, 0, 0, 3));
    assert_eq!(shadow.tallies().0.started, 3);
}

#[tokio::test]
async fn a_shadow_that_passes_takes_no_messages_by_itself() {
    let versions = HandlerVersions::new(quick("old", good));
    let shadow = in_shadow(&versions, quick("new", good), 6);
    handle(&versions, fresh(6)).await;
    assert_eq!(shadow.judged().await, Judgement::Passed);
    assert_eq!(shadow.compared().unwrap().agreed, 6);
    assert_eq!(versions.digest(), "old".into());
}

#[tokio::test]
async fn a_fault_in_the_shadow_ends_it_unless_the_old_version_has_it_too() {
    let versions = HandlerVersions::new(quick("old", good));
    let shadow = in_shadow(&versions, quick("new", traps), 1_000);
    handle(&versions, fresh(1)).await;
    assert!(matches!(shadow.judged().await, Judgement::Failed(why) if why.contains("trap")));
    let versions = HandlerVersions::new(quick("old", traps));
    let shadow = in_shadow(&versions, quick("new", traps), 4);
    handle(&versions, fresh(4)).await;
    assert_eq!(shadow.judged().await, Judgement::Passed);
}

#[tokio::test]
async fn a_shadow_that_cannot_follow_delays_nobody_and_its_copies_are_dropped() {
    let turns = Arc::new(Semaphore::new(0));
    let versions = HandlerVersions::new(quick("old", good));
    let shadow = in_shadow(&versions, fake("new", good, &turns), 1_000);
    for _ in 0..100 {
        handle(&versions, fresh(3)).await;
    }
    // One set is in its hands, and so many wait.
    let dropped = shadow.compared().unwrap().dropped;
    assert!((3 * (100 - 17)..=3 * (100 - 16)).contains(&dropped), "{dropped}");
    turns.add_permits(1);
    assert!(versions.send_back("enough"));
    assert_eq!(shadow.judged().await, Judgement::Failed("enough".to_owned()));
}
