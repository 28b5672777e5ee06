//! The faces of the broker: Kafka's protocol and HTTP.
