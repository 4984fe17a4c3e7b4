//! What of a Redis server contradicts a pipeline, or may lose its messages.

use crate::{LetterPlace, OLDEST, RedisConfig, RedisKind, ServerFacts, rights};
use pelton_core::broker::{Diagnosis, PipelineView};

/// Looks at the server and at what is read there.
pub fn of_source(pipeline: &PipelineView, redis: &RedisConfig) -> Diagnosis {
    let mut found = Diagnosis::default();
    let asked = redis.client(&redis.key).and_then(|client| {
        let server = client.server()?;
        let stream = match &redis.kind {
            RedisKind::Stream(stream) => Some(client.stream(&redis.key, &stream.group)?),
            RedisKind::List(_) => None,
        };
        Ok((server, stream.map(|facts| facts.length)))
    });
    match asked {
        Err(why) => found.problems.push(why),
        Ok((server, length)) => {
            found.problems.extend(too_old(&server));
            found.warnings.extend(may_lose(&server));
            found.warnings.extend(may_forget(&server, &redis.kind));
            found.warnings.extend(contradictions(pipeline, redis, length));
        }
    }
    found
}

/// Looks at where an outbox sends to.
pub fn of_target(redis: &RedisConfig) -> Diagnosis {
    match redis.client(&redis.key).and_then(|client| client.server()) {
        Ok(server) => {
            let mut found = rights::of_target(redis);
            found.problems.extend(too_old(&server));
            found.warnings.extend(may_lose(&server));
            found
        }
        Err(why) => Diagnosis { problems: vec![why], ..Diagnosis::default() },
    }
}

/// Looks at where letters go.
pub fn of_letters(place: &LetterPlace, redis: &RedisConfig) -> Diagnosis {
    let counted = redis.client(place.key()).and_then(|client| client.count_letters(place));
    Diagnosis { problems: counted.err().into_iter().collect(), ..Diagnosis::default() }
}

fn too_old(server: &ServerFacts) -> Option<String> {
    if server.is_replica {
        return Some(
            "the server is a replica, and takes no writes: write the address of the primary into \
            `url`, or that of the sentinels"
                .to_owned(),
        );
    }
    let (major, minor) = server.version.filter(|version| *version < OLDEST)?;
    Some(format!("the server is Redis {major}.{minor}, and {}.{} or newer is needed", OLDEST.0, OLDEST.1))
}

fn may_lose(server: &ServerFacts) -> Vec<String> {
    let mut warnings = Vec::new();
    match (server.append_only, server.fsync.as_deref()) {
        (Some(false), _) => warnings.push(format!(
            "the server has `appendonly no`: when it dies, {} is lost, messages and acknowledgements. Set \
             `appendonly yes`",
            unsaved(server)
        )),
        (Some(true), Some("no")) => warnings.push(
            "the server has `appendfsync no`: when its machine dies, what was written in the last half \
             minute or so may be lost. Set `appendfsync everysec` (one second), or `always`"
                .to_owned(),
        ),
        _ => {}
    }
    let evicts = server.eviction.as_deref().filter(|policy| policy.starts_with("allkeys"));
    if let Some(policy) = evicts {
        let when = match server.max_memory {
            Some(0) => "once `maxmemory` is set".to_owned(),
            Some(bytes) => format!("at {} MiB", bytes >> 20),
            None => "when memory is full".to_owned(),
        };
        warnings.push(format!(
            "the server has `maxmemory-policy {policy}`: {when} it drops whole keys, this one too. Set \
             `noeviction`"
        ));
    }
    warnings
}

/// What a server that writes no file of its changes has in memory alone.
fn unsaved(server: &ServerFacts) -> String {
    match (server.snapshots, server.unsaved) {
        (Some(false), _) => "all that it has (it makes no snapshots)".to_owned(),
        (_, Some(count)) => format!("all since its last snapshot (now {count} changes)"),
        (_, None) => "all since its last snapshot".to_owned(),
    }
}

/// The key that says that a worker of a list is alive expires, and so is among those that such a policy
/// drops.
fn may_forget(server: &ServerFacts, kind: &RedisKind) -> Option<String> {
    let policy = server.eviction.as_deref().filter(|policy| policy.starts_with("volatile"))?;
    let takes_over = matches!(kind, RedisKind::List(list) if !list.at_most_once);
    takes_over.then(|| {
        format!(
            "the server has `maxmemory-policy {policy}`: when memory is full it drops the keys that say \
             which workers of the list are alive, and messages in work are taken over. Set `noeviction`"
        )
    })
}

fn contradictions(pipeline: &PipelineView, redis: &RedisConfig, length: Option<u64>) -> Vec<String> {
    let (mut warnings, timeout) = (Vec::new(), pipeline.timeout);
    let (name, ours) = match &redis.kind {
        RedisKind::Stream(stream) => ("claim_min_idle", stream.claim_min_idle),
        RedisKind::List(list) => ("takeover_after", list.takeover_after),
    };
    if timeout >= ours {
        warnings.push(format!(
            "the handler may run for {timeout:?}, and a message is ours for {ours:?} unless that is \
             renewed: a worker that stands still for as long would have its message run twice. Set \
             `{name}` above {timeout:?}"
        ));
    }
    if let (RedisKind::Stream(stream), Some(length)) = (&redis.kind, length)
        && stream.maxlen.is_none()
    {
        warnings.push(format!(
            "nothing here bounds the stream, which has {length} entries: acknowledged ones stay until \
             memory is full. Set `maxlen`, or trim it by the lowest pending id"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_lost_is_said_with_what_to_set() {
        let safe = ServerFacts {
            version: Some((7, 0)),
            append_only: Some(true),
            fsync: Some("everysec".into()),
            snapshots: Some(true),
            unsaved: Some(7),
            eviction: Some("noeviction".into()),
            max_memory: Some(0),
            is_replica: false,
        };
        assert_eq!((may_lose(&safe), too_old(&safe)), (Vec::new(), None));
        let not = ServerFacts {
            append_only: Some(false),
            eviction: Some("allkeys-lru".into()),
            max_memory: Some(64 << 20),
            version: Some((6, 0)),
            ..safe
        };
        let said = may_lose(&not).join("\n");
        assert!(
            said.contains("all since its last snapshot (now 7 changes) is lost")
                && said.contains("at 64 MiB it drops whole keys"),
            "{said}"
        );
        assert_eq!(too_old(&not).as_deref(), Some("the server is Redis 6.0, and 6.2 or newer is needed"));
    }
}
