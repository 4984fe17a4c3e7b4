//! Topics that are deleted and made again, under a worker and while it is away, and partitions that are
//! added: nothing of what is new is hidden by what was known before.

use crate::offsets::{orders, sorted};
use crate::{is_taken, pipeline, taken};
use pelton_tests::kafka::Broker;
use pelton_tests::log::Log;
use pelton_tests::site::Site;
use pelton_tests::wait::until;

const SAID: &str = "the topic was deleted and made anew";

fn site(broker: &Broker, more: &str) -> Site {
    Site::new(&[pipeline(broker, "orders", more)])
}

fn times_said(log: &Log) -> usize {
    log.lines().iter().filter(|line| line.says(SAID)).count()
}

fn committed(broker: &Broker, offset: i64) {
    until("all is committed", || (broker.committed("orders", "orders", 1) == [Some(offset)]).then_some(()));
}

/// First the new log is longer than the old one was, then shorter; by each way in which groups assign.
#[test]
fn a_topic_made_anew_under_a_worker_is_read_from_its_beginning() {
    let broker = Broker::start();
    let ways = [
        ("orders", ""),
        ("orders-new", ", group_protocol = \"consumer\""),
        ("orders-eager", ", librdkafka = { \"partition.assignment.strategy\" = \"range\" }"),
    ];
    for (topic, _) in ways {
        broker.topic(topic, 1);
        broker.produce(topic, &orders(1..=1));
    }
    let sites = ways.map(|(topic, more)| Site::new(&[pipeline(&broker, topic, more)]));
    let workers = sites.each_ref().map(Site::worker);
    let committed = |topic: &str, offset| {
        until("all is committed", || (broker.committed(topic, topic, 1) == [Some(offset)]).then_some(()));
    };
    ways.iter().for_each(|(topic, _)| committed(topic, 1));
    for (numbers, end) in [(2..=31, 30), (32..=36, 5)] {
        let last = format!("order {}", numbers.end());
        for (topic, _) in ways {
            broker.make_anew(topic, 1);
            broker.produce(topic, &orders(numbers.clone()));
        }
        for (worker, (topic, _)) in workers.iter().zip(ways) {
            worker.log.wait("the last is taken", |l| l.says(" taken") && l.says(&last));
            committed(topic, end);
        }
    }
    for (worker, (topic, _)) in workers.iter().zip(ways) {
        worker.stop();
        assert_eq!(
            sorted(taken(&worker.log)),
            (1..=36).collect::<Vec<_>>(),
            "{topic}: {}",
            worker.log.tail()
        );
        assert_eq!(times_said(&worker.log), 2, "{topic}");
    }
    a_topic_that_is_gone_for_a_while_is_read_when_it_is_there_again(&broker);
}

/// The clients have given it up, and it comes again with fewer partitions.
fn a_topic_that_is_gone_for_a_while_is_read_when_it_is_there_again(broker: &Broker) {
    let soon = "\"topic.metadata.propagation.max.ms\" = 0, \"topic.metadata.refresh.interval.ms\" = 500";
    let ways = [
        ("gone", format!(", librdkafka = {{ {soon}, debug = \"all\" }}")),
        ("gone-new", format!(", group_protocol = \"consumer\", librdkafka = {{ {soon} }}")),
        (
            "gone-eager",
            format!(", librdkafka = {{ {soon}, \"partition.assignment.strategy\" = \"range\" }}"),
        ),
    ];
    ways.iter().for_each(|(topic, _)| broker.topic(topic, 3));
    let sites = ways.each_ref().map(|(topic, more)| Site::new(&[pipeline(broker, topic, more)]));
    let workers = sites.each_ref().map(Site::worker);
    for (worker, (topic, _)) in workers.iter().zip(&ways) {
        broker.produce(topic, &orders(1..=9));
        worker.log.wait_for("the old topic is read", 9, is_taken);
        broker.delete(topic);
    }
    for (worker, (topic, _)) in workers.iter().zip(&ways) {
        worker.log.wait("its partitions are taken back", |l| l.says("were lost") || l.says("revoked"));
        broker.topic(topic, 2);
        broker.produce(topic, &orders(10..=19));
    }
    for (worker, (topic, _)) in workers.iter().zip(&ways) {
        worker.log.wait_for("the new topic is read", 19, is_taken);
        worker.stop();
        assert_eq!(sorted(taken(&worker.log)), (1..=19).collect::<Vec<_>>(), "{topic}");
    }
    workers[0].log.wait("what is not logged is said", |l| l.says("`debug` in `librdkafka` has \"topic\""));
}

/// Each time it has another number of partitions, and the other topic of the pipeline goes on.
#[test]
fn a_topic_with_fewer_partitions_and_then_more_is_read_beside_another() {
    let broker = Broker::start();
    let soon = "\"topic.metadata.refresh.interval.ms\" = 500";
    let ways = [
        ("few", format!(", librdkafka = {{ {soon} }}")),
        ("few-new", format!(", group_protocol = \"consumer\", librdkafka = {{ {soon} }}")),
        (
            "few-eager",
            format!(", librdkafka = {{ {soon}, \"partition.assignment.strategy\" = \"range\" }}"),
        ),
    ];
    let other = |topic: &str| format!("{topic}-other");
    for (topic, _) in &ways {
        broker.topic(topic, 3);
        broker.topic(&other(topic), 2);
    }
    let both = |(topic, more): &(&str, String)| {
        let both = format!("{topic}\", \"{}", other(topic));
        Site::new(&[crate::reads(&broker, &both, topic, more)])
    };
    let sites = ways.each_ref().map(both);
    let workers = sites.each_ref().map(Site::worker);
    for (round, partitions) in (0..).zip([3, 1, 5, 2]) {
        let first = round * 20 + 1;
        for (topic, _) in &ways {
            if round > 0 {
                broker.make_anew(topic, partitions);
            }
            broker.produce(topic, &orders(first..=first + 9));
            broker.produce(&other(topic), &orders(first + 10..=first + 19));
        }
        for worker in &workers {
            let count = usize::try_from(first + 19).expect("few orders");
            worker.log.wait_for("what both have now is taken", count, is_taken);
        }
    }
    for (worker, (topic, _)) in workers.iter().zip(&ways) {
        worker.stop();
        assert_eq!(sorted(taken(&worker.log)), (1..=80).collect::<Vec<_>>(), "{topic}");
        let misleads = |line: &pelton_tests::log::Line| line.says("has refused an offset of one of these");
        assert!(!worker.log.lines().iter().any(misleads), "{topic}: {}", worker.log.tail());
    }
}

#[test]
fn what_is_in_work_of_the_old_topic_ends_and_hides_nothing_of_the_new_one() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    // The first fails until its topic is gone, so that nothing is committed, and much is done behind it.
    let mut first = vec![crate::order(1, "k", 4)];
    first.extend(orders(2..=50));
    broker.produce("orders", &first);
    let site = crate::missed_soon(&broker, "orders");
    let worker = site.worker();
    worker.log.wait_for("what is behind it is done", 40, |l| l.says(" taken"));
    broker.make_anew("orders", 1);
    broker.produce("orders", &orders(51..=130));
    worker.log.wait("the last is taken", |l| l.says(" taken") && l.says("order 130"));
    committed(&broker, 80);
    // What the ledger knows is of the new topic alone.
    assert!(worker.kill().signal.is_some());
    let (again, _) = site.until_empty();
    let new = |log: &Log| sorted(taken(log).into_iter().filter(|n| *n > 50).collect());
    assert_eq!(new(&worker.log), (51..=130).collect::<Vec<_>>());
    assert!(taken(&again.log).is_empty(), "{}", again.log.tail());
}

#[test]
fn a_topic_made_anew_while_the_worker_is_away_is_read_from_its_beginning() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=10));
    // New to the group, it would begin at its end.
    let site = site(&broker, ", auto_offset_reset = \"latest\"");
    broker.commit("orders", "orders", 0, 0);
    site.until_empty();
    committed(&broker, 10);
    broker.make_anew("orders", 1);
    broker.produce("orders", &orders(11..=40));
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (11..=40).collect::<Vec<_>>(), "{}", worker.log.tail());
    assert_eq!(times_said(&worker.log), 1);

    // The offset of the old one is there, as after a commit that came late.
    broker.make_anew("orders", 1);
    broker.produce("orders", &orders(41..=100));
    broker.commit("orders", "orders", 0, 30);
    let (worker, _) = site.until_empty();
    assert_eq!(sorted(taken(&worker.log)), (41..=100).collect::<Vec<_>>(), "{}", worker.log.tail());
    assert_eq!(times_said(&worker.log), 1);
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty() && times_said(&worker.log) == 0);
}

/// Each with a ledger of its own: what one has committed in the new topic is no offset of the old one.
#[test]
fn where_another_worker_has_come_in_the_new_topic_is_gone_on() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=10));
    let sites = [site(&broker, ""), site(&broker, "")];
    sites[0].until_empty();
    broker.make_anew("orders", 1);
    broker.produce("orders", &orders(11..=40));
    sites[1].until_empty();
    committed(&broker, 30);
    broker.produce("orders", &orders(41..=60));
    let (worker, _) = sites[0].until_empty();
    assert_eq!(sorted(taken(&worker.log)), (41..=60).collect::<Vec<_>>(), "{}", worker.log.tail());
    assert_eq!(times_said(&worker.log), 1, "the ledger has forgotten the old one");
}

#[test]
fn a_partition_that_is_added_begins_at_its_first_record() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &orders(1..=5));
    let soon =
        ", auto_offset_reset = \"latest\", librdkafka = { \"topic.metadata.refresh.interval.ms\" = 500 }";
    let site = site(&broker, soon);
    let worker = site.worker();
    until("where the group begins is committed", || {
        (broker.committed("orders", "orders", 1) == [Some(5)]).then_some(())
    });
    // Under the worker, before it can know of it; and while it is away.
    broker.partitions_to("orders", 2);
    broker.produce("orders", &in_partition(1, 6..=10));
    worker.log.wait("the last is taken", |l| l.says(" taken") && l.says("order 10"));
    worker.log.wait("it says so", |l| l.says("`auto_offset_reset` is for new groups"));
    worker.stop();
    broker.partitions_to("orders", 3);
    broker.produce("orders", &in_partition(2, 11..=15));
    let (again, _) = site.until_empty();
    let all = [taken(&worker.log), taken(&again.log)].concat();
    assert_eq!(
        sorted(all),
        (6..=15).collect::<Vec<_>>(),
        "what was there before the group is skipped, as told"
    );
}

/// The broker forgets the offsets of a group that had no members for a week.
#[test]
fn a_group_that_the_broker_has_forgotten_is_not_new() {
    let broker = Broker::start();
    for (topic, dedup) in [("orders", "key = \"message-id\""), ("orders-keyed", "key = \"json:/id\"")] {
        broker.topic(topic, 1);
        broker.produce(topic, &orders(1..=5));
        let latest = pipeline(&broker, topic, ", auto_offset_reset = \"latest\"").with("dedup", dedup);
        let site = Site::new(&[latest]);
        broker.commit(topic, topic, 0, 0);
        site.until_empty();
        broker.forget_group(topic);
        broker.produce(topic, &orders(6..=15));
        let (worker, _) = site.until_empty();
        assert_eq!(sorted(taken(&worker.log)), (6..=15).collect::<Vec<_>>(), "{}", worker.log.tail());
        worker.log.wait("it says so", |l| l.says("`auto_offset_reset` is for new groups"));
    }
}

fn in_partition(
    partition: i32,
    numbers: std::ops::RangeInclusive<u64>,
) -> Vec<pelton_tests::kafka::Record> {
    let of = |record| pelton_tests::kafka::Record { partition: Some(partition), ..record };
    orders(numbers).into_iter().map(of).collect()
}

#[test]
fn commands_know_topics_that_were_made_anew() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.topic("orders-dlt", 1);
    broker.produce("orders-dlt", &orders(1..=3));
    let site = site(&broker, "");
    assert_eq!(site.letters("orders").len(), 3);
    site.done(&["dlq", "purge", "orders", "--all"]);
    assert!(site.letters("orders").is_empty());
    broker.make_anew("orders-dlt", 1);
    broker.produce("orders-dlt", &orders(4..=9));
    assert_eq!(site.status("orders").dead_letters, 6);
    assert_eq!(site.letters("orders").len(), 6);

    // And what was completed in the topic itself hides nothing from a replay.
    broker.produce("orders", &orders(1..=10));
    site.until_empty();
    broker.make_anew("orders", 1);
    broker.produce("orders", &orders(11..=20));
    // Another worker of the group has handled them, or so it says.
    broker.commit("orders", "orders", 0, 10);
    let said = site.done(&["replay", "orders", "--from-beginning"]);
    assert_eq!(site.status("orders").handled, 20, "{said}");
}
