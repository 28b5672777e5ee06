//! What brokers answer, in words that a person understands.

use freshet_client::{ClientError, ErrorCode};
use freshet_types::ErrorKind;

use super::validate::Objection;

/// Why brokers did not do it, and what that says of the object.
pub(super) fn objection(error: &ClientError) -> Objection {
    let message = error.to_string();
    if error.kind() == ErrorKind::Unavailable {
        return Objection::wait(away(error), message);
    }
    match error {
        ClientError::Tls { .. } => return Objection::place("TlsFailed", message),
        ClientError::Authentication { .. } => {
            return Objection::place("AuthenticationFailed", message);
        }
        _ => {}
    }
    let Some(code) = error.code() else {
        return Objection::place("BrokersRefused", message);
    };
    match code {
        ErrorCode::InvalidConfig => Objection::spec("InvalidConfig", message),
        ErrorCode::InvalidPartitions => Objection::spec("InvalidPartitions", message),
        ErrorCode::InvalidTopicException => Objection::spec("InvalidTopicName", message),
        ErrorCode::InvalidReplicationFactor | ErrorCode::InvalidReplicaAssignment => {
            Objection::place("NotEnoughBrokers", message)
        }
        ErrorCode::PolicyViolation => Objection::place("PolicyViolation", message),
        ErrorCode::TopicDeletionDisabled => Objection::place("DeletionDisabled", message),
        ErrorCode::ReassignmentInProgress => Objection::wait("ReplicasMoving", message),
        ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
            Objection::place("NotAuthorized", message)
        }
        _ => Objection::place("BrokersRefused", message),
    }
}

/// Nobody answers, or somebody asks for patience.
fn away(error: &ClientError) -> &'static str {
    match error {
        ClientError::Refused { .. } => "ClusterBusy",
        _ => "ClusterUnreachable",
    }
}

/// Whether another try alone may help, soon.
pub(super) fn passes(error: &ClientError) -> bool {
    error.kind() == ErrorKind::Unavailable
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(code: ErrorCode) -> ClientError {
        ClientError::Refused {
            what: "topic \"a\" was not created".to_owned(),
            code,
            message: Some("the broker's own words".to_owned()),
        }
    }

    #[test]
    fn a_code_becomes_a_reason_with_the_brokers_words() {
        for (code, reason, spec, passing) in [
            (ErrorCode::InvalidConfig, "InvalidConfig", true, false),
            (
                ErrorCode::InvalidPartitions,
                "InvalidPartitions",
                true,
                false,
            ),
            (
                ErrorCode::InvalidReplicationFactor,
                "NotEnoughBrokers",
                false,
                false,
            ),
            (ErrorCode::PolicyViolation, "PolicyViolation", false, false),
            (
                ErrorCode::TopicAuthorizationFailed,
                "NotAuthorized",
                false,
                false,
            ),
            (ErrorCode::InvalidRequest, "BrokersRefused", false, false),
            (
                ErrorCode::ThrottlingQuotaExceeded,
                "ClusterBusy",
                false,
                true,
            ),
        ] {
            let error = refused(code);
            let said = objection(&error);
            assert_eq!((said.reason, said.spec), (reason, spec), "{code:?}");
            assert_eq!(passes(&error), passing, "{code:?}");
            assert!(
                said.message.contains("the broker's own words"),
                "{}",
                said.message
            );
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_why() {
        let tls = ClientError::Tls {
            address: "a:1".to_owned(),
            cause: "its certificate is for another host".to_owned(),
        };
        let login = ClientError::Authentication {
            address: "a:1".to_owned(),
            mechanism: "PLAIN",
            cause: "SASL_AUTHENTICATION_FAILED".to_owned(),
        };
        for (error, reason, word) in [
            (tls, "TlsFailed", "another host"),
            (login, "AuthenticationFailed", "SASL_AUTHENTICATION_FAILED"),
        ] {
            let said = objection(&error);
            assert_eq!((said.reason, said.spec, said.tell), (reason, false, true));
            assert!(said.message.contains(word), "{}", said.message);
            assert!(!passes(&error), "another try alone does not help");
        }
    }

    #[test]
    fn nobody_is_told_of_a_cluster_that_is_away_but_by_its_condition() {
        let away = ClientError::TimedOut {
            what: "Metadata".to_owned(),
            limit: Duration::from_secs(1),
            last: None,
        };
        let said = objection(&away);
        assert_eq!((said.reason, said.tell), ("ClusterUnreachable", false));
        assert!(passes(&away));
    }
}
