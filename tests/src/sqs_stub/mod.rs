//! SQS as it answers on a bad day: a small server that does what a script says. Queues behave as the
//! service's reference has it; what emulators cannot do is said call by call: entries of a batch that fail or
//! are not named, refusals, answers that get lost or come late. Every call is kept, to be counted.

mod http;
mod queue;
mod serve;

use crate::sqs::{Counts, Sent};
use queue::Queue;
use serde_json::json;
use serve::serve;
use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words of the service")]
pub enum Operation {
    Receive,
    Delete,
    DeleteBatch,
    Change,
    ChangeBatch,
    Send,
    SendBatch,
    Attributes,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it asks for.
    pub operation: Operation,
    /// The messages that it is about, in its order.
    pub entries: Vec<Entry>,
    /// The name by which a receive may be asked for again.
    pub attempt: Option<String>,
    /// When it came.
    pub at: Instant,
    /// The region that it was signed for.
    pub region: String,
}

/// One message that a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its body; empty when it is gone.
    pub body: String,
    /// How long it is to be invisible.
    pub visibility_s: Option<u64>,
}

/// How a call is answered.
#[derive(Debug, Clone, Default)]
pub enum How {
    /// As it should be.
    #[default]
    Well,
    /// It is not done, and this status and code are the answer.
    Refused(u16, &'static str),
    /// It is done, and the connection ends without an answer.
    Lost,
    /// It is done, and answered when the test lets it.
    Held,
    /// Of a batch, these entries (by their place) fail; the others are done.
    Entries(Vec<(usize, Fate)>),
}

/// What becomes of an entry that is not answered well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not done, and the service is at fault.
    Failed(&'static str),
    /// It is not done, and is refused for what it says.
    SenderFault(&'static str),
    /// It is not done, and the answer does not name it.
    Unnamed,
    /// It is done, and the answer does not name it.
    DoneUnnamed,
}

type Script = Box<dyn FnMut(&Call) -> How + Send>;

/// The server. It ends with the process.
pub struct Stub {
    /// `host:port`.
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Rung whenever something has changed.
    bell: Condvar,
    origin: Instant,
}

#[derive(Default)]
struct State {
    queues: HashMap<String, Queue>,
    script: Option<Script>,
    calls: Vec<Call>,
    /// How often what is held was let go.
    let_go: u64,
    longest_hold: Option<Duration>,
    /// What queues say of themselves beside what they count, by their names.
    attributes: HashMap<String, Vec<(&'static str, String)>>,
    /// Receives that wait now, and the most there were at once.
    polls: (usize, usize),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl State {
    fn queue(&mut self, name: &str) -> &mut Queue {
        let longest_hold = self.longest_hold;
        let queue =
            self.queues.entry(name.to_owned()).or_insert_with(|| Queue::new(name.ends_with(".fifo")));
        queue.longest_hold = longest_hold;
        queue
    }
}

impl Stub {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared =
            Arc::new(Shared { state: Mutex::default(), bell: Condvar::new(), origin: Instant::now() });
        let served = shared.clone();
        let connect = move |client: TcpStream| {
            let served = served.clone();
            drop(client.set_nodelay(true));
            drop(std::thread::spawn(move || serve(&served, client)));
        };
        std::thread::spawn(move || listener.incoming().flatten().for_each(connect));
        Self { address, shared }
    }

    /// The address of a queue, which is there once somebody asks for it.
    #[must_use]
    pub fn queue(&self, name: &str) -> String {
        format!("http://{}/000000000000/{name}", self.address)
    }

    /// Puts messages into a queue, all at once.
    pub fn send(&self, name: &str, messages: &[Sent]) {
        let now = self.shared.now();
        let mut state = self.shared.state();
        for message in messages {
            state.queue(name).send(message.clone(), json!({}), now);
        }
        self.shared.bell.notify_all();
    }

    /// From now on, calls are answered as this says. It is called for each, in their order.
    pub fn script(&self, script: impl FnMut(&Call) -> How + Send + 'static) {
        self.shared.state().script = Some(Box::new(script));
    }

    /// From now on, every call is answered well. What is held stays so.
    pub fn behave(&self) {
        self.shared.state().script = None;
    }

    /// Gives the answers that are held.
    pub fn let_go(&self) {
        self.shared.state().let_go += 1;
        self.shared.bell.notify_all();
    }

    /// Nobody may hold a message for longer than this: it stands for the service's twelve hours.
    pub fn longest_hold(&self, limit: Duration) {
        self.shared.state().longest_hold = Some(limit);
    }

    /// What a queue says of itself, beside what it counts.
    pub fn attributes(&self, name: &str, said: &[(&'static str, &str)]) {
        let said = said.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.shared.state().attributes.insert(name.to_owned(), said);
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// How many calls of these kinds there were.
    #[must_use]
    pub fn count(&self, operations: &[Operation]) -> usize {
        self.shared.state().calls.iter().filter(|call| operations.contains(&call.operation)).count()
    }

    /// How many messages a queue has.
    #[must_use]
    pub fn counts(&self, name: &str) -> Counts {
        let now = self.shared.now();
        self.shared.state().queue(name).counts(now)
    }

    /// How many receives wait now.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.shared.state().polls.0
    }

    /// The most receives that have waited at once since this was last asked.
    #[must_use]
    pub fn most_polls(&self) -> usize {
        let mut state = self.shared.state();
        let now = state.polls.0;
        std::mem::replace(&mut state.polls.1, now)
    }
}
