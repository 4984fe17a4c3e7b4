//! A queue, as the service's reference describes it. Time is told to it.

use crate::sqs::{Counts, Sent};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// How long a receive is remembered by the name of its attempt.
const ATTEMPT: Duration = Duration::from_secs(300);
/// What the clock stands at when a queue begins, in milliseconds since the epoch.
const EPOCH_MS: u128 = 1_700_000_000_000;

/// Why something is refused: the service's code, and its words.
pub type Refusal = (&'static str, &'static str);

const EXPIRED: Refusal = ("ReceiptHandleIsInvalid", "The input receipt handle is invalid.");
const NOT_HELD: Refusal = ("MessageNotInflight", "The message is not in flight.");
const TOO_LONG: Refusal = (
    "InvalidParameterValue",
    "Value for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is \
     beyond the limit.",
);

#[derive(Debug)]
struct Item {
    id: String,
    sent: Sent,
    attributes: Value,
    sent_at: Duration,
    visible_at: Duration,
    received_at: Duration,
    receives: u32,
}

/// Its messages, by the order they were sent in.
#[derive(Debug, Default)]
pub struct Queue {
    fifo: bool,
    items: BTreeMap<u64, Item>,
    last: u64,
    dedup_ids: HashSet<String>,
    attempts: HashMap<String, (Duration, Vec<u64>)>,
    /// How long a message may be held, from its receive on.
    pub longest_hold: Option<Duration>,
}

impl Queue {
    pub fn new(fifo: bool) -> Self {
        Self { fifo, ..Self::default() }
    }

    /// Takes a message; its id. A repetition is taken once.
    pub fn send(&mut self, sent: Sent, attributes: Value, now: Duration) -> String {
        let known = self.fifo && sent.dedup.as_ref().is_some_and(|d| !self.dedup_ids.insert(d.clone()));
        if known {
            return "a-repetition".to_owned();
        }
        self.last += 1;
        let id = format!("message-{}", self.last);
        let visible_at = now + Duration::from_secs(u64::from(sent.delay_s.unsigned_abs()));
        let (receives, received_at) = (0, Duration::ZERO);
        let item =
            Item { id: id.clone(), sent, attributes, sent_at: now, visible_at, received_at, receives };
        self.items.insert(self.last, item);
        id
    }

    /// What a receive is answered with; what is received again by the same attempt comes again.
    pub fn receive(
        &mut self,
        most: usize,
        hold_s: u64,
        attempt: Option<&str>,
        now: Duration,
    ) -> Vec<Value> {
        let again = attempt.and_then(|name| self.attempts.get(name)).filter(|(at, _)| now - *at < ATTEMPT);
        let keys = match again {
            Some((_, keys)) => keys.clone(),
            None => self.available(most, now),
        };
        if let (Some(name), false) = (attempt, keys.is_empty()) {
            self.attempts.insert(name.to_owned(), (now, keys.clone()));
        }
        keys.into_iter().filter_map(|key| self.hand_out(key, hold_s, now)).collect()
    }

    fn available(&self, most: usize, now: Duration) -> Vec<u64> {
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        if self.fifo {
            let held = self.items.values().filter(|item| item.visible_at > now);
            blocked.extend(held.filter_map(|item| item.sent.group.as_deref()));
        }
        let free = |item: &Item| {
            item.visible_at <= now && item.sent.group.as_deref().is_none_or(|g| !blocked.contains(g))
        };
        self.items.iter().filter(|(_, item)| free(item)).map(|(key, _)| *key).take(most).collect()
    }

    fn hand_out(&mut self, key: u64, hold_s: u64, now: Duration) -> Option<Value> {
        let fifo = self.fifo;
        let item = self.items.get_mut(&key)?;
        item.receives += 1;
        (item.received_at, item.visible_at) = (now, now + Duration::from_secs(hold_s));
        let mut system = Map::new();
        let sent_ms = EPOCH_MS + item.sent_at.as_millis();
        system.insert("SentTimestamp".to_owned(), sent_ms.to_string().into());
        system.insert("ApproximateReceiveCount".to_owned(), item.receives.to_string().into());
        if let Some(group) = &item.sent.group {
            system.insert("MessageGroupId".to_owned(), group.as_str().into());
        }
        if fifo {
            system.insert("SequenceNumber".to_owned(), format!("{key:020}").into());
        }
        Some(json!({
            "MessageId": item.id, "Body": item.sent.body, "Attributes": system,
            "MessageAttributes": item.attributes, "ReceiptHandle": format!("{key}-{}", item.receives),
        }))
    }

    /// Deletes a message. A queue in order refuses that once somebody else may have it.
    pub fn delete(&mut self, handle: &str, now: Duration) -> Result<(), Refusal> {
        let Some((key, newest)) = self.key(handle) else { return Err(EXPIRED) };
        // What is gone already is gone.
        let Some(item) = self.items.get(&key) else { return Ok(()) };
        if !newest || (self.fifo && item.visible_at <= now) {
            return Err(EXPIRED);
        }
        self.forget_attempts(key);
        self.items.remove(&key);
        Ok(())
    }

    /// Changes how long a message is invisible, from now on.
    pub fn change(&mut self, handle: &str, seconds: u64, now: Duration) -> Result<(), Refusal> {
        let (key, newest) = self.key(handle).ok_or(EXPIRED)?;
        let longest = self.longest_hold.unwrap_or(Duration::from_secs(43_200));
        let item = self.items.get_mut(&key).filter(|_| newest).ok_or(EXPIRED)?;
        if item.visible_at <= now {
            return Err(NOT_HELD);
        }
        let until = now + Duration::from_secs(seconds);
        if until > item.received_at + longest {
            return Err(TOO_LONG);
        }
        item.visible_at = until;
        self.forget_attempts(key);
        Ok(())
    }

    fn forget_attempts(&mut self, key: u64) {
        self.attempts.retain(|_, (_, keys)| !keys.contains(&key));
    }

    /// The message of a handle, and whether it was not received again since.
    fn key(&self, handle: &str) -> Option<(u64, bool)> {
        let (key, receives) = handle.split_once('-')?;
        let (key, receives): (u64, u32) = (key.parse().ok()?, receives.parse().ok()?);
        Some((key, self.items.get(&key).is_none_or(|item| item.receives == receives)))
    }

    /// The body of a handle's message; empty when it is gone.
    pub fn body(&self, handle: &str) -> String {
        let item = self.key(handle).and_then(|(key, _)| self.items.get(&key));
        item.map(|item| item.sent.body.clone()).unwrap_or_default()
    }

    pub fn counts(&self, now: Duration) -> Counts {
        let mut counts = Counts::default();
        for item in self.items.values() {
            match item.visible_at > now {
                false => counts.visible += 1,
                true if item.receives == 0 => counts.delayed += 1,
                true => counts.in_flight += 1,
            }
        }
        counts
    }
}
