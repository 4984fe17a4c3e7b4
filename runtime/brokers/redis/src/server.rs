//! The way to a server: by its own address, by those of its sentinels, or by any node of its cluster.

use super::fault::Fault;
use pelton_broker_common::backoff;
use pelton_core::ports::Scope;
use pelton_core::shown::{self, file_kind};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisError,
};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take that does not wait for messages.
pub const ANSWER: Duration = Duration::from_secs(10);
/// After an error: the first pause and the longest; each twice the one before, less up to a half.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// What an address of sentinels begins with.
const SENTINEL: [&str; 2] = ["redis+sentinel://", "rediss+sentinel://"];
/// How often one node of a cluster may name another.
const HOPS: usize = 5;

/// A server, as `url` names it.
#[derive(Clone)]
pub struct Server {
    way: Way,
    /// Every key of a pipeline is in the slot of this one.
    key: String,
}

#[derive(Clone)]
enum Way {
    Direct(Box<ConnectionInfo>),
    /// The sentinels, and the server as they call it.
    Sentinels {
        all: Vec<ConnectionInfo>,
        name: String,
        primary: Box<ConnectionInfo>,
    },
}

impl std::fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.place())
    }
}

impl Server {
    /// Reads an address. `key` is the stream or list that is read there.
    ///
    /// # Errors
    /// When it is none, in words.
    pub fn parse(url: &str, key: &str) -> Result<Self, String> {
        if let Some(problem) = unescaped(url) {
            return Err(problem);
        }
        let sentinel = SENTINEL.iter().find_map(|scheme| Some((*scheme, url.strip_prefix(scheme)?)));
        let way = match sentinel {
            Some((scheme, rest)) => sentinels(rest, scheme == SENTINEL[1])?,
            None => Way::Direct(Box::new(info(url)?)),
        };
        Ok(Self { way, key: key.to_owned() })
    }

    /// Where it is, without user and password.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.way {
            Way::Direct(info) => info.addr().to_string(),
            Way::Sentinels { name, all, .. } => {
                let all: Vec<String> = all.iter().map(|s| s.addr().to_string()).collect();
                format!("{name} of {}", all.join(", "))
            }
        }
    }

    /// What tells the key that is read from every other in the world: where the server is, the number of its
    /// database, and the key.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let db = match &self.way {
            Way::Direct(info) => info.redis_settings().db(),
            Way::Sentinels { primary, .. } => primary.redis_settings().db(),
        };
        format!("{}/{db}/{}", self.place(), self.key).into()
    }

    /// Makes a connection, on which no answer takes longer than `patience`.
    pub async fn connect(&self, patience: Duration) -> Result<MultiplexedConnection, Fault> {
        let mut info = match &self.way {
            Way::Direct(info) => (**info).clone(),
            Way::Sentinels { all, name, primary } => found(all, name, primary).await?,
        };
        for _ in 0..HOPS {
            let mut connection = open(&info, patience).await?;
            // Says early whether the login is good; and in a cluster, which node has the key.
            let asked: Result<String, _> =
                redis::cmd("TYPE").arg(&self.key).query_async(&mut connection).await;
            let fault = match asked {
                Ok(_) => return Ok(connection),
                Err(error) => Fault::of(&error),
            };
            let Some(node) = &fault.moved_to else {
                let words = format!("`{}`: {}", self.key, fault.words);
                return Err(Fault { words, ..fault });
            };
            info = at(&info, node).ok_or(fault)?;
        }
        Err(Fault::says(format!(
            "the nodes of the cluster at {} name each other for `{}`",
            self.place(),
            self.key
        )))
    }
}

/// What is wrong with the file of authorities that the environment names, for an address with TLS.
pub fn unreadable_authorities(url: &str) -> Option<String> {
    let named = std::env::var_os("SSL_CERT_FILE").filter(|name| !name.is_empty())?;
    url.starts_with("rediss").then(|| unreadable(Path::new(&named)))?
}

fn unreadable(file: &Path) -> Option<String> {
    let what = match std::fs::metadata(file) {
        // A pipe would be waited for.
        Ok(found) if !found.is_file() => format!("is {}, not a file", file_kind(found.file_type())),
        Ok(_) => format!("cannot be read: {}", File::open(file).err()?),
        Err(error) => format!("cannot be read: {error}"),
    };
    Some(format!("SSL_CERT_FILE names {}, which {what}. Correct the path", shown::path(file)))
}

/// What to wait before the next try, after so many failures in a row.
pub fn backoff(failures: u32) -> Duration {
    backoff::backoff(failures, PAUSE, RandomState::new().hash_one(failures))
}

/// An address of one server, with what is forgotten easily put right.
fn info(url: &str) -> Result<ConnectionInfo, String> {
    static CRYPTOGRAPHY: Once = Once::new();
    // Another part of the program may have chosen already: then it is the same.
    CRYPTOGRAPHY.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
    url.into_connection_info().map_err(|_| {
        "is no address of a Redis server: write redis://HOST:PORT, rediss://USER:PASSWORD@HOST:PORT/DB for \
         TLS, unix:///PATH, or \
         redis+sentinel://HOST:PORT,HOST:PORT/NAME"
            .to_owned()
    })
}

/// What is wrong with the login of an address: one that ends it stands in the user or the password, and the
/// host would be part of them.
fn unescaped(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, _) = rest.rsplit_once('@').filter(|_| scheme != "unix")?;
    let found = login.chars().find(|c| matches!(c, '/' | '?' | '#'))?;
    Some(format!(
        "has a `{found}` in its user or password, where an address would end: write it as %{:02X}, and so \
         `/`, `?`, `#`, `@` and `%` as %2F, %3F, %23, %40 and %25",
        u32::from(found)
    ))
}

/// `USER:PASSWORD@HOST:PORT,HOST:PORT/NAME/DB`, behind the scheme. The login is the server's.
fn sentinels(rest: &str, tls: bool) -> Result<Way, String> {
    let example =
        "write redis+sentinel://HOST:PORT,HOST:PORT/NAME, where NAME is what the sentinels call the server";
    let (hosts, path) =
        rest.split_once('/').ok_or_else(|| format!("names sentinels, and no server: {example}"))?;
    let (name, db) = path.split_once('/').unwrap_or((path, "0"));
    let (login, hosts) = hosts.rsplit_once('@').map_or(("", hosts), |(login, hosts)| (login, hosts));
    if name.is_empty() || hosts.is_empty() {
        return Err(format!("names sentinels, and no server: {example}"));
    }
    let scheme = if tls { "rediss" } else { "redis" };
    let at = if login.is_empty() { "" } else { "@" };
    let primary = Box::new(info(&format!("{scheme}://{login}{at}localhost/{db}"))?);
    let all: Result<_, String> = hosts.split(',').map(|host| info(&format!("{scheme}://{host}"))).collect();
    Ok(Way::Sentinels { all: all?, name: name.to_owned(), primary })
}

/// Asks one sentinel after the other where the server is now.
async fn found(
    all: &[ConnectionInfo],
    name: &str,
    primary: &ConnectionInfo,
) -> Result<ConnectionInfo, Fault> {
    let mut last = Fault::says("there are no sentinels");
    for sentinel in all {
        let asked = async {
            let mut connection = open(sentinel, ANSWER).await?;
            let mut command = redis::cmd("SENTINEL");
            let told: Option<(String, u16)> =
                command.arg("get-master-addr-by-name").arg(name).query_async(&mut connection).await?;
            Ok::<_, Fault>(told)
        };
        match asked.await {
            Ok(Some((host, port))) => {
                return Ok(primary.clone().set_addr(moved(primary.addr(), host, port)));
            }
            Ok(None) => {
                last = Fault::says(format!(
                    "the sentinel {} knows no server `{name}`: correct `url`",
                    sentinel.addr()
                ))
            }
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// The same login at another `host:port`.
fn at(info: &ConnectionInfo, node: &str) -> Option<ConnectionInfo> {
    let (host, port) = node.rsplit_once(':')?;
    // A node that does not know its own name is where it was asked.
    let own = match info.addr() {
        ConnectionAddr::Tcp(own, _) | ConnectionAddr::TcpTls { host: own, .. } => own.as_str(),
        _ => "127.0.0.1",
    };
    let host = Some(host).filter(|host| !host.is_empty() && *host != "?").unwrap_or(own);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(info.clone().set_addr(moved(info.addr(), host.to_owned(), port.parse().ok()?)))
}

fn moved(before: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match before {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

async fn open(info: &ConnectionInfo, patience: Duration) -> Result<MultiplexedConnection, Fault> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(patience));
    let client = Client::open(info.clone())?;
    let made = client.get_multiplexed_async_connection_with_config(&config).await;
    made.map_err(|error| {
        let fault = Fault::of(&error);
        let hint = other_protocol(info.addr(), &error);
        Fault { words: format!("{}: {}{hint}", info.addr(), fault.words), ..fault }
    })
}

/// What else it may be where a port takes the connection, and does not speak as it should.
fn other_protocol(address: &ConnectionAddr, error: &RedisError) -> &'static str {
    let is_odd = error.is_timeout() || error.is_connection_dropped() || error.kind() == ErrorKind::Parse;
    if !is_odd || error.is_connection_refusal() {
        return "";
    }
    // A server that is full says so and closes, and what was sent to it meanwhile has its words thrown away.
    match address {
        ConnectionAddr::TcpTls { .. } => {
            ". If the port has no TLS, write redis:// into `url`; if the server has as many connections as \
             its `maxclients`, raise that"
        }
        ConnectionAddr::Tcp(..) => {
            ". If the port has TLS, write rediss:// into `url`; if the server has as many connections as its \
             `maxclients`, raise that"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_password() {
        for url in ["redis://localhost", "redis://u:secret@h:1/3", "rediss://h:1", "unix:///tmp/r.sock"] {
            let server = Server::parse(url, "orders").unwrap();
            assert!(!format!("{server:?}").contains("secret"), "{server:?}");
        }
        let scope = |url| Server::parse(url, "orders").unwrap().scope();
        assert_eq!(&*scope("redis://u:secret@h:1/3"), "h:1/3/orders");
        assert_eq!(scope("redis://h:1"), scope("rediss://u:p@h:1/0"));
        assert_eq!(&*scope("redis+sentinel://u:p@a:26379/main/2"), "main of a:26379/2/orders");
        let server = Server::parse("redis+sentinel://u:p@a:26379,b/main/2", "orders").unwrap();
        assert_eq!(server.place(), "main of a:26379, b:6379");
        for url in ["redis://u:p#ss@h:1", "rediss://u:a/b@h:1", "redis+sentinel://u:a?b@h:1/main"] {
            let why = Server::parse(url, "orders").unwrap_err();
            assert!(why.contains("in its user or password") && !why.contains("u:"), "{url}: {why}");
        }
        assert!(Server::parse("redis://u:p%23ss@h:1", "orders").is_ok());
        for url in ["", "localhost", "http://h", "redis+sentinel://a:1", "redis+sentinel://a:1/"] {
            assert!(Server::parse(url, "orders").is_err(), "{url}");
        }
    }

    #[test]
    fn a_node_that_is_named_without_its_host_is_where_it_was_asked() {
        let asked = info("redis://u:p@first:7000").unwrap();
        let named = |node: &str| at(&asked, node).map(|info| info.addr().to_string());
        assert_eq!(named("second:7001").as_deref(), Some("second:7001"));
        assert_eq!(
            [named(":7001"), named("?:7001")],
            [Some("first:7001".into()), Some("first:7001".into())]
        );
        assert_eq!(named("::1:7001").as_deref(), Some("::1:7001"));
        assert_eq!(named("second"), None);
    }

    #[test]
    fn a_file_of_authorities_is_one_that_can_be_read() {
        assert_eq!(unreadable(Path::new("Cargo.toml")), None);
        for (path, why) in
            [("/dev", "a folder"), ("/dev/null", "a device"), ("/nowhere/ca", "No such file")]
        {
            assert!(unreadable(Path::new(path)).is_some_and(|said| said.contains(why)), "{path}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        assert!((50..=100).contains(&backoff(1).as_millis()));
        assert!((5_000..=10_000).contains(&backoff(40).as_millis()));
    }
}
