//! What each rule of replication is for. Partitions, logs and their threads are the broker's own; the
//! disk and the clock are simulated, the controller decides at once, and a test carries what goes
//! between brokers, message by message. So each test is one short story that always goes the same way.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod decisions;
mod guards;
mod rules;
mod stage;
