//! `pelton dev`: what is saved is built and runs; what cannot be built changes nothing.

use crate::project::{Project, command};
use crate::usual::Language;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A build of a large component on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);

struct Dev {
    child: Child,
    typed: ChildStdin,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Dev {
    fn start(project: &Project) -> Self {
        let mut child = command(&project.dir)
            .arg("dev")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it can be started");
        let (say, lines) = channel();
        let out = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        let typed = child.stdin.take().expect("piped");
        Self { child, typed, lines, heard: Vec::new() }
    }

    /// Waits for a line with this text.
    fn wait(&mut self, text: &str) {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no \"{text}\" in:\n{}", self.heard.join("\n")));
            self.heard.push(line.clone());
            if line.contains(text) {
                return;
            }
        }
    }

    fn send(&mut self, body: &str) {
        writeln!(self.typed, "{body}").expect("it reads");
    }

    /// Ends it as Ctrl-C does.
    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("small")).expect("not 0");
        kill_process(pid, Signal::INT).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.heard.join("\n"));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its worker ends with it, told by the closed pipe or by the signal of `end`.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn writes_and_runs(project: &Project, language: &Language) {
    let mut dev = Dev::start(project);
    dev.wait("running.");
    dev.send(r#"{"id":41,"amount_cents":1}"#);
    dev.wait("order 41 taken");
    dev.wait("ok  ");
    dev.send("not JSON");
    dev.wait("reject  ");
    let path = project.dir.join(language.source);
    let good = std::fs::read_to_string(&path).expect("the source");
    std::fs::write(&path, format!("{good}{}", language.nonsense)).expect("saved");
    dev.wait("the version before goes on");
    dev.send(r#"{"id":42,"amount_cents":1}"#);
    dev.wait("order 42 taken");
    // The words of a log line alone.
    std::fs::write(&path, good.replace(" taken", " accepted")).expect("saved");
    dev.wait("the new version takes all messages");
    dev.send(r#"{"id":43,"amount_cents":1}"#);
    dev.wait("order 43 accepted");
    std::fs::write(&path, good).expect("saved");
    dev.end();
}
