//! Where a group goes on whose offset the broker does not have: only where somebody has said so.

use crate::{order, pipeline, taken};
use pelton_tests::kafka::{Broker, Record, end_transaction};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use rustix::process::Signal;

fn site(broker: &Broker, more: &str) -> Site {
    Site::new(&[pipeline(broker, "orders", more)])
}

pub fn orders(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
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

pub fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
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

/// An eager assignment is made as a whole, also for one partition that is to be read from elsewhere.
#[test]
fn a_member_with_an_eager_assignor_goes_on_where_it_is_told_to() {
    let broker = Broker::start();
    broker.topic("orders", 3);
    let range = "librdkafka = { \"partition.assignment.strategy\" = \"range\" }";
    let site =
        Site::new(&[pipeline(&broker, "orders", &format!(", out_of_range = \"earliest\", {range}"))]);
    let in_each = |numbers: std::ops::RangeInclusive<u64>| -> Vec<Record> {
        let of = |(n, record): (u64, Record)| Record { partition: Some((n % 3) as i32), ..record };
        numbers.clone().zip(orders(numbers)).map(of).collect()
    };
    broker.produce("orders", &in_each(1..=60));
    site.until_empty();
    broker.produce("orders", &in_each(61..=600));
    broker.delete_before("orders", 1, 30);
    let (worker, _) = site.until_empty();
    let gone = |n: &u64| n % 3 == 1 && *n <= 90;
    let wanted: Vec<u64> = (61..=600).filter(|n| !gone(n)).collect();
    assert_eq!(sorted(taken(&worker.log)), wanted, "{}", worker.log.tail());
    worker.log.wait("it says so", |line| line.says("the records 20 to 29 are gone"));
    assert_eq!(broker.committed("orders", "orders", 3), [Some(200); 3]);
}

#[test]
fn a_group_that_was_set_back_is_told_why_nothing_is_handled() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=30));
    let site = site(&broker, "");
    let (first, _) = site.until_empty();
    broker.commit("orders", "orders", 0, 10);
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty(), "they are duplicates");
    let set_back = |line: &pelton_tests::log::Line| line.says("pass without being handled");
    let line = worker.log.wait("it says so", set_back);
    for words in [
        "completed 20 records",
        "pelton replay orders --from-offset orders/0:10 --redo",
        "pelton ledger forget orders",
    ] {
        assert!(line.says(words), "{words}: {line:?}");
    }
    let (again, _) = site.until_empty();
    for quiet in [&first, &again] {
        assert!(!quiet.log.lines().iter().any(set_back), "{}", quiet.log.tail());
    }

    // A group that comes back after another is where it was left, and the ledger is further.
    let file = site.path().join("pelton.toml");
    let ours = std::fs::read_to_string(&file).expect("there is a configuration");
    let others = ours.replace("group_id = \"orders\"", "group_id = \"others\"");
    std::fs::write(&file, others).expect("it is written");
    broker.commit("others", "orders", 0, 30);
    broker.produce("orders", &orders(31..=50));
    site.until_empty();
    std::fs::write(&file, ours).expect("it is written");
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty(), "they are duplicates");
    worker.log.wait("it says so", |line| {
        set_back(line) && line.says("has read with the group `others`") && line.says("completed 20 records")
    });
}

#[test]
fn what_is_behind_a_transaction_that_is_open_is_waited_for() {
    let broker = Broker::start();
    for (topic, commits) in [("orders", true), ("orders-aborted", false)] {
        broker.topic(topic, 1);
        broker.produce(topic, &orders(1..=10));
        let open = broker.open_transaction(topic, &orders(11..=15));
        broker.produce(topic, &orders(16..=20));
        let site = Site::new(&[pipeline(&broker, topic, "")]);
        let worker = site.worker_with(&["--until-empty"], &[]);
        worker.log.wait("it says what it waits for", |line| line.says("behind an open transaction"));
        until("what can be read is committed", || {
            (broker.committed(topic, topic, 1) == [Some(10)]).then_some(())
        });
        let told = site.done(&["status"]);
        assert!(told.contains("open from offset 10 on: 10 offsets are behind it"), "{told}");
        assert!(told.contains("an open transaction"), "{told}");
        assert_eq!(site.status("orders").left(), 10);
        end_transaction(&open, commits);
        assert_eq!(worker.wait().code, Some(0), "{}", worker.log.tail());
        let wanted = |n: &u64| commits || !(11..=15).contains(n);
        assert_eq!(sorted(taken(&worker.log)), (1..=20).filter(wanted).collect::<Vec<_>>());
    }
    // And a group beyond the end is seen in the status, which counts nothing for it.
    broker.commit("orders", "orders", 0, 125);
    let told = site(&broker, "").done(&["status"]);
    assert!(told.contains("orders/0 ends at 21, and the group is 104 beyond it, at 125"), "{told}");
}
