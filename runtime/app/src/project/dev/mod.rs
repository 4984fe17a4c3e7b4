//! The loop of who writes a handler: save, see it built, send a line, see what becomes of it.
//!
//! The worker is the real one, as a process beside this one. It is told to take each build, and a version
//! that is no good changes nothing. Here is only what stands around it.

mod decode;
mod files;
mod grants;
mod paths;
mod queue;
mod show;
mod tables;
mod typed;
mod worker;

use super::{Project, build, install, manifest};
use crate::cli::SqlArgs;
use crate::exit::{Fail, Outcome};
use crate::output;
use crate::signals;
use files::Files;
use pelton_core::shown::path as shown_path;
use queue::DevQueue;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tables::DevTables;
use typed::Waiting;
use worker::Worker;

/// How often the folder is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// What happens faster than it is shown waits where it comes from: the worker drops lines that nobody takes.
const EVENTS: usize = 1024;

/// What the loop hears of.
pub enum Event {
    /// A line of the worker's log.
    Log(String),
    /// The worker has its handler and takes messages.
    Started,
    /// The worker has ended.
    Ended,
    /// A line that somebody has typed, or why it is no message.
    Typed(Result<String, String>),
    /// A build is done.
    Built(Result<build::Built, Fail>),
    /// The worker was told to take a build. `Err` says why it has not.
    Taken(Result<(), String>),
}

/// Builds, runs and watches until SIGINT, SIGTERM or SIGHUP, then lets the worker finish.
pub fn run(project: &Project, install: bool, sql: &SqlArgs) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    listen(&stop)?;
    install::ready(project, install)?;
    // A server that is its own ends with this function.
    let tables = DevTables::find(project, sql)?;
    let place = DevQueue::make(project, tables.as_ref())?;
    if let Some(tables) = &tables {
        tables.make(project, &place.config)?;
    }
    let (events, heard) = sync_channel(EVENTS);
    let mut loop_ = Loop {
        project: project.clone(),
        files: Files::look(project),
        place,
        worker: None,
        doing: Doing::Nothing,
        taken: None,
        waiting: Waiting::default(),
        events,
    };
    loop_.build();
    typed::read(loop_.events.clone());
    loop_.go_on(&heard, &stop)
}

/// The first SIGINT or SIGTERM ends the loop, though it may wait for a reader of what it prints; the second
/// ends at once, whatever the loop waits for. A terminal whose window is closed may say so twice.
fn listen(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
    }
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    signals::are_heard();
    let thread = std::thread::Builder::new().name("pelton-signals".to_owned());
    thread.spawn(move || signals.forever().for_each(|_| output::wait_for_nobody()))?;
    Ok(())
}

/// What goes on beside the loop. Lines that are typed meanwhile wait, since they are meant for what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Building,
    /// The worker loads its first version.
    Starting,
    /// The worker loads another one.
    Loading,
}

struct Loop {
    project: Project,
    files: Files,
    place: DevQueue,
    /// None until something has been built.
    worker: Option<Worker>,
    doing: Doing,
    /// The digest of the build that the worker was told to take last.
    taken: Option<String>,
    waiting: Waiting,
    events: SyncSender<Event>,
}

impl Loop {
    fn go_on(&mut self, heard: &Receiver<Event>, stop: &AtomicBool) -> Outcome {
        while !stop.load(Ordering::SeqCst) {
            match heard.recv_timeout(POLL_INTERVAL) {
                Ok(Event::Log(line)) => show::log(&line),
                Ok(Event::Typed(line)) => self.typed(line),
                Ok(Event::Built(built)) => self.built(built)?,
                Ok(Event::Started) => {
                    show::say(&self.place.hint());
                    self.rest();
                }
                Ok(Event::Taken(taken)) => self.taken(taken),
                Ok(Event::Ended) => self.ended()?,
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(worker) = self.worker.take() {
            worker.end();
            while let Ok(event) = heard.recv() {
                match event {
                    Event::Log(line) => show::log(&line),
                    Event::Ended => break,
                    Event::Typed(_) | Event::Built(_) | Event::Started | Event::Taken(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Builds when something was saved. Not while a build runs: what is saved meanwhile is seen after it.
    fn look(&mut self) {
        if self.doing != Doing::Nothing {
            return;
        }
        let Some(changed) = self.files.changed(&self.project) else { return };
        show::say(&format!("{} has changed", shown_path(&changed)));
        if changed == Path::new(manifest::MANIFEST) {
            match Project::find(&self.project.dir) {
                Ok(project) => self.project = project.tried_as(self.project.pipeline.as_ref()),
                Err(why) => return show::say(&format!("{}; what it said before counts", why.words())),
            }
        }
        self.build();
    }

    fn build(&mut self) {
        self.doing = Doing::Building;
        show::say(&format!("building: {}", self.project.manifest.build));
        let (project, events) = (self.project.clone(), self.events.clone());
        std::thread::spawn(move || {
            // The loop has ended when nobody hears it.
            drop(events.send(Event::Built(build::build(&project))));
        });
    }

    fn built(&mut self, built: Result<build::Built, Fail>) -> Outcome {
        self.files.built(&self.project);
        match built {
            Ok(built) => {
                show::say(&format!("built in {:.1?}", built.took));
                self.load()?;
            }
            Err(why) if self.worker.is_some() => {
                show::say(&format!("{}; the version before goes on", why.words()));
                self.rest();
            }
            Err(why) => {
                show::say(&format!("{}; save a change to try again", why.words()));
                self.doing = Doing::Nothing;
            }
        }
        Ok(())
    }

    /// Has the worker take what was built.
    fn load(&mut self) -> Outcome {
        let built = pelton_host::file::read(&self.project.component(), usize::MAX);
        let digest = built.ok().map(|bytes| pelton_host::digest(&bytes));
        let same = digest.is_some() && digest == self.taken;
        self.taken = digest;
        if self.worker.is_none() {
            self.worker = Some(Worker::start(&self.place, self.events.clone())?);
            self.doing = Doing::Starting;
        } else if same {
            show::say("it is the same component as before");
            self.rest();
        } else {
            self.doing = Doing::Loading;
            worker::take(&self.place, self.events.clone())?;
        }
        Ok(())
    }

    fn taken(&mut self, taken: Result<(), String>) {
        match taken {
            Ok(()) => show::say("the new version takes all messages"),
            Err(why) => {
                self.taken = None;
                show::say(&why);
            }
        }
        self.rest();
    }

    /// The worker has ended by itself.
    fn ended(&mut self) -> Outcome {
        self.worker = None;
        if self.doing != Doing::Starting {
            return Err(Fail::refused("the worker has ended: what it said last, above, is why"));
        }
        show::say("it cannot be run: save a change to try again");
        self.doing = Doing::Nothing;
        Ok(())
    }

    /// Nothing new is on its way: what was typed for it is sent.
    fn rest(&mut self) {
        self.doing = Doing::Nothing;
        for line in self.waiting.take() {
            self.send(&line);
        }
    }

    fn typed(&mut self, line: Result<String, String>) {
        let line = match line {
            Ok(line) if line.trim().is_empty() => return,
            Ok(line) => line,
            Err(why) => return show::say(&format!("the line was not sent: {why}")),
        };
        // What was saved before it was typed is meant to handle it.
        self.look();
        if self.doing == Doing::Nothing && self.worker.is_some() {
            return self.send(&line);
        }
        match self.waiting.add(line) {
            Ok(true) => show::say("lines wait until this version is loaded"),
            Ok(false) => {}
            Err(why) => show::say(&format!("the line was not sent: {why}")),
        }
    }

    fn send(&self, line: &str) {
        if let Err(why) = self.place.send(line) {
            show::say(&format!("the line was not sent: {}", why.words()));
        }
    }
}
