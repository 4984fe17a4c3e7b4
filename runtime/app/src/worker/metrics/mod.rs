//! The numbers of a running worker, as it has them: nothing is asked of a broker or a store, and nobody
//! waits.

mod counted;
pub mod export;
mod messaging;
mod pipeline;
pub mod sample;

use super::state::WorkerState;
use crate::telemetry::metrics::{Label, Labels, Name, Value, Values, text};
use crate::telemetry::throttle;
use std::sync::Arc;

/// All of them, in the text format of Prometheus; its type is `CONTENT_TYPE` of the metrics.
#[allow(dead_code, reason = "who serves it over HTTP comes next")]
pub fn render(worker: &WorkerState) -> String {
    text(gather(worker))
}

/// All of them.
pub fn gather(worker: &WorkerState) -> Values {
    worker.sampling.look();
    let config = worker.config();
    let wanted = config.telemetry.metrics;
    let mut values = Values::new(wanted.max_series);
    let host = &worker.deployer.host;
    for live in worker.pipelines() {
        pipeline::add(&mut values, host, &live, wanted.partitions);
    }
    let version: Labels = [(Label::VERSION, Arc::from(env!("CARGO_PKG_VERSION")))].into();
    values.add(Name::BuildInfo, &version, &[], Value::Whole(1));
    let none: Labels = [].into();
    let instances = u64::try_from(host.room_need("").instances).unwrap_or(u64::MAX);
    values.add(Name::Instances, &none, &[], Value::Whole(instances));
    values.count(Name::LogDropped, &none, &[], throttle::dropped());
    for (fate, count) in worker.exports.otlp.iter().flat_map(|otlp| otlp.fates().all()) {
        values.count(Name::Telemetry, &none, &[(Label::RESULT, fate)], count);
    }
    let dropped = worker.dropped_series.fetch_add(values.dropped(), std::sync::atomic::Ordering::Relaxed);
    values.count(Name::SeriesDropped, &none, &[], dropped + values.dropped());
    values
}
