//! What would stop a worker at a broker that answers, and what would stop its letters. Nothing is tried: the
//! broker says what this user may do, and who is in the group.

use crate::admin::ANSWER_TIMEOUT;
use crate::advice::advice;
use crate::rights::{Described, Operation};
use crate::{KafkaConfig, KafkaTarget, LetterTopics, Topics};
use pelton_core::broker::{Diagnosis, PipelineView};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeSet;

/// How partitions are shared, unless the raw settings say otherwise.
pub const ASSIGNOR: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");

/// Whether a worker may read the topics, and join the group as it is.
pub fn of_source(kafka: &KafkaConfig) -> Diagnosis {
    let mut found = Diagnosis::default();
    let topics = match open(kafka) {
        Ok(topics) => topics,
        Err(why) => return Diagnosis { problems: vec![why], ..found },
    };
    for topic in &kafka.topics {
        match topics.described(topic) {
            Ok(told) if told.is_denied(Operation::Read) => found.problems.push(format!(
                "this user may not read the topic `{topic}`: allow it (kafka-acls --add --allow-principal \
                 User:NAME --operation Read --topic {topic})"
            )),
            Ok(_) => {}
            Err(error) => found.warnings.push(unknown(&format!("the topic `{topic}`"), &error)),
        }
    }
    match topics.described_group(&kafka.group_id) {
        Ok(group) => found.problems.extend(of_group(kafka, &group)),
        Err(error) => found.warnings.push(unknown(&format!("the group `{}`", kafka.group_id), &error)),
    }
    found
}

fn of_group(kafka: &KafkaConfig, group: &Described) -> Option<String> {
    let name = &kafka.group_id;
    if group.error == Some(Code::GroupAuthorizationFailed) || group.is_denied(Operation::Read) {
        return Some(format!(
            "this user may not join the group `{name}`, nor commit for it: allow it (kafka-acls --add \
             --allow-principal User:NAME --operation Read --group {name})"
        ));
    }
    let raw = kafka.librdkafka.iter().rfind(|(name, _)| name == ASSIGNOR.0);
    let ours = raw.map_or(ASSIGNOR.1, |(_, value)| value.as_str());
    let (theirs, members) = (&group.assignor, group.members);
    let is_mixed = group.is_classic
        && kafka.group_protocol == "classic"
        && members > 0
        && !theirs.is_empty()
        && !ours.split(',').any(|one| one.trim() == theirs);
    is_mixed.then(|| {
        format!(
            "the group `{name}` has {members} members that share its partitions by `{theirs}`, and this \
             worker offers `{ours}`: the broker refuses it, unless each of them offers that too. Write \
             \"{}\" = \"{theirs}\" into `librdkafka`, or give this pipeline a `group_id` of its own",
            ASSIGNOR.0
        )
    })
}

/// Whether letters can be there, and stay.
pub fn of_letters(letters: &LetterTopics, kafka: &KafkaConfig, pipeline: &PipelineView) -> Diagnosis {
    let mut found = Diagnosis::default();
    match open(kafka) {
        Ok(topics) => {
            for topic in &letters.topics {
                match topics.check(topic, letters.create, pipeline.max_message_bytes) {
                    Ok(warnings) => found.warnings.extend(warnings),
                    Err(problem) => found.problems.push(problem),
                }
            }
        }
        Err(why) => found.problems.push(why),
    }
    found
}

/// Whether letters can be written. Of a topic that is yet to be made nobody knows.
pub fn of_writing(letters: &LetterTopics, kafka: &KafkaConfig) -> Diagnosis {
    let mut found = Diagnosis::default();
    let topics = match open(kafka) {
        Ok(topics) => topics,
        Err(why) => return Diagnosis { problems: vec![why], ..found },
    };
    // Several that are read may have one for their letters.
    let names: BTreeSet<&str> = letters.topics.iter().map(|topic| topic.name.as_str()).collect();
    for name in names {
        match topics.described(name) {
            Ok(told) if told.is_denied(Operation::Write) => found.problems.push(format!(
                "this user may not write to the topic `{name}`, so that no dead letter can be written and \
                 its message would stay uncommitted: allow it (kafka-acls --add --allow-principal User:NAME \
                 --operation Write --topic {name})"
            )),
            Ok(_) => {}
            Err(error) => found.warnings.push(unknown(&format!("the topic `{name}`"), &error)),
        }
    }
    found
}

/// Whether an outbox can send there. Of a topic that each message names nobody knows.
pub fn of_target(target: &KafkaTarget) -> Diagnosis {
    let mut found = Diagnosis::default();
    let Some(topic) = &target.topic else { return found };
    let topics = match Topics::open(&target.bootstrap_servers, &target.librdkafka, ANSWER_TIMEOUT) {
        Ok(topics) => topics,
        Err(why) => return Diagnosis { problems: vec![why], ..found },
    };
    match topics.partitions(topic) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let what = format!(
                "there is no topic `{topic}`: make it (kafka-topics --create --topic {topic}), or correct \
                 `topic`"
            );
            return Diagnosis { problems: vec![what], ..found };
        }
        Err(why) => return Diagnosis { problems: vec![why], ..found },
    }
    match topics.described(topic) {
        Ok(told) if told.is_denied(Operation::Write) => found.problems.push(format!(
            "this user may not write to the topic `{topic}`: allow it (kafka-acls --add --allow-principal \
             User:NAME --operation Write --topic {topic})"
        )),
        Ok(_) => {}
        Err(error) => found.warnings.push(unknown(&format!("the topic `{topic}`"), &error)),
    }
    found
}

fn open(kafka: &KafkaConfig) -> Result<Topics, String> {
    Topics::open(&kafka.bootstrap_servers, &kafka.librdkafka, ANSWER_TIMEOUT)
}

fn unknown(what: &str, error: &KafkaError) -> String {
    format!(
        "the broker does not say what this user may do with {what}, so that shows when the worker runs: \
         {error}. {}",
        advice(error)
    )
}
