//! A server that handlers send requests to: one that answers, counts and remembers, and misbehaves in every
//! way that its clients must bear. What it does is the first part of a request's path:
//!
//! | Path | It |
//! |---|---|
//! | `/ok`, `/status/503` | answers |
//! | `/echo` | answers with the request as it came |
//! | `/charge` | counts by `idempotency-key`, and answers with the count |
//! | `/flaky/3` | answers each third request only, and 503 else |
//! | `/delay/100` | answers after so many milliseconds |
//! | `/hold` | answers when it is told to ([`Gateway::release`]) |
//! | `/hang` | never answers |
//! | `/stall` | sends a head and a part of its body, and no more |
//! | `/dribble` | sends a body without an end, a byte at a time |
//! | `/reset`, `/close` | resets or closes the connection in place of an answer |
//! | `/last` | answers, and closes the connection without a word |
//! | `/big/N`, `/chunks/N` | answers with so many bytes, with their length or without |
//! | `/headers/N`, `/header/N` | answers with so many headers, or with one of so many bytes |
//! | `/short` | says that there are more bytes than it sends, and closes |
//! | `/more` | sends more than it says: a second answer that nobody asked for |
//! | `/garbage` | answers with no HTTP at all |
//! | `/redirect?URL` | sends its client elsewhere |

mod behave;
mod certificates;
mod h2;
mod http1;

pub use certificates::{Certificates, Leaf};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// A server. It ends when it is dropped.
pub struct Gateway {
    /// Of `127.0.0.1`.
    pub port: u16,
    tls: bool,
    books: Arc<Books>,
    runtime: Option<Runtime>,
    /// Connections that keep others from being made.
    _fill: Vec<TcpStream>,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The number of its connection, from 0 on.
    pub connection: usize,
    /// `1.1` or `2`.
    pub version: &'static str,
}

#[derive(Default)]
struct Books {
    kept: Mutex<Kept>,
    released: Notify,
}

#[derive(Default)]
struct Kept {
    seen: Vec<Seen>,
    connections: usize,
    closed: Vec<Instant>,
    at_once: usize,
    most_at_once: usize,
    is_released: bool,
    charges: BTreeMap<String, usize>,
}

impl Seen {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Gateway {
    /// One without TLS.
    ///
    /// # Panics
    /// When it cannot be started; so do the others.
    #[must_use]
    pub fn plain() -> Self {
        Self::start(None, |stream, books, number, _| async move {
            http1::serve(stream, books, number).await;
        })
    }

    /// One with TLS, with one of the certificates. It speaks HTTP/2 with those that can, or 1.1 only.
    #[must_use]
    pub fn tls(certificates: &Certificates, leaf: Leaf, h2: bool) -> Self {
        let acceptor = certificates.acceptor(leaf, h2);
        Self::start(Some(acceptor), |stream, books, number, acceptor| async move {
            let Some(acceptor) = acceptor else { return };
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                h2::serve(stream, books, number).await;
            } else {
                http1::serve(stream, books, number).await;
            }
        })
    }

    /// One that takes connections and says nothing: neither TLS nor HTTP.
    #[must_use]
    pub fn silent() -> Self {
        Self::start(None, |stream, _, _, _| async move {
            http1::until_closed(stream).await;
        })
    }

    /// An address at which no connection is made and none is refused.
    #[must_use]
    pub fn full() -> Self {
        let runtime = runtime();
        let (listener, fill, port) = runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
            let listener = socket.listen(0).expect("it listens");
            let at = listener.local_addr().expect("it has an address");
            // The system keeps one more than it is told to.
            let mut fill = Vec::new();
            let short = std::time::Duration::from_millis(300);
            while let Ok(Ok(stream)) = tokio::time::timeout(short, TcpStream::connect(at)).await {
                fill.push(stream);
            }
            (listener, fill, at.port())
        });
        runtime.spawn(async move {
            let _held = listener;
            std::future::pending::<()>().await;
        });
        Self { port, tls: false, books: Arc::default(), runtime: Some(runtime), _fill: fill }
    }

    fn start<S, F>(acceptor: Option<TlsAcceptor>, serve: S) -> Self
    where
        S: Fn(TcpStream, Arc<Books>, usize, Option<TlsAcceptor>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime();
        let tls = acceptor.is_some();
        let books: Arc<Books> = Arc::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("it has an address").port();
        let kept = books.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = kept.opened();
                let served = serve(stream, kept.clone(), number, acceptor.clone());
                let kept = kept.clone();
                tokio::spawn(async move {
                    served.await;
                    kept.lock().closed.push(Instant::now());
                });
            }
        });
        Self { port, tls, books, runtime: Some(runtime), _fill: Vec::new() }
    }

    /// The address of a path, by the name `localhost`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://localhost:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.books.lock().seen.clone()
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.books.lock().seen.len()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.books.lock().connections
    }

    /// When connections were closed, by either side.
    #[must_use]
    pub fn closed(&self) -> Vec<Instant> {
        self.books.lock().closed.clone()
    }

    /// Requests that it has now, and the most that it has had at once.
    #[must_use]
    pub fn at_once(&self) -> (usize, usize) {
        let kept = self.books.lock();
        (kept.at_once, kept.most_at_once)
    }

    /// Charges by their idempotency keys.
    #[must_use]
    pub fn charges(&self) -> BTreeMap<String, usize> {
        self.books.lock().charges.clone()
    }

    /// Answers what waits at `/hold`, now and later.
    pub fn release(&self) {
        self.books.lock().is_released = true;
        self.books.released.notify_waiters();
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> usize {
        let mut kept = self.lock();
        kept.connections += 1;
        kept.connections - 1
    }

    /// A request has come; it is there until what this gives is dropped.
    fn begin(self: &Arc<Self>, seen: Seen) -> AtWork {
        let mut kept = self.lock();
        kept.seen.push(seen);
        kept.at_once += 1;
        kept.most_at_once = kept.most_at_once.max(kept.at_once);
        AtWork(self.clone())
    }
}

/// A request that is being answered.
struct AtWork(Arc<Books>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.lock().at_once -= 1;
    }
}
