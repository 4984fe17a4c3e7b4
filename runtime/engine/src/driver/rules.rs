//! What the core is told of a pipeline.

use super::{PipelineSpec, Ports};
use crate::relay::wall_ms;
use pelton_core::flow::FlowRules;
use pelton_core::pipeline::Rules;

/// Deliveries that may wait for others of their key, for a retry or for their turn, beside those that
/// `max_in_flight` counts; where that is more, as many as it says. What they weigh counts against the bytes
/// like all else.
const MIN_WAITING: usize = 10_000;

/// The rules of a pipeline whose time begins now.
pub fn of(spec: &PipelineSpec, ports: &Ports) -> Rules {
    Rules {
        retry: spec.retry,
        max_in_flight: spec.max_in_flight,
        max_waiting: spec.max_in_flight.max(MIN_WAITING),
        max_in_flight_bytes: spec.max_in_flight_bytes,
        max_message_bytes: spec.max_message_bytes,
        concurrency: spec.concurrency,
        max_chunk: ports.handler.max_chunk(),
        chunk_us: ports.handler.chunk_us(),
        dedup: spec.dedup.dedups(),
        source: ports.capabilities(),
        handler: ports.handler.digest(),
        redrive: spec.redrive,
        effects: spec.effects,
        flow: FlowRules { origin_ms: wall_ms(), ..spec.flow.clone() },
    }
}
