//! Kills under load, judged by the history checker.

use std::process::ExitCode;

use freshet_tests::{Client, Suite, kill_loop};

/// Kills of a usual run; `FRESHET_KILLS` asks for another number, for a long one.
const KILLS: u32 = 12;

fn main() -> ExitCode {
    let mut suite = Suite::default();
    let needed = [Client::FranzGo, Client::Librdkafka, Client::Java];
    let missing = needed.into_iter().find_map(Client::missing);
    let asked = std::env::var("FRESHET_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok());
    let kills = asked.unwrap_or(KILLS);
    suite.test(
        "nothing_acknowledged_is_lost_by_kills",
        missing,
        move || kill_loop(kills),
    );
    suite.run()
}
