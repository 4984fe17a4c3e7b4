//! Long polls: one when idle, more while they come back full.

use super::client::patient;
use super::convert;
use super::fault::Fault;
use super::held::Held;
use super::options::seconds;
use super::state::Shared;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use pelton_core::{Delivery, Receipt};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Receives under way at once, at most.
const POLLS: usize = 16;
/// After an error: the first pause and the longest; each twice the one before, less up to a half.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// How long a receive that nobody answered may be asked for again.
const ATTEMPT: Duration = Duration::from_secs(270);
/// How long what is on its way is waited for at the end: while nothing is held, and while something is.
const LINGER: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(4));

/// One receive: how much it asks for, and by which name it is known if its answer is lost.
struct Ask {
    count: usize,
    attempt: Option<(String, Instant)>,
}

/// Asks the queue for messages until the source closes.
pub async fn run(shared: Arc<Shared>) {
    let mut poller = Poller::new(shared);
    let mut polls = JoinSet::new();
    loop {
        while polls.len() < poller.wanted
            && let Some(ask) = poller.next()
        {
            let shared = poller.shared.clone();
            polls.spawn(async move {
                let answer = receive(&shared, &ask).await;
                (ask, answer)
            });
        }
        if poller.shared.state().closing {
            break;
        }
        tokio::select! {
            Some(done) = polls.join_next() => match done {
                Ok((ask, answer)) => poller.heard(ask, answer),
                Err(error) => tracing::error!("a receive has panicked: {error}"),
            },
            () = poller.shared.room.notified() => {}
            () = poller.pause_is_over() => poller.paused_until = None,
        }
    }
    poller.linger(&mut polls).await;
}

struct Poller {
    shared: Arc<Shared>,
    /// How many receives may be under way.
    wanted: usize,
    /// Errors in a row.
    failures: u32,
    paused_until: Option<tokio::time::Instant>,
    /// Receives of a FIFO queue whose answers were lost: asked for by the same name, they bring the
    /// same messages, which otherwise would block their groups.
    unanswered: Vec<Ask>,
    random: RandomState,
    attempts: u64,
}

impl Poller {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            wanted: 1,
            failures: 0,
            paused_until: None,
            unanswered: Vec::new(),
            random: RandomState::new(),
            attempts: 0,
        }
    }

    /// The next receive, if there may be one now.
    fn next(&mut self) -> Option<Ask> {
        if self.paused_until.is_some() {
            return None;
        }
        let now = Instant::now();
        self.unanswered.retain(|ask| ask.attempt.as_ref().is_some_and(|(_, at)| now - *at < ATTEMPT));
        let count = self.shared.state().promise(now)?;
        if let Some(again) = self.unanswered.pop() {
            // The same request has the same number; what it brings beyond the room comes once.
            self.shared.state().promise_instead(count, again.count);
            return Some(again);
        }
        let attempt = self.shared.options.is_fifo().then(|| (self.name(), now));
        Some(Ask { count, attempt })
    }

    /// A name that no other receive has.
    fn name(&mut self) -> String {
        self.attempts += 1;
        let number = self.random.hash_one(self.attempts);
        format!("pelton-{}-{number:016x}-{}", std::process::id(), self.attempts)
    }

    async fn pause_is_over(&self) {
        match self.paused_until {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Takes in what a receive has brought.
    fn heard(&mut self, ask: Ask, answer: Result<Vec<Message>, Fault>) {
        let mut state = self.shared.state();
        state.kept_promise(ask.count);
        match answer {
            Ok(messages) => {
                state.works();
                drop(state);
                self.failures = 0;
                self.wanted = match messages.len() {
                    0 => 1,
                    all if all >= ask.count => (self.wanted + 1).min(POLLS),
                    _ => self.wanted,
                };
                self.take_in(&messages);
            }
            Err(fault) => {
                drop(state);
                self.shared.complain("receiving", &fault);
                self.wanted = 1;
                self.failures += 1;
                self.paused_until = Some(tokio::time::Instant::now() + self.backoff());
                if fault.unanswered && ask.attempt.is_some() {
                    self.unanswered.push(ask);
                }
            }
        }
    }

    fn backoff(&self) -> Duration {
        let longest = (PAUSE.0 * (1 << (self.failures - 1).min(10))).min(PAUSE.1);
        let random = self.random.hash_one((self.failures, Instant::now())) as u32;
        longest.mul_f64(1.0 - 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    fn take_in(&self, messages: &[Message]) {
        let since = Instant::now();
        for message in messages {
            let Some(handle) = message.receipt_handle() else { continue };
            let converted = convert::message(message, &self.shared.options);
            let held = Held {
                id: message.message_id().unwrap_or(handle).to_owned(),
                handle: handle.to_owned(),
                since,
                until: since + self.shared.options.visibility,
                lane: converted.lane,
                ending: false,
            };
            let make = |receipt: Receipt, attempts| Delivery {
                receipt,
                message: Arc::new(converted.message),
                lane: converted.lane,
                position: None,
                skipped: 0,
                attempts,
                assignment: 0,
                lease_until: None,
            };
            self.shared.state().arrive(held, make, converted.receives);
        }
        self.shared.arrived.notify_one();
    }

    /// What is on its way is waited for, so that it can be given back. So is a long poll while something
    /// is held: given back, that could go to a poll whose client is gone, and be hidden for its whole time.
    async fn linger(&mut self, polls: &mut JoinSet<(Ask, Result<Vec<Message>, Fault>)>) {
        let holds = self.shared.state().table.len() > 0;
        let patience = if holds { self.shared.options.wait.min(LINGER.1).max(LINGER.0) } else { LINGER.0 };
        let patience = patience + Duration::from_millis(200);
        let rest = async {
            while let Some(done) = polls.join_next().await {
                if let Ok((ask, answer)) = done {
                    self.heard(ask, answer);
                }
            }
        };
        if tokio::time::timeout(patience, rest).await.is_err() {
            polls.abort_all();
        }
    }
}

async fn receive(shared: &Shared, ask: &Ask) -> Result<Vec<Message>, Fault> {
    let options = &shared.options;
    let client = shared.connection.client().await;
    let call = client
        .receive_message()
        .queue_url(&options.queue_url)
        .max_number_of_messages(i32::try_from(ask.count).unwrap_or(1))
        .visibility_timeout(options.visibility_s())
        .wait_time_seconds(seconds(options.wait))
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .set_receive_request_attempt_id(ask.attempt.as_ref().map(|(name, _)| name.clone()));
    let answer = call.customize().config_override(patient(options.wait)).send().await;
    answer.map(|told| told.messages.unwrap_or_default()).map_err(|error| Fault::of(&error))
}
