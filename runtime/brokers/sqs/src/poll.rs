//! Long polls: one when idle, more while they come back full.

use super::batch::Job;
use super::convert::{self, instance};
use super::fault::Fault;
use super::held::Held;
use super::options::seconds;
use super::state::SourceShared;
use crate::points;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use pelton_broker_common::backoff::backoff;
use pelton_broker_common::log_throttle::LogThrottle;
use pelton_core::contain::standing_at;
use pelton_core::shown::shown;
use pelton_core::{Delivery, Receipt};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// Receives under way at once, at most.
const POLLS: usize = 16;
/// After an error: the first pause and the longest; each twice the one before, less up to a half.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// What is done here, in words.
const RECEIVING: &str = "receiving";
/// How long a receive that nobody answered may be asked for again; the service says five minutes.
const ATTEMPT: Duration = Duration::from_secs(270);
/// How long what is on its way is waited for at the end: while nothing is held, and while something is.
const LINGER: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(4));
/// How long what was handed to receives that were given up on may take to come once more.
const ONCE_MORE: Duration = Duration::from_secs(2);

/// One receive: how much it asks for, and by which name it is known if its answer is lost.
#[derive(Debug, Clone)]
struct Ask {
    count: usize,
    attempt: Option<(String, Instant)>,
}

/// Asks the queue for messages until the source closes.
pub async fn run(shared: Arc<SourceShared>, jobs: UnboundedSender<Job>) {
    let mut poller = Poller::new(shared);
    let mut polls = JoinSet::new();
    loop {
        while polls.len() < poller.wanted
            && let Some(ask) = poller.next(Instant::now())
        {
            poller.under_way.extend(ask.attempt.is_some().then(|| ask.clone()));
            poller.ask(&mut polls, ask, poller.shared.options.wait);
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
            () = until(poller.paused_until) => poller.paused_until = None,
            () = until(poller.shared.state().sweep_at()) => {
                let stale = poller.shared.state().sweep(Instant::now());
                // The other task lives as long as the source.
                stale.into_iter().for_each(|job| drop(jobs.send(job)));
            }
        }
    }
    poller.linger(&mut polls).await;
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

type Polls = JoinSet<(Ask, Result<Vec<Message>, Fault>)>;

struct Poller {
    shared: Arc<SourceShared>,
    /// How many receives may be under way.
    wanted: usize,
    /// Errors in a row.
    failures: u32,
    paused_until: Option<Instant>,
    /// Receives of a FIFO queue whose answers were lost: asked for by the same name, they bring the
    /// same messages, which otherwise would block their groups.
    unanswered: Vec<Ask>,
    /// Receives of a FIFO queue that have no answer yet.
    under_way: Vec<Ask>,
    random: RandomState,
    attempts: u64,
    /// Messages that came without a receipt handle.
    unhandled: LogThrottle,
}

impl Poller {
    fn new(shared: Arc<SourceShared>) -> Self {
        Self {
            shared,
            wanted: 1,
            failures: 0,
            paused_until: None,
            unanswered: Vec::new(),
            under_way: Vec::new(),
            random: RandomState::new(),
            attempts: 0,
            unhandled: LogThrottle::default(),
        }
    }

    /// The next receive, if there may be one now.
    fn next(&mut self, now: Instant) -> Option<Ask> {
        if self.paused_until.is_some() {
            return None;
        }
        // What such a receive has brought is hidden for the visibility; after that another may have it, and
        // delete or change it, and then the name must not be used again.
        let good_for = ATTEMPT.min(self.shared.options.visibility);
        let is_good = |at: &Instant| now.saturating_duration_since(*at) < good_for;
        self.unanswered.retain(|ask| ask.attempt.as_ref().is_some_and(|(_, at)| is_good(at)));
        let count = self.shared.state().promise(now)?;
        if let Some(again) = self.unanswered.pop() {
            // The same request has the same number; what it brings beyond the room comes once.
            self.shared.state().promise_instead(count, again.count);
            return Some(again);
        }
        let attempt = self.shared.options.is_fifo().then(|| (self.name(), now));
        Some(Ask { count, attempt })
    }

    fn ask(&self, polls: &mut Polls, ask: Ask, wait: Duration) {
        let shared = self.shared.clone();
        polls.spawn(async move {
            let received = shared.fuse.contained("a receive", receive(&shared, &ask, wait)).await;
            (ask, received.unwrap_or_else(|| Err(Fault::of_panic())))
        });
    }

    /// A name that no other receive has.
    fn name(&mut self) -> String {
        self.attempts += 1;
        let number = self.random.hash_one(self.attempts);
        format!("pelton-{}-{number:016x}-{}", std::process::id(), self.attempts)
    }

    /// Takes in what a receive has brought.
    fn heard(&mut self, ask: Ask, answer: Result<Vec<Message>, Fault>) {
        let name = |ask: &Ask| ask.attempt.as_ref().map(|(name, _)| name.clone());
        self.under_way.retain(|other| name(other) != name(&ask));
        let mut state = self.shared.state();
        state.kept_promise(ask.count);
        match answer {
            Ok(messages) => {
                state.works(RECEIVING);
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
                self.failed(&fault);
                if fault.unanswered {
                    self.shared.connection.distrust_receiver();
                }
                if fault.unanswered && ask.attempt.is_some() {
                    self.unanswered.push(ask);
                }
            }
        }
    }

    /// Receives that fail together are one failure. A single one is not worth a word.
    fn failed(&mut self, fault: &Fault) {
        if self.paused_until.is_none() {
            self.wanted = 1;
            self.failures += 1;
            self.paused_until = Some(Instant::now() + self.backoff());
        }
        if self.failures > 1 {
            self.shared.complain(RECEIVING, fault);
        } else {
            let pipeline = &self.shared.options.pipeline;
            tracing::debug!(%pipeline, "SQS: a receive failed: {}", fault.words);
        }
    }

    fn backoff(&self) -> Duration {
        backoff(self.failures, PAUSE, self.random.hash_one((self.failures, Instant::now())))
    }

    fn take_in(&self, messages: &[Message]) {
        let since = Instant::now();
        let channel = convert::channel(&self.shared.options);
        for message in messages {
            let Some(handle) = message.receipt_handle() else {
                self.leave(message, since);
                continue;
            };
            let place = || format!("message {}", message.message_id().unwrap_or("without an id"));
            let converted = standing_at(place, || {
                points::reach("sqs-message");
                convert::message(message, &self.shared.options, &channel)
            });
            let held = Held {
                id: message.message_id().unwrap_or(handle).to_owned(),
                handle: handle.to_owned(),
                since,
                until: since + self.shared.options.hold(),
                lane: converted.lane,
                ending: false,
                capped: false,
            };
            let instance = Some(instance(&held.id));
            let make = |receipt: Receipt, receives| Delivery {
                receipt,
                lane: converted.lane,
                receives,
                instance,
                ..Delivery::of(converted.message)
            };
            self.shared.state().arrive(held, make, converted.receives);
        }
        self.shared.arrived.notify_one();
    }

    /// Without a receipt handle a message can be neither deleted nor kept: the next may be luckier.
    fn leave(&self, message: &Message, now: Instant) {
        if let Some(times) = self.unhandled.again(1, now) {
            tracing::warn!(
                pipeline = %self.shared.options.pipeline, queue = self.shared.options.queue_url, times,
                example = %shown(message.message_id().unwrap_or("without an id")),
                "SQS: messages came without a receipt handle, by which alone they can be deleted: they are \
                 skipped, and come again after the queue's visibility timeout. Look at what stands between \
                 Pelton and the service"
            );
        }
    }

    /// What is on its way is waited for, so that it can be given back. So is a long poll while something
    /// is held: given back, that could go to a poll whose client is gone, and be hidden for its whole time.
    async fn linger(&mut self, polls: &mut Polls) {
        let holds = self.shared.state().table.len() > 0;
        let patience = if holds { self.shared.options.wait.min(LINGER.1).max(LINGER.0) } else { LINGER.0 };
        let patience = patience + Duration::from_millis(200);
        if tokio::time::timeout(patience, self.hear_all(polls)).await.is_ok() {
            return;
        }
        polls.shutdown().await;
        // What was handed to one of these and did not get here would hold its group up. Asked for by the same
        // name it comes again, and goes back.
        for ask in std::mem::take(&mut self.under_way) {
            self.ask(polls, ask, Duration::ZERO);
        }
        if tokio::time::timeout(ONCE_MORE, self.hear_all(polls)).await.is_err() {
            polls.abort_all();
        }
    }

    async fn hear_all(&mut self, polls: &mut Polls) {
        while let Some(done) = polls.join_next().await {
            if let Ok((ask, answer)) = done {
                self.heard(ask, answer);
            }
        }
    }
}

async fn receive(shared: &SourceShared, ask: &Ask, wait: Duration) -> Result<Vec<Message>, Fault> {
    points::reach("sqs-receive");
    let options = &shared.options;
    let client = shared.connection.receiver(options.wait).await;
    let call = client
        .receive_message()
        .queue_url(&options.queue_url)
        .max_number_of_messages(i32::try_from(ask.count).unwrap_or(1))
        .visibility_timeout(options.visibility_s())
        .wait_time_seconds(seconds(wait))
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .set_receive_request_attempt_id(ask.attempt.as_ref().map(|(name, _)| name.clone()));
    let answer = call.send().await;
    answer.map(|told| told.messages.unwrap_or_default()).map_err(|error| Fault::of(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::client::Connection;
    use super::super::options::SqsOptions;
    use super::*;
    use pelton_broker_common::log_throttle::SAY_AGAIN;
    use pelton_core::ports::ErrorClass;

    fn poller(visibility: Duration) -> Poller {
        let queue_url = "http://localhost/0/orders.fifo".to_owned();
        let connection = Connection::usual(&queue_url, None, None);
        let wait = Duration::from_secs(20);
        let (at_least, at_most) = (100, 100);
        let options =
            SqsOptions { pipeline: "orders".into(), queue_url, wait, visibility, at_least, at_most };
        Poller::new(Arc::new(SourceShared::new(options, connection)))
    }

    fn lost() -> Fault {
        Fault { class: ErrorClass::Transient, words: "it was lost".into(), unanswered: true }
    }

    fn name(ask: &Ask) -> String {
        ask.attempt.as_ref().map(|(name, _)| name.clone()).unwrap()
    }

    #[test]
    fn a_receive_that_nobody_answered_is_asked_for_again_as_long_as_it_is_known() {
        let hour = Duration::from_secs(3_600);
        for (visibility, good_for) in [(hour, ATTEMPT), (Duration::from_secs(30), Duration::from_secs(30))]
        {
            for late in [false, true] {
                let (mut poller, start) = (poller(visibility), Instant::now());
                let ask = poller.next(start).unwrap();
                let before = name(&ask);
                poller.heard(ask, Err(lost()));
                assert!(poller.next(start).is_none(), "there is a pause first");
                poller.paused_until = None;
                let late_by = if late { Duration::ZERO } else { Duration::from_secs(1) };
                let again = poller.next(start + good_for - late_by).unwrap();
                assert_eq!(name(&again) == before, !late, "visibility {visibility:?}");
            }
        }
    }

    #[test]
    fn what_was_promised_is_given_back_whatever_a_receive_comes_to() {
        let mut poller = poller(Duration::from_secs(30));
        for round in 0..1_000 {
            let ask = poller.next(Instant::now()).unwrap();
            let refused = Fault { unanswered: round % 2 == 0, ..lost() };
            poller.heard(ask, if round % 3 == 0 { Ok(Vec::new()) } else { Err(refused) });
            poller.paused_until = None;
        }
        assert_eq!(poller.next(Instant::now()).unwrap().count, 10);
    }

    #[test]
    fn a_message_that_cannot_be_settled_is_skipped_and_that_is_said() {
        let poller = poller(Duration::from_secs(30));
        let (odd, good) = (Message::builder().message_id("odd"), Message::builder().message_id("good"));
        let (odd, good) = (odd.body("x").build(), good.body("x").receipt_handle("handle").build());
        let begun = Instant::now();
        poller.take_in(&[odd.clone(), good, odd.clone()]);
        assert_eq!(poller.shared.state().table.len(), 1, "the others come in");
        assert_eq!(poller.unhandled.again(0, begun), None, "it was said");
        assert_eq!(poller.unhandled.again(0, begun + 2 * SAY_AGAIN), Some(1), "and not each, but counted");
    }

    #[test]
    fn receives_that_fail_together_are_one_failure() {
        let mut poller = poller(Duration::from_secs(30));
        let asks: Vec<Ask> = (0..10).map(|_| poller.next(Instant::now()).unwrap()).collect();
        asks.into_iter().for_each(|ask| poller.heard(ask, Err(lost())));
        let pause = poller.paused_until.unwrap() - Instant::now();
        assert!(pause <= PAUSE.0, "{pause:?}");
        assert_eq!(poller.shared.state().trouble(Instant::now()), None, "it may be one lost connection");
    }

    #[test]
    fn pauses_grow_and_are_scattered() {
        let mut poller = poller(Duration::from_secs(30));
        let mut last = Duration::ZERO;
        for failure in 1..=30 {
            poller.failures = failure;
            let pauses: Vec<Duration> = (0..8).map(|_| poller.backoff()).collect();
            let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(most > least && *most <= PAUSE.1 && *least >= last / 2, "{failure}: {pauses:?}");
            last = *least;
        }
        assert!(last >= PAUSE.1 / 2);
    }
}
