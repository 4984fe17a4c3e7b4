//! An entry of a stream, or a message that a worker of a list has taken.

use super::one::{After, Found, one};
use super::{Look, Place};
use crate::commands::brokers::redis::{client, worker_name};
use pelton_core::pipeline::Named;
use pelton_redis::{
    EntryId, ListConfig, Pending, RedisConfig, RedisKind, ReplayOptions, StreamConfig, instance,
};

/// `MS-SEQ`, or as ids are shown, `KEY/MS-SEQ`.
fn parse(text: &str, redis: &RedisConfig) -> Result<EntryId, String> {
    let bare = text.strip_prefix(&redis.key).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    EntryId::parse(bare).ok_or_else(|| {
        let what = match redis.kind {
            RedisKind::Stream(_) => "the id of an entry",
            RedisKind::List(_) => "the number of a message that was taken from the list",
        };
        format!("`{text}` is not {what}, such as 1767225600000-0")
    })
}

/// As the ledger calls it, where its producer gave it no id.
pub fn id(text: &str, redis: &RedisConfig) -> String {
    parse(text, redis).map_or_else(|_| text.to_owned(), |id| format!("{}/{id}", redis.key))
}

pub fn named(place: &Place, redis: &RedisConfig) -> Result<Named, String> {
    let id = parse(&place.text, redis)?;
    Ok(Named { instance: Some(instance((id.ms, id.seq))), ..Named::default() })
}

pub fn look(place: &Place, redis: &RedisConfig) -> Result<Look, String> {
    let id = parse(&place.text, redis)?;
    match &redis.kind {
        RedisKind::Stream(stream) => entry(place, redis, stream, id),
        RedisKind::List(list) => item(place, redis, list, id),
    }
}

fn entry(place: &Place, redis: &RedisConfig, stream: &StreamConfig, id: EntryId) -> Result<Look, String> {
    let options = ReplayOptions {
        pipeline: place.pipeline.name.as_str().into(),
        stream: redis.key.as_str().into(),
        names: stream.names.clone(),
        range: (id, id),
        rate: None,
    };
    let facts = client(redis, &redis.key)?.entry(&options, &stream.group, id)?;
    let Some((message, lane)) = facts.entry else {
        return Err(format!("the stream {} has no entry {id}", redis.key));
    };
    let deliveries = match facts.pending {
        None if facts.delivered => {
            return Err(format!("the group {} is done with the entry {id}", stream.group));
        }
        None => None,
        Some(Pending { consumer, idle_ms, deliveries }) => {
            let ours = worker_name(&place.config, &place.pipeline, stream.consumer.as_ref())?;
            let ours = ours.is_some_and(|name| name == consumer);
            let idle = u128::from(idle_ms) > stream.claim_min_idle.as_millis();
            if !ours && !idle {
                return Err(format!("the consumer {consumer} has the entry {id} in work"));
            }
            if place.runs {
                return Ok(Look::Comes);
            }
            Some(deliveries)
        }
    };
    let receives = deliveries.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1));
    let delivery = one(message, lane, receives, instance((id.ms, id.seq)));
    let (of, group) = (redis.clone(), stream.group.clone());
    let after: After = Box::new(move || {
        if deliveries.is_some() {
            client(&of, &of.key)?.acknowledge(&of.key, &group, id)?;
        }
        Ok(None)
    });
    Ok(Look::Here(Found::read(delivery, false, after)))
}

fn item(place: &Place, redis: &RedisConfig, list: &ListConfig, id: EntryId) -> Result<Look, String> {
    let found = client(redis, &redis.key)?.item(&place.pipeline.name, &redis.key, (id.ms, id.seq))?;
    let found = found.ok_or_else(|| {
        format!(
            "no worker of the list {} has taken a message {id}; what waits in a list has no number",
            redis.key
        )
    })?;
    let ours = worker_name(&place.config, &place.pipeline, list.worker.as_ref())?;
    let is_ours = ours.is_some_and(|name| name == found.worker);
    if found.alive && !is_ours {
        return Err(format!("the worker {} has the message {id} in work", found.worker));
    }
    if place.runs {
        return Ok(Look::Comes);
    }
    let delivery = one(found.message.clone(), None, 0, instance((id.ms, id.seq)));
    let of = redis.clone();
    let after: After = Box::new(move || client(&of, &of.key)?.remove_item(&of.key, &found).map(|_| None));
    Ok(Look::Here(Found::read(delivery, false, after)))
}
