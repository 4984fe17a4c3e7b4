//! The text that Prometheus reads.

use super::table::{Kind, Label};
use super::values::{Labels, Point, Value, Values};
use prometheus_client::collector::Collector;
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelKey, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// All numbers, in the text format of Prometheus, version 0.0.4.
pub fn text(values: Values) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(values));
    let mut text = String::new();
    // A string takes everything.
    encode(&mut text, &registry).unwrap_or_default();
    text
}

impl Collector for Values {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, points) in self.families() {
            let metric = name.metric();
            let stem = metric.stem();
            let mut family = encoder.encode_descriptor(&stem, metric.help, None, kind(metric.kind))?;
            for point in points {
                let labels = Series(&point.base, &point.more);
                series(family.encode_family(&labels)?, metric.kind, point)?;
            }
        }
        Ok(())
    }
}

fn kind(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}

fn series(mut encoder: MetricEncoder<'_>, kind: Kind, point: &Point) -> fmt::Result {
    match (kind, point.value) {
        (_, Value::Histogram(all)) => {
            encoder.encode_histogram::<NoLabelSet>(all.sum_s(), all.count(), &all.buckets(), None)
        }
        (Kind::Counter, Value::Whole(number)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(&number, None)
        }
        (Kind::Counter, Value::Real(number)) => encoder.encode_counter::<NoLabelSet, _, f64>(&number, None),
        (_, Value::Whole(number)) => encoder.encode_gauge(&number),
        (_, Value::Real(number)) => encoder.encode_gauge(&number),
    }
}

#[derive(Debug)]
struct Series<'p>(&'p Labels, &'p [(Label, Arc<str>)]);

impl EncodeLabelSet for Series<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (label, value) in self.0.iter().chain(self.1) {
            (Key(*label), &**value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// A label without an allocation.
struct Key(Label);

impl EncodeLabelKey for Key {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelKeyEncoder<'_>) -> fmt::Result {
        let mut parts = self.0.0.split('.');
        if let Some(first) = parts.next() {
            EncodeLabelKey::encode(&first, encoder)?;
        }
        parts.try_for_each(|part| {
            EncodeLabelKey::encode(&"_", encoder)?;
            EncodeLabelKey::encode(&part, encoder)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Name;
    use crate::telemetry::metrics::histogram::Histogram;

    #[test]
    fn the_text_is_that_of_prometheus_and_what_comes_from_outside_is_escaped() {
        let mut values = Values::new(10);
        let base: Labels = [(Label::PIPELINE, Arc::from("orders"))].into();
        let kafka: Labels =
            [(Label::PIPELINE, Arc::from("orders")), (Label::SYSTEM, "kafka".into())].into();
        let histogram = Histogram::default();
        histogram.add(30, 2, 60);
        values.add(Name::ProcessDuration, &kafka, &[], Value::Histogram(histogram.totals()));
        values.count(Name::DeadLetters, &base, &[(Label::CAUSE, "in\"va\\l\nid")], 3);
        values.add(Name::LimiterWait, &base, &[], Value::Real(1.5));
        values.add(Name::Paused, &base, &[], Value::Whole(0));
        let text = text(values);
        let lines = [
            "# TYPE messaging_process_duration_seconds histogram",
            "messaging_process_duration_seconds_bucket{pipeline=\"orders\",messaging_system=\"kafka\",\
             le=\"2.5e-05\"} 0",
            "messaging_process_duration_seconds_bucket{pipeline=\"orders\",messaging_system=\"kafka\",\
             le=\"0.0001\"} 2",
            "messaging_process_duration_seconds_bucket{pipeline=\"orders\",messaging_system=\"kafka\",\
             le=\"+Inf\"} 2",
            "messaging_process_duration_seconds_sum{pipeline=\"orders\",messaging_system=\"kafka\"} 0.00006",
            "# TYPE pelton_dead_letters_total counter",
            "pelton_dead_letters_total{pipeline=\"orders\",\
             cause=\"in\\\"va\\\\l\\nid\"} 3",
            "pelton_limiter_wait_seconds_total{pipeline=\"orders\"} 1.5",
            "pelton_paused{pipeline=\"orders\"} 0",
        ];
        for line in lines {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
