//! What has to be done now and then, by whichever worker comes to it: trimming, and removing workers that
//! are gone. Each step is one script, so that nothing happens between a look and the act.

use super::group::see_the_place;
use super::{Stream, consumer_name};
use crate::fault::Fault;
use crate::number::Count;
use crate::points;
use crate::server::{ANSWER, backoff};
use redis::Script;
use redis::aio::MultiplexedConnection;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const DOING: &str = "tidying up";
/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(2);
/// Entries of one step of trimming: at first, and when the server was quick.
const STEP: (usize, usize) = (100, 1_600);
const QUICK: Duration = Duration::from_millis(2);

/// Trims by the oldest entry that any group still needs: one that is pending, or the first that it has not
/// been given. So many entries are looked at in a step, so that the server is never held up for long; how
/// many went is returned. Whole nodes go, unless a hundred that may go are within one.
static TRIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local function before(a, b)
           local am, as = string.match(a, '(%d+)-(%d+)')
           local bm, bs = string.match(b, '(%d+)-(%d+)')
           -- As text: they may be longer than a number here is exact.
           if am == bm then am, bm = as, bs end
           if #am ~= #bm then return #am < #bm end
           return am < bm
         end
         local spare = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
         if spare <= 0 then return 0 end
         local bound = nil
         for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
           local told = {}
           for i = 1, #group, 2 do told[group[i]] = group[i + 1] end
           local needed = told['last-delivered-id']
           local pending = redis.call('XPENDING', KEYS[1], told['name'])
           if pending[1] > 0 then needed = pending[2] end
           if not bound or before(needed, bound) then bound = needed end
         end
         if not bound or bound == '0-0' then return 0 end
         local step = tonumber(ARGV[2])
         local old = redis.call('XRANGE', KEYS[1], '-', '(' .. bound, 'COUNT', math.min(spare, step))
         if #old == 0 then return 0 end
         local gone = redis.call('XTRIM', KEYS[1], 'MINID', '~', old[#old][1])
         if gone == 0 and #old >= 100 then gone = redis.call('XTRIM', KEYS[1], 'MINID', old[#old][1]) end
         return gone",
    )
});

/// Removes a consumer that has been silent for so long and has nothing pending.
static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local removed = {}
         for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
           local told = {}
           for i = 1, #consumer, 2 do told[consumer[i]] = consumer[i + 1] end
           if told['name'] ~= ARGV[2] and told['pending'] == 0 and told['idle'] >= tonumber(ARGV[3]) then
             redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], told['name'])
             table.insert(removed, told['name'])
           end
         end
         return removed",
    )
});

/// Does them until the source closes, and shows all the while that the worker lives.
pub async fn run(stream: Arc<Stream>) {
    let (mut connection, mut failures, mut due) = (None, 0, Instant::now() + interval(&stream));
    loop {
        stream
            .shared
            .pause(if failures == 0 { consumer_name::HEARTBEAT_INTERVAL } else { backoff(failures) })
            .await;
        if stream.shared.is_closing() {
            return;
        }
        points::reach("redis-chores");
        match round(&stream, &mut connection, &mut due).await {
            Ok(()) => {
                failures = 0;
                stream.shared.works(DOING);
            }
            Err(fault) => {
                connection = None;
                failures += 1;
                // Where there is no group yet there is nothing to do.
                if !fault.no_group {
                    stream.shared.complain(DOING, &fault);
                }
            }
        }
    }
}

fn interval(stream: &Stream) -> Duration {
    stream.options.interval().min(INTERVAL)
}

async fn round(
    stream: &Stream,
    connection: &mut Option<MultiplexedConnection>,
    due: &mut Instant,
) -> Result<(), Fault> {
    if connection.is_none() {
        *connection = Some(stream.shared.server.connect(ANSWER).await?);
    }
    let Some(open) = connection else { return Ok(()) };
    consumer_name::show(stream, open).await?;
    if Instant::now() < *due {
        return Ok(());
    }
    *due = Instant::now() + interval(stream);
    let options = &stream.options;
    see_the_place(stream, open).await?;
    if let Some(maxlen) = options.maxlen {
        trim(stream, open, maxlen).await?;
    }
    let mut call = REMOVE.prepare_invoke();
    call.key(&options.stream).arg(&options.group).arg(&options.consumer).arg(options.gone_after_ms());
    let removed: Vec<Vec<u8>> = call.invoke_async(open).await?;
    for consumer in removed.iter().map(|name| String::from_utf8_lossy(name)) {
        tracing::info!(
            pipeline = %stream.shared.pipeline, stream = options.stream, consumer = %consumer,
            "removed a worker from the group that is gone and had nothing pending"
        );
    }
    Ok(())
}

async fn trim(stream: &Stream, connection: &mut MultiplexedConnection, maxlen: u64) -> Result<(), Fault> {
    let mut step = STEP.0;
    while !stream.shared.is_closing() {
        let asked = Instant::now();
        let mut call = TRIM.prepare_invoke();
        call.key(&stream.options.stream).arg(maxlen).arg(step);
        if call.invoke_async::<Count>(connection).await? == Count(0) {
            break;
        }
        // Large entries take long, and everybody waits meanwhile.
        step = if asked.elapsed() < QUICK { (step * 2).min(STEP.1) } else { STEP.0 };
    }
    Ok(())
}
