//! A message that kills the process each time ends as a letter; its neighbours are handled.

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};

const ATTEMPTS: u64 = 3;

fn site() -> Site {
    let chaos = Pipeline::new("chaos", plugin("chaos"))
        .with("handler", "timeout = \"1h\"\nconcurrency = 2")
        .with("retry", &format!("max_attempts = {ATTEMPTS}\ninitial_interval = \"10ms\""));
    Site::new(&[chaos])
}

fn send_good(site: &Site, more: &[&str], count: usize) {
    site.send_lines("chaos", more, &vec![r#"{"do": "ok"}"#.to_owned(); count]);
}

#[test]
fn a_message_that_kills_the_worker_every_time_is_a_crash_loop_and_its_neighbours_are_not() {
    let site = site();
    site.until_empty();
    send_good(&site, &[], 100);
    // While it prints, the test kills the worker: as if the handling did.
    site.done(&["send", "chaos", "--id", "killer", "--key", "lane", "--body", r#"{"do": "flood"}"#]);
    send_good(&site, &["--key", "lane"], 20);
    send_good(&site, &[], 100);
    for _ in 0..ATTEMPTS {
        let worker = site.worker();
        worker.log.wait("the killer is handled", |line| line.is_of("killer"));
        assert_eq!(worker.kill().signal, Some(9));
        assert!(site.letters("chaos").is_empty(), "not before its attempts are used up");
    }
    let (worker, _) = site.until_empty();
    let started_again = worker.log.lines().iter().any(|line| line.is_of("killer"));
    assert!(!started_again, "it is given up on before it kills once more");
    let letters = site.letters("chaos");
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((&letters[0]["message_id"], &letters[0]["cause"]), (&"killer".into(), &"crash-loop".into()));
    assert_eq!((&letters[0]["failure"], &letters[0]["attempts"]), (&"crash".into(), &ATTEMPTS.into()));
    let status = site.status("chaos");
    assert_eq!((status.handled, status.left()), (220, 0), "{status:?}");
}

#[test]
fn several_that_kill_are_each_found() {
    let site = site();
    site.until_empty();
    for killer in ["one", "two"] {
        send_good(&site, &[], 30);
        site.done(&["send", "chaos", "--id", killer, "--body", r#"{"do": "flood"}"#]);
    }
    send_good(&site, &[], 30);
    // The first time both run at once; after that each alone.
    let is_one_of_them = |line: &pelton_tests::log::Line| line.is_of("one") || line.is_of("two");
    let mut kills = 0;
    while site.letters("chaos").len() < 2 {
        let worker = site.worker_with(&["--until-empty"], &[]);
        let ended = loop {
            if let Some(ended) = worker.ends_within(std::time::Duration::from_millis(20)) {
                break ended;
            }
            if worker.log.lines().iter().any(is_one_of_them) {
                break worker.kill();
            }
        };
        kills += u64::from(ended.signal == Some(9));
        assert!(kills <= 2 * ATTEMPTS, "each dies {ATTEMPTS} times at most:{}", worker.log.tail());
    }
    site.until_empty();
    let letters = site.letters("chaos");
    assert!(letters.iter().all(|l| l["cause"] == "crash-loop" && l["attempts"] == ATTEMPTS), "{letters:?}");
    assert_eq!(site.status("chaos").handled, 90);
}
