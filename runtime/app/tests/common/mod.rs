//! A folder with a configuration, and the real binary in it.

#![allow(clippy::unwrap_used, dead_code, missing_docs, reason = "support of tests: each uses a part of it")]

use serde_json::Value;
use std::io::{PipeReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// What anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a pipe holds that nobody reads.
const PIPE: usize = 64 << 10;

/// Waits for a fact.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "{what}: not in {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The end of a process that must end.
pub fn end(child: &mut Child) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if since.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("the process does not end");
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A pipe that is full, and whoever keeps its other end does not read.
pub fn full_pipe() -> (PipeReader, Stdio) {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(&[b'.'; PIPE]).unwrap();
    (read, write.into())
}

/// A pipe whose reader has ended.
pub fn closed_pipe() -> Stdio {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    write.into()
}

/// A device that is full.
pub fn full_device() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

/// A folder of its own.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// With the pipeline `orders`, which takes any message, and these lines at the end of its configuration.
    pub fn new(more: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        home.write("good.wasm", &component());
        home.write(
            "pelton.toml",
            format!("[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n{more}").as_bytes(),
        );
        home
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.current_dir(self.path()).args(args).stdin(Stdio::null());
        command.env_remove("PELTON_CONFIG").env_remove("PELTON_LOG").env_remove("RUST_BACKTRACE");
        command.env("PELTON_CACHE", self.path().join("cache"));
        command
    }

    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A command that must succeed; what it prints.
    pub fn done<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, args: &[S]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends so many messages.
    pub fn send(&self, count: usize) {
        let lines = self.write("lines", "x\n".repeat(count).as_bytes());
        self.done(&["send".as_ref(), "orders".as_ref(), "--lines".as_ref(), lines.as_os_str()]);
    }

    /// A number of `status --json`.
    pub fn count(&self, name: &str) -> u64 {
        let status: Value = serde_json::from_str(&self.done(&["status", "--json"])).unwrap();
        status["pipelines"]["orders"][name].as_u64().unwrap()
    }

    /// Waits until so many messages are handled.
    pub fn handled(&self, count: u64) {
        until("all are handled", || (self.count("handled") == count).then_some(()));
    }
}

/// Sends a signal.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// An end that is no fault of the program.
pub fn is_orderly(status: ExitStatus) -> bool {
    status.signal().is_none() && !matches!(status.code(), None | Some(70 | 101 | 134))
}

/// A handler without imports, from a core module in text and the contract in `wit/`.
pub fn component() -> Vec<u8> {
    encoded(wat::parse_str(include_str!("../golden/good.wat")).unwrap())
}

/// A core module as a component with the world of a handler.
pub fn encoded(mut module: Vec<u8>) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir("../../wit").unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
