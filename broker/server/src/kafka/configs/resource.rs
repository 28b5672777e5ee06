//! Resources that have settings, between Kafka's numbers and the house's names.

use freshet_metadata::ConfigTarget;
use freshet_settings::{Kind, Source};
use freshet_types::NodeId;
use freshet_wire::ErrorCode;

use crate::kafka::errors::refusal::Refusal;

/// A topic.
pub(crate) const TOPIC: i8 = 2;
/// A broker, or all of them under the empty name.
pub(crate) const BROKER: i8 = 4;
/// The loggers of a broker. Kafka's are log4j's; there is nothing of the kind here.
pub(crate) const BROKER_LOGGER: i8 = 8;
/// A client metrics subscription (KIP-714).
pub(crate) const CLIENT_METRICS: i8 = 16;
/// A group (KIP-848).
pub(crate) const GROUP: i8 = 32;

/// What a type and a name mean.
pub(crate) fn target(kind: i8, name: &str) -> Result<ConfigTarget, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    match kind {
        TOPIC => Ok(ConfigTarget::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigTarget::Cluster),
        BROKER => match name.parse() {
            Ok(node) => Ok(ConfigTarget::Broker(NodeId(node))),
            Err(_) => invalid(format!("a broker is named by its number, not {name:?}")),
        },
        CLIENT_METRICS => Ok(ConfigTarget::ClientMetrics(name.to_owned())),
        GROUP => Ok(ConfigTarget::Group(name.to_owned())),
        BROKER_LOGGER => invalid("levels of loggers cannot be changed here".to_owned()),
        other => invalid(format!("resource type {other} is not known")),
    }
}

/// Kafka's number of a source (KIP-226).
pub(crate) fn source_code(source: Source) -> i8 {
    match source {
        Source::Topic => 1,
        Source::DynamicBroker => 2,
        Source::DynamicDefault => 3,
        Source::Static => 4,
        Source::Default => 5,
        Source::ClientMetrics => 7,
        Source::Group => 8,
    }
}

/// Kafka's number of a type (KIP-569).
pub(crate) fn kind_code(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::String => 2,
        Kind::Int => 3,
        Kind::Short => 4,
        Kind::Long => 5,
        Kind::Double => 6,
        Kind::List => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}
