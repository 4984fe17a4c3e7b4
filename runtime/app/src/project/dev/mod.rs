//! The loop of who writes a handler: save, see it built, send a line, see what becomes of it.
//!
//! The worker is the real one, as a process beside this one: it takes a new component by itself once that
//! has settled, and a version that is no good changes nothing. Here is only what stands around it.

mod files;
mod queue;
mod show;
mod worker;

use super::{Project, build};
use crate::exit::{Fail, Outcome};
use crate::input::lines::{Line, Lines};
use crate::output;
use crate::signals;
use files::Files;
use queue::Place;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use worker::Worker;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// What happens faster than it is shown waits where it comes from: the worker drops lines that nobody takes.
const EVENTS: usize = 1024;

/// What the loop hears of.
pub enum Event {
    /// A line of the worker's log.
    Log(String),
    /// The worker has ended.
    Ended,
    /// A line that somebody has typed, or why it is no message.
    Typed(Result<String, String>),
    /// A build is done.
    Built(Result<build::Built, Fail>),
}

/// Builds, runs and watches until SIGINT or SIGTERM, then lets the worker finish.
pub fn run(project: &Project) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    hear(&stop)?;
    build::want_tools(project)?;
    let place = Place::make(project)?;
    let (events, heard) = sync_channel(EVENTS);
    let mut loop_ = Loop {
        project: project.clone(),
        files: Files::look(project),
        place,
        worker: None,
        building: false,
        events,
    };
    loop_.build();
    read_lines(loop_.events.clone());
    loop_.go_on(&heard, &stop)
}

/// The first SIGINT or SIGTERM ends the loop, though it may wait for a reader of what it prints; the second
/// ends at once, whatever the loop waits for.
fn hear(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    const BOTH: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(BOTH)?;
    for signal in BOTH {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    signals::are_heard();
    let thread = std::thread::Builder::new().name("pelton-signals".to_owned());
    thread.spawn(move || signals.forever().for_each(|_| output::wait_for_nobody()))?;
    Ok(())
}

struct Loop {
    project: Project,
    files: Files,
    place: Place,
    /// None until something has been built.
    worker: Option<Worker>,
    building: bool,
    events: SyncSender<Event>,
}

impl Loop {
    fn go_on(&mut self, heard: &Receiver<Event>, stop: &AtomicBool) -> Outcome {
        while !stop.load(Ordering::SeqCst) {
            match heard.recv_timeout(LOOK) {
                Ok(Event::Log(line)) => show::log(&line),
                Ok(Event::Typed(line)) => self.typed(line),
                Ok(Event::Built(built)) => self.built(built)?,
                Ok(Event::Ended) if self.worker.is_some() => {
                    return Err(Fail::refused("the worker has ended: what it said last, above, is why"));
                }
                Ok(Event::Ended) => {}
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
                    Event::Typed(_) | Event::Built(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Builds when something was saved. Not while a build runs: what is saved meanwhile is seen after it.
    fn look(&mut self) {
        if self.building {
            return;
        }
        if let Some(changed) = self.files.changed(&self.project) {
            show::say(&format!("{changed} has changed"));
            self.build();
        }
    }

    fn build(&mut self) {
        self.building = true;
        show::say(&format!("building: {}", self.project.manifest.build));
        let (project, events) = (self.project.clone(), self.events.clone());
        std::thread::spawn(move || {
            // The loop has ended when nobody hears it.
            drop(events.send(Event::Built(build::build(&project))));
        });
    }

    fn built(&mut self, built: Result<build::Built, Fail>) -> Outcome {
        self.building = false;
        self.files.built(&self.project);
        match built {
            Ok(built) => {
                show::say(&format!("built in {:.1?}", built.took));
                if self.worker.is_none() {
                    self.worker = Some(Worker::start(&self.place, self.events.clone())?);
                    show::say(&self.place.hint());
                }
            }
            Err(why) if self.worker.is_some() => {
                show::say(&format!("{}; the version before goes on", why.words()))
            }
            Err(why) => show::say(&format!("{}; save a change to try again", why.words())),
        }
        Ok(())
    }

    fn typed(&mut self, line: Result<String, String>) {
        let sent = match line {
            Ok(line) if line.trim().is_empty() => return,
            Ok(line) => self.place.send(&line).map_err(|why| why.words()),
            Err(why) => Err(why),
        };
        if let Err(why) = sent {
            show::say(&format!("the line was not sent: {why}"));
        }
    }
}

/// What a word of a command may have, and a line is sent as one.
const LINE: usize = 100_000;

/// Lines of standard input, until it ends.
fn read_lines(events: SyncSender<Event>) {
    std::thread::spawn(move || {
        let mut lines = Lines::of(std::io::stdin().lock(), LINE);
        loop {
            let (typed, failed) = match lines.next() {
                Ok(None) => return,
                Ok(Some(Line::Body(line))) => {
                    (String::from_utf8(line).map_err(|_| "it is no text in UTF-8".to_owned()), false)
                }
                Ok(Some(Line::TooLong(size))) => (
                    Err(format!("it has {size} bytes; `pelton send --file` takes more than {LINE}")),
                    false,
                ),
                Err(error) => (Err(format!("standard input cannot be read any more: {error}")), true),
            };
            // The loop has ended when nobody hears it.
            if events.send(Event::Typed(typed)).is_err() || failed {
                return;
            }
        }
    });
}
