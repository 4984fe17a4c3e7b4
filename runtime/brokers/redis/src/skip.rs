//! A message that somebody gives up on: an entry of a stream, or what a worker of a list has taken.

use crate::config::{ListConfig, RedisConfig, RedisKind, StreamConfig};
use crate::fields::EntryId;
use crate::in_flight::instance;
use crate::one::Pending;
use pelton_core::broker::{AfterLetter, FindMessage, FoundMessage, Look, WantedMessage};
use pelton_core::pipeline::Named;
use pelton_core::ports::Scope;
use pelton_core::{Delivery, Lane, Message};

impl FindMessage for RedisConfig {
    fn named(&self, wanted: &WantedMessage) -> Result<Named, String> {
        let id = parse(&wanted.text, self)?;
        Ok(Named { instance: Some(instance((id.ms, id.seq))), ..Named::default() })
    }

    fn ledger_key(&self, text: &str) -> String {
        parse(text, self).map_or_else(|_| text.to_owned(), |id| format!("{}/{id}", self.key))
    }

    fn scopes(&self, _: &str) -> Result<Vec<Scope>, String> {
        Ok(vec![self.server(&self.key)?.scope()])
    }

    fn look(&self, wanted: &WantedMessage) -> Result<Look, String> {
        let id = parse(&wanted.text, self)?;
        match &self.kind {
            RedisKind::Stream(stream) => entry(wanted, self, stream, id),
            RedisKind::List(list) => item(wanted, self, list, id),
        }
    }
}

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

fn entry(
    wanted: &WantedMessage,
    redis: &RedisConfig,
    stream: &StreamConfig,
    id: EntryId,
) -> Result<Look, String> {
    let options = stream.replay(redis, &wanted.pipeline.name, (id, id), None);
    let facts = redis.client(&redis.key)?.entry(&options, &stream.group, id)?;
    let Some((message, lane)) = facts.entry else {
        return Err(format!("the stream {} has no entry {id}", redis.key));
    };
    let deliveries = match facts.pending {
        None if facts.delivered => {
            return Err(format!("the group {} is done with the entry {id}", stream.group));
        }
        None => None,
        Some(Pending { consumer, idle_ms, deliveries }) => {
            let is_ours = is_ours(&consumer, wanted, stream.consumer.as_deref())?;
            let idle = u128::from(idle_ms) > stream.claim_min_idle.as_millis();
            if !is_ours && !idle {
                return Err(format!("the consumer {consumer} has the entry {id} in work"));
            }
            if wanted.runs {
                return Ok(Look::Comes);
            }
            Some(deliveries)
        }
    };
    let receives = deliveries.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1));
    let (of, group) = (redis.clone(), stream.group.clone());
    let after: AfterLetter = Box::new(move || {
        if deliveries.is_some() {
            of.client(&of.key)?.acknowledge(&of.key, &group, id)?;
        }
        Ok(None)
    });
    Ok(Look::Here(FoundMessage::read(delivery(message, lane, receives, id), after)))
}

fn item(
    wanted: &WantedMessage,
    redis: &RedisConfig,
    list: &ListConfig,
    id: EntryId,
) -> Result<Look, String> {
    let found = redis.client(&redis.key)?.item(&wanted.pipeline.name, &redis.key, (id.ms, id.seq))?;
    let found = found.ok_or_else(|| {
        format!(
            "no worker of the list {} has taken a message {id}; what waits in a list has no number",
            redis.key
        )
    })?;
    if found.alive && !is_ours(&found.worker, wanted, list.worker.as_deref())? {
        return Err(format!("the worker {} has the message {id} in work", found.worker));
    }
    if wanted.runs {
        return Ok(Look::Comes);
    }
    let delivery = delivery(found.message.clone(), None, 0, id);
    let of = redis.clone();
    let after: AfterLetter =
        Box::new(move || of.client(&of.key)?.remove_item(&of.key, &found).map(|_| None));
    Ok(Look::Here(FoundMessage::read(delivery, after)))
}

fn delivery(message: Message, lane: Option<Lane>, receives: u32, id: EntryId) -> Delivery {
    Delivery { lane, receives, instance: Some(instance((id.ms, id.seq))), ..Delivery::of(message) }
}

/// Whether this is how the pipeline's worker of this data directory is called at the server.
fn is_ours(name: &str, wanted: &WantedMessage, configured: Option<&str>) -> Result<bool, String> {
    if let Some(configured) = configured {
        return Ok(configured == name);
    }
    let known = wanted.books.worker_name().known()?;
    Ok(known.is_some_and(|known| name == worker_name(&known, &wanted.pipeline.name)))
}

/// The worker of a data directory, as a pipeline's own consumer or worker is called.
pub fn worker_name(of_data_dir: &str, pipeline: &str) -> String {
    format!("{of_data_dir}-{pipeline}")
}
