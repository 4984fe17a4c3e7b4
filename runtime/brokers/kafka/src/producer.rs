//! Sends records, and waits until the broker has them.

use super::client::{Client, Manner};
use super::convert::{MESSAGE_ID, PUBLISHED_AT, REPLAYED};
use super::headers;
use super::refused::{Refusal, Refused};
use super::topics::partitions_of;
use pelton_core::Header;
use pelton_core::broker::Outgoing;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the broker may take for a batch.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to say what topics it has.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// From so many bytes on a record is compressed unasked: a broker closes the connection on which a request of
/// 100 MB comes, and says nothing of the record.
const LARGE: usize = 64 << 20;

/// What became of one record. Its report is told to it alone: one that comes when nobody waits for it any
/// more says nothing of another record.
pub type Report = OnceLock<Result<String, KafkaError>>;

/// Sends records with the acknowledgement of all replicas, in order.
pub struct KafkaProducer {
    bootstrap_servers: String,
    librdkafka: Vec<(String, String)>,
    /// Opened when they are needed; the first at the start.
    clients: Mutex<BTreeMap<Manner, Arc<Client>>>,
    patience: Duration,
}

/// How a record is sent.
#[derive(Debug, Clone, Copy)]
struct Way {
    manner: Manner,
    /// With its time in a header.
    unstamped: bool,
}

impl Way {
    fn first(record: &Outgoing<'_>) -> Self {
        let headers: usize = record.headers.iter().map(Header::weight).sum();
        let bytes = record.bytes().len() + record.key.as_ref().map_or(0, |key| key.len()) + headers;
        let manner = if bytes >= LARGE { Manner::Packed } else { Manner::Batched };
        Self { manner, unstamped: record.replay.is_some() }
    }

    /// Another way for a record that was not taken, if there is one. The broker refuses a batch as a whole,
    /// and the client lets each record of it have that: what a record has of its own is told of one that
    /// was sent alone, as the only one of a batch was.
    fn after(self, kind: Refusal, was_only: bool) -> Option<Self> {
        let manner = if was_only { self.manner.max(Manner::Alone) } else { self.manner };
        match (manner, kind) {
            (Manner::Batched, kind) if kind.is_of_a_batch() => Some(Self { manner: Manner::Alone, ..self }),
            (Manner::Alone, Refusal::Size) => Some(Self { manner: Manner::Packed, ..self }),
            (Manner::Alone | Manner::Packed, Refusal::Time) if !self.unstamped => {
                Some(Self { unstamped: true, ..self })
            }
            _ => None,
        }
    }
}

impl KafkaProducer {
    /// For the brokers of a pipeline, with its raw settings for the connection.
    ///
    /// # Errors
    /// When the client library refuses the settings, in words.
    pub fn open(bootstrap_servers: &str, librdkafka: &[(String, String)]) -> Result<Self, String> {
        Self::of(Manner::Batched, bootstrap_servers, librdkafka)
    }

    /// The same, which begins with the client for this manner.
    pub(super) fn of(
        first: Manner,
        bootstrap_servers: &str,
        librdkafka: &[(String, String)],
    ) -> Result<Self, String> {
        let client = Client::open(first, bootstrap_servers, librdkafka)?;
        Ok(Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            librdkafka: librdkafka.to_vec(),
            clients: Mutex::new(BTreeMap::from([(first, Arc::new(client))])),
            patience: DELIVERY_TIMEOUT,
        })
    }

    /// How many partitions a topic has. Blocks.
    ///
    /// # Errors
    /// When the broker has no such topic, does not say, or does not answer; in words.
    pub fn partitions(&self, topic: &str) -> Result<usize, String> {
        let client = self.any_client()?;
        let metadata = client.producer.client().fetch_metadata(Some(topic), METADATA_TIMEOUT);
        let metadata = metadata.map_err(|error| client.unreachable(&error))?;
        let partitions = partitions_of(&metadata)?.map(|numbers| numbers.len());
        partitions.ok_or_else(|| format!("there is no topic `{topic}`: make it, or correct `topics`"))
    }

    /// Sends a batch, each record to its destination, and waits for all of it: for each its id, or why it was
    /// not taken. A replay is marked as one of the message with its `id`, for the handler; it has its time in
    /// a header, and is published now. So is a record whose time its topic does not take. What is too large
    /// is sent again compressed. Blocks.
    #[must_use]
    pub fn send(&self, batch: &[Outgoing<'_>]) -> Vec<Result<String, Refused>> {
        let unsent = |_| Err(Refused::passing("it was not sent"));
        let mut results: Vec<_> = batch.iter().map(unsent).collect();
        let mut open: Vec<(usize, Way)> = batch.iter().map(Way::first).enumerate().collect();
        while !open.is_empty() {
            let mut again = Vec::new();
            for ((place, way), result) in open.iter().zip(self.round(batch, &open)) {
                let next =
                    result.as_ref().err().and_then(|refused| way.after(refused.kind, open.len() == 1));
                again.extend(next.map(|way| (*place, way)));
                results[*place] = result;
            }
            open = again;
        }
        results
    }

    /// Sends a batch once, so that in each partition nothing was taken behind what was not; what is not known
    /// after `patience` may have been taken or not, and will not be later. Blocks.
    #[must_use]
    pub(super) fn send_gapless(
        &self,
        batch: &[Outgoing<'_>],
        patience: Duration,
    ) -> Vec<Result<String, Refused>> {
        let way = Way { manner: Manner::Gapless, unstamped: false };
        let client = match self.client(Manner::Gapless) {
            Ok(client) => client,
            Err(why) => return batch.iter().map(|_| Err(Refused::passing(why.as_str()))).collect(),
        };
        let mut reports = Vec::with_capacity(batch.len());
        let mut fault = None;
        for record in batch {
            let report = Arc::<Report>::default();
            // Behind one that the client itself refuses for now nothing goes.
            let sent = match &fault {
                None => enqueue(&client, record, way.unstamped, report.clone()),
                Some(refused) => Err(Refused::clone(refused)),
            };
            fault = fault.or_else(|| sent.as_ref().err().filter(|why| !why.kind.is_for_good()).cloned());
            reports.push(sent.map(|()| report));
        }
        let is_told = |report: &Arc<Report>| report.get().is_some();
        let all_told = || reports.iter().flatten().all(is_told);
        let until = Instant::now() + patience;
        while !all_told() && Instant::now() < until {
            client.producer.poll(POLL);
        }
        if !all_told() {
            client.take_back();
            self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&Manner::Gapless);
        }
        reports.into_iter().map(|report| report.and_then(|report| result(&report))).collect()
    }

    /// Sends some records of a batch, each its way, and waits for what became of them.
    fn round(&self, batch: &[Outgoing<'_>], which: &[(usize, Way)]) -> Vec<Result<String, Refused>> {
        let mut clients = BTreeMap::new();
        for (_, way) in which {
            clients.entry(way.manner).or_insert_with(|| self.client(way.manner));
        }
        let send = |(place, way): &(usize, Way)| {
            let client = clients[&way.manner].as_ref().map_err(|why| Refused::passing(why.as_str()))?;
            let report = Arc::<Report>::default();
            enqueue(client, &batch[*place], way.unstamped, report.clone())?;
            Ok(report)
        };
        let reports: Vec<Result<Arc<Report>, Refused>> = which.iter().map(send).collect();
        let until = Instant::now() + self.patience;
        while reports.iter().flatten().any(|report| report.get().is_none()) && Instant::now() < until {
            for client in clients.values().flatten() {
                client.producer.poll(POLL);
            }
        }
        reports.into_iter().map(|report| report.and_then(|report| result(&report))).collect()
    }

    /// One that can ask.
    fn any_client(&self) -> Result<Arc<Client>, String> {
        let first = self.clients.lock().unwrap_or_else(PoisonError::into_inner).keys().next().copied();
        self.client(first.unwrap_or(Manner::Batched))
    }

    /// The client for a manner. One that has met an error it calls fatal takes nothing any more, and is
    /// replaced.
    fn client(&self, manner: Manner) -> Result<Arc<Client>, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&manner).filter(|client| !client.has_ended()) {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::open(manner, &self.bootstrap_servers, &self.librdkafka)?);
        clients.insert(manner, client.clone());
        Ok(client)
    }
}

fn result(report: &Report) -> Result<String, Refused> {
    let unknown = || Err(Refused::passing("it may have been sent or not: the broker did not say"));
    report.get().map_or_else(unknown, |told| told.clone().map_err(Refused::from))
}

fn enqueue(
    client: &Client,
    one: &Outgoing<'_>,
    unstamped: bool,
    report: Arc<Report>,
) -> Result<(), Refused> {
    let ours = |name: &str, value: &str| Header::new(name, value);
    let mut more = Vec::new();
    if one.replay.is_some() {
        more.extend([ours(REPLAYED, "true"), ours(MESSAGE_ID, one.id.as_deref().unwrap_or_default())]);
    }
    let has_time = one.headers.iter().any(|header| header.name == PUBLISHED_AT);
    if let Some(ms) = one.published_at_ms.filter(|_| unstamped && !has_time) {
        more.push(ours(PUBLISHED_AT, &ms.to_string()));
    }
    if one.headers.len() + more.len() > headers::MOST_HEADERS {
        return Err(Refused::unreadable());
    }
    let all = OwnedHeaders::new_with_capacity(one.headers.len() + more.len());
    let headers = one.headers.iter().chain(&more).fold(all, headers::add);
    let mut record: BaseRecord<'_, [u8], [u8], Arc<Report>> =
        BaseRecord::with_opaque_to(one.destination.as_deref().unwrap_or_default(), report).headers(headers);
    (record.key, record.payload, record.partition) =
        (one.key.as_deref(), one.body.as_deref(), one.partition);
    let published = one.published_at_ms.filter(|_| !unstamped);
    record.timestamp = published.and_then(|ms| i64::try_from(ms).ok());
    loop {
        match client.producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, again)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                client.producer.poll(Duration::from_millis(50));
                record = again;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    fn record(partition: i32) -> Outgoing<'static> {
        Outgoing {
            destination: Some("letters".into()),
            partition: Some(partition),
            ..Outgoing::of(&b"one"[..])
        }
    }

    fn kinds(sent: Vec<Result<String, Refused>>) -> Vec<Result<String, Refusal>> {
        sent.into_iter().map(|one| one.map_err(|refused| refused.kind)).collect()
    }

    #[test]
    fn a_report_that_comes_late_is_of_its_own_record() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("letters", 1, 1).unwrap();
        let mut producer = KafkaProducer::open(&cluster.bootstrap_servers(), &[]).unwrap();
        producer.patience = Duration::ZERO;
        // Nobody waits for it. It comes while the next batch is waited for, of which it says nothing.
        assert_eq!(kinds(producer.send(&[record(0)])), [Err(Refusal::Passing)]);
        producer.patience = DELIVERY_TIMEOUT;
        let next = kinds(producer.send(&[record(7), record(0)]));
        assert_eq!(next, [Err(Refusal::Partition), Ok("letters/0/1".to_owned())]);
    }

    #[test]
    fn a_client_that_takes_nothing_any_more_is_replaced() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("letters", 1, 1).unwrap();
        let producer = KafkaProducer::open(&cluster.bootstrap_servers(), &[]).unwrap();
        assert_eq!(kinds(producer.send(&[record(0)])), [Ok("letters/0/0".to_owned())]);
        let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[fatal]);
        assert_eq!(kinds(producer.send(&[record(0)])), [Err(Refusal::Passing)]);
        assert_eq!(kinds(producer.send(&[record(0)])), [Ok("letters/0/1".to_owned())]);
    }
}
