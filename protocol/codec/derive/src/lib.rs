//! Derive for versioned Kafka messages.
