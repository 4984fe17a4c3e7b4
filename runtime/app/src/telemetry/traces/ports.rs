//! The ports of a pipeline, with spans for what is recorded.

use super::about::Traced;
use super::handler::TracedHandler;
use super::letters::TracedLetters;
use super::outbox::TracedTarget;
use super::source::TracedSource;
use pelton_core::ports::{DeadLetters, Handler, Source};
use pelton_engine::{Outbox, Outlet};
use std::sync::Arc;

impl Traced {
    /// The source, with spans for what it receives and settles.
    pub fn source(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(TracedSource::new(source, self.clone()))
    }

    /// The place for letters, with a span for each, whose context goes along.
    pub fn letters(&self, letters: Arc<dyn DeadLetters>) -> Arc<dyn DeadLetters> {
        let place = format!("dead letters of {}", self.name);
        Arc::new(TracedLetters::new(letters, self.clone(), place))
    }

    /// What is sent from the outbox, with a span for each call.
    pub fn outbox(&self, outbox: Outbox) -> Outbox {
        let outlet = |outlet: Outlet| {
            let way = Arc::new(TracedTarget::new(outlet.way, self.clone(), outlet.name.clone()));
            Outlet { way, ..outlet }
        };
        Outbox { outlets: outbox.outlets.into_iter().map(outlet).collect(), ..outbox }
    }

    /// The handler, with a span for each call that is recorded, whose context its messages have.
    pub fn handler(&self, handler: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(TracedHandler::new(handler, self.clone()))
    }
}
