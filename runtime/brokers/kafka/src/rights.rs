//! What this user may do with topics and with the group, and who is in the group. The broker says it of each
//! that is described (KIP-430): nothing is tried, and nothing changes there.

#![allow(unsafe_code, reason = "the safe interface describes neither topics nor groups")]

use rdkafka::bindings::{self, rd_kafka_admin_op_t, rd_kafka_t};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::time::Duration;

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    /// One that is not asked for here.
    Other,
}

impl Operation {
    /// By its number in the protocol.
    fn of(number: u32) -> Self {
        match number {
            3 => Self::Read,
            4 => Self::Write,
            _ => Self::Other,
        }
    }
}

/// What the broker says of a topic or a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// Why it says nothing more.
    pub error: Option<RDKafkaErrorCode>,
    /// None where it does not say (before 2.3, or nothing by this name is there).
    allowed: Option<Vec<Operation>>,
    /// Of a group: how its members share partitions; empty where nobody does.
    pub assignor: String,
    /// Of a group: how many members it has.
    pub members: usize,
    /// Of a group: its members share partitions among themselves, and not as KIP-848 has it.
    pub is_classic: bool,
}

impl Described {
    /// Whether it is known that this may not be done.
    pub fn is_denied(&self, operation: Operation) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&operation))
    }
}

/// Describes a topic.
pub fn of_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    patience: Duration,
) -> KafkaResult<Described> {
    let name = CString::new(topic)?;
    let mut names = [name.as_ptr()];
    let asking = Asking::of(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, patience);
    // SAFETY: the first call copies the name. What it makes is destroyed after the second has copied it.
    // Client, options and queue are alive.
    unsafe {
        let topics = bindings::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        bindings::rd_kafka_DescribeTopics(asking.client, topics, asking.options, asking.queue);
        bindings::rd_kafka_TopicCollection_destroy(topics);
    }
    let event = asking.answer()?;
    let (mut topics, mut count) = (0, 0);
    // SAFETY: what is told belongs to the event, which lives to the end of this function. It is null where
    // the event is of another kind, and there are as many as the library counts.
    Ok(unsafe {
        let result = bindings::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Ok(Described::default());
        }
        let all = bindings::rd_kafka_DescribeTopics_result_topics(result, &raw mut topics);
        let Some(told) = first(all, topics) else { return Ok(Described::default()) };
        let allowed = bindings::rd_kafka_TopicDescription_authorized_operations(told, &raw mut count);
        Described {
            error: code(bindings::rd_kafka_TopicDescription_error(told)),
            allowed: operations(allowed.cast(), count),
            ..Described::default()
        }
    })
}

/// Describes a group.
pub fn of_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    patience: Duration,
) -> KafkaResult<Described> {
    let name = CString::new(group)?;
    let mut names = [name.as_ptr()];
    let asking =
        Asking::of(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, patience);
    let (asked, size) = (names.as_mut_ptr(), names.len());
    // SAFETY: the call copies the name. Client, options and queue are alive.
    unsafe {
        bindings::rd_kafka_DescribeConsumerGroups(asking.client, asked, size, asking.options, asking.queue);
    }
    let event = asking.answer()?;
    let (mut groups, mut count) = (0, 0);
    // SAFETY: as of a topic. A text that is told ends with a zero.
    Ok(unsafe {
        let result = bindings::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        if result.is_null() {
            return Ok(Described::default());
        }
        let all = bindings::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut groups);
        let Some(told) = first(all, groups) else { return Ok(Described::default()) };
        let allowed =
            bindings::rd_kafka_ConsumerGroupDescription_authorized_operations(told, &raw mut count);
        let classic = bindings::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC;
        Described {
            error: code(bindings::rd_kafka_ConsumerGroupDescription_error(told)),
            allowed: operations(allowed.cast(), count),
            assignor: text(bindings::rd_kafka_ConsumerGroupDescription_partition_assignor(told)),
            members: bindings::rd_kafka_ConsumerGroupDescription_member_count(told),
            is_classic: bindings::rd_kafka_ConsumerGroupDescription_type(told) == classic,
        }
    })
}

/// One question to the broker, and the queue that its answer comes to.
struct Asking<'c> {
    client: *mut rd_kafka_t,
    options: *mut bindings::rd_kafka_AdminOptions_t,
    queue: *mut bindings::rd_kafka_queue_t,
    ms: c_int,
    /// The client lives longer.
    borrowed: PhantomData<&'c ()>,
}

impl<'c> Asking<'c> {
    fn of<C: ClientContext>(client: &'c Client<C>, what: rd_kafka_admin_op_t, patience: Duration) -> Self {
        let ms = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX / 2);
        let (client, mut words) = (client.native_ptr(), [0; 256]);
        // SAFETY: the client is alive. What is made here is destroyed with this, and not before.
        let (options, queue) = unsafe {
            let options = bindings::rd_kafka_AdminOptions_new(client, what);
            // Where it is refused, the library's own patience holds.
            bindings::rd_kafka_AdminOptions_set_request_timeout(
                options,
                ms,
                words.as_mut_ptr(),
                words.len(),
            );
            let refused = bindings::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            // Then the broker is not asked for them, and says none.
            if !refused.is_null() {
                bindings::rd_kafka_error_destroy(refused);
            }
            (options, bindings::rd_kafka_queue_new(client))
        };
        Self { client, options, queue, ms, borrowed: PhantomData }
    }

    fn answer(&self) -> KafkaResult<Event> {
        // SAFETY: the queue is alive. An event is ours from here on.
        let event = unsafe { bindings::rd_kafka_queue_poll(self.queue, self.ms.saturating_add(1_000)) };
        if event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let event = Event(event);
        // SAFETY: it is alive.
        match unsafe { bindings::rd_kafka_event_error(event.0) } {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(event),
            code => Err(KafkaError::AdminOp(code.into())),
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // SAFETY: both are ours, and nobody uses them any more. An answer that still comes is dropped.
        unsafe {
            bindings::rd_kafka_AdminOptions_destroy(self.options);
            bindings::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// An answer.
struct Event(*mut bindings::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it is ours.
        unsafe { bindings::rd_kafka_event_destroy(self.0) }
    }
}

/// # Safety
/// There are so many at this address.
unsafe fn first<T>(all: *mut *const T, count: usize) -> Option<*const T> {
    if all.is_null() || count == 0 {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { *all }).filter(|one| !one.is_null())
}

/// # Safety
/// It is null, or what the library has told and still keeps.
unsafe fn code(error: *const bindings::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    if error.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    match unsafe { bindings::rd_kafka_error_code(error) } {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
        code => Some(code.into()),
    }
}

/// # Safety
/// The first is null, or there are so many of them.
unsafe fn operations(first: *const u32, count: usize) -> Option<Vec<Operation>> {
    if first.is_null() {
        return None;
    }
    // SAFETY: as the caller promises. Where there are none, the address is not read.
    let numbers = (0..count).map(|place| unsafe { first.add(place).read() });
    Some(numbers.map(Operation::of).collect())
}

/// # Safety
/// It is null, or a text that ends with a zero.
unsafe fn text(told: *const c_char) -> String {
    if told.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(told) }.to_string_lossy().into_owned()
}
