//! A handler that runs what its messages say, in a real sandbox and a real PostgreSQL: what becomes of its
//! transaction, whatever it does.

use crate::shop::{Shop, Wants};
use pelton_core::effects::{OpenTransaction, Staged, TransactionState};
use pelton_core::message::{Channel, HeaderList, Message, Parts};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::{Handler, Report, Work};
use pelton_host::{Grants, HandlerSpec, Host, HostOptions, LogLine, LogSink, SqlGrant, WasmHandler};
use pelton_tests::components::plugin;
use pelton_tests::wait::until;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A pipeline whose handler runs statements.
struct Rig {
    shop: Shop,
    handler: Arc<WasmHandler>,
    lines: Arc<Lines>,
}

/// What handlers have said.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, line: &LogLine<'_>) {
        self.0.lock().expect("nobody has panicked").push(line.text.to_owned());
    }
}

fn rig(wants: Wants, timeout: Duration) -> Rig {
    static COMPILED: OnceLock<TempDir> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| tempfile::tempdir().expect("a folder can be made"));
    let shop = Shop::wanting(wants);
    let lines = Arc::new(Lines::default());
    let host = Host::new(HostOptions {
        cache_dir: Some(tempfile::tempdir_in(compiled).expect("a folder can be made").keep()),
        shared_cache_dir: Some(compiled.path().join("shared")),
        max_instances: 8,
        guest_threads: Some(2),
        log_sink: Some(lines.clone()),
        ..HostOptions::default()
    });
    let sql = SqlGrant { name: "shop".to_owned(), database: shop.database.clone() };
    let grants = Grants { sql: Some(sql), ..Grants::default() };
    let spec =
        HandlerSpec { timeout, memory: 64 << 20, grants: Arc::new(grants), ..HandlerSpec::default() };
    let host = host.expect("there is room for it");
    let handler = host.load("orders", &plugin("statements"), &spec).expect("it is a handler");
    Rig { shop, handler, lines }
}

fn patient() -> Rig {
    rig(Wants::default(), Duration::from_secs(60))
}

fn sharing(timeout: Duration) -> Rig {
    rig(Wants { per_chunk: true, connections: 1, ..Wants::default() }, timeout)
}

fn work(body: &str, number: usize) -> Work {
    Work {
        message: Message::new(Parts {
            channel: &Arc::new(Channel::new("orders", "queue")),
            headers: HeaderList::default().view(),
            body: body.as_bytes(),
            ..Parts::named(&format!("m-{number}"))
        }),
        attempt: 1,
        lane: None,
        key: None,
        scope: None,
        redo: None,
    }
}

impl Rig {
    /// Runs a chunk of these; what became of each.
    fn run(&self, bodies: &[&str]) -> Vec<Outcome> {
        let slots: Arc<Mutex<Vec<Option<Outcome>>>> = Arc::new(Mutex::new(vec![None; bodies.len()]));
        let filled = slots.clone();
        let report: Report = Box::new(move |_, outcomes| {
            let mut slots = filled.lock().expect("nobody has panicked");
            outcomes.into_iter().for_each(|(at, outcome)| slots[at] = Some(outcome));
        });
        let work = bodies.iter().enumerate().map(|(number, body)| work(body, number)).collect();
        self.shop.runtime.block_on(self.handler.handle(work, report));
        let mut slots = slots.lock().expect("nobody has panicked");
        slots.iter_mut().map(|slot| slot.take().expect("every place is reported")).collect()
    }

    /// The same, again where the machine was so slow that the rest of the chunk was handed back.
    fn run_whole(&self, bodies: &[&str]) -> Vec<Outcome> {
        for _ in 0..20 {
            let outcomes = self.run(bodies);
            if !outcomes.contains(&Outcome::NotStarted) {
                return outcomes;
            }
            drop(outcomes);
            self.is_undone();
            self.said();
        }
        panic!("each time a part of the chunk is handed back")
    }

    fn one(&self, body: &str) -> Outcome {
        self.run(&[body]).remove(0)
    }

    /// What it has said since the last look.
    fn said(&self) -> String {
        std::mem::take(&mut *self.lines.0.lock().expect("nobody has panicked")).join("\n")
    }

    /// Nothing of what it has run is left, and its connections wait for the next.
    fn is_undone(&self) {
        let stands = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND \
                      application_name = 'shop' AND state <> 'idle'";
        until("no transaction is open", || (self.shop.db.number(stands) == 0).then_some(()));
        assert_eq!(self.shop.db.number("SELECT count(*) FROM stock"), 0);
    }
}

fn staged(outcome: &Outcome) -> &Staged {
    match outcome {
        Outcome::Ok(Some(staged)) => staged,
        other => panic!("nothing is staged: {other:?}"),
    }
}

fn is_open(outcome: &Outcome) -> bool {
    let OpenTransaction(transaction) = staged(outcome).effects.transaction.as_ref().expect("it has one");
    transaction.standing() == TransactionState::Open
}

fn retry(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. } => reason,
        other => panic!("it is not tried again: {other:?}"),
    }
}

const ADD: &str = r#"{"execute": "insert into stock values ($1, $2)", "with": ["apple", 1]}"#;

#[test]
fn a_handler_runs_statements_and_its_transaction_goes_on_open() {
    let rig = patient();
    let look = "select item, left_over, left_over::numeric / 2, null::text from stock where item = $1";
    let body = format!(
        r#"{{"run": [{ADD}, {{"query": "{look}", "with": ["apple"]}},
        {{"stage": "update stock set left_over = 2"}}]}}"#
    );
    let outcome = rig.one(&body);
    let value = r#"[Text("apple"), Integer(1), Text("0.50000000000000000000"), Null]"#;
    assert_eq!(rig.said(), format!("1\n{value}\nstaged"));
    assert!(is_open(&outcome));
    assert_eq!(rig.shop.db.number("SELECT count(*) FROM stock"), 0, "nobody else sees it");
    drop(outcome);
    rig.is_undone();
    assert_eq!(rig.one(r#"{"run": []}"#), Outcome::Ok(None), "no statement, no transaction");
}

#[test]
fn whatever_else_it_answers_nothing_is_left() {
    let rig = rig(Wants::default(), Duration::from_millis(700));
    for then in ["retry", "reject", "trap", "spin"] {
        let outcome = rig.one(&format!(r#"{{"run": [{ADD}], "then": "{then}"}}"#));
        assert!(!outcome.is_ok(), "{then}: {outcome:?}");
        rig.is_undone();
    }
    assert!(is_open(&rig.one(&format!(r#"{{"run": [{ADD}]}}"#))), "the key is free");
}

#[test]
fn an_error_that_it_swallows_is_a_retry() {
    let rig = patient();
    let twice = ADD.replace(r#""with""#, r#""times": 2, "ignore": true, "with""#);
    let reason = rig.one(&format!(r#"{{"run": [{twice}]}}"#));
    let reason = retry(&reason);
    assert!(reason.starts_with("a statement failed (23505: "), "{reason}");
    assert!(reason.ends_with("), and the handler answered ok"), "{reason}");
    assert!(rig.said().starts_with("23505: "));
    rig.is_undone();
}

#[test]
fn no_statement_of_it_ends_its_transaction() {
    let rig = patient();
    for ending in ["commit", "/* now */ COMMIT", "-- end\\nend", "rollback", "begin", "savepoint s"] {
        let body = format!(r#"{{"run": [{ADD}, {{"execute": "{ending}", "ignore": true}}]}}"#);
        let outcome = rig.one(&body);
        assert!(rig.said().contains("refused: "), "{ending}");
        assert!(is_open(&outcome), "{ending}: it was not sent");
        drop(outcome);
        rig.is_undone();
    }
    for (hidden, code) in [("select 1; commit", "42601"), ("do $$ begin commit; end $$", "2D000")] {
        let body = format!(r#"{{"run": [{ADD}, {{"execute": "{hidden}", "ignore": true}}]}}"#);
        let outcome = rig.one(&body);
        assert!(retry(&outcome).contains(code), "{outcome:?}");
        rig.is_undone();
    }
}

#[test]
fn ten_thousand_statements_and_no_more() {
    let rig = patient();
    let run = |times: u32, how: &str| {
        let step = format!(
            r#"{{"{how}": "insert into stock values (gen_random_uuid()::text, 1)", "times": {times},
            "ignore": true}}"#
        );
        rig.one(&format!(r#"{{"run": [{step}]}}"#))
    };
    assert!(is_open(&run(10_000, "execute")));
    assert!(!rig.said().contains("refused"));
    assert!(is_open(&run(10_001, "stage")), "one is not sent, and the others stand");
    assert!(rig.said().contains("refused: "));
    rig.is_undone();
}

#[test]
fn results_that_are_too_large_are_errors_to_go_on_from() {
    let rig = patient();
    for (large, bound) in [
        ("select generate_series(1, 10001)", "10000"),
        ("select generate_series(1, 100000000)", "10000"),
        ("select repeat('x', 5000000)", "4194304"),
        ("select repeat('x', 100000000)", "4194304"),
    ] {
        let body = format!(r#"{{"run": [{ADD}, {{"query": "{large}", "ignore": true}}]}}"#);
        let outcome = rig.one(&body);
        let said = rig.said();
        assert!(said.contains("too-large: ") && said.contains(bound), "{large}: {said}");
        assert!(is_open(&outcome), "{large}");
    }
    rig.is_undone();
}

#[test]
fn a_statement_that_outlives_its_message_is_cancelled() {
    let timeout = Duration::from_millis(600);
    let rig = rig(Wants::default(), timeout);
    let begun = Instant::now();
    let outcome = rig.one(&format!(r#"{{"run": [{ADD}, {{"query": "select pg_sleep(60)"}}]}}"#));
    let reported = begun.elapsed();
    assert!(matches!(outcome, Outcome::Fault { kind: FaultKind::Timeout, .. }), "{outcome:?}");
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE \
                  '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()";
    until("it is cancelled", || (rig.shop.db.number(sleeps) == 0).then_some(()));
    let gone = begun.elapsed();
    // Well within the 60 seconds; how far depends on what else this machine does.
    assert!(reported >= timeout && gone < timeout + Duration::from_secs(3), "{reported:?}, {gone:?}");
    rig.is_undone();
}

#[test]
fn what_others_cause_runs_again_whatever_it_answers() {
    let rig = patient();
    for (step, words) in [
        ("do $$ begin raise exception 'too late' using errcode = '40001'; end $$", "too late"),
        ("do $$ begin raise exception 'crossed' using errcode = '40P01'; end $$", "crossed"),
        ("select pg_terminate_backend(pg_backend_pid())", "57P01"),
    ] {
        for then in ["ok", "reject", "trap"] {
            let body =
                format!(r#"{{"run": [{ADD}, {{"execute": "{step}", "ignore": true}}], "then": "{then}"}}"#);
            match rig.one(&body) {
                Outcome::Again { reason, alone: false } => assert!(reason.contains(words), "{reason}"),
                other => panic!("{then}: {other:?}"),
            }
            rig.is_undone();
        }
    }
}

#[test]
fn messages_share_a_transaction_and_fail_alone() {
    let rig = sharing(Duration::from_secs(60));
    assert_eq!(rig.handler.max_chunk(), 32);
    let add = |item: &str, left: i64, then: &str| {
        format!(
            r#"{{"run": [{{"execute": "insert into stock values ($1, $2)", "with": ["{item}", {left}]}}],
            "then": "{then}"}}"#
        )
    };
    let look = r#"{"run": [{"query": "select string_agg(item, ' ' order by item) from stock"}]}"#;
    let all = [
        add("apple", 1, "ok"),
        add("pear", -1, "ok"),
        add("plum", 1, "trap"),
        add("lime", 1, "retry"),
        add("apple", 1, "ok"),
        add("kiwi", 1, "ok"),
        look.to_owned(),
        r#"{"run": []}"#.to_owned(),
    ];
    let outcomes = rig.run_whole(&all.each_ref().map(|body| body.as_str()));
    assert!(retry(&outcomes[1]).contains("23514") && retry(&outcomes[4]).contains("23505"));
    assert!(matches!(outcomes[2], Outcome::Fault { kind: FaultKind::Trap, .. }));
    assert_eq!((retry(&outcomes[3]), &outcomes[7]), ("asked to retry", &Outcome::Ok(None)));
    let well = [0, 5, 6].map(|at| staged(&outcomes[at]));
    assert!(well.iter().all(|one| *one == well[0] && one.messages == 3), "{well:?}");
    assert!(is_open(&outcomes[0]));
    assert!(rig.said().contains(r#"[Text("apple kiwi")]"#), "what failed is not there");
    drop(outcomes);
    rig.is_undone();
}

#[test]
fn one_that_sleeps_too_long_lets_the_others_run_again() {
    let rig = sharing(Duration::from_millis(600));
    let add = format!(r#"{{"run": [{ADD}]}}"#);
    let outcomes = rig.run(&[&add, r#"{"run": [{"query": "select pg_sleep(60)"}]}"#, &add]);
    assert!(matches!(&outcomes[0], Outcome::Again { alone: true, .. }), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Fault { kind: FaultKind::Timeout, .. }), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::NotStarted);
    rig.is_undone();
    assert!(is_open(&rig.one(&add)));
}
