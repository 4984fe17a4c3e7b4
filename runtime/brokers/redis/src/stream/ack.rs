//! What a stream's group is told: acknowledgements, and that entries are still being worked on.

use super::Stream;
use crate::ack_writer::{Broker, MANY};
use crate::fault::Fault;
use crate::in_flight::{Held, ServerPosition};
use crate::number::Count;
use crate::server::ANSWER;
use crate::shared::SourceShared;
use redis::Script;
use redis::aio::MultiplexedConnection;
use std::sync::LazyLock;
use std::time::Instant;

/// Renews what is still pending for the consumer, and says for each how it stands: 0 for another consumer's,
/// 1 for ours, 2 for one that was pending for nobody and is ours again. To claim an entry for oneself sets
/// its idle time to 0; without the check it would take back what another has taken over. While a lease is
/// good nobody takes an entry over: one that is nobody's was taken off by force, and would be lost with us.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local group, consumer = ARGV[1], ARGV[2]
         local ours = {}
         for i = 3, #ARGV do
           local pending = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1)
           if #pending > 0 and pending[1][2] ~= consumer then
             ours[i - 2] = 0
           elseif #pending > 0 then
             redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'JUSTID')
             ours[i - 2] = 1
           else
             redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'FORCE', 'JUSTID')
             ours[i - 2] = 2
           end
         end
         return ours",
    )
});

fn name((ms, seq): ServerPosition) -> String {
    format!("{ms}-{seq}")
}

impl Broker for Stream {
    fn shared(&self) -> &SourceShared {
        &self.shared
    }

    async fn ack(&self, connection: &mut MultiplexedConnection, messages: &[Held]) -> Result<(), Fault> {
        let mut pipe = redis::pipe();
        for some in messages.chunks(MANY) {
            let ids: Vec<String> = some.iter().map(|held| name(held.place)).collect();
            pipe.cmd("XACK").arg(&self.options.stream).arg(&self.options.group).arg(ids).ignore();
        }
        Ok(pipe.query_async::<()>(connection).await?)
    }

    async fn renew(
        &self,
        connection: &mut MultiplexedConnection,
        places: &[ServerPosition],
    ) -> Result<Vec<ServerPosition>, Fault> {
        let asked = Instant::now();
        let mut call = RENEW.prepare_invoke();
        call.key(&self.options.stream).arg(&self.options.group).arg(&self.options.consumer);
        for place in places {
            call.arg(name(*place));
        }
        let ours: Vec<Count> = call.invoke_async(connection).await?;
        let until = asked + self.options.lease();
        let forced = ours.iter().filter(|ours| **ours == Count(2)).count();
        if forced > 0 {
            tracing::warn!(
                pipeline = %self.shared.pipeline, stream = self.options.stream, entries = forced,
                "entries in work here had been taken off the pending list, as XGROUP DELCONSUMER and XACK \
                 do it; they are pending again until they are done with"
            );
        }
        let (mut shelf, mut lost) = (self.shared.shelf(), Vec::new());
        for (place, ours) in places.iter().zip(ours) {
            if ours > Count(0) {
                shelf.renewed(*place, until);
            } else {
                shelf.lost(*place);
                lost.push(*place);
            }
        }
        Ok(lost)
    }
}

/// Has entries pass for idle, so that whoever looks next takes them over at once.
pub async fn release(stream: &Stream, places: &[ServerPosition]) -> Result<(), Fault> {
    let mut connection = stream.shared.server.connect(ANSWER).await?;
    let mut pipe = redis::pipe();
    for some in places.chunks(MANY) {
        let command = pipe.cmd("XCLAIM").arg(&stream.options.stream).arg(&stream.options.group);
        command.arg(&stream.options.consumer).arg(0);
        for place in some {
            command.arg(name(*place));
        }
        command.arg("IDLE").arg(stream.options.idle_ms()).arg("JUSTID").ignore();
    }
    Ok(pipe.query_async::<()>(&mut connection).await?)
}
