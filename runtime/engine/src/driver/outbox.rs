//! What the pipeline's task has to do with its outbox: the relays begin and end with it, and while too much
//! waits to be sent it receives nothing more.

use super::{ANSWER_TIMEOUT, Driver, REPORT_INTERVAL};
use crate::relay::Relays;
use crate::stopped::Why;
use std::time::Instant;

impl Driver {
    pub(super) fn start_relays(&mut self) {
        let outbox = self.performer.ports.outbox.as_ref();
        let relays = Relays::start(&self.name, outbox, self.random, &self.performer.answers);
        self.stats.relay(relays.stats());
        self.relays = Some(relays);
    }

    /// What can be sent in time is sent; what stays is sent by the next worker.
    pub(super) async fn end_relays(&mut self) {
        let Some(relays) = self.relays.take() else { return };
        if self.why == Some(Why::Store) {
            return relays.abandon();
        }
        relays.finish(self.deadline.unwrap_or_else(Instant::now), ANSWER_TIMEOUT).await;
    }

    fn backlog(&self) -> u64 {
        self.relays.as_ref().map_or(0, Relays::backlog)
    }

    /// Receives nothing more while the outbox is full, until a tenth of it is free again.
    pub(super) fn look_at_outbox(&mut self) {
        if self.performer.ports.outbox.is_none() {
            return;
        }
        let waiting = self.backlog();
        let most = if self.outbox_is_full { self.max_outbox / 10 * 9 } else { self.max_outbox };
        let is_full = waiting >= most.max(1);
        if is_full != self.outbox_is_full {
            self.outbox_is_full = is_full;
            self.pipeline.hold_intake(is_full);
            self.stats.fill_outbox(is_full.then_some(self.max_outbox));
        }
        if is_full && self.says_of_outbox() {
            tracing::warn!(
                pipeline = %self.name, waiting, outbox_limit = self.max_outbox,
                "nothing more is received: so many messages wait in the outbox. It goes on when nine tenths \
                 of `outbox_limit` wait; {}", self.outbox_trouble()
            );
        }
    }

    /// Whether the source may be asked again what is left.
    pub(super) fn may_poll(&self) -> bool {
        self.poll_at.is_none_or(|at| at <= Instant::now())
    }

    /// Whether nothing waits to be sent, by this pipeline or into what it reads.
    pub(super) fn is_all_sent(&mut self) -> bool {
        self.feeders.are_gone() && self.outbox_is_empty()
    }

    /// Whether nothing waits to be sent, for a worker that ends when nothing is left.
    fn outbox_is_empty(&mut self) -> bool {
        let waiting = self.backlog();
        if waiting > 0 && self.says_of_outbox() {
            tracing::info!(
                pipeline = %self.name, waiting,
                "the worker waits for the outbox to be empty; {}", self.outbox_trouble()
            );
        }
        waiting == 0
    }

    fn outbox_trouble(&self) -> String {
        let trouble = self.relays.as_ref().and_then(Relays::trouble);
        trouble.unwrap_or_else(|| "its targets take messages".to_owned())
    }

    fn says_of_outbox(&mut self) -> bool {
        let recent = self.outbox_reported.is_some_and(|said| said.elapsed() < REPORT_INTERVAL);
        if !recent {
            self.outbox_reported = Some(Instant::now());
        }
        !recent
    }
}
