//! What to do about an error of the client library or of the broker.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The next step, as a sentence without its full stop.
pub fn advice(error: &KafkaError) -> &'static str {
    let code = match error {
        // Of this one the binding tells no code.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    let Some(code) = code else {
        return "Correct the settings in `librdkafka`, or leave them out";
    };
    of_connection(code)
        .or_else(|| of_rights(code))
        .or_else(|| of_group(code))
        .or_else(|| of_topic(code))
        .or_else(|| of_broker(code))
        .unwrap_or("It is tried again. If it stays so, the broker's own log says more at this time")
}

/// The same of an error that the library has given a reason for: it names the address.
pub fn advice_for(error: &KafkaError, reason: &str) -> &'static str {
    use RDKafkaErrorCode as Code;
    let has = |part: &str| reason.contains(part);
    match error.rdkafka_error_code() {
        Some(Code::SSL | Code::BrokerTransportFailure)
            if has("PLAINTEXT broker") || has("wrong version number") =>
        {
            "The port answers without TLS: write a port of the broker that has TLS into `bootstrap_servers`, \
             or set `security.protocol` in `librdkafka` to that of this one"
        }
        Some(Code::BrokerTransportFailure) if has("security.protocol") || has("SSL listener") => {
            "If the port has TLS or wants a login, set `security.protocol` in `librdkafka` to SSL, SASL_SSL \
             or SASL_PLAINTEXT as the listener has it"
        }
        Some(Code::Authentication) if has("mechanism handshake failed") => {
            "The listener takes no such login: set `security.protocol` and `sasl.mechanisms` in \
             `librdkafka` to what it has, or write another port into `bootstrap_servers`"
        }
        Some(Code::Fatal) if has("fenced") => advice(&KafkaError::Global(Code::FencedInstanceId)),
        // An address that a broker has given, and not we.
        Some(Code::Resolve) if !has("/bootstrap") => {
            "The broker gives an address that is not known here: correct its `advertised.listeners`, or the \
             names that this machine knows"
        }
        Some(Code::BrokerTransportFailure) if !has("/bootstrap") => {
            "Check that this broker runs, and that the address it gives to clients (`advertised.listeners`) \
             is reached from here"
        }
        _ => advice(error),
    }
}

/// Whether something that the broker has cannot be read.
pub fn is_damage(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::InvalidMessage)
    )
}

/// Whether it is over once the brokers are reached.
pub fn is_of_connection(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
        )
    )
}

/// Whether the broker answers, and this user may not.
pub fn is_of_rights(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| of_rights(code).is_some())
}

fn of_connection(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::AllBrokersDown | Code::BrokerTransportFailure => {
            "Check `bootstrap_servers` and that the broker runs"
        }
        Code::Resolve => "Correct the host in `bootstrap_servers`, or the names that this machine knows",
        Code::ListenerNotFound => {
            "A broker has no listener of the kind that was asked: give each broker of the cluster the same \
             `listeners` and `advertised.listeners`, or write another port into `bootstrap_servers`"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "Check the user name and password in `librdkafka`"
        }
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            "Set `sasl.mechanisms` in `librdkafka` to one that the listener has (its \
             `sasl.enabled.mechanisms`)"
        }
        Code::SSL => "Check `ssl.ca.location` and the certificates in `librdkafka`",
        Code::OperationTimedOut | Code::RequestTimedOut | Code::NetworkException => {
            "The broker is too slow, or the network is: check both. It is tried again"
        }
        Code::MessageTimedOut | Code::TimedOutQueue => {
            "For 30 s no broker has confirmed it: check that the partition has a leader that is reached \
             from here, and as many replicas in sync as the topic's `min.insync.replicas`"
        }
        _ => return None,
    })
}

fn of_rights(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::TopicAuthorizationFailed => {
            "Allow this user the topic, by an ACL of the broker: Read and Describe where it is read, Write \
             and Describe where it takes dead letters"
        }
        Code::GroupAuthorizationFailed => "Allow this user Read on the group, by an ACL of the broker",
        Code::ClusterAuthorizationFailed => {
            "Allow this user what is asked of the cluster (to make topics: Create; to send, with brokers \
             before 2.8: IdempotentWrite)"
        }
        Code::TransactionalIdAuthorizationFailed | Code::DelegationTokenAuthorizationFailed => {
            "Allow this user what is asked, by an ACL of the broker"
        }
        _ => return None,
    })
}

fn of_group(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::InconsistentGroupProtocol => {
            "Other members of the group share its partitions in another way: set \
             `partition.assignment.strategy` in `librdkafka` to the one that they have, or give this \
             pipeline a `group_id` of its own. `pelton check --connect` says which they have"
        }
        Code::FencedInstanceId | Code::UnreleasedInstanceId | Code::Fenced => {
            "Another member has the same `group.instance.id`: give each worker its own, or leave it out"
        }
        Code::UnsupportedAssignor => {
            "The broker has no such assignor: correct `group.remote.assignor` in `librdkafka`, or leave it \
             out"
        }
        Code::GroupMaxSizeReached => {
            "The group has as many members as the broker lets it (`group.max.size`): run fewer workers, or \
             raise it"
        }
        Code::InvalidSessionTimeout => {
            "Set `session.timeout.ms` in `librdkafka` within what the broker allows \
             (`group.min.session.timeout.ms` to `group.max.session.timeout.ms`)"
        }
        Code::InvalidGroupId => "Correct `group_id`",
        Code::PollExceeded => {
            "The worker has not polled for `max.poll.interval.ms`: the machine stood still, or the disk of \
             `data_dir` did. It joins again"
        }
        Code::RebalanceInProgress
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::AssignmentLost => "The group has moved on without this member, which joins again by itself",
        Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::WaitingForCoordinator => {
            "The group's coordinator is about to come. If it does not, check the topic `__consumer_offsets`: \
             it needs as many brokers as its replication factor"
        }
        Code::OffsetMetadataTooLarge => "Raise `offset.metadata.max.bytes` of the broker",
        _ => return None,
    })
}

fn of_topic(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId => {
            "Make the topic, or correct `topics`"
        }
        Code::UnknownPartition => {
            "The topic has fewer partitions than before: it was deleted, and maybe made again. See \
             `kafka-topics --describe`; what is there is read once the broker says so"
        }
        Code::InvalidTopic => "Correct the topic's name",
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => {
            "The records there are gone: `out_of_range` says where to go on"
        }
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable => {
            "The partition has no leader now, or a new one. If it stays so, start the brokers that have its \
             replicas (`kafka-topics --describe --unavailable-partitions`)"
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend | Code::ISRInsufficient => {
            "Fewer replicas are in sync than the topic's `min.insync.replicas`: start the other brokers, or \
             lower it"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => "Raise `max.message.bytes` of the topic",
        Code::InvalidReplicationFactor => {
            "There are fewer brokers than `default.replication.factor`: start them, or make the topic by hand"
        }
        Code::PolicyViolation => "A policy of the broker does not allow it: ask who runs the broker",
        Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::InvalidMessage => {
            "A record is damaged, or of a form that the client does not know. If it stays so, it is named, \
             with the way out"
        }
        _ => return None,
    })
}

fn of_broker(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::UnsupportedVersion | Code::UnsupportedFeature => {
            "The broker is too old for this, or has it off: take a newer broker, or leave the setting out \
             that asks for it (`group_protocol`)"
        }
        Code::KafkaStorageError | Code::LogDirNotFound => {
            "The broker cannot use its disk: it has to be put right there"
        }
        Code::ThrottlingQuotaExceeded => {
            "A quota of the broker holds this user back: raise it. It is tried again"
        }
        Code::Fatal
        | Code::InvalidProducerEpoch
        | Code::OutOfOrderSequenceNumber
        | Code::ProducerFenced => {
            "This client takes nothing more: one that sends is made anew, and a pipeline whose member it was \
             ends. Start the worker again then"
        }
        Code::CriticalSystemResource | Code::FileSystem => {
            "This machine lacks memory, threads, open files or room on its disk: see `ulimit -a`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_broker_is_told_from_one_of_ours() {
        use RDKafkaErrorCode as Code;
        let said = |code, reason: &str| advice_for(&KafkaError::Global(code), reason);
        let ours = "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known";
        assert!(said(Code::Resolve, ours).contains("`bootstrap_servers`"));
        assert!(said(Code::Resolve, &ours.replace("bootstrap", "1")).contains("`advertised.listeners`"));
        let refused = "10.0.0.7:9092/bootstrap: Connect to ipv4#10.0.0.7:9092 failed: Connection refused";
        assert!(said(Code::BrokerTransportFailure, refused).contains("`bootstrap_servers`"));
        let learned = refused.replace("bootstrap", "3");
        assert!(said(Code::BrokerTransportFailure, &learned).contains("`advertised.listeners`"));
        let login = "sasl_plaintext://h:9092/bootstrap: SASL PLAIN mechanism handshake failed: Broker: \
                     Request not valid in current SASL state";
        assert!(said(Code::Authentication, login).contains("`security.protocol`"));
        assert!(said(Code::Authentication, "wrong password").contains("user name and password"));
        let plain = "h:9092/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker \
                     listener? (after 1ms)";
        assert!(said(Code::SSL, plain).contains("without TLS"));
    }
}
