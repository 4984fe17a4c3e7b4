//! Sends the messages of an outbox: in order, each once within a day or as long as is configured.
//!
//! One script adds a batch. It stops at the first message that the server does not take, so that nothing is
//! added behind it, and it remembers the id of each that it has added beside the stream or list.

use super::client::Client;
use super::config::{ListConfig, RedisConfig, RedisKind, StreamConfig};
use super::fault::Fault;
use super::fields::{Field, fields};
use super::list::{End, Keys};
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Sent, Unsent};
use pelton_core::number::millis;
use redis::{RedisResult, Script};
use std::sync::LazyLock;
use std::time::Duration;

/// Messages and bytes that one script takes: the server does nothing else meanwhile.
const ROUND: (usize, usize) = (100, 1 << 20);

/// Adds messages in order. KEYS: the stream or list, then for each message the key that remembers its id.
/// ARGV: for how many milliseconds (0: not at all), the command, then for each message how many arguments
/// the command has for it, and these. What was added, as the command has answered, or had; and what the
/// server says of the first that it has not taken.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local told, at = {}, 3
         for i = 2, #KEYS do
           local last = at + ARGV[at]
           local place = ARGV[1] ~= '0' and redis.call('GET', KEYS[i])
           if not place then
             place = redis.pcall(ARGV[2], KEYS[1], unpack(ARGV, at + 1, last))
             if type(place) == 'table' and place.err then return {told, place.err} end
             if ARGV[1] ~= '0' then redis.call('SET', KEYS[i], place, 'PX', ARGV[1]) end
           end
           told[i - 1] = tostring(place)
           at = last + 1
         end
         return {told, ''}",
    )
});

/// A message as the arguments of its command.
type Arguments = Vec<Vec<u8>>;

/// Adds to a stream or a list.
pub struct RedisOutbox {
    client: Client,
    redis: RedisConfig,
    /// Beside which ids are remembered.
    keys: Keys,
    remembered: Duration,
}

impl RedisOutbox {
    /// Connects with the first batch.
    ///
    /// # Errors
    /// In words: the address is none, or no other key can be beside this one.
    pub fn new(redis: &RedisConfig, remembered: Duration) -> Result<Self, String> {
        let client = Client::unconnected(redis.server(&redis.key)?)?;
        Ok(Self { client, redis: redis.clone(), keys: Keys::of(&redis.key)?, remembered })
    }

    fn arguments(&self, message: &Outgoing<'_>) -> Result<Arguments, String> {
        match &self.redis.kind {
            RedisKind::Stream(stream) => Ok(of_entry(stream, fields(message, &stream.names)?)),
            RedisKind::List(_) => Ok(vec![message.bytes().to_vec()]),
        }
    }

    /// Adds some messages; those that were, and why the next was not.
    fn add(&self, batch: &[(&Outgoing<'_>, Arguments)]) -> (Vec<Published>, Option<Unsent>) {
        let mut script = ADD.key(&self.redis.key);
        script.arg(millis(self.remembered)).arg(command(&self.redis.kind));
        for (message, arguments) in batch {
            script.key(self.keys.sent(message.outbox_id().unwrap_or_default()));
            script.arg(arguments.len()).arg(arguments);
        }
        let added: Result<(Vec<String>, String), Fault> = self.client.try_run(async |connection| {
            let answer: RedisResult<_> = script.invoke_async(connection).await;
            answer.map_err(|error| Fault::of(&error))
        });
        match added {
            Err(fault) => (Vec::new(), Some(fault.into())),
            Ok((added, refused)) => {
                let all_added = refused.is_empty() && added.len() == batch.len();
                let why = (!all_added).then(|| Unsent::for_now(Fault::answered(&refused).words));
                (added.into_iter().map(|place| Ok(self.sent(&place))).collect(), why)
            }
        }
    }

    /// A list gives no ids.
    fn sent(&self, place: &str) -> Sent {
        let key = &self.redis.key;
        match &self.redis.kind {
            RedisKind::Stream(_) => Sent::as_it_is(format!("{key}/{place}")),
            RedisKind::List(_) => Sent::as_it_is(key),
        }
    }
}

fn command(kind: &RedisKind) -> &'static str {
    match kind {
        RedisKind::Stream(_) => "XADD",
        // To the end that is not popped.
        RedisKind::List(ListConfig { pop: End::Right, .. }) => "LPUSH",
        RedisKind::List(ListConfig { pop: End::Left, .. }) => "RPUSH",
    }
}

/// The arguments behind the key.
fn of_entry(stream: &StreamConfig, fields: Vec<Field>) -> Arguments {
    let bound =
        stream.maxlen.map(|most| [b"MAXLEN".to_vec(), b"~".to_vec(), most.to_string().into_bytes()]);
    let fields = fields.into_iter().flat_map(|(name, value)| [name, value]);
    bound.into_iter().flatten().chain([b"*".to_vec()]).chain(fields).collect()
}

impl Publisher for RedisOutbox {
    fn check(&mut self) -> Result<(), Unsent> {
        self.client.try_run(async |_| Ok(())).map_err(Unsent::from)
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let mut results: Vec<Option<Published>> = batch.iter().map(|_| None).collect();
        let (mut round, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut fault: Option<Unsent> = None;
        for (place, message) in batch.iter().enumerate() {
            match self.arguments(message) {
                Ok(arguments) => {
                    bytes += arguments.iter().map(Vec::len).sum::<usize>();
                    round.push((message, arguments));
                    places.push(place);
                }
                Err(why) => results[place] = Some(Err(Unsent::for_good(why))),
            }
            let is_last = place + 1 == batch.len();
            if fault.is_some() || round.is_empty() || (!is_last && round.len() < ROUND.0 && bytes < ROUND.1)
            {
                continue;
            }
            let (added, why) = self.add(&round);
            places.iter().zip(added).for_each(|(place, added)| results[*place] = Some(added));
            fault = why;
            (round, places, bytes) = (Vec::new(), Vec::new(), 0);
        }
        // Nothing goes behind what was not taken.
        let unsent = fault.unwrap_or_else(|| Unsent::for_now("the server did not say whether it has it"));
        Ok(results.into_iter().map(|one| one.unwrap_or_else(|| Err(unsent.clone()))).collect())
    }
}
