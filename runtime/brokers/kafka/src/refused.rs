//! Why the broker has not taken a record, and whether it ever will.

use super::advice::advice;
use super::headers::MOST_HEADERS;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// The broker has not taken a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it or the client says, and what to do.
    pub words: String,
    /// Of which kind that is.
    pub kind: Refusal,
}

/// What is in the way of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing of its own: the broker is away, or busy, or does not let us. It may be taken later.
    Passing,
    /// It is larger than the topic takes, alone and compressed.
    Size,
    /// The topic does not take its time, and no record without one.
    Time,
    /// There is no such topic now.
    Topic,
    /// The topic has no such partition now.
    Partition,
    /// The record itself: the topic never takes it.
    Content,
    /// Another record of its batch.
    Neighbour,
}

impl Refusal {
    /// Whether the topic as it is will never take this record.
    #[must_use]
    pub fn is_for_good(self) -> bool {
        match self {
            Self::Size | Self::Time | Self::Content => true,
            Self::Passing | Self::Topic | Self::Partition | Self::Neighbour => false,
        }
    }

    /// Whether it may be of the batch that the record was sent in.
    pub(super) fn is_of_a_batch(self) -> bool {
        self.is_for_good() || self == Self::Neighbour
    }

    /// By the client's code. One that is not named here passes: a record is given up for what is known of it.
    fn of(code: Option<Code>) -> Self {
        match code {
            Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize) => {
                Self::Size
            }
            Some(Code::InvalidTimestamp) => Self::Time,
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId) => Self::Topic,
            Some(Code::UnknownPartition) => Self::Partition,
            Some(Code::InvalidDifferentRecord) => Self::Neighbour,
            Some(
                Code::InvalidRecord
                | Code::InvalidTopic
                | Code::InvalidArgument
                | Code::PolicyViolation
                | Code::UnsupportedForMessageFormat,
            ) => Self::Content,
            _ => Self::Passing,
        }
    }
}

impl Refused {
    /// By us: nobody with this client could read it again.
    pub(super) fn unreadable() -> Self {
        let words =
            format!("it would have more than the {MOST_HEADERS} headers that the Kafka client reads");
        Self { words, kind: Refusal::Content }
    }

    /// By what is in nobody's way for long.
    pub(super) fn passing(words: impl Into<String>) -> Self {
        Self { words: words.into(), kind: Refusal::Passing }
    }
}

impl From<KafkaError> for Refused {
    fn from(error: KafkaError) -> Self {
        // A name with a zero in it is no topic.
        let is_no_name = matches!(error, KafkaError::Nul(_));
        let kind = if is_no_name { Refusal::Content } else { Refusal::of(error.rdkafka_error_code()) };
        let next = match kind {
            Refusal::Size => "Raise `max.message.bytes` of the topic",
            Refusal::Time => {
                "See `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` of the topic"
            }
            Refusal::Content => "See the settings of the topic",
            Refusal::Passing | Refusal::Topic | Refusal::Partition | Refusal::Neighbour => advice(&error),
        };
        Self { words: format!("{error}. {next}"), kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_record_is_for_good_and_all_else_passes() {
        let is_for_good = |code| Refused::from(KafkaError::MessageProduction(code)).kind.is_for_good();
        for code in [
            Code::MessageSizeTooLarge,
            Code::MessageBatchTooLarge,
            Code::InvalidTimestamp,
            Code::InvalidRecord,
            Code::InvalidTopic,
            Code::PolicyViolation,
        ] {
            assert!(is_for_good(code), "{code:?}");
        }
        for code in [
            Code::MessageTimedOut,
            Code::BrokerTransportFailure,
            Code::NotEnoughReplicas,
            Code::TopicAuthorizationFailed,
            Code::Authentication,
            Code::ThrottlingQuotaExceeded,
            Code::KafkaStorageError,
            Code::Fatal,
            Code::InvalidDifferentRecord,
            Code::UnknownTopicOrPartition,
            Code::UnknownPartition,
            Code::Unknown,
        ] {
            assert!(!is_for_good(code), "{code:?}");
        }
    }
}
