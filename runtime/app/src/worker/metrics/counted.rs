//! What adapters and the sandbox count under names of their own, as metrics.

use super::messaging::OfPipeline;
use crate::telemetry::metrics::{Label, Name, Value, Values};

/// A name, the metric that it is, and what tells its series apart.
type Known = (&'static str, Name, Option<(Label, &'static str)>);

/// The names that have a place of their own.
const PLACES: [Known; 25] = [
    ("receive_requests", Name::Requests, Some((Label::API, "receive"))),
    ("delete_requests", Name::Requests, Some((Label::API, "delete"))),
    ("visibility_requests", Name::Requests, Some((Label::API, "visibility"))),
    ("send_requests", Name::Requests, Some((Label::API, "send"))),
    ("attributes_requests", Name::Requests, Some((Label::API, "attributes"))),
    ("leases_extended", Name::LeasesExtended, None),
    ("leases_lost", Name::LeasesLost, None),
    ("lost_upstream", Name::LostUpstream, None),
    ("taken_over", Name::TakenOver, None),
    ("decode_invalid", Name::Decoded, Some((Label::RESULT, "invalid"))),
    ("decode_skipped", Name::Decoded, Some((Label::RESULT, "skipped"))),
    ("decode_raw", Name::Decoded, Some((Label::RESULT, "raw"))),
    ("http_requests", Name::HttpRequests, None),
    ("http_denied", Name::HttpFailures, Some((Label::RESULT, "denied"))),
    ("http_limited", Name::HttpFailures, Some((Label::RESULT, "limited"))),
    ("http_failed", Name::HttpFailures, Some((Label::RESULT, "failed"))),
    ("http_refused_to_shadow", Name::HttpFailures, Some((Label::RESULT, "refused_to_shadow"))),
    ("http_running", Name::HttpRunning, None),
    ("http_waiting", Name::HttpWaiting, None),
    ("state_refused", Name::LimitsMet, Some((Label::LIMIT, "state"))),
    ("sends_refused", Name::LimitsMet, Some((Label::LIMIT, "outbox"))),
    ("sql_refused", Name::LimitsMet, Some((Label::LIMIT, "sql"))),
    ("sql_failed", Name::LimitsMet, Some((Label::LIMIT, "sql_failed"))),
    ("sql_unavailable", Name::LimitsMet, Some((Label::LIMIT, "sql_unavailable"))),
    ("sql_too_large", Name::LimitsMet, Some((Label::LIMIT, "sql_result"))),
];

/// Numbers that go up and down, and are there under another name.
const KNOWN_ELSEWHERE: [&str; 1] = ["in_flight"];

/// Adds what was counted under these names: each once, those of one name together. One that has no place of
/// its own is shown by its name all the same.
pub fn add(values: &mut Values, of: &OfPipeline, counted: impl IntoIterator<Item = (&'static str, u64)>) {
    let mut sums: Vec<(&'static str, u64)> = Vec::new();
    for (name, count) in counted {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => sums.push((name, count)),
        }
    }
    for (name, count) in sums {
        if KNOWN_ELSEWHERE.contains(&name) {
            continue;
        }
        let place = PLACES.iter().find(|(known, ..)| *known == name);
        match place {
            Some((_, metric, label)) => values.count(*metric, &of.own, label.as_slice(), count),
            None => values.bounded_count(Name::Counted, &of.own, &[(Label::WHAT, name)], count),
        }
    }
}

/// How often a limit was met.
pub fn limit(values: &mut Values, of: &OfPipeline, limit: &str, count: u64) {
    values.count(Name::LimitsMet, &of.own, &[(Label::LIMIT, limit)], count);
}

/// Whether something is so.
pub fn flag(values: &mut Values, of: &OfPipeline, name: Name, is_so: bool) {
    values.add(name, &of.own, &[], Value::Whole(u64::from(is_so)));
}
