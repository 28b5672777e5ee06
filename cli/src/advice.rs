//! One sentence for each failure, which says what to do.

pub(crate) mod nearest;

use freshet_client::ClientError;
use freshet_wire::ErrorCode;

/// The error and, where we know it, the way out.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let Some(cause) = error.downcast_ref::<ClientError>() else {
        return format!("{error:#}");
    };
    match advice(cause) {
        Some(advice) => format!("{cause}; {advice}"),
        None => cause.to_string(),
    }
}

fn advice(error: &ClientError) -> Option<&'static str> {
    if let ClientError::Unreachable { .. } = error {
        return Some(
            "start a broker there, or name another address with --bootstrap or FRESHET_BOOTSTRAP",
        );
    }
    if let ClientError::Authentication { .. } | ClientError::Tls { .. } = error {
        return Some("see the file that --command-config names");
    }
    if let ClientError::Unsupported { .. } = error {
        return Some("the broker is too old or leaves this out");
    }
    Some(match error.code()? {
        ErrorCode::UnknownTopicOrPartition => {
            "`freshet topic list` shows the topics, `freshet topic create` makes one"
        }
        ErrorCode::TopicAlreadyExists => {
            "choose another name, or say --if-not-exists if it may be there"
        }
        ErrorCode::InvalidPartitions => "a topic can only get more partitions than it has",
        ErrorCode::InvalidReplicationFactor => {
            "there are not that many brokers: `freshet cluster describe` shows them"
        }
        ErrorCode::GroupIdNotFound => "`freshet group list` shows the groups",
        ErrorCode::NonEmptyGroup => "stop its consumers first",
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            "the group has members; stop its consumers first"
        }
        ErrorCode::InvalidConfig => "`freshet config describe RESOURCE --all` shows all settings",
        ErrorCode::MessageTooLarge => {
            "send smaller records, or raise max.message.bytes of the topic"
        }
        ErrorCode::OffsetOutOfRange => {
            "`freshet topic describe` shows where each partition starts and ends"
        }
        ErrorCode::NotEnoughReplicas => "too few replicas are in sync; bring brokers back",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        let error = ClientError::Unreachable {
            address: "127.0.0.1:1".into(),
            cause: "Connection refused".into(),
        };
        let said = sentence(&error.into());
        assert!(said.contains("no broker answers at 127.0.0.1:1"), "{said}");
        assert!(said.contains("--bootstrap"), "{said}");

        let missing = ClientError::Refused {
            what: "topic \"x\"".into(),
            code: ErrorCode::UnknownTopicOrPartition,
            message: None,
        };
        assert!(sentence(&missing.into()).contains("freshet topic create"));
    }
}
