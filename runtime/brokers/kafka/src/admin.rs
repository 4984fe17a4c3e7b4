//! What is asked of the broker from outside the group.

use crate::{KafkaConfig, PartitionStatus, inspect};
use pelton_core::broker::{Cell, Column, Fact, Facts, Row, SourceStatus};
use pelton_core::shown::file_kind;
use std::fs::File;
use std::time::Duration;

/// How long the broker may take for an answer to somebody who waits for it.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The files that the client library is to read, where they are none. It would wait for a pipe for ever.
pub fn unreadable_files(librdkafka: &[(String, String)]) -> Vec<String> {
    let named = librdkafka.iter().filter(|(name, value)| name.ends_with(".location") && value != "probe");
    let wrong = |(name, value): &(String, String)| {
        let what = match std::fs::metadata(value) {
            // Of authorities there may be a folder.
            Ok(found) if name == "ssl.ca.location" && found.is_dir() => return None,
            Ok(found) if found.is_file() => format!("cannot be read: {}", File::open(value).err()?),
            Ok(found) => format!("is {}, not a file", file_kind(found.file_type())),
            Err(error) => format!("cannot be read: {error}"),
        };
        Some(format!("`{name}` in `librdkafka`: {value} {what}. Correct the path"))
    };
    // Several authorities may be one value.
    named
        .filter(|(name, value)| name != "ssl.ca.location" || !value.contains(','))
        .filter_map(wrong)
        .collect()
}

/// The table of partitions.
const COLUMNS: &[Column] = &[
    Column { title: "partition", cell: Cell::Of(name) },
    Column { title: "committed", cell: Cell::Fact("committed") },
    Column { title: "received", cell: Cell::Received },
    Column { title: "end", cell: Cell::Fact("end") },
    Column { title: "lag", cell: Cell::Fact("lag") },
    Column { title: "waits for", cell: Cell::WaitsFor(waits_for) },
];

fn name(partition: &Facts) -> String {
    format!("{}/{}", partition.shown("topic"), partition.shown("partition"))
}

fn waits_for(partition: &Facts) -> &'static str {
    match partition.get("behind_transaction") {
        Fact::Count(1..) => "an open transaction",
        _ => "",
    }
}

/// Where the group stands.
pub fn status(kafka: &KafkaConfig) -> Result<SourceStatus, Vec<String>> {
    let wrong = unreadable_files(&kafka.librdkafka);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let (servers, group) = (&kafka.bootstrap_servers, &kafka.group_id);
    let found = inspect(servers, group, &kafka.topics, &kafka.librdkafka, ANSWER_TIMEOUT)?;
    let rows = found.iter().map(row).collect();
    Ok(SourceStatus { name: "partitions", columns: COLUMNS, below: None, rows })
}

fn row(p: &PartitionStatus) -> Row {
    let remark = remark(p);
    let facts = Facts(vec![
        ("topic", p.topic.as_str().into()),
        ("partition", Fact::Offset(p.partition.into())),
        ("committed", p.committed.into()),
        ("end", Fact::Offset(p.end)),
        ("lag", Fact::Count(p.lag())),
        ("behind_transaction", Fact::Count(p.behind_transaction())),
        ("remark", remark.as_deref().map_or(Fact::None, Fact::from)),
    ]);
    Row { facts, lag: p.lag(), partition: Some(format!("{}/{}", p.topic, p.partition)), remark }
}

/// What its numbers alone would not tell.
fn remark(p: &PartitionStatus) -> Option<String> {
    let at = format!("{}/{}", p.topic, p.partition);
    let committed = p.committed.unwrap_or_default();
    match (p.behind_transaction(), p.beyond()) {
        (0, 0) => None,
        (behind @ 1.., _) => Some(format!(
            "{at} waits for a transaction that is open from offset {} on: {behind} offsets are behind it, \
             and nobody may read \
             them before it ends. If its producer is gone, the broker ends it after the producer's \
             `transaction.timeout.ms`; \
             `kafka-transactions find-hanging` finds one that was forgotten",
            p.stable
        )),
        (0, beyond) => Some(format!(
            "{at} ends at {}, and the group is {beyond} beyond it, at {committed}: the topic was cut or \
             made anew, or somebody \
             has committed an offset that is not there. The worker goes on as `out_of_range` says",
            p.end
        )),
    }
}
