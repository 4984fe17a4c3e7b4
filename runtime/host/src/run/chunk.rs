//! One chunk: its messages, one call after another, and the instance they run on.

use crate::guest::reason::Stop;
use crate::interfaces::staging::Staging;
use crate::kinds::Answers;
use crate::options::Isolation;
use crate::run::chunk_outcomes::ChunkOutcomes;
use crate::run::clock::Ticking;
use crate::run::control::Control;
use crate::run::handler::HandlerShared;
use crate::run::instance::{Answered, Instance};
use crate::run::watch::watch;
use pelton_core::effects::Staged;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::points;
use pelton_core::ports::{Report, Work};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Calls after which an instance is replaced, so that what a handler leaks stays bounded.
const MAX_CALLS: u32 = 10_000;
/// How long to wait for room for an instance before the messages are handed back.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A chunk that is being handled.
pub(crate) struct Chunk {
    handler: Arc<HandlerShared>,
    control: Arc<Control>,
    work: Arc<[Work]>,
    book: ChunkOutcomes,
    /// What it stages is thrown away, and shown to nobody: its messages are copies.
    is_shadow: bool,
    _ticking: Ticking,
}

impl Chunk {
    pub(crate) fn new(
        handler: Arc<HandlerShared>,
        control: Arc<Control>,
        work: Arc<[Work]>,
        report: Report,
        ticking: Ticking,
        is_shadow: bool,
    ) -> Self {
        let book = ChunkOutcomes::new(Arc::clone(&handler.digest), Arc::clone(&work), report);
        Self { book, handler, control, work, is_shadow, _ticking: ticking }
    }

    /// Runs to the end; everything is reported when it resolves.
    pub(crate) async fn run(mut self) {
        points::reach("guest-chunk");
        let isolation = self.handler.isolation;
        let mut instance = match isolation {
            Isolation::Reuse => self.handler.idle.take(),
            Isolation::Batch | Isolation::Message => None,
        };
        if let Some(warm) = &mut instance {
            warm.assign(&self.work, &self.control);
        }
        let step = if self.handler.maker.takes_batches() && isolation != Isolation::Message {
            self.work.len()
        } else {
            1
        };
        while !self.control.interrupted()
            && let Some(range) = self.book.next(step)
        {
            self.handle(&mut instance, range).await;
            if isolation == Isolation::Message || instance.as_ref().is_some_and(|i| i.calls >= MAX_CALLS) {
                instance = None;
            }
        }
        if let Some(warm) =
            instance.filter(|_| isolation == Isolation::Reuse && !self.control.interrupted())
        {
            self.handler.idle.put(warm);
        }
        if self.book.next(step).is_some() {
            self.book.give_up();
        }
        self.handler.note_slow(self.control.is_slow());
    }

    /// One call, from an instance to outcomes. `instance` is left empty unless it stays usable.
    async fn handle(&mut self, instance: &mut Option<Instance>, range: Range<usize>) {
        let mut has_waited = false;
        loop {
            self.control.begin();
            let ended = {
                let work = (&self.work, range.clone());
                let call = pin!(attempt(&self.handler, &self.control, work, instance, has_waited));
                let (book, handler, control) = (&mut self.book, &self.handler, &self.control);
                let cut = || {
                    book.cut();
                    if control.is_slow() {
                        handler.note_slow(true);
                    }
                };
                watch(control, call, cut).await
            };
            let stop = match ended.and_then(|answered| answered) {
                Ok(answered) => return self.settle(answered, range.len(), instance),
                Err(stop) => stop,
            };
            *instance = None;
            if !matches!(stop, Stop::NoRoom) {
                return self.fail(&stop, range.len());
            }
            if !self.handler.maker.wait(INSTANCE_TIMEOUT).await {
                return self.book.give_up();
            }
            has_waited = true;
        }
    }

    fn settle(&mut self, answered: Answered, asked: usize, instance: &mut Option<Instance>) {
        if instance.as_ref().is_some_and(Instance::is_over) {
            *instance = None;
        }
        if self.control.was_refused() {
            return self.refused(asked);
        }
        let staged = answered.staging.and_then(|staging| self.staged(staging, asked));
        match answered.answers {
            Answers::One(Outcome::Ok(_)) => {
                staged.iter().for_each(|staged| self.show(staged));
                self.book.settle(Outcome::Ok(staged));
            }
            Answers::One(answer) => self.book.settle(answer),
            Answers::Many(answers) if answers.len() == asked => self.settle_many(answers, staged),
            Answers::Many(answers) => {
                *instance = None;
                let reason =
                    format!("the batch handler gave {} results for {asked} messages", answers.len());
                self.fail(&Stop::Fault(FaultKind::Trap, reason), asked);
            }
        }
    }

    /// In the shadow something was refused to these messages: they are handed back, and counted.
    fn refused(&mut self, messages: usize) {
        self.handler.note_refused(messages);
        self.book.settle_all(&Outcome::NotStarted);
    }

    /// What a call has staged, for each of its messages.
    fn staged(&self, staging: Staging, messages: usize) -> Option<Staged> {
        if self.is_shadow {
            return None;
        }
        Staged::of(staging.into_effects(), u32::try_from(messages).unwrap_or(u32::MAX))
    }

    /// What a call has staged belongs to all its messages: it is committed with all of them. When one of
    /// them failed none of it is, and each is run alone, to stage its own.
    fn settle_many(&mut self, answers: Vec<Outcome>, staged: Option<Staged>) {
        match staged {
            Some(staged) if answers.iter().all(Outcome::is_ok) => {
                self.show(&staged);
                answers.iter().for_each(|_| self.book.settle(Outcome::Ok(Some(staged.clone()))));
            }
            Some(_) if answers.len() > 1 => self.book.settle_all(&Outcome::BatchFault),
            Some(_) | None => answers.into_iter().for_each(|answer| self.book.settle(answer)),
        }
    }

    /// Lets the messages that follow read what this call has written, though it is not committed yet.
    fn show(&self, staged: &Staged) {
        if let Some(state) = &self.handler.maker.setting.shared.grants.state {
            staged.effects.show_by(&*state.home);
        }
    }

    /// A fault of a batch is nobody's own: each of its messages is to be run alone.
    fn fail(&mut self, stop: &Stop, asked: usize) {
        match stop {
            // It is in the shadow, and might have gone well elsewhere.
            _ if self.control.was_refused() => self.refused(asked),
            Stop::Fault(..) if asked > 1 => self.book.settle_all(&Outcome::BatchFault),
            _ => self.book.settle_all(&stop.outcome()),
        }
    }
}

/// Makes an instance if there is none, and calls it.
async fn attempt(
    handler: &HandlerShared,
    control: &Arc<Control>,
    (work, range): (&Arc<[Work]>, Range<usize>),
    slot: &mut Option<Instance>,
    has_waited: bool,
) -> Result<Answered, Stop> {
    let timeout = control.timeout();
    let instance = match slot {
        Some(instance) => instance,
        None => {
            let place = handler.maker.place(has_waited).ok_or(Stop::NoRoom)?;
            let made = handler.maker.make(control, place).await;
            let mut made = made.map_err(|(failed, refused)| Stop::of_start(&failed, refused, timeout))?;
            made.assign(work, control);
            slot.insert(made)
        }
    };
    let answered = instance.call(work, range).await;
    answered.map_err(|error| Stop::of_call(&error, instance.refused(), &instance.last_words(), timeout))
}
