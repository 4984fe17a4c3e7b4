//! A network between a worker and a broker, that can be made bad: slow, silent, or cut.
//!
//! A Kafka broker tells its clients where it is, and they go there. So the proxy reads the answers,
//! and puts its own port in place of the broker's: a client that began here stays here. What other brokers
//! say is carried as it comes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const HOST: &str = "127.0.0.1";

/// A way to a broker. Its port stays taken until the process ends, so that nobody else ever gets what
/// is sent to it.
pub struct Proxy {
    /// `host:port`, as the address of a broker.
    pub address: String,
    line: Arc<Line>,
}

struct Line {
    broker: u16,
    port: u16,
    /// It carries frames of Kafka.
    framed: bool,
    weather: Mutex<Weather>,
    changed: Condvar,
}

#[derive(Default)]
struct Weather {
    /// Each way, for each request and each answer.
    delay: Duration,
    stalled: bool,
    cut: bool,
    /// Both sides of each connection, in the order they came.
    connections: Vec<(TcpStream, TcpStream)>,
    /// So many of the first ones lead nowhere any more.
    halved: usize,
    /// Clients are gone, and the broker is not told.
    orphaned: bool,
    /// Which connections have asked, and have no answer yet.
    asked: Vec<bool>,
    /// How many requests of Kafka there were, by the number of their kind.
    requests: BTreeMap<i16, usize>,
}

impl Proxy {
    /// A way to the Kafka broker at this `host:port`, good for now.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn before(broker: &str) -> Self {
        Self::open(broker, true)
    }

    /// A way to any other, whose clients go where they are told to.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn plain(broker: &str) -> Self {
        Self::open(broker, false)
    }

    fn open(broker: &str, framed: bool) -> Self {
        let listener = TcpListener::bind((HOST, 0)).expect("there are free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let (_, of_broker) = broker.split_once(':').expect("host:port");
        let line = Arc::new(Line {
            broker: of_broker.parse().expect("host:port"),
            port,
            framed,
            weather: Mutex::default(),
            changed: Condvar::new(),
        });
        let served = line.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|client| served.connect(client)));
        Self { address: format!("{HOST}:{port}"), line }
    }

    /// Each request and each answer takes so much longer.
    pub fn delay(&self, each_way: Duration) {
        self.line.change(|w| w.delay = each_way);
    }

    /// Nothing arrives any more, and nobody is told: connections stay, and new ones can be made.
    pub fn stall(&self) {
        self.line.change(|w| w.stalled = true);
    }

    /// Ends a stall: all that was sent arrives.
    pub fn flow(&self) {
        self.line.change(|w| w.stalled = false);
    }

    /// The broker's side of every connection ends, and the client is not told: what it sends there goes
    /// nowhere. New connections are good.
    pub fn halve(&self) {
        self.line.change(|w| {
            w.halved = w.connections.len();
            w.connections.iter().for_each(|(_, broker)| drop(broker.shutdown(Shutdown::Both)));
        });
    }

    /// Ends every connection, and each new one at once.
    pub fn cut(&self) {
        self.line.change(|w| {
            w.cut = true;
            for (client, broker) in &w.connections {
                drop((client.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both)));
            }
        });
    }

    /// Ends the client's side of every connection, and each new one at once. The broker is not told, and
    /// answers what it was asked: as when a machine dies.
    pub fn orphan(&self) {
        self.line.change(|w| {
            (w.cut, w.orphaned) = (true, true);
            w.connections.iter().for_each(|(client, _)| drop(client.shutdown(Shutdown::Both)));
        });
    }

    /// Whether the broker has answered all that it was asked.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.line.weather().asked.contains(&true)
    }

    /// Takes connections again after a cut.
    pub fn mend(&self) {
        self.line.change(|w| w.cut = false);
    }

    /// How many requests of a kind have come to the Kafka broker, by its number in the protocol.
    #[must_use]
    pub fn requests(&self, kind: i16) -> usize {
        self.line.weather().requests.get(&kind).copied().unwrap_or_default()
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.line.weather().connections.len()
    }
}

impl Line {
    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut Weather)) {
        how(&mut self.weather());
        self.changed.notify_all();
    }

    /// Carries one connection, on threads of its own. One that cannot be made is dropped.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let mut weather = self.weather();
        if weather.cut {
            return;
        }
        let Ok(broker) = TcpStream::connect((HOST, self.broker)) else { return };
        drop((client.set_nodelay(true), broker.set_nodelay(true)));
        let number = weather.connections.len();
        for answers in [false, true] {
            let copies = (client.try_clone(), broker.try_clone());
            let (Ok(client), Ok(broker)) = copies else { return };
            let (from, to) = if answers { (broker, client) } else { (client, broker) };
            let (sender, receiver) = channel();
            let (reads, writes) = (self.clone(), self.clone());
            std::thread::spawn(move || reads.read(from, number, answers, &sender));
            std::thread::spawn(move || writes.write(to, number, answers, &receiver));
        }
        weather.asked.push(false);
        weather.connections.push((client, broker));
    }

    /// Reads frame after frame, each with the time it is to arrive.
    fn read(&self, mut from: TcpStream, number: usize, answers: bool, to: &Sender<(Instant, Vec<u8>)>) {
        let next = |from: &mut TcpStream| if self.framed { frame(from) } else { some(from) };
        while let Ok(mut frame) = next(&mut from) {
            if answers && self.framed {
                self.readdress(&mut frame);
            }
            let due = {
                let mut weather = self.weather();
                weather.asked[number] = !answers;
                if let Some(kind) = frame.get(4..6).filter(|_| self.framed && !answers) {
                    *weather.requests.entry(i16::from_be_bytes([kind[0], kind[1]])).or_default() += 1;
                }
                Instant::now() + weather.delay
            };
            // An orphan's answers are read, and go nowhere.
            if to.send((due, frame)).is_err() && !self.weather().orphaned {
                break;
            }
        }
        if answers {
            // Nothing more comes from there.
            self.weather().asked[number] = false;
        }
    }

    fn write(
        &self,
        mut to: TcpStream,
        number: usize,
        answers: bool,
        frames: &Receiver<(Instant, Vec<u8>)>,
    ) {
        while let Ok((due, frame)) = frames.recv() {
            self.wait(due);
            if number >= self.weather().halved && to.write_all(&frame).is_err() {
                break;
            }
        }
        // The other side has ended, and this one hears of it, unless it is not to.
        let hears = {
            let weather = self.weather();
            number >= weather.halved && (answers || !weather.orphaned)
        };
        if hears {
            drop(to.shutdown(Shutdown::Both));
        }
    }

    /// Until then, and until nothing stalls.
    fn wait(&self, due: Instant) {
        let mut weather = self.weather();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() && !weather.stalled {
                return;
            }
            let left = if weather.stalled { Duration::from_secs(3600) } else { left };
            weather = self.changed.wait_timeout(weather, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts this port wherever the broker's address stands. A host and a port are written as the text
    /// with its length before it, and four bytes: nothing gets longer.
    fn readdress(&self, frame: &mut [u8]) {
        let port = u32::from(self.broker).to_be_bytes();
        let address = [HOST.as_bytes(), &port].concat();
        let mut at = 0;
        while let Some(found) = frame[at..].windows(address.len()).position(|w| w == address) {
            at += found + address.len();
            frame[at - port.len()..at].copy_from_slice(&u32::from(self.port).to_be_bytes());
        }
    }
}

/// One request or answer: its length in four bytes, and so many.
fn frame(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = length.to_vec();
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Whatever has come.
fn some(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64 << 10];
    let count = from.read(&mut bytes)?;
    bytes.truncate(count);
    if bytes.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}
