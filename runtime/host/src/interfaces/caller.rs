//! Who asks for an effect: the running call, with what its pipeline grants. A component asks from its store,
//! a worker over its protocol; both are this to the interfaces.

use crate::grants::Grants;
use crate::guest::state::{About, GuestState};
use crate::interfaces::Granted;
use crate::interfaces::call::CallInWork;
use crate::interfaces::counts::Refused;
use crate::interfaces::staging::{Bounds, Staging};

/// The running call of one handler.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) about: &'a About,
    pub(crate) shared: &'a Granted,
    pub(crate) grants: &'a Grants,
    /// The memory of its instance, in bytes.
    memory: usize,
}

/// Nothing can be staged: no message is in work, whose completion would commit it.
pub(crate) struct NoMessage;

impl NoMessage {
    pub(crate) const WORDS: &'static str = "no message is in work: state, messages and statements are for \
        the time in which one is handled, not for the start";
}

impl<'a> Caller<'a> {
    pub(crate) fn new(about: &'a About, shared: &'a Granted, memory: usize) -> Self {
        Self { about, shared, grants: &shared.grants, memory }
    }

    /// The memory of its instance, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The messages in work.
    pub(crate) fn call(&self) -> Result<CallInWork, NoMessage> {
        self.about.call().filter(|call| !call.messages().is_empty()).ok_or(NoMessage)
    }

    /// How much may be staged.
    pub(crate) fn bounds(&self) -> Result<Bounds, NoMessage> {
        Ok(Bounds::of(self.call()?.messages().len(), self.memory))
    }

    /// Counts a refusal, if it is one: the handler is told in words, the operator by a number.
    pub(crate) fn counted<T, E>(&self, what: Refused, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.shared.refusals.count(what);
        }
        result
    }

    /// Changes what is staged.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Staging) -> T) -> T {
        self.about.in_call.with(|kept| change(&mut kept.staging))
    }
}

impl GuestState {
    /// The call that has this store.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller::new(&self.about, &self.shared, self.limits.memory_max())
    }

    /// Counts what is staged against the guest's memory; an error is to end the guest.
    pub(crate) fn charge_staged(&mut self) -> wasmtime::Result<()> {
        let now = self.about.in_call.with(|kept| kept.staging.weight());
        let before = std::mem::replace(&mut self.staged, now);
        self.limits.host(before, now)
    }

    /// A call begins: what the one before has staged is no longer kept here.
    pub(crate) fn release_staged(&mut self) -> wasmtime::Result<()> {
        match std::mem::take(&mut self.staged) {
            0 => Ok(()),
            before => self.limits.host(before, 0),
        }
    }
}
