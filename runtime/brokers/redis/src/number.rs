//! Numbers as the server tells them: signed, whatever they count. The client library would read -1 as the
//! largest number there is.

use redis::{FromRedisValue, ParsingError, Value};

/// How many there are. The server's own arithmetic may end below zero (what a group has read is counted
/// beside what was added, and either can be set): then there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl FromRedisValue for Count {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let told: i64 = redis::from_redis_value(value)?;
        Ok(Self(u64::try_from(told).unwrap_or(0)))
    }
}

/// A counter that the server keeps without a sign, and tells with one: what looks negative has passed the
/// middle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter(pub u64);

impl FromRedisValue for Counter {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let told: i64 = redis::from_redis_value(value)?;
        Ok(Self(told.cast_unsigned()))
    }
}

/// The number of things here.
pub fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_below_zero_is_none_and_a_counter_is_large() {
        let read = |told: i64| {
            let count: Count = redis::from_redis_value(Value::Int(told)).unwrap();
            let counter: Counter = redis::from_redis_value(Value::Int(told)).unwrap();
            (count.0, counter.0)
        };
        assert_eq!(read(7), (7, 7));
        assert_eq!(read(-1), (0, u64::MAX));
        assert_eq!(read(i64::MIN), (0, 1 << 63));
        assert_eq!(read(i64::MAX), (i64::MAX.cast_unsigned(), i64::MAX.cast_unsigned()));
        let text: Result<Count, _> = redis::from_redis_value(Value::BulkString(b"-3".to_vec()));
        assert_eq!(text.unwrap(), Count(0));
        assert!(redis::from_redis_value::<Count>(Value::Nil).is_err());
    }
}
