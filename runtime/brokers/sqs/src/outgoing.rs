//! What is sent: messages, letters, and letters on their way back.

use super::action::Needs;
use super::attributes::{self, Attributes, ENCODING};
use super::calls::Entries;
use super::convert::{MESSAGE_ID, PUBLISHED_AT, SYSTEM_PREFIX, TRACE};
use super::fault::{Fault, is_of_content};
use super::options::{BATCH, is_fifo};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    MessageSystemAttributeNameForSends as SystemName, MessageSystemAttributeValue as SystemValue,
    SendMessageBatchRequestEntry as Entry,
};
use pelton_core::broker::{Outgoing, Unsent};
use pelton_core::contain::{Panicked, contained};
use pelton_core::trace::{SpanContext, TRACEPARENT, xray};
use pelton_core::{Header, letter};
use std::collections::{BTreeMap, HashMap};
use tokio::task::{JoinError, JoinSet};

/// What the service takes in one call, and of one message: body and attributes together.
pub const MOST_BYTES: usize = 1 << 20;
/// Calls under way at once, to a queue without order.
pub const CALLS: usize = 8;
/// The group of a message that has no key, in a queue that wants one.
const NO_KEY: &str = "pelton";
/// Bytes of a trace: far more than one has.
const MAX_TRACE: usize = 1_024;
/// Bytes of a group, or of an id for deduplication.
const MAX_NAME: usize = 128;

/// A message, and what it has at this service alone.
#[derive(Debug, Clone, Default)]
pub struct SqsMessage<'m> {
    /// The message. Its key is its group; a FIFO queue takes no delay, others one of up to 900 s.
    pub message: Outgoing<'m>,
    /// What the service knows a repetition by, in a FIFO queue.
    pub dedup_id: Option<String>,
    /// Attributes of ours beside those of the message: name and text.
    pub more: Vec<(&'static str, String)>,
}

/// One that is ready, and its size.
struct Ready {
    number: usize,
    entry: Entry,
    bytes: usize,
}

/// Refused, by what the service answered.
fn refused(code: &str, words: String) -> Unsent {
    Unsent { words, for_good: is_of_content(code) }
}

/// What became of a message: the service's id of it.
type Sent = Result<String, Unsent>;

/// Sends messages; for each the service's id of it, or why it was not sent. In order, where the queue
/// has one.
pub async fn send(client: &Client, queue_url: &str, batch: &[SqsMessage<'_>]) -> Vec<Sent> {
    let fifo = is_fifo(queue_url);
    let mut results: BTreeMap<usize, Sent> = BTreeMap::new();
    let (mut next, mut bytes) = (Vec::new(), 0);
    let mut all = Vec::new();
    for (number, message) in batch.iter().enumerate() {
        match ready(number, message, fifo) {
            Ok(one) => {
                if next.len() == BATCH || bytes + one.bytes > MOST_BYTES {
                    all.push(std::mem::take(&mut next));
                    bytes = 0;
                }
                bytes += one.bytes;
                next.push(one);
            }
            Err(words) => drop(results.insert(number, Err(Unsent::for_good(words)))),
        }
    }
    all.extend((!next.is_empty()).then_some(next));
    let mut calls = JoinSet::new();
    let most = if fifo { 1 } else { CALLS };
    for call in all {
        if calls.len() >= most {
            results.extend(calls.join_next().await.map(joined).unwrap_or_default());
        }
        let (client, queue_url) = (client.clone(), queue_url.to_owned());
        calls.spawn(contained(async move { send_batch(&client, &queue_url, call).await }));
    }
    while let Some(done) = calls.join_next().await {
        results.extend(joined(done));
    }
    let unsaid = || Err(Unsent::for_now("the service did not say whether it has it"));
    (0..batch.len()).map(|number| results.remove(&number).unwrap_or_else(unsaid)).collect()
}

/// What a call came to. Its panic goes on where the batch is waited for.
fn joined<T: Default>(done: Result<Result<T, Panicked>, JoinError>) -> T {
    done.map(|sent| sent.unwrap_or_else(|panicked| panicked.resume())).unwrap_or_default()
}

async fn send_batch(client: &Client, queue_url: &str, batch: Vec<Ready>) -> Vec<(usize, Sent)> {
    let entries = batch.iter().map(|one| one.entry.clone()).collect();
    let call = client.send_message_batch().queue_url(queue_url).set_entries(Some(entries));
    let told = match call.send().await {
        Ok(told) => told,
        Err(error) => {
            let unsent = unsent(&error);
            let mut results = Vec::with_capacity(batch.len());
            for one in batch {
                // One of them may be what is refused.
                let result = if unsent.for_good {
                    send_alone(client, queue_url, &one.entry).await
                } else {
                    Err(unsent.clone())
                };
                results.push((one.number, result));
            }
            return results;
        }
    };
    let mut fates = Entries::of(told.successful().iter().map(|entry| entry.id()), told.failed());
    let ids: BTreeMap<&str, &str> = told.successful().iter().map(|e| (e.id(), e.message_id())).collect();
    let codes: BTreeMap<&str, &str> = told.failed().iter().map(|e| (e.id(), e.code())).collect();
    let mut results = Vec::with_capacity(batch.len());
    for one in batch {
        let result = match fates.take(one.number) {
            Ok(()) => Ok(ids.get(one.entry.id()).copied().unwrap_or_default().to_owned()),
            Err(failed) if failed.for_good => {
                let code = codes.get(one.entry.id()).copied().unwrap_or_default();
                Err(refused(code, failed.fault.words))
            }
            Err(_) => send_alone(client, queue_url, &one.entry).await,
        };
        results.push((one.number, result));
    }
    results
}

async fn send_alone(client: &Client, queue_url: &str, entry: &Entry) -> Sent {
    let call = client.send_message().queue_url(queue_url).message_body(entry.message_body());
    let call = call
        .set_message_attributes(entry.message_attributes().cloned())
        .set_message_system_attributes(entry.message_system_attributes().cloned())
        .set_message_group_id(entry.message_group_id().map(str::to_owned))
        .set_message_deduplication_id(entry.message_deduplication_id().map(str::to_owned))
        .set_delay_seconds(entry.delay_seconds());
    let told = call.send().await.map_err(|error| unsent(&error))?;
    Ok(told.message_id().unwrap_or_default().to_owned())
}

/// Bytes that a message takes, beyond what the service does; 0 when it fits.
pub fn excess(sent: &SqsMessage<'_>) -> usize {
    let (body, encoding) = attributes::body(sent.message.bytes());
    (body.len() + attributes::weight(&attributes_of(sent, encoding))).saturating_sub(MOST_BYTES)
}

fn unsent<E>(error: &SdkError<E>) -> Unsent
where
    E: ProvideErrorMetadata + std::error::Error + Needs + 'static,
{
    refused(error.code().unwrap_or_default(), Fault::of(error).words)
}

/// A message as an entry of a call to a queue without order.
#[cfg(test)]
pub fn entry_of(sent: &SqsMessage<'_>) -> Result<Entry, String> {
    ready(0, sent, false).map(|ready| ready.entry)
}

fn ready(number: usize, sent: &SqsMessage<'_>, fifo: bool) -> Result<Ready, String> {
    let message = &sent.message;
    let (body, encoding) = attributes::body(message.bytes());
    let attributes = attributes_of(sent, encoding);
    let bytes = body.len() + attributes::weight(&attributes);
    if bytes > MOST_BYTES {
        return Err(format!(
            "it has {bytes} bytes with its headers, and SQS takes {MOST_BYTES}: send a reference to the \
             data instead"
        ));
    }
    let group = group(message.key.as_deref(), fifo)?;
    let dedup_id = sent.dedup_id.clone().filter(|_| fifo);
    let delay_s = message.delay_ms.map(|ms| i32::try_from(ms.div_ceil(1_000)).unwrap_or(i32::MAX));
    let entry = Entry::builder()
        .id(number.to_string())
        .message_body(body)
        .set_message_attributes((!attributes.is_empty()).then_some(attributes))
        .set_message_system_attributes(trace(&message.headers))
        .set_message_group_id(group)
        .set_message_deduplication_id(dedup_id)
        .set_delay_seconds(delay_s.filter(|delay_s| *delay_s > 0))
        .build();
    Ok(Ready { number, entry: entry.map_err(|error| error.to_string())?, bytes })
}

fn attributes_of(sent: &SqsMessage<'_>, encoding: Option<&str>) -> Attributes {
    let message = &sent.message;
    let text = |name: &'static str, text: Option<&str>| text.map(|text| (name, text.to_owned()));
    let published = message.published_at_ms.map(|ms| ms.to_string());
    let ours: Vec<(&str, String)> = [
        text(ENCODING, encoding),
        // One that no attribute can have is another message there.
        text(MESSAGE_ID, message.id.as_deref().filter(|id| attributes::is_text(id))),
        text(PUBLISHED_AT, published.as_deref()),
        text(letter::REPLAY, message.replay.as_ref().map(|replay| &*replay.name)),
    ]
    .into_iter()
    .flatten()
    .chain(sent.more.iter().cloned())
    .collect();
    let of_service = |h: &Header| h.name.starts_with(SYSTEM_PREFIX);
    let mut own: Vec<Header> = letter::own(&message.headers).filter(|h| !of_service(h)).collect();
    if own.len() + ours.len() > attributes::MOST {
        // The service's own attribute says the same, and takes no place: others have theirs.
        own.retain(|header| !header.name.eq_ignore_ascii_case(TRACEPARENT));
    }
    attributes::pack(&own, &ours, &message.headers)
}

/// Where the message stands in a trace, as the service takes it: `Root=1-...`. It counts for nothing
/// against the size.
fn trace(headers: &[Header]) -> Option<HashMap<SystemName, SystemValue>> {
    let said = |name: &str| headers.iter().rfind(|header| header.name.eq_ignore_ascii_case(name));
    // That of the standard is newer, where there are both: it is written as a message goes on.
    let newer = said(TRACEPARENT).and_then(|header| SpanContext::parse(&header.value));
    let text = match newer {
        Some(context) => xray(&context),
        None => String::from_utf8(said(TRACE)?.value.clone()).ok()?,
    };
    let is_trace =
        text.contains("Root=") && text.len() <= MAX_TRACE && text.bytes().all(|b| b.is_ascii_graphic());
    let value = SystemValue::builder().data_type("String").string_value(text).build();
    Some(HashMap::from([(SystemName::AwsTraceHeader, value.ok().filter(|_| is_trace)?)]))
}

/// Whether a key may be a group.
pub fn is_group(key: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
}

/// The group of a message. A queue in order wants one for each.
fn group(key: Option<&[u8]>, fifo: bool) -> Result<Option<String>, String> {
    let Some(key) = key else { return Ok(fifo.then(|| NO_KEY.to_owned())) };
    match std::str::from_utf8(key) {
        Ok(text) if is_group(key) => Ok(Some(text.to_owned())),
        _ => Err(format!(
            "its key is no message group of SQS: 1 to {MAX_NAME} letters, digits and punctuation of ASCII"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_groups() {
        assert_eq!(group(Some(b"c-1"), false).unwrap(), Some("c-1".into()));
        assert_eq!(group(None, true).unwrap(), Some(NO_KEY.into()));
        assert_eq!(group(None, false).unwrap(), None);
        for key in [&b""[..], b"a b", &[0xff], &[b'x'; 129]] {
            assert!(group(Some(key), true).is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_trace_is_told_where_the_service_would_take_it() {
        let told = |value: &[u8]| {
            let headers = vec![Header::new(TRACE, value)].into();
            let message = Outgoing { headers, ..Outgoing::of(&b"x"[..]) };
            let entry = entry_of(&SqsMessage { message, ..SqsMessage::default() }).unwrap();
            assert_eq!(entry.message_attributes(), None);
            entry
                .message_system_attributes()
                .is_some_and(|all| all.contains_key(&SystemName::AwsTraceHeader))
        };
        assert!(told(b"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"));
        for odd in [&b""[..], b"Root=1 2", b"no trace", b"Root=\xff", &[b'R'; 2_000]] {
            assert!(!told(odd), "{odd:?}");
        }
    }

    #[test]
    fn a_trace_takes_no_place_from_others() {
        const PARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        let entry = |headers: usize| {
            let mut all = vec![Header::new("Traceparent", PARENT), Header::new(TRACE, "Root=1-old")];
            all.extend((0..headers).map(|n| Header::new(format!("h{n}"), "v")));
            let message = Outgoing { headers: all.into(), ..Outgoing::of(&b"x"[..]) };
            let entry = entry_of(&SqsMessage { message, ..SqsMessage::default() }).unwrap();
            let system = entry.message_system_attributes().unwrap();
            let told = system[&SystemName::AwsTraceHeader].string_value().unwrap().to_owned();
            (entry.message_attributes().unwrap().len(), told)
        };
        let told = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(entry(9), (10, told.to_owned()));
        assert_eq!(entry(10), (10, told.to_owned()), "the tenth has its place");
        assert_eq!(entry(11), (1, told.to_owned()), "eleven never had");
    }

    #[test]
    fn what_is_too_large_is_refused_by_name() {
        let message = Outgoing::of(vec![b'x'; MOST_BYTES + 1]);
        let sent = SqsMessage { message, ..SqsMessage::default() };
        assert!(ready(0, &sent, false).err().unwrap().contains("1048577 bytes"));
    }
}
