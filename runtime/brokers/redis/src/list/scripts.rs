//! What has to happen at the server in one piece.
//!
//! A server that is at `maxmemory` and may evict nothing refuses what could need more, but in a script only
//! as its first write: half of one is worse. What is done here needs next to nothing, and makes room: a
//! list that has filled the memory is drained by it. So each script begins with a write that needs none,
//! and changes nothing that matters.
//!
//! A script that fails stays as far as it has come. So where a message is on its way, where it goes to is
//! asked for its length before: a key of another type refuses that.

use redis::Script;
use std::sync::LazyLock;

/// A sign of life. KEYS: alive, workers. ARGV: incarnation, its milliseconds, worker, whether the name is
/// taken whoever has it. 0: another process has the name; 1: it was ours; 2: it was nobody's, or another's.
pub static HEARTBEAT_INTERVAL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local owner = redis.call('GET', KEYS[1])
         if owner and owner ~= ARGV[1] and ARGV[4] ~= '1' then return 0 end
         redis.call('PEXPIRE', KEYS[1], ARGV[2])
         redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
         redis.call('SADD', KEYS[2], ARGV[3])
         if owner == ARGV[1] then return 1 end
         return 2",
    )
});

/// Moves messages into the processing list, each with a number that nothing else ever had, and returns
/// them as they are there. KEYS: list, processing, arriving, alive. ARGV: incarnation, its milliseconds,
/// the pop, how many, bytes at most, the first count, a number of this process. Nil when the name is not
/// ours any more.
pub static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[4]) ~= ARGV[1] then return false end
         redis.call('PEXPIRE', KEYS[4], ARGV[2])
         redis.call('LLEN', KEYS[2])
         local ms = redis.call('TIME')
         ms = string.format('%.0f', ms[1] * 1000 + math.floor(ms[2] / 1000))
         local taken, bytes = {}, 0
         for i = 1, tonumber(ARGV[4]) do
           local body = redis.call('LPOP', KEYS[3])
           if not body then body = redis.call(ARGV[3], KEYS[1]) end
           if not body then break end
           local number = string.format('%.0f', (ARGV[6] + i - 1) * 1048576 + ARGV[7])
           local item = ms .. '-' .. number .. '|' .. body
           redis.call('RPUSH', KEYS[2], item)
           taken[i] = item
           bytes = bytes + #item
           if bytes >= tonumber(ARGV[5]) then break end
         end
         return taken",
    )
});

/// Takes over what a worker has left that is gone. KEYS: its alive, its processing, its arriving, our
/// processing, workers, list, our alive. ARGV: its name, how many, the push that puts a body where it is
/// taken next, our incarnation, its milliseconds. What was moved; nil when it is not gone, or we are not
/// there.
pub static TAKE_OVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 1 then return false end
         if redis.call('GET', KEYS[7]) ~= ARGV[4] then return false end
         redis.call('PEXPIRE', KEYS[7], ARGV[5])
         redis.call('LLEN', KEYS[6])
         local moved = {}
         for i = 1, tonumber(ARGV[2]) do
           local item = redis.call('LMOVE', KEYS[2], KEYS[4], 'LEFT', 'RIGHT')
           if not item then break end
           moved[i] = item
         end
         if redis.call('LLEN', KEYS[2]) == 0 then
           local body = redis.call('RPOP', KEYS[3])
           while body do
             redis.call(ARGV[3], KEYS[6], body)
             body = redis.call('RPOP', KEYS[3])
           end
           redis.call('SREM', KEYS[5], ARGV[1])
         end
         return moved",
    )
});

/// Puts what is no item back onto the list, to be taken like any other message. KEYS: processing, list.
/// ARGV: the push that puts a body where it is taken next, then what is no item.
pub static RETURN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('LLEN', KEYS[2])
         for i = 2, #ARGV do
           if redis.call('LREM', KEYS[1], 1, ARGV[i]) == 1 then redis.call(ARGV[1], KEYS[2], ARGV[i]) end
         end
         return 1",
    )
});

/// Gives back what was popped for good. KEYS: list. ARGV: the push that puts a body where it is taken next,
/// then the bodies, the one that is taken first as the last.
pub static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('LTRIM', KEYS[1], 0, -1)
         for i = 2, #ARGV do redis.call(ARGV[1], KEYS[1], ARGV[i]) end
         return 1",
    )
});

/// Gives the name free. KEYS: alive. ARGV: incarnation.
pub static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
         return 1",
    )
});
