//! What one call has staged, as statements of the transaction that commits it.

use super::ask::Command;
use super::names::NumberOf;
use super::touched::Touched;
use pelton_core::HeaderList;
use pelton_core::effects::{Effects, Seen, StagedMessage, Write};
use tokio_postgres::types::Type;

/// Fails where a key is not as it was read, and does nothing otherwise: nobody looks at its answer before
/// the commit. The text says to whoever reads the server's log what is meant.
const CHECK: &str = "SELECT ('pelton: state has changed since a handler read it (key ' || k.n || ' of its \
    message); \
    the message runs again')::integer \
    FROM unnest($1::int8[], $2::bytea[], $3::int8[]) WITH ORDINALITY AS k(bucket, key, stamp, n) \
    LEFT JOIN pelton_state s ON s.bucket = k.bucket AND s.key = k.key \
    WHERE coalesce(s.stamp, 0) <> k.stamp LIMIT 1";
const SET: &str = "INSERT INTO pelton_state (bucket, key, value, stamp) \
    SELECT * FROM unnest($1::int8[], $2::bytea[], $3::bytea[], $4::int8[]) \
    ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value, stamp = excluded.stamp";
const REMOVE: &str = "DELETE FROM pelton_state s USING unnest($1::int8[], $2::bytea[]) AS k(bucket, key) \
    WHERE s.bucket = k.bucket AND s.key = k.key";
const SEND: &str = "INSERT INTO pelton_outbox (target, message_id, topic, key, headers, body, delay_ms) \
    SELECT m.target, m.id, m.topic, m.key, m.headers, m.body, m.delay \
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::int8[]) \
    WITH ORDINALITY AS m(target, id, topic, key, headers, body, delay, n) ORDER BY m.n";

/// The statements, in their order.
pub(crate) struct Steps {
    pub commands: Vec<Command>,
    /// Which of them fails where state has changed: then it is a conflict.
    pub check: Option<usize>,
}

impl Steps {
    /// Of one call.
    pub fn of_call(effects: &Effects, numbers: &NumberOf) -> Self {
        let mut touched = Touched::default();
        touched.add(effects, numbers);
        let mut commands = touched.locks();
        let check = (!effects.reads.is_empty()).then_some(commands.len());
        commands.extend(check.map(|_| checks(&effects.reads, numbers)));
        commands.extend(writes(effects.writes.iter(), numbers));
        commands.extend(sends(effects.messages.iter(), numbers));
        Self { commands, check }
    }
}

fn checks(reads: &[Seen], numbers: &NumberOf) -> Command {
    let buckets: Vec<i64> = reads.iter().map(|seen| numbers.bucket(seen.bucket)).collect();
    let keys: Vec<Vec<u8>> = reads.iter().map(|seen| seen.key.clone()).collect();
    let stamps: Vec<i64> = reads.iter().map(|seen| seen.stamp.0.cast_signed()).collect();
    let parameters: Vec<super::Parameter> = vec![
        (Box::new(buckets), Type::INT8_ARRAY),
        (Box::new(keys), Type::BYTEA_ARRAY),
        (Box::new(stamps), Type::INT8_ARRAY),
    ];
    Command::new(CHECK, parameters)
}

/// Writes each key, which is to come once.
pub(crate) fn writes<'w>(all: impl Iterator<Item = &'w Write>, numbers: &NumberOf) -> Vec<Command> {
    let (mut set, mut removed) =
        ((Vec::new(), Vec::new(), Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for write in all {
        let bucket = numbers.bucket(write.bucket);
        match &write.value {
            Some(value) => {
                set.0.push(bucket);
                set.1.push(write.key.clone());
                set.2.push(value.clone());
                set.3.push(write.stamp.0.cast_signed());
            }
            None => {
                removed.0.push(bucket);
                removed.1.push(write.key.clone());
            }
        }
    }
    let mut commands = Vec::new();
    if !set.0.is_empty() {
        let parameters: Vec<super::Parameter> = vec![
            (Box::new(set.0), Type::INT8_ARRAY),
            (Box::new(set.1), Type::BYTEA_ARRAY),
            (Box::new(set.2), Type::BYTEA_ARRAY),
            (Box::new(set.3), Type::INT8_ARRAY),
        ];
        commands.push(Command::new(SET, parameters));
    }
    if !removed.0.is_empty() {
        let parameters: Vec<super::Parameter> =
            vec![(Box::new(removed.0), Type::INT8_ARRAY), (Box::new(removed.1), Type::BYTEA_ARRAY)];
        commands.push(Command::new(REMOVE, parameters));
    }
    commands
}

/// Puts messages into the outbox, in their order.
pub(crate) fn sends<'m>(
    all: impl Iterator<Item = &'m StagedMessage> + Clone,
    numbers: &NumberOf,
) -> Option<Command> {
    let targets: Vec<i64> = all.clone().map(|message| numbers.target(message.target)).collect();
    if targets.is_empty() {
        return None;
    }
    let ids: Vec<String> = all.clone().map(|message| message.id.to_string()).collect();
    let topics: Vec<Option<String>> = all.clone().map(|message| message.topic.clone()).collect();
    let keys: Vec<Option<Vec<u8>>> = all.clone().map(|message| message.key.clone()).collect();
    let headers: Vec<Option<Vec<u8>>> = all.clone().map(headers).collect();
    let bodies: Vec<Vec<u8>> = all.clone().map(|message| message.body.clone()).collect();
    let delays: Vec<Option<i64>> =
        all.map(|message| message.delay_ms.map(|delay| i64::try_from(delay).unwrap_or(i64::MAX))).collect();
    let parameters: Vec<super::Parameter> = vec![
        (Box::new(targets), Type::INT8_ARRAY),
        (Box::new(ids), Type::TEXT_ARRAY),
        (Box::new(topics), Type::TEXT_ARRAY),
        (Box::new(keys), Type::BYTEA_ARRAY),
        (Box::new(headers), Type::BYTEA_ARRAY),
        (Box::new(bodies), Type::BYTEA_ARRAY),
        (Box::new(delays), Type::INT8_ARRAY),
    ];
    Some(Command::new(SEND, parameters))
}

/// None for no header: the usual case takes no room.
fn headers(message: &StagedMessage) -> Option<Vec<u8>> {
    let list: HeaderList = message.headers.iter().collect();
    Some(list.view().bytes().to_vec()).filter(|bytes| !bytes.is_empty())
}
