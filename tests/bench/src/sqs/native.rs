//! The other side of P7: what a careful programmer writes with the same client library.
//!
//! Sixteen tasks, each of which receives ten messages, calls the function for each and deletes them
//! in one call. No ledger, no retries, no leases that are extended.

use super::Done;
use super::emulator::{BATCH, Emulator};
use crate::book::Set;
use crate::load::{Load, number};
use crate::work;
use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry as Entry, Message, MessageSystemAttributeName as System,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

const POLLERS: usize = 16;
/// How long a receive waits, in seconds.
const WAIT: i32 = 1;

/// Told of each message when it begins: its number.
pub type Seen = Arc<dyn Fn(u64) + Send + Sync>;

/// Reads the queue until the whole load is deleted.
pub fn drain(emulator: &Emulator, queue_url: &str, load: Load, seen: &Seen) -> Result<Done> {
    let left = Arc::new(AtomicU64::new(load.count));
    let ended = emulator.runtime.block_on(async {
        let mut pollers = JoinSet::new();
        for _ in 0..POLLERS {
            let (client, queue_url) = (emulator.client.clone(), queue_url.to_owned());
            pollers.spawn(poll(client, queue_url, left.clone(), seen.clone()));
        }
        pollers.join_all().await
    });
    let (mut delivered, mut times) = (Vec::new(), Vec::new());
    for poller in ended {
        let (numbers, time) = poller?;
        delivered.extend(numbers);
        times.extend(time);
    }
    let began = times.iter().map(|(began, _)| *began).min().context("nothing was received")?;
    let done = times.iter().map(|(_, done)| *done).max().context("nothing was deleted")?;
    Ok((delivered.into_iter().collect::<Set>(), done - began))
}

/// What one task handled; and when it had its first message, and had deleted its last.
type Polled = (Vec<u64>, Option<(Instant, Instant)>);

async fn poll(client: Client, queue_url: String, left: Arc<AtomicU64>, seen: Seen) -> Result<Polled> {
    let (mut numbers, mut time) = (Vec::new(), None);
    while left.load(Ordering::Relaxed) > 0 {
        let call = client.receive_message().queue_url(&queue_url).max_number_of_messages(BATCH as i32);
        // All that a message carries, as ours asks for it.
        let call = call.message_attribute_names("All").message_system_attribute_names(System::All);
        let messages = call.wait_time_seconds(WAIT).send().await?.messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let began = Instant::now();
        for message in &messages {
            let body = message.body().unwrap_or_default().as_bytes();
            seen(number(body));
            std::hint::black_box(work::run(body));
            numbers.push(number(body));
        }
        delete(&client, &queue_url, &messages).await?;
        left.fetch_sub(messages.len() as u64, Ordering::Relaxed);
        let done = Instant::now();
        time = Some((time.map_or(began, |(first, _)| first), done));
    }
    Ok((numbers, time))
}

async fn delete(client: &Client, queue_url: &str, messages: &[Message]) -> Result<()> {
    let entry = |(number, message): (usize, &Message)| {
        let handle = message.receipt_handle().unwrap_or_default();
        Entry::builder().id(number.to_string()).receipt_handle(handle).build()
    };
    let entries = messages.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
    let told = client.delete_message_batch().queue_url(queue_url).set_entries(Some(entries)).send().await?;
    ensure!(told.failed().is_empty(), "the emulator does not delete: {:?}", told.failed());
    Ok(())
}
