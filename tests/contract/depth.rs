//! How much waits on Kafka, where offsets are no records: marks of transactions, aborted ones, what
//! compaction or retention has removed, and partitions of which nothing is wanted.

use crate::kafka::{self, Kafka};
use libtest_mimic::{Failed, Trial};
use pelton_core::ports::{Depth, Settle};
use pelton_tests::contract::{Probe, Subject};
use pelton_tests::kafka::{Broker, Record, end_transaction};
use pelton_tests::wait::{until, until_it};
use std::sync::Arc;
use tokio::task::block_in_place;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("kafka::the_depth_comes_to_what_is_left_where_offsets_are_no_records", on_kafka)]
}

fn on_kafka() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let broker = Arc::new(Broker::start());
    broker.topic_with(
        "compacted",
        1,
        &[("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01")],
    );
    produce(&broker, "compacted", 0..200);
    runtime.block_on(async {
        behind_transactions(&broker).await;
        behind_a_pause_and_what_was_deleted(&broker).await;
        behind_compaction(&broker).await;
    });
    Ok(())
}

fn record(number: u64) -> Record {
    let key = format!("k{}", number % 10).into_bytes();
    Record { key: Some(key), value: Some(b"{}".to_vec()), partition: Some(0), ..Record::default() }
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(record).collect()
}

fn produce(broker: &Broker, topic: &str, numbers: std::ops::Range<u64>) {
    broker.produce(topic, &records(numbers));
}

fn open(broker: &Arc<Broker>, topic: &str) -> Probe {
    Probe::new(kafka::source_of(broker.clone(), topic), Kafka::default().description())
}

async fn depth(probe: &Probe) -> Depth {
    until_it("it has its partition", async || probe.ports.source.depth().await.ok()).await
}

/// It is never less than what is left, and it comes to that.
async fn comes_to(probe: &Probe, wanted: u64, when: &str) {
    let counted = async || {
        let now = depth(probe).await.unsettled;
        assert!(now >= wanted, "{now} is less than the {wanted} that are left {when}");
        (now == wanted).then_some(())
    };
    until_it(when, counted).await;
}

/// Offsets 0 to 4 are records, 5 to 7 committed ones with their mark, 9 to 12 aborted ones with theirs.
async fn behind_transactions(broker: &Arc<Broker>) {
    block_in_place(|| {
        broker.topic("marks", 1);
        produce(broker, "marks", 0..5);
        broker.transact("marks", &records(5..8), true);
        broker.transact("marks", &records(8..12), false);
    });
    let mut probe = open(broker, "marks");
    comes_to(&probe, 8, "behind marks").await;
    let held = probe.take(8).await;
    comes_to(&probe, 8, "while all is held").await;
    probe.settle_all(&held, Settle::Ack).await;
    comes_to(&probe, 0, "with marks at the end").await;
    probe.restart().await;
    comes_to(&probe, 0, "after a restart").await;
    let open = block_in_place(|| broker.open_transaction("marks", &records(12..14)));
    comes_to(&probe, 0, "while a transaction is open: nobody may read it").await;
    block_in_place(|| end_transaction(&open, true));
    until_it("it is seen", async || (depth(&probe).await.unsettled > 0).then_some(())).await;
    comes_to(&probe, 2, "of the transaction").await;
    let held = probe.take(2).await;
    probe.settle_all(&held, Settle::Ack).await;
    comes_to(&probe, 0, "behind the transaction").await;
    probe.ports.source.close().await;
}

/// Of a partition that is paused the first record is fetched, by which its age is known.
async fn behind_a_pause_and_what_was_deleted(broker: &Arc<Broker>) {
    block_in_place(|| {
        broker.topic("deleted", 1);
        produce(broker, "deleted", 0..3);
    });
    let probe = open(broker, "deleted");
    let held = probe.take(3).await;
    let partition = held[0].position.expect("it has one").partition;
    probe.ports.source.holds(0, &[partition]);
    probe.settle_all(&held, Settle::Ack).await;
    comes_to(&probe, 0, "of a paused partition").await;
    let first = Record { timestamp: Some(1_700_000_000_000), ..record(3) };
    block_in_place(|| {
        broker.produce("deleted", &[first]);
        produce(broker, "deleted", 4..23);
    });
    comes_to(&probe, 20, "of a paused partition").await;
    let is_known = async || (depth(&probe).await.oldest_at_ms == Some(1_700_000_000_000)).then_some(());
    until_it("the first one is fetched", is_known).await;
    assert_eq!(depth(&probe).await.unsettled, 20);
    // The first record was fetched, and five are still there.
    block_in_place(|| broker.delete_before("deleted", 0, 18));
    comes_to(&probe, 6, "of what retention has left").await;
    probe.ports.source.holds(0, &[]);
    let held = probe.take(6).await;
    let offsets: Vec<u64> = held.iter().filter_map(|d| Some(d.position?.offset)).collect();
    assert_eq!(offsets, [3, 18, 19, 20, 21, 22]);
    probe.settle_all(&held, Settle::Ack).await;
    comes_to(&probe, 0, "behind what was deleted").await;
    probe.ports.source.close().await;
}

async fn behind_compaction(broker: &Arc<Broker>) {
    let mut next = 200;
    let left = block_in_place(|| {
        until("the broker compacts", || {
            // The segment that is written to is never compacted: another begins with a later record.
            produce(broker, "compacted", next..next + 1);
            next += 1;
            let left = broker.records("compacted").len() as u64;
            (left < 150).then_some(left)
        })
    });
    let probe = open(broker, "compacted");
    let now = depth(&probe).await.unsettled;
    assert!((left..=next).contains(&now), "{left} records, {next} offsets, {now} counted");
    let (mut seen, mut last) = (0, 0);
    // What is compacted meanwhile does not come, and the last one stays.
    while last + 1 < next {
        let batch = probe.receive(1_000, 64 << 20).await;
        seen += batch.len() as u64;
        last = batch.iter().filter_map(|d| Some(d.position?.offset)).max().unwrap_or(last);
        probe.settle_all(&batch, Settle::Ack).await;
    }
    assert!((1..=left).contains(&seen), "{seen} of {left}");
    comes_to(&probe, 0, "behind compaction").await;
    probe.ports.source.close().await;
}
