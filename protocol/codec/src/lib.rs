//! Sans-io codec for Kafka's encodings: bounded reader, writer with slots, derive.
