//! One chunk: its messages, one call after another, and the instance they run on.

use crate::guest::reason::Stop;
use crate::interfaces::sql::CallEnd;
use crate::interfaces::staging::Staging;
use crate::kinds::Answers;
use crate::options::Isolation;
use crate::run::chunk_outcomes::ChunkOutcomes;
use crate::run::clock::Ticking;
use crate::run::control::Control;
use crate::run::handler::HandlerShared;
use crate::run::instance::{Answered, Instance};
use crate::run::together::Together;
use crate::run::watch::watch;
use pelton_core::effects::{Effects, Staged};
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
    pub(super) handler: Arc<HandlerShared>,
    pub(super) control: Arc<Control>,
    work: Arc<[Work]>,
    pub(super) book: ChunkOutcomes,
    /// What it stages is thrown away, and shown to nobody: its messages are copies.
    is_shadow: bool,
    /// What the messages that share a transaction have done so far.
    pub(super) together: Together,
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
        let together = Together::default();
        Self { book, handler, control, work, is_shadow, together, _ticking: ticking }
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
        let step = if self.handler.takes_chunks() { self.work.len() } else { 1 };
        while !self.control.interrupted()
            && let Some(range) = self.book.next(step)
        {
            self.handle(&mut instance, range).await;
            if isolation == Isolation::Message || instance.as_ref().is_some_and(|i| i.calls >= MAX_CALLS) {
                instance = None;
            }
        }
        self.commit_together();
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
            let statements = self.control.sql.end_call();
            let stop = match ended.and_then(|answered| answered) {
                Ok(answered) if statements.is_none() && self.book.held() == 0 => {
                    let settled = self.settle(answered, range.len(), instance);
                    let Err(stop) = settled else { return };
                    return Box::pin(self.fail(&stop, None, range.len())).await;
                }
                Ok(answered) => {
                    // In boxes, as all that is rare: the future of every call would be as large.
                    return Box::pin(self.settle_with(answered, statements, range.len(), instance)).await;
                }
                Err(stop) => stop,
            };
            *instance = None;
            if !matches!(stop, Stop::NoRoom) {
                return Box::pin(self.fail(&stop, statements, range.len())).await;
            }
            if !self.handler.maker.wait(INSTANCE_TIMEOUT).await {
                return self.book.give_up();
            }
            has_waited = true;
        }
    }

    /// Settles what has run no statement, and shares none.
    fn settle(
        &mut self,
        answered: Answered,
        asked: usize,
        instance: &mut Option<Instance>,
    ) -> Result<(), Stop> {
        let Some(Answered { answers, staging }) = self.answers(answered, asked, instance)? else {
            return Ok(());
        };
        let staged = staging.and_then(|staging| self.staged(*staging, asked));
        match answers {
            Answers::One(Outcome::Ok(_)) => self.settle_well(staged),
            Answers::One(answer) => self.book.settle(answer),
            Answers::Many(answers) => self.settle_many(answers, staged),
        }
        Ok(())
    }

    /// The same for what has, or does.
    async fn settle_with(
        &mut self,
        answered: Answered,
        statements: Option<CallEnd>,
        asked: usize,
        instance: &mut Option<Instance>,
    ) {
        match self.answers(answered, asked, instance) {
            Ok(Some(Answered { answers, staging })) => {
                let staging = staging.map(|staging| *staging).unwrap_or_default();
                self.settle_statements(answers, statements, staging).await;
            }
            Ok(None) => {}
            Err(stop) => self.fail(&stop, statements, asked).await,
        }
    }

    /// What a call has answered; none where that says nothing, since in the shadow something was refused to
    /// it.
    fn answers(
        &mut self,
        answered: Answered,
        asked: usize,
        instance: &mut Option<Instance>,
    ) -> Result<Option<Answered>, Stop> {
        if instance.as_ref().is_some_and(Instance::is_over) {
            *instance = None;
        }
        if self.control.was_refused() {
            self.refused(asked);
            return Ok(None);
        }
        match &answered.answers {
            Answers::Many(answers) if answers.len() != asked => {
                *instance = None;
                let reason =
                    format!("the batch handler gave {} results for {asked} messages", answers.len());
                Err(Stop::Fault(FaultKind::Trap, reason))
            }
            Answers::One(_) | Answers::Many(_) => Ok(Some(answered)),
        }
    }

    /// The one running message was handled.
    pub(super) fn settle_well(&mut self, staged: Option<Staged>) {
        staged.iter().for_each(|staged| self.show(&staged.effects));
        self.book.settle(Outcome::Ok(staged));
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
    pub(super) fn settle_many(&mut self, answers: Vec<Outcome>, staged: Option<Staged>) {
        match staged {
            Some(staged) if answers.iter().all(Outcome::is_ok) => {
                self.show(&staged.effects);
                answers.iter().for_each(|_| self.book.settle(Outcome::Ok(Some(staged.clone()))));
            }
            Some(_) if answers.len() > 1 => self.book.settle_all(&Outcome::BatchFault),
            Some(_) | None => answers.into_iter().for_each(|answer| self.book.settle(answer)),
        }
    }

    /// Lets the messages that follow read what this call has written, though it is not committed yet.
    pub(super) fn show(&self, effects: &Effects) {
        if let Some(state) = &self.handler.maker.setting.shared.grants.state {
            effects.show_by(&*state.home);
        }
    }

    /// A fault of a batch is nobody's own: each of its messages is to be run alone.
    async fn fail(&mut self, stop: &Stop, statements: Option<CallEnd>, asked: usize) {
        if let Some(statements) = statements
            && !self.undo(statements, matches!(stop, Stop::Fault(..))).await
        {
            return;
        }
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
