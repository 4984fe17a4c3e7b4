//! A real Kafka broker, and an independent look at it: a producer and the group's committed offsets.

mod damage;
mod produce;
mod record;

use crate::binary::root;
use crate::ports;
use crate::wait::DEADLINE;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
pub use record::Record;
use record::seen;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a broker may take for its start. It is a Java program, and begins with some thousands of
/// classes: where much else runs it takes minutes.
const START: Duration = Duration::from_secs(400);

type Admin = AdminClient<DefaultClientContext>;

/// A broker of one node, with its data in a folder of its own. Killed when it is dropped.
pub struct Broker {
    /// `host:port`.
    pub address: String,
    port: u16,
    dir: TempDir,
    process: Mutex<Child>,
}

impl Broker {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(|_, _| {})
    }

    /// Starts one with the files that `prepare` puts into its folder, which is told its port too: see
    /// `tests/brokers/kafka/start`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(prepare: impl FnOnce(&Path, u16)) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        // Its own and its controller's.
        let port = ports::free(2);
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made");
        prepare(&data, port);
        let process = Mutex::new(spawn(port, &dir));
        let broker = Self { address: format!("127.0.0.1:{port}"), port, dir, process };
        broker.ready();
        broker
    }

    /// Kills it as `kill -9` does, and starts it again on the same data.
    ///
    /// # Panics
    /// When that fails.
    pub fn restart(&self) {
        self.kill();
        *self.process.lock().expect("nobody panics with it") = spawn(self.port, &self.dir);
        self.ready();
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Panics
    /// When that fails.
    pub fn kill(&self) {
        let mut process = self.process.lock().expect("nobody panics with it");
        process.kill().expect("it is our child");
        process.wait().expect("it is our child");
    }

    fn ready(&self) {
        let since = Instant::now();
        let consumer: BaseConsumer = self.client().create().expect("a client can be made");
        while consumer.fetch_metadata(None, Duration::from_millis(500)).is_err() {
            let ended =
                self.process.lock().expect("nobody panics with it").try_wait().expect("it is our child");
            assert!(ended.is_none(), "the broker has ended ({ended:?}): {}", self.said());
            assert!(since.elapsed() < START, "the broker does not answer: {}", self.said());
        }
    }

    /// Asks the broker for something that only who administers it may.
    fn administer<T>(&self, ask: impl AsyncFnOnce(&Admin, &AdminOptions) -> KafkaResult<T>) -> T {
        let admin: Admin = self.client().create().expect("a client can be made");
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(ask(&admin, &options)).expect("the broker answers")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("broker.log")).unwrap_or_default()
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("log_level", "2");
        config.set("receive.message.max.bytes", "2147483647");
        config
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// When that fails.
    pub fn topic(&self, name: &str, partitions: i32) {
        self.topic_with(name, partitions, &[]);
    }

    /// Makes a topic with settings of its own.
    ///
    /// # Panics
    /// When that fails.
    pub fn topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let made = self.administer(async |admin, options| admin.create_topics([&topic], options).await);
        made.into_iter().for_each(|one| drop(one.expect("the topic is made")));
    }

    /// Deletes a topic and makes another of its name.
    ///
    /// # Panics
    /// When that fails.
    pub fn make_anew(&self, name: &str, partitions: i32) {
        self.delete(name);
        self.topic(name, partitions);
    }

    /// Deletes a topic.
    ///
    /// # Panics
    /// When that fails.
    pub fn delete(&self, name: &str) {
        let gone = self.administer(async |admin, options| admin.delete_topics(&[name], options).await);
        gone.into_iter().for_each(|one| drop(one.expect("the topic is deleted")));
        let consumer: BaseConsumer = self.client().create().expect("a client can be made");
        crate::wait::until("the topic is gone", || {
            let all = consumer.fetch_metadata(None, REQUEST_TIMEOUT).ok()?;
            all.topics().iter().all(|t| t.name() != name).then_some(())
        });
    }

    /// Adds partitions to a topic, until there are so many.
    ///
    /// # Panics
    /// When that fails.
    pub fn partitions_to(&self, name: &str, count: usize) {
        let more = [NewPartitions::new(name, count)];
        let made = self.administer(async |admin, options| admin.create_partitions(&more, options).await);
        made.into_iter().for_each(|one| drop(one.expect("they are added")));
        crate::wait::until("they are there", || (self.partitions(name) == count).then_some(()));
    }

    /// Deletes the records of a partition before an offset, as its retention does.
    ///
    /// # Panics
    /// When that fails.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let list = at(topic, partition, offset);
        let gone = self.administer(async |admin, options| admin.delete_records(&list, options).await);
        gone.elements().iter().for_each(|one| one.error().expect("they are deleted"));
    }

    /// Commits an offset for a group that has no members now, as an operator does.
    ///
    /// # Panics
    /// When that fails.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().expect("a client can be made");
        consumer.commit(&at(topic, partition, offset), CommitMode::Sync).expect("it is committed");
    }

    /// Forgets a group that has no members now, as the broker does by itself after a while.
    ///
    /// # Panics
    /// When that fails.
    pub fn forget_group(&self, group: &str) {
        let gone = self.administer(async |admin, options| admin.delete_groups(&[group], options).await);
        gone.into_iter().for_each(|one| drop(one.expect("it is forgotten")));
    }

    /// Produces records in one transaction, and commits or aborts it.
    ///
    /// # Panics
    /// When that fails.
    pub fn transact(&self, topic: &str, records: &[Record], commit: bool) {
        end_transaction(&self.open_transaction(topic, records), commit);
    }

    /// Produces records in a transaction that stays open until what is returned ends it.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn open_transaction(&self, topic: &str, records: &[Record]) -> BaseProducer {
        let mut config = self.client();
        let producer: BaseProducer =
            config.set("transactional.id", "tests").create().expect("a producer can be made");
        producer.init_transactions(REQUEST_TIMEOUT).expect("the broker has transactions");
        producer.begin_transaction().expect("it begins");
        for record in records {
            let mut one: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
            (one.key, one.payload) = (record.key.as_deref(), record.value.as_deref());
            one.partition = record.partition;
            producer.send(one).map_err(|(error, _)| error).expect("it is taken");
        }
        producer.flush(DEADLINE).expect("all are there");
        producer
    }

    /// How many partitions a topic has; 0 when there is no such topic.
    ///
    /// # Panics
    /// When the broker does not say.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> usize {
        let consumer: BaseConsumer = self.client().create().expect("a client can be made");
        let all = consumer.fetch_metadata(None, REQUEST_TIMEOUT).expect("the broker answers");
        all.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len())
    }

    /// Every record of a topic, read by a client of its own, partition after partition.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let mut client = self.client();
        client.set("group.id", "a-look").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = client.create().expect("a client can be made");
        let count = i32::try_from(self.partitions(topic)).expect("few partitions");
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a place");
        }
        consumer.assign(&list).expect("it can be assigned");
        let (mut records, mut ended) = (Vec::new(), 0);
        while ended < count {
            match consumer.poll(DEADLINE).expect("the broker goes on") {
                Ok(record) => records.push(seen(&record)),
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("the topic cannot be read: {error}"),
            }
        }
        records.sort_by_key(|record| record.partition);
        records
    }

    /// What a group has committed, by partition: the next offset, or none.
    ///
    /// # Panics
    /// When the broker does not say.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().expect("a client can be made");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        // One that has just been asked to is still reading what groups have committed.
        let found = crate::wait::until("the group's coordinator answers", || {
            consumer.committed_offsets(list.clone(), REQUEST_TIMEOUT).ok()
        });
        let offset = |offset: Offset| match offset {
            Offset::Offset(next) => Some(next),
            _ => None,
        };
        (0..partitions)
            .map(|p| offset(found.find_partition(topic, p).expect("asked for").offset()))
            .collect()
    }
}

/// Commits or aborts the transaction that a producer has open.
///
/// # Panics
/// When that fails.
pub fn end_transaction(producer: &BaseProducer, commit: bool) {
    let ended = if commit {
        producer.commit_transaction(REQUEST_TIMEOUT)
    } else {
        producer.abort_transaction(REQUEST_TIMEOUT)
    };
    ended.expect("it ends");
}

fn at(topic: &str, partition: i32, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a place");
    list
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, dir: &TempDir) -> Child {
    let log = std::fs::File::create(dir.path().join("broker.log")).expect("the log is made");
    let mut command = Command::new(root().join("script/broker"));
    command.args(["kafka", "start", &port.to_string()]).arg(dir.path().join("data"));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
    command.process_group(0).spawn().expect("the broker can be started")
}
