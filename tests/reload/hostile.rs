//! Good and bad components in quick succession, by every way of replacing a file, while two sources are
//! under load and the worker is killed: nothing is lost or takes effect twice, and the last good one runs
//! in the end.

use crate::{COMPONENT, component, digest, file, in_use, order};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::components::{made_up, orders_version};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

const ROUNDS: u32 = 16;
const EACH: u64 = 100;
const HANDLER: &str = "timeout = \"500ms\"";
const TRIAL: &str = "canary = 0.4\njudge_after = \"30 messages\"";

/// What comes in a round: every second one is bad, each in its own way.
fn component_of(round: u32) -> Vec<u8> {
    match round % 10 {
        1 => made_up("", "unreachable", false),
        3 => made_up("unreachable", "", false),
        5 => b"no component at all".to_vec(),
        7 => orders_version(round)[..50_000].to_vec(),
        9 => made_up("", "(loop $l (br $l))", false),
        _ => orders_version(round),
    }
}

fn replace(site: &Site, round: u32) {
    let bytes = component_of(round);
    match round / 2 % 3 {
        0 => std::fs::rename(file(site, "new", &bytes), component(site)).expect("it is renamed"),
        1 => std::fs::write(component(site), &bytes).expect("it is copied over"),
        _ => {
            let mut open =
                std::fs::OpenOptions::new().write(true).open(component(site)).expect("it is there");
            open.set_len(bytes.len() as u64).expect("it is cut");
            open.seek(SeekFrom::Start(0)).and_then(|_| open.write_all(&bytes)).expect("it is edited");
        }
    }
}

fn site(redis: &Redis) -> Site {
    let stream = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"bills\", group = \"bills\", \
         body_field = \"body\", key_field = \"customer\" }}",
        redis.url()
    );
    let one = |name: &str, own: &str| {
        Pipeline::new(name, COMPONENT.into())
            .with("", own)
            .with("handler", HANDLER)
            .with("handler.rollout", TRIAL)
            .with("dedup", "key = \"json:/id\"")
            .with("retry", "initial_interval = \"10ms\"\nmax_attempts = 20")
    };
    let site = Site::new(&[one("orders", ""), one("bills", &stream)]);
    std::fs::write(component(&site), orders_version(0)).expect("the component is written");
    site
}

fn entry(number: u64) -> Vec<(&'static str, Vec<u8>)> {
    vec![("customer", format!("k{}", number % 20).into_bytes()), ("body", order(number).into_bytes())]
}

#[test]
fn good_and_bad_versions_on_two_sources_with_kills_lose_nothing() {
    let redis = Redis::start();
    let site = site(&redis);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let seed = u64::from(std::process::id());
    let mut next = 1;
    let mut send = |books: &mut Books| {
        let numbers: Vec<u64> = (next..next + EACH).collect();
        books.send(&site, &[], &numbers, order);
        redis.add("bills", &numbers.iter().map(|n| entry(*n)).collect::<Vec<_>>());
        next += EACH;
        next - 1
    };
    for round in 1..=ROUNDS {
        let worker = site.worker().ready();
        send(&mut books);
        replace(&site, round);
        send(&mut books);
        // From before the first look to well into the trial.
        let moment = pelton_core::retry::scatter(seed, u64::from(round)) % 2_500;
        assert!(worker.ends_within(Duration::from_millis(moment)).is_none(), "{}", worker.log.tail());
        assert_eq!(worker.kill().signal, Some(9));
    }
    let last = ROUNDS + 2;
    replace(&site, last);
    let wanted = digest(&site, &component(&site));
    let worker = site.worker().ready();
    let mut produced = 0;
    until("the last version is promoted", || {
        produced = send(&mut books);
        (in_use(&site) == wanted).then_some(())
    });
    until("all is handled", || {
        let done = ["orders", "bills"].map(|name| site.status(name).handled);
        (done == [produced; 2] && site.status("orders").left() == 0).then_some(())
    });
    worker.stop();
    let fates = books.balance(&site);
    assert!(fates.lettered.is_empty(), "{fates:?}{}", worker.log.tail());
    let bills = site.status("bills");
    assert_eq!((bills.handled, bills.dead_letters), (produced, 0), "{bills:?}");
}
