//! What becomes of rows: how they are asked for, done again, lost and removed.

use crate::{Fleet, LONG_MS};
use pelton_core::database::{DatabaseConfig, DatabaseUse};
use pelton_core::ports::{ClaimItem, ErrorClass, Ledger, Verdict};
use pelton_tests::member::{Member, completion, configured, placed, wants};
use pelton_tests::postgres::Postgres;
use pelton_tests::wait::until;
use std::sync::Arc;

#[test]
fn a_chunk_is_claimed_in_one_statement_and_completed_in_one() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    member.complete(&placed(0), member.start(&placed(0)).0).unwrap();
    let before = fleet.server.log().len();
    let items: Vec<ClaimItem> = (1_000..1_256).map(placed).collect();
    let verdicts = member.claim(&items, false).unwrap();
    let fresh = |verdict: &Verdict| match verdict {
        Verdict::Fresh { claim, .. } => *claim,
        other => panic!("{other:?}"),
    };
    let batch =
        items.iter().zip(&verdicts).map(|(item, verdict)| completion(item, fresh(verdict))).collect();
    let results = member.wait(member.ledger().complete(batch));
    assert!(results.iter().all(Result::is_ok));
    let log = fleet.server.log();
    let of = |what: &str| {
        let said = |line: &&str| line.contains(what) && line.contains("execute");
        log[before..].lines().filter(said).count()
    };
    // Tests beside this one claim single messages: no chunk of theirs is as large, and each is one statement.
    assert!(of("INSERT INTO pelton_processed") > 0 && of("SET state = 'd'") > 0);
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_processed WHERE state = 'd'"), 257);
    let claims = fleet.db.number("SELECT count(DISTINCT claim) FROM pelton_processed");
    assert_eq!(claims, 2, "a chunk has one number");
}

#[test]
fn chunks_that_come_at_a_time_go_together() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    let chunks: Vec<Vec<ClaimItem>> =
        (0..50).map(|chunk| (0..20).map(|n| placed(chunk * 20 + n)).collect()).collect();
    let ledger = member.ledger();
    let asked: Vec<_> = chunks.into_iter().map(|chunk| ledger.claim(chunk, false)).collect();
    let mut granted = 0;
    for verdicts in asked {
        let verdicts = member.wait(verdicts).unwrap();
        granted += verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Fresh { .. })).count();
    }
    assert_eq!(granted, 1_000);
    let times = fleet.db.number("SELECT count(DISTINCT xmin::text) FROM pelton_processed");
    assert!(times < 50, "{times} transactions");
}

#[test]
fn what_is_done_is_done_again_for_who_redoes_it_and_stays_done_meanwhile() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.member("one"), fleet.member("other"));
    let item = placed(1);
    one.complete(&item, one.start(&item).0).unwrap();
    let redoing = one.pipeline.redoing().unwrap();
    let redo = |ledger: &Arc<dyn Ledger>| match one.wait(ledger.claim(vec![item.clone()], true)).unwrap()[0]
    {
        Verdict::Fresh { claim, attempt: 1, crashed: false } => claim,
        verdict => panic!("{verdict:?}"),
    };
    let claim = redo(&redoing);
    assert_eq!(other.claim_one(&item), Verdict::Duplicate);
    let others = other.pipeline.redoing().unwrap();
    let verdict = other.wait(others.claim(vec![item.clone()], true)).unwrap()[0];
    assert!(matches!(verdict, Verdict::Elsewhere { .. }), "{verdict:?}");
    assert_eq!(one.release(&item, claim, true), Ok(()));
    assert_eq!(other.claim_one(&item), Verdict::Duplicate, "a redo that failed undoes nothing");
    assert_eq!(one.complete(&item, redo(&redoing)), Ok(()));
    assert_eq!(other.claim_one(&item), Verdict::Duplicate);
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_processed WHERE state = 'd'"), 1);
}

#[test]
fn without_deduplication_nothing_is_a_duplicate() {
    let fleet = Fleet::new();
    let off = DatabaseUse { expires_after_ms: None, ..wants(LONG_MS) };
    let member = Member::open(&configured(&fleet.db), "one", off);
    for _ in 0..3 {
        let (claim, attempt) = member.start(&placed(1));
        assert_eq!((attempt, member.complete(&placed(1), claim)), (1, Ok(())));
    }
}

#[test]
fn a_claim_that_the_server_has_lost_is_completed_all_the_same() {
    let server = Postgres::start();
    let db = server.database();
    configured(&db).init().unwrap();
    let member = Member::open(&configured(&db), "one", wants(LONG_MS));
    let items: Vec<ClaimItem> = (0..20).map(placed).collect();
    let verdicts = member.claim(&items, false).unwrap();
    // What it had not written yet is gone; some of it may have been.
    server.restart_immediate();
    for (item, verdict) in items.iter().zip(verdicts) {
        let Verdict::Fresh { claim, .. } = verdict else { panic!("{verdict:?}") };
        assert_eq!(member.complete_in_the_end(item, claim), Ok(()));
    }
    assert_eq!(db.number("SELECT count(*) FROM pelton_processed WHERE state = 'd'"), 20);
    assert_eq!(member.claim_one(&items[7]), Verdict::Duplicate);
}

#[test]
fn a_lost_claim_is_not_completed_once_others_may_have_done_it() {
    let fleet = Fleet::new();
    let member = Member::open(&configured(&fleet.db), "one", wants(1_000));
    let (young, old) = (placed(1), placed(2));
    let (lost, gone) = (member.start(&young).0, member.start(&old).0);
    fleet.db.run("DELETE FROM pelton_processed");
    assert_eq!(member.complete(&young, lost), Ok(()), "nobody can have taken it over");
    let since = fleet.db.session().text("SELECT now()");
    let passed = format!("SELECT (now() > '{since}'::timestamptz + interval '1.2 s')::int");
    until("the claim is old", || (fleet.db.number(&passed) == 1).then_some(()));
    assert_eq!(member.complete(&old, gone), Err(ErrorClass::LeaseLost));
}

#[test]
fn what_has_expired_goes_and_nothing_else() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    let items: Vec<ClaimItem> = (0..600).map(placed).collect();
    let verdicts = member.claim(&items, false).unwrap();
    let claims = verdicts.iter().map(|verdict| match verdict {
        Verdict::Fresh { claim, .. } => *claim,
        other => panic!("{other:?}"),
    });
    let batch = items.iter().zip(claims).take(500).map(|(item, claim)| completion(item, claim)).collect();
    assert!(member.wait(member.ledger().complete(batch)).iter().all(Result::is_ok));
    drop(member);
    fleet.db.run(
        "UPDATE pelton_processed SET at = now() - interval '13 days';
         UPDATE pelton_processed SET at = now() - interval '15 days' WHERE key IN
             (SELECT key FROM pelton_processed WHERE state = 'd' ORDER BY key LIMIT 400);
         INSERT INTO pelton_workers (data_dir, name, heartbeat, ended)
             VALUES ('old', 'old', now() - interval '2 days', 'closed')",
    );
    let _walks = fleet.member("other");
    until("what has expired is gone", || {
        (fleet.db.number("SELECT count(*) FROM pelton_processed") == 200).then_some(())
    });
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_workers WHERE data_dir = 'old'"), 0);
    let ahead =
        fleet.db.number("SELECT count(*) FROM pelton_processed WHERE at < now() - interval '14 days'");
    assert_eq!(ahead, 0);
}
