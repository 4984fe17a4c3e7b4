//! What is to be said of a pipeline's flow beside what is wrong with it.

use crate::config::{PipelineConfig, Problem, slowest};
use pelton_core::number::whole;
use pelton_core::units;
use pelton_host::ComponentInfo;
use std::time::Duration;

/// What may surprise of a pipeline's flow, once its handler is known.
pub fn advice(pipeline: &PipelineConfig, info: &ComponentInfo) -> Vec<Problem> {
    let path = |key: &str| format!("pipelines.{}.flow.{key}", pipeline.name);
    let (flow, spec) = (&pipeline.flow, &pipeline.handler.spec);
    let mut said = Vec::new();
    if let Some(rate) = flow.rate.filter(|_| info.kind.takes_batches()) {
        let burst = usize::try_from(whole(rate.burst)).unwrap_or(usize::MAX);
        if burst < spec.max_chunk {
            let what = format!(
                "lets {burst} messages start at once, so that no call of this batch handler has the {} of \
                 `max_batch`; raise `burst`, if it needs full batches",
                spec.max_chunk
            );
            said.push(Problem::new(path("rate"), what));
        }
    }
    if let Some(breaker) = flow.breaker {
        let slowest = slowest(spec.timeout, breaker.minimum, spec.concurrency);
        if Duration::from_millis(breaker.window_ms) < slowest {
            let what = format!(
                "is {}, and {} messages that all come to their time limit take {}: such an outage would \
                 never open it; leave it out, or make it longer",
                units::written(Duration::from_millis(breaker.window_ms)),
                breaker.minimum,
                units::written(slowest)
            );
            said.push(Problem::new(path("circuit_breaker.window"), what));
        }
    }
    said
}
