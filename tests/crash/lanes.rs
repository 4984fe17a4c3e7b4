//! Lanes over a crash: what was started and died keeps its order, also when its head fails then.

use crate::{good, orders_site};
use pelton_tests::books::{Books, Keyed};
use rustix::process::Signal;

#[test]
fn a_lane_whose_head_fails_after_a_crash_still_waits_for_it() {
    let site = orders_site();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    // The head fails at its first start, which the crash cuts short, and at the two after it.
    let body = |n: u64| good(n).replace('}', if n == 1 { ", \"gateway_down_for\": 3}" } else { "}" });
    books.send(&site, &["--key", "lane"], &(1..=40).collect::<Vec<_>>(), body);
    let worker = site.worker_with(&[], &[("PELTON_CRASH_AT", "claimed:1")]);
    assert_eq!(worker.wait().signal, Some(Signal::KILL.as_raw()));
    let (worker, _) = site.until_empty();
    let taken: Vec<String> = worker
        .log
        .lines()
        .iter()
        .filter(|l| l.says(" taken"))
        .map(|l| l.field("message_id").to_owned())
        .collect();
    let expected: Vec<String> = (1..=40).map(|n| format!("orders/{n}")).collect();
    assert_eq!(taken, expected);
    books.balance(&site);
}
