//! One session with a server, as `psql` has it.

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// The superuser's password. Give it to others too.
pub const PASSWORD: &str = "postgres";
/// How long a server may take to let somebody in.
const CONNECT: Duration = Duration::from_secs(10);

/// A session. It ends when this is dropped, and what it has not committed with it. Usable from everywhere:
/// it has threads of its own.
pub struct Session {
    client: Client,
    runtime: Option<Runtime>,
}

impl Session {
    /// Opens one without TLS, and with the password that everybody has in tests.
    ///
    /// # Errors
    /// In words.
    ///
    /// # Panics
    /// When there is no thread for it.
    pub fn open(address: &str, database: &str, user: &str) -> Result<Self, String> {
        let mut config = Config::new();
        config.user(user).password(PASSWORD).dbname(database).application_name("pelton-tests");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let opened = blocking(&runtime, async {
            let opened = tokio::time::timeout(CONNECT, open(config, address)).await;
            opened.map_err(|_| "it does not answer".to_owned())?
        });
        match opened {
            Ok(client) => Ok(Self { client, runtime: Some(runtime) }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn within<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        blocking(self.runtime.as_ref().expect("until it is dropped"), future)
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When one fails.
    pub fn run(&self, statements: &str) {
        self.try_run(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Runs statements that may fail.
    ///
    /// # Errors
    /// The database's: its code and its words.
    pub fn try_run(&self, statements: &str) -> Result<(), String> {
        self.within(self.client.batch_execute(statements)).map_err(|error| said(&error))
    }

    /// The rows of a query, as the database writes them; none for NULL.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let answered = self.within(self.client.simple_query(query));
        let messages = answered.unwrap_or_else(|error| panic!("{query}: {}", said(&error)));
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    /// The first value of a query.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn text(&self, query: &str) -> String {
        let first = self.rows(query).into_iter().next().and_then(|row| row.into_iter().next().flatten());
        first.unwrap_or_else(|| panic!("{query}: no value"))
    }

    /// The first value of a query, as a number, from a server that may be away.
    #[must_use]
    pub fn try_number(&self, query: &str) -> Option<i64> {
        let messages = self.within(self.client.simple_query(query)).ok()?;
        let first = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse().ok()),
            _ => None,
        };
        messages.into_iter().find_map(first)
    }

    /// The first value of a query, as a number.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn number(&self, query: &str) -> i64 {
        let text = self.text(query);
        text.parse().unwrap_or_else(|_| panic!("{query}: {text}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits on a thread of its own: the caller may be of another runtime, which does not allow it.
fn blocking<T: Send>(runtime: &Runtime, future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join()).expect("it does not panic")
}

async fn open(config: Config, address: &str) -> Result<Client, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|error| said(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

/// The database's code and words, or those of whoever could not ask it.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}
