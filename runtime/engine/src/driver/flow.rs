//! What is told of the flow of a pipeline, and a worker that ends when nothing is left of one that is paused.

use super::{Driver, POLL_INTERVAL};
use crate::stopped::Why;
use pelton_core::Time;
use pelton_core::flow::{BreakerState, FlowStatus};
use std::time::Instant;

impl Driver {
    /// Whether there is nothing to do but what comes, or what waits for an operator.
    pub(super) fn rests(&self) -> bool {
        self.pipeline.is_idle() || (self.control.until_empty && self.pipeline.rests_paused())
    }

    /// What is left in the source, for a worker that ends when nothing is.
    pub(super) fn hear_unsettled(&mut self, now: Time, left: Option<u64>) {
        self.asked_unsettled = false;
        if left == Some(0) && self.pipeline.is_idle() && self.is_all_sent() {
            self.drain(now);
        } else if left != Some(0) && self.pipeline.rests_paused() {
            self.ends_in_order(now, Why::Paused(left));
        } else {
            self.poll_at = Some(Instant::now() + POLL_INTERVAL);
        }
    }

    /// Publishes how the flow stands, and reports what has changed.
    pub(super) fn report_flow(&mut self) {
        let status = self.pipeline.flow();
        let before = self.flow;
        if status == before {
            return;
        }
        self.stats.set_flow(status);
        self.flow = status;
        if status.breaker != before.breaker || status.opened != before.opened {
            self.report_breaker(&before, &status);
        }
        if status.ramping != before.ramping && before.rate.is_some() {
            self.report_ramp(&status);
        }
        if before.forgotten_keys == 0 && status.forgotten_keys > 0 {
            tracing::warn!(
                pipeline = %self.name,
                "`flow.rate.per_key` is kept for 100000 keys at a time, and there are more: a key that is \
                 forgotten may start a burst too early. Raise the rate, by which keys are remembered for \
                 less long"
            );
        }
    }

    fn report_breaker(&self, before: &FlowStatus, now: &FlowStatus) {
        let pipeline = &*self.name;
        match (before.breaker, now.breaker) {
            (_, Some(BreakerState::Open)) => tracing::warn!(
                pipeline,
                opened = now.opened,
                "the circuit breaker is open, since too many messages were to be tried again or came to \
                 their time limit: nothing is received or started for `flow.circuit_breaker.open_for`, and \
                 no attempt is used up"
            ),
            (Some(BreakerState::Open), Some(BreakerState::HalfOpen)) => {
                tracing::info!(
                    pipeline,
                    "the circuit breaker is half-open: one message at a time is started"
                );
            }
            (Some(_), Some(BreakerState::Closed)) => tracing::info!(
                pipeline,
                excused = now.excused - before.excused.min(now.excused),
                "the circuit breaker is closed: messages are started again"
            ),
            _ => {}
        }
    }

    fn report_ramp(&self, now: &FlowStatus) {
        let (pipeline, rate) = (&*self.name, now.rate.unwrap_or_default());
        if now.ramping {
            tracing::info!(
                pipeline,
                rate,
                "there was an outage, by the age of the first messages: the rate begins low and grows"
            );
        } else {
            tracing::info!(pipeline, rate, "the rate is full again");
        }
    }
}
