//! A Redis server of its own for a test, and an independent look into it.

use crate::binary::root;
use crate::ports;
use crate::wait::until;
use redis::{Connection, FromRedisValue, ToRedisArgs};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// A server, with its data in a folder of its own. Killed when it is dropped.
pub struct Redis {
    /// `host:port`.
    pub address: String,
    process: Mutex<Child>,
    dir: TempDir,
}

impl Redis {
    /// Starts one, with an append-only file, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with more options of `redis-server`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start_with(options: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        // A port that was free may be another test's by now: its server is not ours.
        let started = || {
            let address = format!("127.0.0.1:{}", free_port());
            let process = spawned(&address, dir.path(), options)?;
            Some((address, process))
        };
        let (address, process) = until("the server answers", started);
        Self { address, process: Mutex::new(process), dir }
    }

    /// What a source or a client is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The folder with its data, and its socket `redis.sock`.
    #[must_use]
    pub fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn try_connect(&self) -> Option<Connection> {
        redis::Client::open(self.url()).ok()?.get_connection().ok()
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        drop(process.kill());
        process.wait().expect("it is our child");
    }

    /// Starts it again on its files, after it was killed.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn restart(&self, options: &str) {
        let process = until("the server answers", || spawned(&self.address, self.dir.path(), options));
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }

    /// Runs one command.
    ///
    /// # Panics
    /// When it fails.
    pub fn run<T: FromRedisValue>(&self, name: &str, args: &[&str]) -> T {
        self.run_with(name, args)
    }

    /// Runs one command whose arguments may be any bytes.
    ///
    /// # Panics
    /// When it fails.
    pub fn run_with<T: FromRedisValue, A: ToRedisArgs>(&self, name: &str, args: &[A]) -> T {
        let mut connection = self.try_connect().expect("the server answers");
        let mut command = redis::cmd(name);
        for arg in args {
            command.arg(arg);
        }
        command.query(&mut connection).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs one command of a server that may be away, or closes connections.
    #[must_use]
    pub fn try_run<T: FromRedisValue>(&self, name: &str) -> Option<T> {
        redis::cmd(name).query(&mut self.try_connect()?).ok()
    }

    /// Adds entries to a stream, in order; their ids.
    ///
    /// # Panics
    /// When one is refused.
    pub fn add(&self, stream: &str, entries: &[Vec<(&str, Vec<u8>)>]) -> Vec<String> {
        let mut connection = self.try_connect().expect("the server answers");
        let mut ids = Vec::new();
        for some in entries.chunks(500) {
            let mut pipe = redis::pipe();
            for fields in some {
                pipe.cmd("XADD").arg(stream).arg("*");
                for (name, value) in fields {
                    pipe.arg(name).arg(value);
                }
            }
            let added: Vec<String> = pipe.query(&mut connection).expect("entries are added");
            ids.extend(added);
        }
        ids
    }

    /// Pushes bodies to the left end of a list, in order.
    ///
    /// # Panics
    /// When that fails.
    pub fn push(&self, list: &str, bodies: &[Vec<u8>]) {
        let mut connection = self.try_connect().expect("the server answers");
        for some in bodies.chunks(500) {
            let pushed: redis::RedisResult<u64> =
                redis::cmd("LPUSH").arg(list).arg(some).query(&mut connection);
            pushed.expect("bodies are pushed");
        }
    }

    /// How many entries of each consumer of a group are pending; none while there is no group.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn pending(&self, stream: &str, group: &str) -> BTreeMap<String, u64> {
        let mut connection = self.try_connect().expect("the server answers");
        let asked = redis::cmd("XINFO").arg("CONSUMERS").arg(stream).arg(group).query(&mut connection);
        let all: Vec<BTreeMap<String, redis::Value>> = asked.unwrap_or_default();
        let text = |value: &redis::Value| redis::from_redis_value(value.clone()).expect("it is a text");
        let count = |value: &redis::Value| redis::from_redis_value(value.clone()).expect("it is a number");
        all.iter().map(|one| (text(&one["name"]), count(&one["pending"]))).collect()
    }

    /// How many entries of a group are pending, whoever has them.
    #[must_use]
    pub fn all_pending(&self, stream: &str, group: &str) -> u64 {
        self.pending(stream, group).values().sum()
    }

    /// How many entries of a group are pending, whatever the names of those that have them.
    ///
    /// # Panics
    /// When there is no group.
    #[must_use]
    pub fn all_pending_of_any(&self, stream: &str, group: &str) -> u64 {
        let told: (u64, redis::Value, redis::Value, redis::Value) = self.run("XPENDING", &[stream, group]);
        told.0
    }

    /// Deletes a key, unless another node has it.
    pub fn try_delete(&self, key: &str) {
        let deleted = self.try_connect().map(|mut open| redis::cmd("DEL").arg(key).query::<u64>(&mut open));
        drop(deleted);
    }

    /// How many connections of clients there are beside the one that asks.
    #[must_use]
    pub fn clients(&self) -> usize {
        let listed: String = self.run("CLIENT", &["LIST", "TYPE", "normal"]);
        listed.lines().count().saturating_sub(1)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What finds the primary of some servers, and names another when it is gone.
pub struct Sentinel {
    /// `host:port`.
    pub address: String,
    process: Child,
    _dir: TempDir,
}

impl Sentinel {
    /// Watches a primary and its replicas under the name `main`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(primary: &Redis) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let (host, port) = primary.address.split_once(':').expect("host:port");
        let own = free_port();
        let config = format!(
            "port {own}\nbind 127.0.0.1\nsentinel monitor main {host} {port} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
        );
        let file = dir.path().join("sentinel.conf");
        std::fs::write(&file, config).expect("it is written");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.process_group(0).spawn().expect("the sentinel can be started");
        Self { address: format!("127.0.0.1:{own}"), process, _dir: dir }
    }

    /// How many replicas it knows that would do.
    #[must_use]
    pub fn replicas(&self) -> usize {
        let asked = || {
            let client = redis::Client::open(format!("redis://{}", self.address)).ok()?;
            let mut command = redis::cmd("SENTINEL");
            command.arg("replicas").arg("main");
            let all: Vec<BTreeMap<String, String>> =
                command.query(&mut client.get_connection().ok()?).ok()?;
            Some(
                all.iter()
                    .filter(|one| one["flags"] == "slave" && one["master-link-status"] == "ok")
                    .count(),
            )
        };
        asked().unwrap_or(0)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A cluster of so many nodes that share the slots.
///
/// # Panics
/// When it does not come to be.
#[must_use]
pub fn cluster(count: usize) -> Vec<Redis> {
    let buses: Vec<u16> = (0..count).map(|_| free_port()).collect();
    let start = |bus: &u16| Redis::start_with(&format!("--cluster-enabled yes --cluster-port {bus}"));
    let nodes: Vec<Redis> = buses.iter().map(start).collect();
    for (number, node) in nodes.iter().enumerate() {
        let (first, end) = (16_384 * number / count, 16_384 * (number + 1) / count);
        let _: () = node.run("CLUSTER", &["ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
        let (host, port) = node.address.split_once(':').expect("host:port");
        if number > 0 {
            let _: () = nodes[0].run("CLUSTER", &["MEET", host, port, &buses[number].to_string()]);
        }
    }
    until("the nodes know each other", || {
        let knows = |node: &Redis| {
            let info: String = node.run("CLUSTER", &["INFO"]);
            info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{count}"))
        };
        nodes.iter().all(knows).then_some(())
    });
    nodes
}

/// Makes a certificate for `localhost` and its key, in a folder.
///
/// # Panics
/// When that fails.
pub fn make_certificate(dir: &Path) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    command.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    command.arg("-keyout").arg(dir.join("key.pem")).arg("-out").arg(dir.join("cert.pem"));
    let made = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(made.expect("openssl can be started").success(), "no certificate was made");
}

/// A server that answers at this address; none when it has ended, since somebody else has the port.
fn spawned(address: &str, dir: &Path, options: &str) -> Option<Child> {
    let mut process = spawn(address, dir, options);
    let is_ours = |process: &Child| {
        let mut connection =
            redis::Client::open(format!("redis://{address}")).ok()?.get_connection().ok()?;
        let info: String = redis::cmd("INFO").arg("server").query(&mut connection).ok()?;
        // Not while it still reads its files.
        let _: String = redis::cmd("PING").query(&mut connection).ok()?;
        Some(info.lines().any(|line| line == format!("process_id:{}", process.id())))
    };
    until("the server answers or ends", || match process.try_wait() {
        Ok(None) => is_ours(&process).filter(|ours| *ours),
        _ => Some(false),
    })
    .then_some(process)
}

fn spawn(address: &str, dir: &Path, options: &str) -> Child {
    let (_, port) = address.split_once(':').expect("host:port");
    let log = std::fs::File::options().append(true).create(true).open(dir.join("broker.log"));
    let log = log.expect("the log is made");
    let mut command = Command::new(root().join("script/broker"));
    command.args(["redis", "start", port]).arg(dir.join("data")).env("REDIS_OPTIONS", options);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
    command.process_group(0).spawn().expect("the server can be started")
}

/// A port that nobody has.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    ports::free(1)
}
