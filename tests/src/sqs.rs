//! SQS as ElasticMQ does it, started for a test, and an independent look at its queues.

use crate::binary::root;
use crate::ports;
use crate::wait::until;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry,
};
use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What emulators take for a login; for the environment of a worker.
pub const LOGIN: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "tests"), ("AWS_SECRET_ACCESS_KEY", "tests"), ("AWS_REGION", "us-east-1")];

/// A service of its own, with its queues in memory. Killed when it is dropped.
pub struct Sqs {
    /// `host:port`.
    pub address: String,
    client: Client,
    runtime: Runtime,
    process: Child,
    _dir: TempDir,
}

/// One message to send.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Its body.
    pub body: String,
    /// Its group, in a FIFO queue.
    pub group: Option<String>,
    /// What its repetitions are known by, in a FIFO queue.
    pub dedup: Option<String>,
    /// Its attributes: texts, or bytes where they are no text.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// Wait so many seconds before the first delivery.
    pub delay_s: i32,
}

/// How many messages a queue has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the service")]
pub struct Counts {
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

impl Counts {
    /// What is not settled, whoever has it.
    #[must_use]
    pub fn unsettled(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

impl Sqs {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let port = ports::free(1);
        let log = std::fs::File::create(dir.path().join("broker.log")).expect("the log is made");
        let mut command = Command::new(root().join("script/broker"));
        command.args(["sqs", "start", &port.to_string()]).arg(dir.path().join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        let process = command.process_group(0).spawn().expect("the service can be started");
        let address = format!("127.0.0.1:{port}");
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let client = client(&address);
        let sqs = Self { address, client, runtime, process, _dir: dir };
        until("the service answers", || sqs.runtime.block_on(sqs.client.list_queues().send()).ok());
        sqs
    }

    /// Makes a queue; one whose name ends with `.fifo` in order. Its address.
    ///
    /// # Panics
    /// When that fails.
    pub fn queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
        self.runtime.block_on(make_queue(&self.client, name, attributes))
    }

    /// Sends messages, in order; their ids.
    ///
    /// # Panics
    /// When one is refused.
    pub fn send(&self, queue_url: &str, messages: &[Sent]) -> Vec<String> {
        self.runtime.block_on(send(&self.client, queue_url, messages))
    }

    /// Sends a message with attributes, as `typed` makes them.
    ///
    /// # Panics
    /// When it is refused.
    pub fn send_typed(&self, queue_url: &str, body: &str, attributes: &[(String, MessageAttributeValue)]) {
        let call = self.client.send_message().queue_url(queue_url).message_body(body);
        let call = call.set_message_attributes(Some(attributes.iter().cloned().collect()));
        self.runtime.block_on(call.send()).expect("it is taken");
    }

    /// Sends a message with a place in a trace, as the service's own attribute.
    ///
    /// # Panics
    /// When it is refused.
    pub fn send_traced(&self, queue_url: &str, message: &Sent, trace: &str) {
        let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace);
        let call = self.client.send_message().queue_url(queue_url).message_body(&message.body);
        let call = call
            .set_message_group_id(message.group.clone())
            .set_message_deduplication_id(message.dedup.clone())
            .message_system_attributes(
                MessageSystemAttributeNameForSends::AwsTraceHeader,
                value.build().expect("it has a type"),
            );
        self.runtime.block_on(call.send()).expect("it is taken");
    }

    /// Removes what is in a queue.
    ///
    /// # Panics
    /// When the service does not answer.
    pub fn purge(&self, queue_url: &str) {
        self.runtime.block_on(self.client.purge_queue().queue_url(queue_url).send()).expect("it is done");
    }

    /// Removes a queue.
    ///
    /// # Panics
    /// When the service does not answer.
    pub fn remove_queue(&self, queue_url: &str) {
        self.runtime.block_on(self.client.delete_queue().queue_url(queue_url).send()).expect("it is done");
    }

    /// How many messages a queue has.
    ///
    /// # Panics
    /// When the service does not say.
    #[must_use]
    pub fn counts(&self, queue_url: &str) -> Counts {
        let call = self.client.get_queue_attributes().queue_url(queue_url);
        let call = call.attribute_names(QueueAttributeName::All).send();
        let told = self.runtime.block_on(call).expect("the service answers");
        let all = told.attributes.unwrap_or_default();
        let count = |name| all.get(&name).and_then(|n: &String| n.parse().ok()).expect("it is a number");
        Counts {
            visible: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        }
    }

    /// Deletes messages that were received.
    ///
    /// # Panics
    /// When the service does not answer.
    pub fn delete(&self, queue_url: &str, messages: &[Message]) {
        for handle in messages.iter().filter_map(Message::receipt_handle) {
            let call = self.client.delete_message().queue_url(queue_url).receipt_handle(handle);
            self.runtime.block_on(call.send()).expect("it is done");
        }
    }

    /// Receives up to ten messages, which are invisible for so many seconds.
    ///
    /// # Panics
    /// When the service does not answer.
    #[must_use]
    pub fn receive(&self, queue_url: &str, visibility_s: i32) -> Vec<Message> {
        let call = self.client.receive_message().queue_url(queue_url).max_number_of_messages(10);
        let call =
            call.visibility_timeout(visibility_s).wait_time_seconds(1).message_attribute_names("All");
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        self.runtime.block_on(call.send()).expect("the service answers").messages.unwrap_or_default()
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A client of an address that never tries again by itself.
#[must_use]
pub fn client(address: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("tests", "tests", None, None, "tests"))
        .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled());
    Client::from_conf(config.build())
}

/// Makes a queue; its address.
///
/// # Panics
/// When that fails.
pub async fn make_queue(client: &Client, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
    let mut call = client.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        call = call.attributes(QueueAttributeName::FifoQueue, "true");
    }
    for (name, value) in attributes {
        call = call.attributes(name.clone(), *value);
    }
    call.send().await.expect("the queue is made").queue_url.expect("it has an address")
}

/// Sends messages, in order; their ids.
///
/// # Panics
/// When one is refused.
pub async fn send(client: &Client, queue_url: &str, messages: &[Sent]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut rest = messages;
    while !rest.is_empty() {
        // Large ones go alone: a call has a limit of its own.
        let large = |m: &Sent| m.body.len() > 50_000;
        let count =
            if large(&rest[0]) { 1 } else { rest.iter().take(10).take_while(|m| !large(m)).count() };
        let (now, later) = rest.split_at(count);
        let entries = now.iter().enumerate().map(|(number, message)| entry(number, message)).collect();
        let call = client.send_message_batch().queue_url(queue_url).set_entries(Some(entries));
        let told = call.send().await.expect("the service answers");
        assert!(told.failed().is_empty(), "{:?}", told.failed());
        let of = |number: usize| told.successful().iter().find(|e| e.id() == number.to_string());
        ids.extend((0..count).map(|number| of(number).expect("it is taken").message_id().to_owned()));
        rest = later;
    }
    ids
}

fn entry(number: usize, message: &Sent) -> SendMessageBatchRequestEntry {
    let attributes: HashMap<_, _> =
        message.attributes.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
    let entry = SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(&message.body)
        .set_message_attributes((!attributes.is_empty()).then_some(attributes))
        .set_message_group_id(message.group.clone())
        .set_message_deduplication_id(message.dedup.clone())
        .set_delay_seconds((message.delay_s > 0).then_some(message.delay_s));
    entry.build().expect("it has all that it needs")
}

/// An attribute of a type; `Binary` and its kin with the bytes of the text.
///
/// # Panics
/// Never: it has all that it needs.
#[must_use]
pub fn typed(name: &str, kind: &str, value: &str) -> (String, MessageAttributeValue) {
    let builder = MessageAttributeValue::builder().data_type(kind);
    let builder = match kind.starts_with("Binary") {
        true => builder.binary_value(Blob::new(value)),
        false => builder.string_value(value),
    };
    (name.to_owned(), builder.build().expect("it has a type"))
}

fn attribute(value: &[u8]) -> MessageAttributeValue {
    let builder = match std::str::from_utf8(value) {
        Ok(text) => MessageAttributeValue::builder().data_type("String").string_value(text),
        Err(_) => MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new(value)),
    };
    builder.build().expect("it has a type")
}
