//! The same numbers for a collector.

use super::histogram::BOUNDS;
use super::table::{Kind, Name};
use super::values::{Point, Value, Values};
use crate::telemetry::otlp::text_attribute;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

/// All numbers as they are at `now_ns`, counted since `since_ns`: nanoseconds since the epoch.
pub fn metrics(values: &Values, since_ns: u64, now_ns: u64) -> Vec<Metric> {
    let time = (since_ns, now_ns);
    values.families().map(|(name, points)| metric(name, points, time)).collect()
}

fn metric(name: Name, points: &[Point], time: (u64, u64)) -> Metric {
    let metric = name.metric();
    let cumulative = i32::from(AggregationTemporality::Cumulative);
    let data = match metric.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: points.iter().map(|point| number(point, time)).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge => {
            Data::Gauge(Gauge { data_points: points.iter().map(|point| number(point, time)).collect() })
        }
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: points.iter().filter_map(|point| durations(point, time)).collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: metric.name.to_owned(),
        description: metric.help.to_owned(),
        unit: metric.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn attributes(point: &Point) -> Vec<KeyValue> {
    point.base.iter().chain(&point.more).map(|(label, value)| text_attribute(label.0, &**value)).collect()
}

fn number(point: &Point, (since_ns, now_ns): (u64, u64)) -> NumberDataPoint {
    let value = match point.value {
        Value::Whole(number) => Number::AsInt(i64::try_from(number).unwrap_or(i64::MAX)),
        Value::Real(number) => Number::AsDouble(number),
        Value::Histogram(all) => Number::AsInt(i64::try_from(all.count()).unwrap_or(i64::MAX)),
    };
    NumberDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: since_ns,
        time_unix_nano: now_ns,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn durations(point: &Point, (since_ns, now_ns): (u64, u64)) -> Option<HistogramDataPoint> {
    let Value::Histogram(all) = point.value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: since_ns,
        time_unix_nano: now_ns,
        count: all.count(),
        sum: Some(all.sum_s()),
        bucket_counts: all.places.to_vec(),
        explicit_bounds: BOUNDS.to_vec(),
        ..HistogramDataPoint::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::histogram;
    use crate::telemetry::metrics::table::Label;
    use crate::telemetry::metrics::values::Labels;

    #[test]
    fn each_kind_has_its_form_and_its_attributes() {
        let mut values = Values::new(10);
        let base: Labels = [(Label::PIPELINE, "orders".into())].into();
        let times = histogram::Histogram::default();
        times.add(30, 2, 60);
        values.add(
            Name::ProcessDuration,
            &base,
            &[(Label::ERROR, "trap")],
            Value::Histogram(times.totals()),
        );
        values.count(Name::Handled, &base, &[], 7);
        values.add(Name::OldestAge, &base, &[], Value::Real(1.5));
        let [process, handled, age] = &*metrics(&values, 1, 2) else { panic!() };
        assert_eq!((&*process.name, &*process.unit), ("messaging.process.duration", "s"));
        let Some(Data::Histogram(histogram)) = &process.data else { panic!() };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.bucket_counts.len()), (2, point.explicit_bounds.len() + 1));
        assert_eq!(point.bucket_counts[1], 2);
        let named: Vec<_> = point.attributes.iter().map(|a| a.key.as_str()).collect();
        assert_eq!(named, ["pipeline", "error.type"]);
        let Some(Data::Sum(sum)) = &handled.data else { panic!() };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, 2);
        assert_eq!(sum.data_points[0].value, Some(Number::AsInt(7)));
        let Some(Data::Gauge(gauge)) = &age.data else { panic!() };
        assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(1.5)));
        assert_eq!((gauge.data_points[0].time_unix_nano, age.unit.as_str()), (2, "s"));
    }
}
