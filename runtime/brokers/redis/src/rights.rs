//! Whether the server lets this user do what a worker does. The commands are queued in a transaction, which
//! is then discarded: the server looks at each of them, and does none.

use super::dead_letter_record::LetterPlace;
use super::fault::Fault;
use super::list::{End, Keys};
use crate::{RedisConfig, RedisKind, StreamConfig};
use pelton_core::broker::Diagnosis;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};

/// Commands that a line names.
const NAMED: usize = 5;
/// The name of a worker that is none.
const NOBODY: &str = "pelton-check";

/// A command with its arguments.
type Command = Vec<String>;

/// Why commands are refused, and which.
type Refused = Vec<(Fault, Vec<String>)>;

/// What stands against reading there.
pub fn of_source(redis: &RedisConfig) -> Diagnosis {
    let commands = match &redis.kind {
        RedisKind::Stream(stream) => of_stream(&redis.key, stream),
        RedisKind::List(list) => match Keys::of(&redis.key) {
            Ok(keys) => of_list(&redis.key, &keys, list.pop, list.at_most_once),
            // The configuration is refused for it.
            Err(_) => return Diagnosis::default(),
        },
    };
    look(redis, &redis.key, &commands)
}

/// What stands against writing letters there.
pub fn of_letters(place: &LetterPlace, redis: &RedisConfig) -> Diagnosis {
    let command = match place {
        LetterPlace::Stream(key) => words(&["XADD", key, "*", "field", "value"]),
        LetterPlace::List(key) => words(&["LPUSH", key, "value"]),
    };
    look(redis, place.key(), &[command])
}

/// What stands against sending there from an outbox.
pub fn of_target(redis: &RedisConfig) -> Diagnosis {
    let key = &redis.key;
    let Ok(keys) = Keys::of(key) else { return Diagnosis::default() };
    let (add, sent) = (words(&["XADD", key, "*", "field", "value"]), keys.sent(NOBODY));
    let command = match &redis.kind {
        RedisKind::Stream(_) => add,
        RedisKind::List(list) => {
            words(&[if list.pop == End::Right { "LPUSH" } else { "RPUSH" }, key, "value"])
        }
    };
    let beside = [
        words(&["GET", &sent]),
        words(&["SET", &sent, "value", "PX", "1"]),
        words(&["EVAL", "return 1", "2", key, &sent]),
        words(&["SCRIPT", "LOAD", "return 1"]),
    ];
    look(redis, key, &[&[command], &beside[..]].concat())
}

fn words(all: &[&str]) -> Command {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn of_stream(key: &str, stream: &StreamConfig) -> Vec<Command> {
    let group = stream.group.as_str();
    let mut all = vec![
        words(&["XREADGROUP", "GROUP", group, NOBODY, "COUNT", "1", "STREAMS", key, ">"]),
        words(&["XACK", key, group, "0-1"]),
        words(&["XCLAIM", key, group, NOBODY, "0", "0-1"]),
        words(&["XAUTOCLAIM", key, group, NOBODY, "0", "0"]),
        words(&["XPENDING", key, group]),
        words(&["XINFO", "STREAM", key]),
        words(&["XGROUP", "CREATE", key, group, "0"]),
        words(&["XRANGE", key, "-", "+", "COUNT", "1"]),
        words(&["XLEN", key]),
        words(&["EXISTS", key]),
        words(&["EVAL", "return 1", "1", key]),
        words(&["SCRIPT", "LOAD", "return 1"]),
    ];
    if stream.maxlen.is_some() {
        all.push(words(&["XTRIM", key, "MINID", "0"]));
    }
    all
}

fn of_list(list: &str, keys: &Keys, pop: End, at_most_once: bool) -> Vec<Command> {
    let (pops, pushes) = if pop == End::Right { ("RPOP", "RPUSH") } else { ("LPOP", "LPUSH") };
    let mut all = vec![
        words(&[pops, list]),
        words(&[pushes, list, "value"]),
        words(&["LLEN", list]),
        words(&["EVAL", "return 1", "1", list]),
        words(&["SCRIPT", "LOAD", "return 1"]),
    ];
    if at_most_once {
        all.push(words(&["LTRIM", list, "0", "-1"]));
        return all;
    }
    let (alive, workers) = (keys.alive(NOBODY), keys.workers());
    let (processing, arriving) = (keys.processing(NOBODY), keys.arriving(NOBODY));
    all.extend([
        words(&["BLMOVE", list, &arriving, "RIGHT", "LEFT", "1"]),
        words(&["LMOVE", &processing, &processing, "LEFT", "RIGHT"]),
        words(&["LRANGE", &processing, "0", "0"]),
        words(&["LREM", &processing, "1", "value"]),
        words(&["GET", &alive]),
        words(&["SET", &alive, "value", "PX", "1"]),
        words(&["PEXPIRE", &alive, "1"]),
        words(&["DEL", &alive]),
        words(&["SADD", &workers, "value"]),
        words(&["SREM", &workers, "value"]),
        words(&["SMEMBERS", &workers]),
        words(&["TIME"]),
    ]);
    all
}

fn look(redis: &RedisConfig, key: &str, commands: &[Command]) -> Diagnosis {
    let mut found = Diagnosis::default();
    let looked = redis
        .client(key)
        .and_then(|client| client.run(async |connection| refused(connection, commands).await));
    match looked {
        Ok(Some(refused)) => {
            for (fault, names) in refused {
                let (some, more) = (names.iter().take(NAMED), names.len().saturating_sub(NAMED));
                let some = some.cloned().collect::<Vec<_>>().join(", ");
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                let what = format!("the server refuses {some}{more} on `{key}`: {fault}");
                // A worker makes room there.
                let is_passing = fault.is_full;
                if is_passing { &mut found.warnings } else { &mut found.problems }.push(what);
            }
        }
        Ok(None) => found.warnings.push(format!(
            "whether this user may do all that a worker does with `{key}` shows when it runs: it may not use \
             MULTI and DISCARD, by which that is looked at without doing it (ACL SETUSER NAME +multi \
             +discard)"
        )),
        Err(why) => found.problems.push(why),
    }
    found
}

/// Which commands are refused, by what for; none where that cannot be looked at.
async fn refused(
    connection: &mut MultiplexedConnection,
    commands: &[Command],
) -> Result<Option<Refused>, Fault> {
    let begun: RedisResult<Value> = redis::cmd("MULTI").query_async(connection).await;
    if let Err(error) = begun {
        let fault = Fault::of(&error);
        return if fault.refuses { Ok(None) } else { Err(fault) };
    }
    let mut all = Refused::new();
    for words in commands {
        let Some((name, arguments)) = words.split_first() else { continue };
        let queued: RedisResult<Value> = redis::cmd(name).arg(arguments).query_async(connection).await;
        let Err(error) = queued else { continue };
        if error.is_io_error() {
            return Err(Fault::of(&error));
        }
        let fault = Fault::of(&error);
        match all.iter_mut().find(|(known, _)| known.kind == fault.kind) {
            Some((_, names)) => names.push(name.clone()),
            None => all.push((fault, vec![name.clone()])),
        }
    }
    redis::cmd("DISCARD").query_async::<()>(connection).await?;
    Ok(Some(all))
}
