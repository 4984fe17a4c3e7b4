//! One instance of a handler, and what is kept of it beside its guest.

use crate::guest::limits::Refusal;
use crate::guest::state::About;
use crate::interfaces::staging::Staging;
use crate::kinds::{Answers, Guest, Handles, NotMade, Setting, Template};
use crate::run::control::Control;
use crate::run::instance_pool::{InstancePermit, InstancePool};
use pelton_core::ports::Work;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What is needed to make an instance.
pub(crate) struct Maker {
    pub(crate) template: Arc<Template>,
    pub(crate) setting: Arc<Setting>,
    /// The most memory that any instance has had, in bytes.
    pub(crate) used: Arc<AtomicUsize>,
}

/// What a call has come to.
pub(crate) struct Answered {
    pub(crate) answers: Answers,
    /// What it has staged, if it has asked for an effect.
    pub(crate) staging: Option<Box<Staging>>,
}

/// A warm instance.
pub(crate) struct Instance {
    guest: Guest,
    about: About,
    used: Arc<AtomicUsize>,
    /// Calls so far.
    pub(crate) calls: u32,
    /// When it was put aside.
    pub(crate) idle_since: Instant,
    // Last, so that the memory has been given back when the next one hears of it.
    _place: InstancePermit,
}

impl Maker {
    /// Makes an instance; runs what the guest runs at its start.
    pub(crate) async fn make(
        &self,
        control: &Arc<Control>,
        place: InstancePermit,
    ) -> Result<Instance, (NotMade, Option<Refusal>)> {
        let about = About::new(&self.setting.log, control);
        let made = self.template.make(&self.setting, &about).await;
        about.output.end();
        Ok(Instance {
            guest: made.map_err(|failed| (failed, about.gauge.refused()))?,
            about,
            used: Arc::clone(&self.used),
            calls: 0,
            idle_since: Instant::now(),
            _place: place,
        })
    }

    /// The first instance, at load; for kinds that start with a message, that they could.
    pub(crate) async fn make_first(
        &self,
        control: &Arc<Control>,
        place: InstancePermit,
    ) -> Result<Instance, (NotMade, Option<Refusal>)> {
        let instance = self.make(control, place).await?;
        let started = self.template.try_start(&self.setting, &instance.about).await;
        started.map_err(|failed| (failed, instance.refused()))?;
        Ok(instance)
    }

    /// Whether a call takes a whole batch.
    pub(crate) fn takes_batches(&self) -> bool {
        self.template.takes_batches()
    }

    pub(crate) fn room(&self) -> &Arc<InstancePool> {
        &self.setting.room
    }

    /// A place for another instance, if there is one now.
    pub(crate) fn place(&self, has_waited: bool) -> Option<InstancePermit> {
        self.setting.room.enter(&self.setting.pipeline, has_waited)
    }

    /// Waits until there may be room for one, at most `patience`.
    pub(crate) async fn wait(&self, patience: Duration) -> bool {
        self.setting.room.wait(&self.setting.pipeline, patience).await
    }
}

impl Instance {
    /// A chunk begins to use this instance.
    pub(crate) fn assign(&mut self, work: &Arc<[Work]>, control: &Arc<Control>) {
        self.about.assign(work, control);
    }

    /// Calls the handler with the messages of `range`. An error leaves an instance that must be
    /// dropped.
    pub(crate) async fn call(&mut self, work: &[Work], range: Range<usize>) -> wasmtime::Result<Answered> {
        self.calls += 1;
        self.about.output.begin(range.start, range.len());
        self.about.gauge.forget();
        let answers = self.guest.call(&work[range]).await?;
        self.about.output.end();
        Ok(Answered { answers, staging: self.about.in_call.end() })
    }

    /// Whether its guest has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.guest.is_over()
    }

    /// The chunk has ended; its messages are not held until the next one.
    pub(crate) fn release(&mut self) {
        self.about.output.release();
        self.idle_since = Instant::now();
        self.note_memory();
    }

    /// The growth that was refused to the last call.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.about.gauge.refused()
    }

    /// What the last call wrote last to standard error.
    pub(crate) fn last_words(&self) -> String {
        self.about.output.last_words()
    }

    fn note_memory(&self) {
        self.used.fetch_max(self.about.gauge.most(), Relaxed);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.about.output.end();
        drop(self.about.in_call.end());
        self.note_memory();
    }
}
