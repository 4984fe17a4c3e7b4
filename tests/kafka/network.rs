//! A network that is slow, silent or gone, and brokers that refuse commits: nothing is lost, and nothing
//! that was completed is done again.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::proxy::Proxy;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;

const PARTITIONS: i32 = 3;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

fn orders(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(|n| order(n, &format!("c{}", n % 40), u32::from(n % 100 == 9))).collect()
}

/// A worker's site whose broker is behind a network.
fn behind(broker: &Broker, way: &Proxy) -> Site {
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\", \
         librdkafka = {{ \"session.timeout.ms\" = 6000, \"socket.timeout.ms\" = 3000 }} }}",
        way.address
    );
    broker.topic("orders", PARTITIONS);
    site(&source)
}

fn site(source: &str) -> Site {
    let retry = "max_attempts = 10\ninitial_interval = \"20ms\"";
    Site::new(&[Pipeline::new("orders", plugin("orders")).with("", source).with("retry", retry)])
}

fn all_once(broker: &Broker, site: &Site, count: u64) {
    until("all is committed", || {
        let sum: i64 = broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum();
        (sum as u64 == count).then_some(())
    });
    let status = site.status("orders");
    assert_eq!((status.handled, status.dead_letters), (count, 0), "completed more or less than once");
}

#[test]
fn a_slow_broker_that_stalls_and_lets_connections_hang_repeats_nothing() {
    let broker = Broker::start();
    let way = Proxy::before(&broker.address);
    let site = behind(&broker, &way);
    let worker = site.worker();
    broker.produce("orders", &orders(1..1_001));
    worker.log.wait_for("orders are taken", 200, |line| line.says(" taken"));
    way.delay(Duration::from_millis(250));
    broker.produce("orders", &orders(1_001..2_001));
    worker.log.wait_for("half is taken", 1_200, |line| line.says(" taken"));
    way.delay(Duration::ZERO);

    way.stall();
    broker.produce("orders", &orders(2_001..3_001));
    until("the worker notices", || (site.done(&["status"]).contains("is not ready")).then_some(()));
    way.flow();
    worker.log.wait_for("it goes on", 2_500, |line| line.says(" taken"));

    way.halve();
    broker.produce("orders", &orders(3_001..4_001));
    all_once(&broker, &site, 4_000);
    worker.stop();
    assert_eq!(taken(&worker.log).len(), 4_000, "an effect came twice, or not at all");
}

#[test]
fn a_broker_that_flaps_is_not_pestered_and_loses_nothing() {
    let broker = Broker::start();
    let way = Proxy::before(&broker.address);
    let site = behind(&broker, &way);
    let worker = site.worker();
    for round in 0..5 {
        broker.produce("orders", &orders(round * 400 + 1..(round + 1) * 400 + 1));
        worker.log.wait_for("some are taken", round as usize * 400 + 100, |line| line.says(" taken"));
        let before = way.connections();
        way.cut();
        until("the worker notices", || (site.done(&["status"]).contains("is not ready")).then_some(()));
        way.mend();
        until("it is back", || (way.connections() > before).then_some(()));
    }
    all_once(&broker, &site, 2_000);
    assert!(way.connections() < 200, "{} connections for five cuts", way.connections());
    worker.stop();
    assert_eq!(taken(&worker.log).len(), 2_000, "an effect came twice, or not at all");
}

/// A cluster that answers as it is told to.
struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    client: ClientConfig,
}

impl Mock {
    fn start() -> Self {
        let cluster = MockCluster::new(1).expect("it starts");
        for topic in ["orders", "orders-dlt"] {
            cluster.create_topic(topic, 1, 1).expect("a topic");
        }
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "orders");
        Self { cluster, client }
    }

    fn produce(&self, records: &[Record]) {
        let producer: BaseProducer = self.client.create().expect("a producer can be made");
        for record in records {
            let mut one: BaseRecord<'_, [u8], [u8]> = BaseRecord::to("orders");
            (one.key, one.payload) = (record.key.as_deref(), record.value.as_deref());
            producer.send(one).map_err(|(error, _)| error).expect("it is taken");
        }
        producer.flush(REQUEST_TIMEOUT).expect("all are acknowledged");
    }

    fn committed(&self) -> Option<i64> {
        let consumer: BaseConsumer = self.client.create().expect("a client can be made");
        let mut list = TopicPartitionList::new();
        list.add_partition("orders", 0);
        let found = consumer.committed_offsets(list, REQUEST_TIMEOUT).ok()?;
        match found.elements().first()?.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }
    }
}

#[test]
fn a_commit_that_is_refused_is_no_commit_and_is_made_again() {
    use RDKafkaRespErr::*;
    let refusals = [
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    ];
    let mock = Mock::start();
    let address = mock.cluster.bootstrap_servers();
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{address}\", topics = [\"orders\"], group_id \
         = \"orders\", \
         librdkafka = {{ \"session.timeout.ms\" = 5000, \"heartbeat.interval.ms\" = 500 }} }}"
    );
    let site = site(&source);
    let worker = site.worker();
    for (round, refusal) in (0i64..).zip(refusals) {
        mock.cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[refusal; 2]);
        let first = round as u64 * 50 + 1;
        mock.produce(&orders(first..first + 50));
        let all = (round + 1) * 50;
        until(&format!("{refusal:?}: all is handled"), || {
            (site.status("orders").handled == all as u64).then_some(())
        });
        until(&format!("{refusal:?}: all is committed"), || (mock.committed() == Some(all)).then_some(()));
    }
    worker.stop();
    assert_eq!(taken(&worker.log).len(), 50 * refusals.len(), "an effect came twice, or not at all");
    let lines = worker.log.lines();
    let said: Vec<_> = lines.iter().filter(|line| line.says("offsets could not be committed")).collect();
    // Each is tried again twice a second; that they are refused is said twice a minute.
    assert!((1..=6).contains(&said.len()), "said {} times", said.len());
}
