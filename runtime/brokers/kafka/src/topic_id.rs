//! Which topic a name stands for. A topic that was deleted and made again has the name of the old one,
//! offsets that begin anew, and another id (KIP-516); nothing that is known of the old one is true of it.

use pelton_core::ports::Scope;
use std::sync::Arc;

/// How the client library begins its log line about an id, and how it goes on. It tells ids nowhere else,
/// and this before the first record of a topic: it fetches by id, so a record of another topic cannot come
/// before.
const TOLD: [&str; 3] = ["Topic ", " changed id from ", " to "];
/// Characters of an id: 16 bytes in base 64, without padding.
const LENGTH: usize = 22;
/// No id: from a broker before 2.8.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The part of the library's log (`debug`) that has these lines: a few for each look at the topics.
pub const LOG_CONTEXT: &str = "metadata";
/// A part of it that must not be logged, though it has these lines too. Lines wait in the queue that is
/// polled, and a poll that drops the last there is of a partition that is gone logs that while it holds the
/// queue's lock: it would wait for itself, for ever.
pub const LOG_CONTEXT_NEVER: &str = "topic";

/// What the metadata of our commits begins with.
const OURS: &str = "pelton";
const TOPIC: &str = " topic=";

/// A topic's id, as brokers give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicId(Arc<str>);

impl TopicId {
    fn of(text: &str) -> Option<Self> {
        let is_one = text.len() == LENGTH && text.is_ascii() && text != NONE;
        is_one.then(|| Self(text.into()))
    }

    /// The topic and its id, if this line of the library's log is about one.
    pub fn told_by(line: &str) -> Option<(&str, Self)> {
        // The thread's name is before it.
        let (_, rest) = line.split_once(TOLD[0])?;
        let (topic, rest) = rest.split_once(TOLD[1])?;
        let (_, id) = rest.split_once(TOLD[2])?;
        Some((topic, Self::of(id)?))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It numbers the records of its topic, and of no other.
    pub fn scope(&self) -> Scope {
        self.0.clone()
    }
}

/// What numbers the records of a topic whose broker gives topics no ids: its name, and its cluster. Where
/// that has none either, the addresses that are configured stand for it.
pub fn scope_without_id(cluster: Option<String>, bootstrap_servers: &str, topic: &str) -> Scope {
    let cluster = cluster.unwrap_or_else(|| {
        let mut servers: Vec<&str> = bootstrap_servers.split(',').map(str::trim).collect();
        servers.sort_unstable();
        servers.join(",")
    });
    format!("{cluster}/{topic}").into()
}

/// Who committed an offset, by what is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitMark {
    /// Pelton: to the topic of this id, if the broker told one.
    Ours(Option<TopicId>),
    /// Somebody else: an operator, another program, or Pelton before it made marks.
    Foreign,
}

impl CommitMark {
    pub fn of(metadata: &str) -> Self {
        match metadata.strip_prefix(OURS) {
            Some(rest) => Self::Ours(rest.strip_prefix(TOPIC).and_then(TopicId::of)),
            None => Self::Foreign,
        }
    }

    /// What is kept beside an offset that we commit.
    pub fn metadata(topic: Option<&TopicId>) -> String {
        topic.map_or_else(|| OURS.to_owned(), |id| format!("{OURS}{TOPIC}{}", id.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "Rv1yHeO3TmKq+8/B0fvJ3g";

    #[test]
    fn a_topic_without_an_id_is_told_apart_by_its_cluster() {
        let of =
            |cluster: Option<&str>, servers| scope_without_id(cluster.map(str::to_owned), servers, "t");
        assert_eq!(of(Some("c"), "a:1"), of(Some("c"), "b:1"));
        assert_eq!(of(None, "a:1, b:1"), of(None, "b:1,a:1"));
        assert_ne!(of(None, "a:1"), of(None, "b:1"));
    }

    #[test]
    fn ids_are_found_in_the_log_of_the_library() {
        let line = format!("[thrd:main]: Topic orders.v-1_x changed id from {NONE} to {ID}");
        let (topic, id) = TopicId::told_by(&line).expect("it is told");
        assert_eq!((topic, id.as_str()), ("orders.v-1_x", ID));
        for other in [
            format!("[thrd:main]: Topic orders changed id from {ID} to {NONE}"),
            format!("[thrd:main]: Topic orders changed id from {ID} to "),
            "[thrd:main]: Topic orders [0] Leader 1 Epoch 0".to_owned(),
            String::new(),
        ] {
            assert_eq!(TopicId::told_by(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_kept_beside_a_commit_says_whose_it_is() {
        let id = TopicId::of(ID);
        assert_eq!(CommitMark::of(&CommitMark::metadata(id.as_ref())), CommitMark::Ours(id));
        assert_eq!(CommitMark::of(&CommitMark::metadata(None)), CommitMark::Ours(None));
        assert_eq!(
            ["", "kafka-streams", "Pelton"].map(CommitMark::of),
            [CommitMark::Foreign, CommitMark::Foreign, CommitMark::Foreign]
        );
    }
}
