//! A server of HTTP whose every answer is a test's, and that can be told to misbehave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One request.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the words of HTTP")]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub authorization: Option<String>,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the words of HTTP")]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The body never ends.
    pub endless: bool,
    /// Nothing is said at all.
    pub silent: bool,
    /// So long between two bytes of the answer.
    pub between_bytes: Option<Duration>,
}

impl Reply {
    /// An answer with nothing but a status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

type Fault = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;
type Perform = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    seen: Vec<Request>,
    fault: Option<Fault>,
}

struct Shared {
    perform: Perform,
    state: Mutex<State>,
}

/// The server. It ends with the process.
pub struct Server {
    /// `host:port`.
    pub address: String,
    shared: Arc<Shared>,
}

impl Server {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(perform: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one").to_string();
        let shared = Arc::new(Shared { perform: Box::new(perform), state: Mutex::default() });
        let server = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || serve(&server, client));
            }
        });
        Self { address, shared }
    }

    /// What is answered otherwise from now on.
    pub fn fault(&self, fault: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        lock(&self.shared.state).fault = Some(Box::new(fault));
    }

    /// Answers as it should again.
    pub fn mend(&self) {
        lock(&self.shared.state).fault = None;
    }

    /// What was asked since this was asked last.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared.state).seen)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(server: &Shared, client: TcpStream) {
    let Ok(mut write) = client.try_clone() else { return };
    let mut requests = BufReader::new(client);
    while let Some(request) = read(&mut requests) {
        let fault = {
            let mut state = lock(&server.state);
            state.seen.push(request.clone());
            state.fault.as_ref().and_then(|fault| fault(&request))
        };
        let reply = fault.unwrap_or_else(|| (server.perform)(&request));
        if reply.silent {
            // Until the client goes.
            drop(requests.read_to_end(&mut Vec::new()));
            return;
        }
        let mut head = format!("HTTP/1.1 {} -\r\n", reply.status);
        reply.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        if reply.endless {
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            let begun = write.write_all((head + "transfer-encoding: chunked\r\n\r\n").as_bytes());
            while begun.is_ok() && write.write_all(&chunk).is_ok() {}
            return;
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
        let body = if request.method == "HEAD" { &[][..] } else { &reply.body };
        let written = match reply.between_bytes {
            Some(wait) => drip(&mut write, &[head.as_bytes(), body].concat(), wait),
            None => write.write_all(head.as_bytes()).and_then(|()| write.write_all(body)),
        };
        if written.is_err() {
            return;
        }
    }
}

/// Writes one byte after another, as slow networks and hostile servers do.
#[allow(clippy::disallowed_methods, reason = "the wait is what it is for")]
fn drip(write: &mut TcpStream, bytes: &[u8], wait: Duration) -> std::io::Result<()> {
    write.set_nodelay(true)?;
    for byte in bytes {
        write.write_all(&[*byte])?;
        std::thread::sleep(wait);
    }
    Ok(())
}

fn read(from: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "content-type" => value.clone_into(&mut request.content_type),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    request.body = vec![0; length];
    from.read_exact(&mut request.body).ok()?;
    Some(request)
}
