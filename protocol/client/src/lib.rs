//! Async client of Kafka's protocol, for the operator, the CLI and the benches.
