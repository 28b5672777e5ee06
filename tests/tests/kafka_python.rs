//! kafka-python against the broker.

use std::process::ExitCode;

use freshet_tests::{Client, client_suite};

fn main() -> ExitCode {
    client_suite(Client::KafkaPython).run()
}
