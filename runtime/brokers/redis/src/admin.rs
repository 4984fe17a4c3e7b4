//! What is asked of the server from outside the group.

use crate::{ListFacts, RedisConfig, RedisKind, StreamConfig, StreamFacts};
use pelton_core::broker::{Below, Cell, Column, Fact, Facts, Row, SourceStatus};

/// A worker that was silent for so many times what makes its messages free is called dead.
const DEAD_AFTER: u32 = 2;

/// The table of keys.
const COLUMNS: &[Column] = &[
    Column { title: "key", cell: Cell::Of(key) },
    Column { title: "length", cell: Cell::Fact("length") },
    Column { title: "unread", cell: Cell::Of(unread) },
    Column { title: "pending", cell: Cell::Fact("pending") },
    Column { title: "oldest idle", cell: Cell::Of(oldest_idle) },
];
/// Who has what of it.
const CONSUMERS: Below = Below {
    name: "consumers",
    columns: &[
        Column { title: "worker", cell: Cell::Fact("name") },
        Column { title: "has", cell: Cell::Fact("pending") },
        Column { title: "is", cell: Cell::Of(is) },
    ],
};

fn key(facts: &Facts) -> String {
    facts.shown(if is_list(facts) { "list" } else { "stream" })
}

fn unread(facts: &Facts) -> String {
    facts.shown(if is_list(facts) { "length" } else { "lag" })
}

fn is_list(facts: &Facts) -> bool {
    *facts.get("list") != Fact::None
}

fn oldest_idle(facts: &Facts) -> String {
    match facts.get("oldest_idle_ms") {
        Fact::Count(ms) => format!("{:.1} s", *ms as f64 / 1e3),
        _ => "-".to_owned(),
    }
}

fn is(consumer: &Facts) -> String {
    if *consumer.get("dead") == Fact::Flag(true) { "dead" } else { "" }.to_owned()
}

/// How the stream or list stands.
pub fn status(redis: &RedisConfig) -> Result<SourceStatus, Vec<String>> {
    let looked = redis.client(&redis.key).and_then(|client| match &redis.kind {
        RedisKind::Stream(stream) => {
            Ok(stream_row(redis, stream, &client.stream(&redis.key, &stream.group)?))
        }
        RedisKind::List(_) => Ok(list_row(redis, &client.list(&redis.key)?)),
    });
    let row = looked.map_err(|why| vec![why])?;
    Ok(SourceStatus { name: "keys", columns: COLUMNS, below: Some(CONSUMERS), rows: vec![row] })
}

fn stream_row(redis: &RedisConfig, stream: &StreamConfig, facts: &StreamFacts) -> Row {
    let group = facts.group.clone().unwrap_or_default();
    let dead_ms = (stream.claim_min_idle * DEAD_AFTER).as_millis();
    let consumer = |c: &crate::ConsumerFacts| {
        Facts(vec![
            ("name", c.name.as_str().into()),
            ("pending", Fact::Count(c.pending)),
            ("silent_ms", Fact::Count(c.silent_ms)),
            ("dead", Fact::Flag(u128::from(c.silent_ms) > dead_ms)),
        ])
    };
    // Before there is a group, all that it will begin with is not handled.
    let unread = if facts.group.is_none() && stream.start != "$" { facts.length } else { group.lag };
    let all = Facts(vec![
        ("stream", redis.key.as_str().into()),
        ("group", stream.group.as_str().into()),
        ("group_exists", Fact::Flag(facts.group.is_some())),
        ("length", Fact::Count(facts.length)),
        ("pending", Fact::Count(group.pending)),
        ("lag", Fact::Count(unread)),
        ("oldest_idle_ms", facts.oldest_idle_ms.into()),
        ("consumers", Fact::Rows(facts.consumers.iter().map(consumer).collect())),
    ]);
    Row { facts: all, lag: group.pending.saturating_add(unread), ..Row::default() }
}

fn list_row(redis: &RedisConfig, facts: &ListFacts) -> Row {
    let worker = |w: &crate::WorkerFacts| {
        Facts(vec![
            ("name", w.name.as_str().into()),
            ("pending", Fact::Count(w.held)),
            ("dead", Fact::Flag(!w.alive && w.held > 0)),
        ])
    };
    let all = Facts(vec![
        ("list", redis.key.as_str().into()),
        ("length", Fact::Count(facts.length)),
        ("pending", Fact::Count(facts.held())),
        ("consumers", Fact::Rows(facts.workers.iter().map(worker).collect())),
    ]);
    Row { facts: all, lag: facts.unsettled(), ..Row::default() }
}
