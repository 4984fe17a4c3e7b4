//! What a list source is told, and which keys it has at the server.

use pelton_core::number::millis;
use std::sync::Arc;
use std::time::Duration;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// LPOP takes from there.
    Left,
    /// RPOP takes from there: after LPUSH what came first.
    Right,
}

impl End {
    /// As commands name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Left => "LEFT",
            Self::Right => "RIGHT",
        }
    }
}

/// Settings of a source.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// The pipeline's name, for messages and logs.
    pub pipeline: Arc<str>,
    /// The list.
    pub list: String,
    /// The end that is taken from.
    pub pop: End,
    /// What is taken is gone: it is lost if the worker dies before it has handled it.
    pub at_most_once: bool,
    /// One message after another, in the order of the list, over retries too.
    pub ordered: bool,
    /// This worker's name: the same after a restart, and no other worker's.
    pub worker: String,
    /// A worker that was silent for so long is gone, and its messages are taken over.
    pub takeover_after: Duration,
    /// Messages that may be held whatever the handler's pace: what it runs at once.
    pub at_least: usize,
    /// Messages that may be held, at most.
    pub at_most: usize,
}

impl ListOptions {
    /// How long a lease is counted to be: less than the server's, because what it counts from is not known
    /// better than by when the answer came.
    pub(crate) fn lease(&self) -> Duration {
        self.takeover_after - (self.takeover_after / 10).min(Duration::from_secs(1))
    }

    pub(crate) fn alive_ms(&self) -> u64 {
        millis(self.takeover_after)
    }

    /// Between two signs of life, and two looks at what other workers have left.
    pub(crate) fn interval(&self) -> Duration {
        (self.takeover_after / 4).clamp(Duration::from_millis(50), Duration::from_secs(10))
    }
}

/// The keys beside a list, or a stream. All are in its slot of a cluster.
#[derive(Debug, Clone)]
pub struct Keys {
    base: String,
}

impl Keys {
    /// # Errors
    /// When no other key could be in the slot of this one, in words.
    pub fn of(list: &str) -> Result<Self, String> {
        let tag = list.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
        match tag {
            Some(tag) if !tag.is_empty() => Ok(Self { base: list.to_owned() }),
            _ if list.contains('}') => Err(format!(
                "is `{list}`: no other key can be made that a cluster keeps beside it; put a {{tag}} into \
                 its name"
            )),
            _ => Ok(Self { base: format!("{{{list}}}") }),
        }
    }

    /// The names of all workers that may hold something.
    #[must_use]
    pub fn workers(&self) -> String {
        format!("{}:pelton:workers", self.base)
    }

    /// There while the worker lives.
    #[must_use]
    pub fn alive(&self, worker: &str) -> String {
        format!("{}:pelton:alive:{worker}", self.base)
    }

    /// What the worker has taken and not finished, the oldest first: each body behind a number and `|`.
    #[must_use]
    pub fn processing(&self, worker: &str) -> String {
        format!("{}:pelton:processing:{worker}", self.base)
    }

    /// There as long as it is remembered that the message with this id of an outbox was added.
    #[must_use]
    pub fn sent(&self, id: &str) -> String {
        format!("{}:pelton:sent:{id}", self.base)
    }

    /// What a blocking move has just brought: bodies as they were on the list.
    #[must_use]
    pub fn arriving(&self, worker: &str) -> String {
        format!("{}:pelton:arriving:{worker}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_slot_of_the_list() {
        let processing = |list: &str| Keys::of(list).map(|keys| keys.processing("w"));
        assert_eq!(processing("orders").as_deref(), Ok("{orders}:pelton:processing:w"));
        assert_eq!(processing("{shop}orders").as_deref(), Ok("{shop}orders:pelton:processing:w"));
        assert!(processing("odd}orders").is_err() && processing("{}orders").is_err());
    }
}
