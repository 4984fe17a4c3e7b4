//! An emulator of SQS in a process of its own, and one queue after another on it.

use crate::args::Setup;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry as Entry;
use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SERVE: &str = include_str!("serve.mjs");
/// Messages of one call.
pub const BATCH: usize = 10;
/// Calls under way at once while a queue is filled.
const CALLS: usize = 8;

/// Ends when it is dropped.
pub struct Emulator {
    /// With its scheme.
    pub address: String,
    pub client: Client,
    pub runtime: Runtime,
    process: Child,
    /// It ends when this is closed, whatever becomes of us.
    _stdin: Option<ChildStdin>,
    number: Cell<u32>,
}

impl Emulator {
    /// Starts it. Each of its answers takes so many milliseconds more than it costs.
    pub fn new(setup: &Setup, distance_ms: u32) -> Result<Self> {
        let mut command = node(setup, SERVE);
        command.env("DISTANCE_MS", distance_ms.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let said = process.stdout.take().context("it is piped")?;
        BufReader::new(said).read_line(&mut address)?;
        let address = address.trim().to_owned();
        let host = address.strip_prefix("http://").context("the emulator does not start")?;
        let stdin = process.stdin.take();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let client = pelton_tests::sqs::client(host);
        Ok(Self { address, client, runtime, process, _stdin: stdin, number: Cell::new(0) })
    }

    /// A new, empty queue; its address.
    pub fn queue(&self) -> String {
        self.number.set(self.number.get() + 1);
        let name = format!("bench-{}", self.number.get());
        self.runtime.block_on(pelton_tests::sqs::make_queue(&self.client, &name, &[]))
    }

    /// A new queue with a load.
    pub fn fill(&self, load: Load) -> Result<String> {
        let queue_url = self.queue();
        let numbers: Vec<u64> = load.numbers().collect();
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            for some in numbers.chunks(BATCH) {
                if calls.len() >= CALLS {
                    calls.join_next().await.context("there is one")???;
                }
                calls.spawn(send(self.client.clone(), queue_url.clone(), load, some.to_vec()));
            }
            while let Some(sent) = calls.join_next().await {
                sent??;
            }
            Ok(queue_url)
        })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Sends the messages of a load that have these numbers.
pub async fn send(client: Client, queue_url: String, load: Load, numbers: Vec<u64>) -> Result<()> {
    let entry = |number: &u64| {
        let body = String::from_utf8(load.body(*number))?;
        anyhow::Ok(Entry::builder().id(number.to_string()).message_body(body).build()?)
    };
    let entries = numbers.iter().map(entry).collect::<Result<_>>()?;
    let call = client.send_message_batch().queue_url(queue_url).set_entries(Some(entries));
    let told = call.send().await?;
    ensure!(told.failed().is_empty(), "the emulator refuses messages: {:?}", told.failed());
    Ok(())
}

/// A script, in the folder whose packages it uses.
pub fn node(setup: &Setup, script: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", script]).current_dir(&setup.node);
    command.envs(pelton_tests::sqs::LOGIN);
    command
}
