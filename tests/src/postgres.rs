//! A PostgreSQL server of its own for a test, and an independent look into it.

mod session;

use crate::binary::root;
use crate::ports;
use crate::redis::make_certificate;
use crate::wait::until;
use rustix::process::{Pid, Signal, kill_process};
pub use session::{PASSWORD, Session};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The superuser, whose password is [`PASSWORD`].
pub const SUPERUSER: &str = "postgres";

/// How a server is to be. All is trusted, and nothing is encrypted, where nothing else is said.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// More options of `postgres`.
    pub options: String,
    /// Everybody has to show a password.
    pub scram: bool,
    /// There is TLS, with a certificate for `localhost` that nobody knows (see [`Postgres::certificate`]),
    /// and for all but the superuser there is nothing else.
    pub tls: bool,
    /// Its data is here rather than in a folder of its own.
    pub data: Option<PathBuf>,
}

/// A server. Killed when it is dropped.
pub struct Postgres {
    /// `host:port`.
    pub address: String,
    port: u16,
    setup: Setup,
    process: Mutex<Child>,
    created: AtomicUsize,
    dir: TempDir,
}

impl Postgres {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// The same, with more options of `postgres`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn with_options(options: &str) -> Self {
        Self::start_with(Setup { options: options.to_owned(), ..Setup::default() })
    }

    /// The same, set up.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start_with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        if setup.tls {
            make_certificate(dir.path());
        }
        let port = ports::free(1);
        let process = Mutex::new(spawn(port, dir.path(), &setup));
        let address = format!("127.0.0.1:{port}");
        let server = Self { address, port, setup, process, created: AtomicUsize::new(0), dir };
        server.ready();
        server
    }

    /// A database of its own, for one test.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self) -> Db {
        let name = format!("test_{}", self.created.fetch_add(1, Ordering::Relaxed));
        self.admin().run(&format!("CREATE DATABASE {name}"));
        Db { address: self.address.clone(), name }
    }

    /// A session of the superuser, in the database that is always there.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn admin(&self) -> Session {
        until("the database answers", || self.try_admin())
    }

    fn try_admin(&self) -> Option<Session> {
        Session::open(&self.address, "postgres", SUPERUSER).ok()
    }

    /// The certificate of one with TLS, for those who are to know it.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.setup.data.clone().unwrap_or_else(|| self.dir.path().join("server")).join("data")
    }

    /// What the server has written into its log: statements too, where `log_statement` says so.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.dir.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// As `pg_ctl restart -m immediate` does: no checkpoint, and recovery from the log of writes.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart_immediate(&self) {
        self.stop_immediate();
        self.begin();
    }

    /// As `pg_ctl stop -m immediate` does.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop_immediate(&self) {
        self.end(Signal::QUIT);
    }

    /// As `pg_ctl stop -m fast` does: sessions are ended, and all is written.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop_fast(&self) {
        self.end(Signal::INT);
    }

    /// Starts it again on its data, once it has ended.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn begin(&self) {
        let process = spawn(self.port, self.dir.path(), &self.setup);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        self.ready();
    }

    /// Starts it again on its data, if it has ended by itself.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn begin_if_ended(&self) {
        let ended =
            |mut process: MutexGuard<'_, Child>| process.try_wait().expect("it is our child").is_some();
        if ended(self.process.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.begin();
        }
    }

    /// Stops all processes of the server where they are, as a machine does that stands still.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// They go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Ends all sessions of a database but the one that does it; how many there were.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn terminate_backends(&self, db: &Db) -> i64 {
        self.admin().number(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
            db.name
        ))
    }

    /// Ends one session of a database, whichever; whether there was one.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn terminate_one(&self, db: &Db) -> bool {
        let ended = self.admin().rows(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = '{}' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
            db.name
        ));
        !ended.is_empty()
    }

    /// Sets a parameter for all, at once: `default_transaction_read_only` to `on`, for one. None resets it.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn set(&self, name: &str, value: Option<&str>) {
        let admin = self.admin();
        let how = value.map_or_else(|| format!("RESET {name}"), |value| format!("SET {name} = '{value}'"));
        // What makes all sessions read only includes this one.
        admin.run("SET default_transaction_read_only = off");
        admin.run(&format!("ALTER SYSTEM {how}"));
        admin.run("SELECT pg_reload_conf()");
    }

    fn ready(&self) {
        until("the server answers", || {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the server has ended ({ended:?}): {}", self.log());
            drop(process);
            self.try_admin().map(drop)
        });
    }

    fn end(&self, how: Signal) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        signal(Pid::from_child(&process), how);
        process.wait().expect("it is our child");
    }

    fn signal_all(&self, how: Signal) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let children = format!("/proc/{0}/task/{0}/children", process.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let of = |id: &str| Pid::from_raw(id.parse().ok()?);
        for pid in std::iter::once(Pid::from_child(&process)).chain(children.split(' ').filter_map(of)) {
            signal(pid, how);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        self.end(Signal::QUIT);
    }
}

/// A database of a server.
#[derive(Debug, Clone)]
pub struct Db {
    /// `host:port` of the server, or of a proxy in front of it.
    pub address: String,
    /// Its name.
    pub name: String,
}

impl Db {
    /// What a worker is told, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{SUPERUSER}@{}/{}", self.address, self.name)
    }

    /// The same database by another way.
    #[must_use]
    pub fn by(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.clone() }
    }

    /// A session of the superuser.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn session(&self) -> Session {
        until("the database answers", || self.try_session().ok())
    }

    /// The same, of a server that may be away.
    ///
    /// # Errors
    /// In words.
    pub fn try_session(&self) -> Result<Session, String> {
        Session::open(&self.address, &self.name, SUPERUSER)
    }

    /// Runs statements in a session of their own.
    ///
    /// # Panics
    /// When one fails.
    pub fn run(&self, statements: &str) {
        self.session().run(statements);
    }

    /// The first value of a query, as a number.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn number(&self, query: &str) -> i64 {
        self.session().number(query)
    }

    /// Holds a table as a migration does, until what comes is dropped.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn lock(&self, table: &str) -> Session {
        let session = self.session();
        session.run(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        session
    }

    /// How many sessions there are in it, of this application where it has a name.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn sessions(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND pid <> pg_backend_pid()",
        )
    }
}

/// One that has ended by itself is not there to take it.
fn signal(pid: Pid, how: Signal) {
    if let Err(error) = kill_process(pid, how) {
        assert_eq!(error, rustix::io::Errno::SRCH, "{how:?}");
    }
}

fn spawn(port: u16, dir: &Path, setup: &Setup) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(dir.join("server.log"));
    let log = log.expect("the log is made");
    let data = setup.data.clone().unwrap_or_else(|| dir.join("server"));
    let mut command = Command::new(root().join("script/broker"));
    command.args(["postgres", "start", &port.to_string()]).arg(data);
    command.env("POSTGRES_OPTIONS", &setup.options);
    if setup.scram {
        command.env("POSTGRES_AUTH", "scram-sha-256");
    }
    if setup.tls {
        readable(dir);
        command.env("POSTGRES_CERTIFICATE", dir);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
    command.process_group(0).spawn().expect("the server can be started")
}

/// The server's user reads what is its owner's and nobody else's.
fn readable(dir: &Path) {
    let key = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(dir.join("key.pem"), key).expect("it is ours");
}
