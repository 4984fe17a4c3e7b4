//! The kinds of handler: what they have in common, and which of them a file is.
//!
//! Each is found once, when a file is loaded. Everything above this module knows messages that go in and
//! outcomes that come out, and not how.

pub(crate) mod command;
pub(crate) mod component;
pub(crate) mod kind;
pub(crate) mod mark;
pub(crate) mod program;
pub(crate) mod standard;
pub(crate) mod worker;

use crate::guest::pipeline_log::PipelineLog;
use crate::guest::state::{About, GuestState};
use crate::interfaces::Granted;
use crate::run::instance_pool::InstancePool;
use command::Command;
use component::{Component, Indices};
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use program::Program;
use standard::Standard;
use std::sync::Arc;
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Result};
use worker::Worker;

/// A file that is compiled and linked, by its kind. Pipelines with the same file share it.
pub(crate) enum Template {
    /// It exports a handler of our contract.
    Component(InstancePre<GuestState>, Indices),
    /// It exports the standard's.
    Standard(standard::Template),
    /// It is a program that stays alive, and may take batches.
    Worker(Program, worker::Speaks),
    /// It is a program that is run for each message.
    Command(Program),
}

/// What all instances of a handler are made with.
pub(crate) struct Setting {
    pub(crate) engine: Engine,
    pub(crate) pipeline: Arc<str>,
    pub(crate) log: Arc<PipelineLog>,
    pub(crate) memory: usize,
    pub(crate) room: Arc<InstancePool>,
    pub(crate) shared: Arc<Granted>,
}

/// What became of the messages of a call.
pub(crate) enum Answers {
    One(Outcome),
    Many(Vec<Outcome>),
}

/// Something that handles messages, one call after another.
pub(crate) trait Handles {
    /// Handles these messages: one, unless its template takes batches. An error leaves something that must be
    /// dropped, and so does dropping the future.
    async fn call(&mut self, work: &[Work]) -> Result<Answers>;

    /// Whether it has ended by itself, and takes no more calls.
    fn is_over(&self) -> bool {
        false
    }
}

/// An instance of a template.
#[allow(clippy::large_enum_variant, reason = "nearly all are of the largest kind")]
pub(crate) enum Guest {
    Component(Component),
    Standard(Standard),
    Worker(Worker),
    Command(Command),
}

/// Why there is no instance.
pub(crate) enum NotMade {
    /// It did not start.
    Start(wasmtime::Error),
    /// Its handler has another signature.
    Type(wasmtime::Error),
}

impl Template {
    /// Whether a call takes a whole batch.
    pub(crate) fn takes_batches(&self) -> bool {
        match self {
            Self::Component(_, indices) => indices.takes_batches(),
            Self::Worker(_, speaks) => speaks.batches,
            Self::Standard(_) | Self::Command(_) => false,
        }
    }

    /// Makes an instance, as far as that goes without a message: components and workers run their start.
    pub(crate) async fn make(
        &self,
        setting: &Arc<Setting>,
        about: &About,
    ) -> std::result::Result<Guest, NotMade> {
        match self {
            Self::Component(linked, indices) => {
                Component::make(setting, about, linked, indices).await.map(Guest::Component)
            }
            Self::Standard(template) => Standard::make(setting, about, template).await.map(Guest::Standard),
            Self::Worker(program, speaks) => Worker::make(setting, about, program, speaks.version)
                .await
                .map(Guest::Worker)
                .map_err(NotMade::Start),
            Self::Command(program) => Ok(Guest::Command(Command::new(setting, about, program))),
        }
    }

    /// Whether it can be started at all, for kinds that start with a message only.
    pub(crate) async fn try_start(
        &self,
        setting: &Setting,
        about: &About,
    ) -> std::result::Result<(), NotMade> {
        match self {
            Self::Command(program) => {
                command::try_start(setting, about, program).await.map_err(NotMade::Start)
            }
            Self::Component(..) | Self::Standard(_) | Self::Worker(..) => Ok(()),
        }
    }
}

impl Handles for Guest {
    async fn call(&mut self, work: &[Work]) -> Result<Answers> {
        match self {
            Self::Component(guest) => guest.call(work).await,
            Self::Standard(guest) => guest.call(work).await,
            Self::Worker(guest) => guest.call(work).await,
            Self::Command(guest) => guest.call(work).await,
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Component(guest) => guest.is_over(),
            Self::Standard(guest) => guest.is_over(),
            Self::Worker(guest) => guest.is_over(),
            Self::Command(guest) => guest.is_over(),
        }
    }
}
