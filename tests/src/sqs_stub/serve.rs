//! One connection of the stub: calls, done as the script says.

use super::queue::Refusal;
use super::{Call, Entry, Fate, How, Operation, Shared, State, http};
use crate::sqs::Sent;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::BufReader;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How often a receive that waits looks again: messages become visible by themselves.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// An answer: its status, and what it says.
type Told = (u16, Value);

pub fn serve(shared: &Shared, mut client: TcpStream) {
    let Ok(copy) = client.try_clone() else { return };
    let mut requests = BufReader::new(copy);
    while let Some(http::Request { operation, region, body }) = http::read(&mut requests) {
        let Some(operation) = named(&operation) else { return };
        let (how, let_go) = {
            let mut state = shared.state();
            let call = Call { region, ..state.call(operation, &body) };
            state.calls.push(call.clone());
            (state.script.as_mut().map(|script| script(&call)).unwrap_or_default(), state.let_go)
        };
        let (status, told) = match &how {
            How::Refused(status, code) => (*status, error(code, "The stub was told to refuse this.")),
            _ => perform(shared, operation, &body, &how, &client),
        };
        match how {
            How::Lost => return,
            How::Held => hold(shared, let_go),
            How::Well | How::Refused(..) | How::Entries(_) => {}
        }
        if !http::write(&mut client, status, &told) {
            return;
        }
    }
}

/// Waits until what is held is let go.
fn hold(shared: &Shared, before: u64) {
    let waits = |state: &mut State| state.let_go == before;
    drop(shared.bell.wait_while(shared.state(), waits));
}

fn named(operation: &str) -> Option<Operation> {
    Some(match operation {
        "ReceiveMessage" => Operation::Receive,
        "DeleteMessage" => Operation::Delete,
        "DeleteMessageBatch" => Operation::DeleteBatch,
        "ChangeMessageVisibility" => Operation::Change,
        "ChangeMessageVisibilityBatch" => Operation::ChangeBatch,
        "SendMessage" => Operation::Send,
        "SendMessageBatch" => Operation::SendBatch,
        "GetQueueAttributes" => Operation::Attributes,
        _ => return None,
    })
}

/// An error, as the service words it.
fn error(code: &str, words: &str) -> Value {
    json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": words })
}

fn queue_of(body: &Value) -> String {
    let url = body["QueueUrl"].as_str().unwrap_or_default();
    url.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The entries of a batch, or the one of another call.
fn entries_of(body: &Value) -> Vec<&Value> {
    body["Entries"].as_array().map_or_else(|| vec![body], |all| all.iter().collect())
}

impl State {
    fn call(&mut self, operation: Operation, body: &Value) -> Call {
        let queue = self.queue(&queue_of(body));
        let about = |entry: &Value| {
            let body = match entry["ReceiptHandle"].as_str() {
                Some(handle) => queue.body(handle),
                None => entry["MessageBody"].as_str().unwrap_or_default().to_owned(),
            };
            Entry { body, visibility_s: entry["VisibilityTimeout"].as_u64() }
        };
        let entries = match operation {
            Operation::Receive | Operation::Attributes => Vec::new(),
            _ => entries_of(body).into_iter().map(about).collect(),
        };
        let attempt = body["ReceiveRequestAttemptId"].as_str().map(str::to_owned);
        Call { operation, entries, attempt, at: Instant::now(), region: String::new() }
    }
}

fn perform(shared: &Shared, operation: Operation, body: &Value, how: &How, client: &TcpStream) -> Told {
    match operation {
        Operation::Receive => (200, receive(shared, body, client)),
        Operation::Attributes => (200, attributes(shared, body)),
        _ => {
            let told = settle(shared, operation, body, how);
            shared.bell.notify_all();
            told
        }
    }
}

/// Waits for messages as long as it is asked to, and no longer than somebody listens.
fn receive(shared: &Shared, body: &Value, client: &TcpStream) -> Value {
    let (name, attempt) = (queue_of(body), body["ReceiveRequestAttemptId"].as_str());
    let number = |name: &str, usual| body[name].as_u64().unwrap_or(usual);
    let most = number("MaxNumberOfMessages", 1) as usize;
    let until = shared.now() + Duration::from_secs(number("WaitTimeSeconds", 0));
    let mut state = shared.state();
    state.polls.0 += 1;
    state.polls.1 = state.polls.1.max(state.polls.0);
    let messages = loop {
        let now = shared.now();
        let messages = state.queue(&name).receive(most, number("VisibilityTimeout", 30), attempt, now);
        if !messages.is_empty() || now >= until || http::is_gone(client) {
            break messages;
        }
        state = shared
            .bell
            .wait_timeout(state, POLL_INTERVAL)
            .map_or_else(|e| e.into_inner().0, |waited| waited.0);
    };
    state.polls.0 -= 1;
    json!({ "Messages": messages })
}

fn attributes(shared: &Shared, body: &Value) -> Value {
    let name = queue_of(body);
    let now = shared.now();
    let mut state = shared.state();
    let counts = state.queue(&name).counts(now);
    let mut told = json!({
        "QueueArn": format!("arn:aws:sqs:us-east-1:000000000000:{name}"),
        "ApproximateNumberOfMessages": counts.visible.to_string(),
        "ApproximateNumberOfMessagesNotVisible": counts.in_flight.to_string(),
        "ApproximateNumberOfMessagesDelayed": counts.delayed.to_string(),
        "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600",
        "FifoQueue": name.ends_with(".fifo").to_string(),
    });
    for (attribute, value) in state.attributes.get(&name).into_iter().flatten() {
        told[*attribute] = value.as_str().into();
    }
    json!({ "Attributes": told })
}

/// Does all entries but those that fail, and tells what became of each.
fn settle(shared: &Shared, operation: Operation, body: &Value, how: &How) -> Told {
    let fates: HashMap<usize, Fate> = match how {
        How::Entries(fates) => fates.iter().copied().collect(),
        How::Well | How::Lost | How::Held | How::Refused(..) => HashMap::new(),
    };
    let mut state = shared.state();
    let now = shared.now();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (place, entry) in entries_of(body).into_iter().enumerate() {
        let fate = fates.get(&place).copied();
        let done = match fate {
            Some(Fate::Failed(code)) => Err((code, "The stub was told to fail this.", false)),
            Some(Fate::SenderFault(code)) => Err((code, "The stub was told to refuse this.", true)),
            Some(Fate::Unnamed) => continue,
            Some(Fate::DoneUnnamed) | None => {
                let done = one(&mut state, operation, &queue_of(body), entry, now);
                done.map_err(|(code, words)| (code, words, true))
            }
        };
        let id = entry["Id"].clone();
        match done {
            Ok(_) if fate == Some(Fate::DoneUnnamed) => {}
            Ok(message) => good.push(json!({ "Id": id, "MessageId": message, "MD5OfMessageBody": "" })),
            Err((code, words, sender)) => {
                bad.push(json!({ "Id": id, "Code": code, "Message": words, "SenderFault": sender }));
            }
        }
    }
    if body["Entries"].is_array() {
        return (200, json!({ "Successful": good, "Failed": bad }));
    }
    match bad.first() {
        Some(bad) => {
            let text = |name: &str| bad[name].as_str().unwrap_or_default();
            (400, error(text("Code"), text("Message")))
        }
        None => (200, good.into_iter().next().unwrap_or_else(|| json!({}))),
    }
}

/// Does one entry; the id of a message that was sent.
fn one(
    state: &mut State,
    operation: Operation,
    name: &str,
    entry: &Value,
    now: Duration,
) -> Result<String, Refusal> {
    let queue = state.queue(name);
    let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    match operation {
        Operation::Delete | Operation::DeleteBatch => queue.delete(handle, now).map(|()| String::new()),
        Operation::Change | Operation::ChangeBatch => {
            let seconds = entry["VisibilityTimeout"].as_u64().unwrap_or(0);
            queue.change(handle, seconds, now).map(|()| String::new())
        }
        Operation::Send | Operation::SendBatch => {
            let sent = Sent {
                body: text("MessageBody").unwrap_or_default(),
                group: text("MessageGroupId"),
                dedup: text("MessageDeduplicationId"),
                attributes: Vec::new(),
                delay_s: 0,
            };
            let attributes = entry["MessageAttributes"].clone();
            let attributes = if attributes.is_null() { json!({}) } else { attributes };
            Ok(queue.send(sent, attributes, now))
        }
        Operation::Receive | Operation::Attributes => Ok(String::new()),
    }
}
