//! Apache's Java client against the broker.

use std::process::ExitCode;

use freshet_tests::{Client, client_suite, static_members};

fn main() -> ExitCode {
    let mut suite = client_suite(Client::Java);
    suite.with_broker(
        "java_static_members_keep_their_partitions",
        Client::Java.missing(),
        |broker| static_members(Client::Java, broker),
    );
    suite.run()
}
