//! A payment gateway that misbehaves as they do: it is down at times, slow at times, and at times it charges
//! and then does not say so. It counts charges by their idempotency key. `script/demo` runs it as a program
//! of its own, so nothing but the standard library and JSON is used here.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a body that are read.
const BODY: usize = 1 << 20;

/// How often something goes wrong, of a thousand requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// 503, and nothing is charged.
    pub down: u64,
    /// Charged, and the connection is closed without a word.
    pub silent: u64,
    /// Charged, and the answer is 500.
    pub lost: u64,
    /// Answered late.
    pub slow: u64,
    /// How late.
    pub delay: Duration,
}

/// A gateway that runs until the process ends.
#[derive(Debug, Clone)]
pub struct Gateway {
    address: SocketAddr,
    accounts: Arc<Accounts>,
}

#[derive(Debug)]
struct Accounts {
    trouble: Trouble,
    /// Charges while it is open.
    is_open: (Mutex<bool>, Condvar),
    /// Refuses to charge.
    declines: AtomicBool,
    /// Answers nothing but 503.
    is_down: AtomicBool,
    /// The same to what is more than so many requests within a second; 0 for any number.
    bears: AtomicUsize,
    /// When requests came.
    times: Mutex<Vec<Instant>>,
    books: Mutex<Books>,
}

/// What was charged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Requests to charge.
    pub requests: u64,
    /// Requests whose key was known already.
    pub repeats: u64,
    /// By key: the body, and the charge's number.
    pub charges: HashMap<String, (Vec<u8>, u64)>,
    /// Keys of requests that are in work.
    in_work: BTreeSet<String>,
    /// Who asked, by the header `authorization`.
    pub authorizations: BTreeSet<String>,
    /// All keys that came, in their order.
    pub keys: Vec<String>,
    /// Requests without a key, or whose key came with another body.
    pub refused: u64,
    /// Requests that were more than it bears.
    pub overloads: u64,
}

/// What is told to whoever asks.
enum Answer {
    Said(u16, Value),
    Silence,
}

struct Request {
    method: String,
    path: String,
    key: Option<String>,
    authorization: Option<String>,
    body: Vec<u8>,
}

impl Gateway {
    /// Listens on `address`, such as `127.0.0.1:0`.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub fn start(address: &str, trouble: Trouble) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let accounts = Arc::new(Accounts {
            trouble,
            is_open: (Mutex::new(true), Condvar::new()),
            declines: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            bears: AtomicUsize::new(0),
            times: Mutex::default(),
            books: Mutex::default(),
        });
        let gateway = Self { address: listener.local_addr()?, accounts };
        let serving = gateway.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let gateway = serving.clone();
                std::thread::spawn(move || gateway.serve(stream));
            }
        });
        Ok(gateway)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As they are now.
    #[must_use]
    pub fn books(&self) -> Books {
        lock(&self.accounts.books).clone()
    }

    /// Answers no request to charge any more, until it is opened. The money is taken meanwhile.
    pub fn close(&self) {
        *lock(&self.accounts.is_open.0) = false;
    }

    /// Answers again.
    pub fn open(&self) {
        *lock(&self.accounts.is_open.0) = true;
        self.accounts.is_open.1.notify_all();
    }

    /// From now on whoever is to be charged has no money, or has some again.
    pub fn decline(&self, declines: bool) {
        self.accounts.declines.store(declines, Ordering::SeqCst);
    }

    /// From now on it answers nothing but 503, or works again.
    pub fn down(&self, is_down: bool) {
        self.accounts.is_down.store(is_down, Ordering::SeqCst);
    }

    /// It fails while more than so many requests come within a second.
    pub fn bears(&self, most: usize) {
        self.accounts.bears.store(most, Ordering::SeqCst);
    }

    /// How many requests came within so long of the first.
    #[must_use]
    pub fn requests_within(&self, time: Duration) -> usize {
        let times = lock(&self.accounts.times);
        times.iter().filter(|at| at.saturating_duration_since(times[0]) < time).count()
    }

    /// Whether one more request is more than it bears.
    fn is_overloaded(&self) -> bool {
        let (now, mut times) = (Instant::now(), lock(&self.accounts.times));
        times.push(now);
        let bears = self.accounts.bears.load(Ordering::SeqCst);
        let second = Duration::from_secs(1);
        bears > 0 && times.iter().rev().take_while(|at| now.duration_since(**at) < second).count() > bears
    }

    /// Requests of one connection, one after another. An error ends it.
    fn serve(&self, stream: TcpStream) {
        let Ok(reading) = stream.try_clone() else { return };
        let (mut reading, mut writing) = (BufReader::new(reading), stream);
        while let Some(request) = read(&mut reading) {
            let Answer::Said(status, body) = self.answer(&request) else { return };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let written = writing.write_all(format!("{head}{body}").as_bytes());
            // Who only looks reads to the end.
            if written.is_err() || request.method == "GET" {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        match (&*request.method, &*request.path) {
            ("POST", "/charges") => self.charge(request),
            ("GET", "/books") => Answer::Said(200, self.books().as_json()),
            _ => Answer::Said(404, json!({ "error": "there is nothing" })),
        }
    }

    fn charge(&self, request: &Request) -> Answer {
        let number = {
            let mut books = lock(&self.accounts.books);
            books.requests += 1;
            books.authorizations.extend(request.authorization.clone());
            books.keys.extend(request.key.clone());
            books.requests
        };
        // The same numbers each time, spread over all requests.
        let dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let at = |dice: u64, of: u64| dice % 1000 < of;
        let Trouble { down, silent, lost, slow, delay } = self.accounts.trouble;
        if self.is_overloaded() {
            lock(&self.accounts.books).overloads += 1;
            return Answer::Said(503, json!({ "error": "too many requests for what it bears" }));
        }
        if at(dice, down) || self.accounts.is_down.load(Ordering::SeqCst) {
            return Answer::Said(503, json!({ "error": "down for a moment" }));
        }
        let Some(key) = request.key.clone() else {
            lock(&self.accounts.books).refused += 1;
            return Answer::Said(400, json!({ "error": "no idempotency key" }));
        };
        if self.accounts.declines.load(Ordering::SeqCst) {
            return Answer::Said(402, json!({ "error": "no money" }));
        }
        let begun = lock(&self.accounts.books).begin(key.clone(), request);
        let Some(charged) = begun else {
            return Answer::Said(409, json!({ "error": "a request with this key is in work" }));
        };
        if at(dice >> 7, slow) {
            #[allow(clippy::disallowed_methods, reason = "a gateway that is slow")]
            std::thread::sleep(delay);
        }
        self.wait_until_open();
        lock(&self.accounts.books).in_work.remove(&key);
        match charged {
            Answer::Said(201, _) if at(dice >> 14, silent) => Answer::Silence,
            Answer::Said(201, _) if at(dice >> 21, lost) => {
                Answer::Said(500, json!({ "error": "something went wrong" }))
            }
            answer => answer,
        }
    }

    fn wait_until_open(&self) {
        let (is_open, opened) = &self.accounts.is_open;
        let mut open = lock(is_open);
        while !*open {
            open = opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Books {
    /// A key is charged once; the same request again has the same answer. None while the first is in work.
    fn begin(&mut self, key: String, request: &Request) -> Option<Answer> {
        if !self.in_work.insert(key.clone()) {
            return None;
        }
        Some(self.charge(key, request))
    }

    fn charge(&mut self, key: String, request: &Request) -> Answer {
        let next = self.charges.len() as u64 + 1;
        if let Some((body, number)) = self.charges.get(&key) {
            self.repeats += 1;
            if *body != request.body {
                self.refused += 1;
                return Answer::Said(422, json!({ "error": "this key came with another request" }));
            }
            return Answer::Said(201, json!({ "id": format!("ch_{number}") }));
        }
        self.charges.insert(key, (request.body.clone(), next));
        Answer::Said(201, json!({ "id": format!("ch_{next}") }))
    }

    /// What each customer was charged, in cents, and how many orders.
    #[must_use]
    pub fn customers(&self) -> BTreeMap<String, (i64, u64)> {
        let mut customers: BTreeMap<String, (i64, u64)> = BTreeMap::new();
        for (body, _) in self.charges.values() {
            let charge: Value = serde_json::from_slice(body).unwrap_or_default();
            let customer = charge["customer"].as_str().unwrap_or_default().to_owned();
            let sums = customers.entry(customer).or_default();
            sums.0 += charge["amount_cents"].as_i64().unwrap_or_default();
            sums.1 += 1;
        }
        customers
    }

    /// The orders that were charged, each as often as it was.
    #[must_use]
    pub fn orders(&self) -> Vec<u64> {
        let order = |(body, _): &(Vec<u8>, u64)| {
            let charge: Value = serde_json::from_slice(body).unwrap_or_default();
            charge["order"].as_u64()
        };
        let mut orders: Vec<u64> = self.charges.values().filter_map(order).collect();
        orders.sort_unstable();
        orders
    }

    fn as_json(&self) -> Value {
        let customers = self.customers();
        let cents: i64 = customers.values().map(|(cents, _)| cents).sum();
        let mut orders = self.orders();
        orders.dedup();
        let customers: BTreeMap<String, i64> =
            customers.into_iter().map(|(name, (cents, _))| (name, cents)).collect();
        json!({
            "requests": self.requests, "repeats": self.repeats, "refused": self.refused,
            "charges": self.charges.len(), "orders": orders.len(), "cents": cents, "customers": customers,
        })
    }
}

/// The next request; none at the end, or when it is none.
fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let first = line(stream)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut key, mut authorization, mut length, mut is_chunked) = (None, None, 0, false);
    loop {
        let header = line(stream)?;
        let Some((name, value)) = header.split_once(':') else { break };
        let value = value.trim();
        match &*name.to_ascii_lowercase() {
            "idempotency-key" => key = Some(value.to_owned()),
            "authorization" => authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            let size = usize::from_str_radix(line(stream)?.trim(), 16).ok()?;
            part(stream, size, &mut body)?;
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else {
        part(stream, length, &mut body)?;
    }
    Some(Request { method, path, key, authorization, body })
}

fn part(stream: &mut BufReader<TcpStream>, size: usize, body: &mut Vec<u8>) -> Option<()> {
    let begin = body.len();
    let end = begin.checked_add(size).filter(|end| *end <= BODY)?;
    body.resize(end, 0);
    stream.read_exact(&mut body[begin..]).ok()
}

/// Without its end.
fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let size = stream.by_ref().take(16 << 10).read_line(&mut line).ok()?;
    (size > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
