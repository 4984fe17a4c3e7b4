//! A server of its own for a test that speaks DynamoDB.

use crate::binary::root;
use crate::ports;
use crate::wait::until;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// A server, with its data in a folder of its own. Killed when it is dropped. It takes any credentials, and
/// every region is the same to it.
pub struct Dynalite {
    /// `host:port`.
    pub address: String,
    port: u16,
    process: Mutex<Child>,
    dir: TempDir,
}

impl Dynalite {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let port = ports::free(1);
        let process = Mutex::new(spawn(port, dir.path()));
        let server = Self { address: format!("127.0.0.1:{port}"), port, process, dir };
        server.ready();
        server
    }

    /// What a client or a worker is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
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

    /// Starts it again on its data, after it was killed.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn restart(&self) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = spawn(self.port, self.dir.path());
        self.ready();
    }

    fn ready(&self) {
        until("the server answers", || {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = process.try_wait().expect("it is our child");
            let log = || std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
            assert!(ended.is_none(), "the server has ended ({ended:?}): {}", log());
            TcpStream::connect(&self.address).ok()
        });
    }
}

impl Drop for Dynalite {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, dir: &Path) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(dir.join("server.log"));
    let log = log.expect("the log is made");
    let mut command = Command::new(root().join("script/broker"));
    command.args(["dynalite", "start", &port.to_string()]).arg(dir.join("data"));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
    command.process_group(0).spawn().expect("the server can be started")
}
