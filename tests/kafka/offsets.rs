//! Where a group goes on whose offset the broker does not have: only where somebody has said so.

use crate::{order, pipeline, taken};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use rustix::process::Signal;

fn site(broker: &Broker, more: &str) -> Site {
    Site::new(&[pipeline(broker, "orders", more)])
}

fn orders(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    numbers.map(|number| order(number, &format!("k{}", number % 7), 0)).collect()
}

/// A topic with 50 orders that were handled, and 50 that were not and of which retention took 20.
fn with_a_gap(broker: &Broker, site: &Site) {
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=50));
    site.until_empty();
    broker.produce("orders", &orders(51..=100));
    broker.delete_before("orders", 0, 70);
}

#[test]
fn a_group_whose_records_are_gone_stops_until_an_operator_decides() {
    let broker = Broker::start();
    let site = site(&broker, "");
    with_a_gap(&broker, &site);
    let worker = site.worker();
    assert_eq!(worker.wait().code, Some(70), "{}", worker.log.tail());
    worker.log.wait("it says what is gone, and what to do", |line| {
        line.says("the records 50 to 69 are gone") && line.says("write `out_of_range")
    });
    assert_eq!(broker.committed("orders", "orders", 1), [Some(50)], "nothing was skipped");

    broker.commit("orders", "orders", 0, 70);
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (71..=100).collect::<Vec<_>>());
    assert_eq!(broker.committed("orders", "orders", 1), [Some(100)]);
}

#[test]
fn a_group_whose_records_are_gone_goes_on_with_the_oldest_there_is_if_told_so() {
    let broker = Broker::start();
    let site = site(&broker, ", out_of_range = \"earliest\"");
    with_a_gap(&broker, &site);
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (71..=100).collect::<Vec<_>>());
    worker.log.wait("it says so", |line| line.says("the records 50 to 69 are gone"));
    assert_eq!(broker.committed("orders", "orders", 1), [Some(100)]);
}

#[test]
fn what_has_the_offsets_of_a_partition_that_was_cut_is_not_hidden() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=30));
    let site = site(&broker, ", out_of_range = \"earliest\"");
    site.until_empty();
    // The group was further than the partition is long.
    broker.commit("orders", "orders", 0, 1_000);
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (1..=30).collect::<Vec<_>>(), "the ledger hid some");
    worker.log.wait("it says so", |line| line.says("ends at 30"));
    assert_eq!(broker.committed("orders", "orders", 1), [Some(30)]);
}

#[test]
fn a_new_group_stops_if_it_is_not_to_choose_where_it_begins() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=3));
    let site = site(&broker, ", auto_offset_reset = \"error\"");
    let worker = site.worker();
    assert_eq!(worker.wait().code, Some(70), "{}", worker.log.tail());
    worker.log.wait("it says why", |line| line.says("no committed offset here"));
    assert_eq!(broker.committed("orders", "orders", 1), [None]);
}

#[test]
fn a_new_group_may_begin_with_what_comes_next() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=3));
    let site = site(&broker, ", auto_offset_reset = \"latest\"");
    let worker = site.worker();
    worker.log.wait("it has its partition", |line| line.says("assigned"));
    broker.produce("orders", &orders(4..=6));
    worker.log.wait("the last is taken", |line| line.says(" taken") && line.says("order 6"));
    worker.stop();
    assert_eq!(sorted(taken(&worker.log)), [4, 5, 6]);
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn what_the_group_jumps_over_is_behind_it_when_it_starts_again() {
    let broker = Broker::start();
    let site = site(&broker, ", out_of_range = \"latest\"");
    with_a_gap(&broker, &site);
    let worker = site.worker();
    worker.log.wait("it says so", |line| line.says("It goes on as `out_of_range` says, at the latest"));
    until("where it goes on is committed", || {
        (broker.committed("orders", "orders", 1) == [Some(100)]).then_some(())
    });
    // Never seen by this worker, which is gone before it comes.
    worker.signal(Signal::KILL);
    assert_eq!(worker.wait().code, None);
    broker.produce("orders", &orders(101..=105));
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (101..=105).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_is_made_anew_under_a_worker_stops_it_and_leaves_no_offset_of_the_old_one() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=100));
    let site = site(&broker, "");
    let worker = site.worker();
    until("all is committed", || (broker.committed("orders", "orders", 1) == [Some(100)]).then_some(()));
    broker.make_anew("orders", 1);
    broker.produce("orders", &orders(101..=130));
    let ended = worker.wait();
    assert_eq!(ended.code, Some(70), "{}", worker.log.tail());
    worker.log.wait("it says why", |line| line.says("it was cut, or made anew"));
    assert_eq!(broker.committed("orders", "orders", 1), [None], "an offset of the old topic was committed");
    broker.produce("orders", &orders(131..=260));
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (101..=260).collect::<Vec<_>>());
}
