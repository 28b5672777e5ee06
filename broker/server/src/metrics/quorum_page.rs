//! How far it is to the other controllers, as exposition text.

use crate::kafka::{Context, RoundTrips};
use crate::metrics::exposition::{head, line};

/// Writes all of it; nothing on nodes that do not measure.
pub(super) fn render(context: &Context) -> String {
    let measured = context.voters.as_ref().and_then(|it| it.round_trips());
    measured.map(|trips| families(&trips)).unwrap_or_default()
}

fn families(RoundTrips { limit, usual }: &RoundTrips) -> String {
    let mut page = String::new();
    let name = "freshet_quorum_round_trip_limit_seconds";
    let help = "What freshet.quorum.round.trip.ms says here.";
    head(&mut page, name, help, "gauge");
    line(&mut page, &format!("{name} {}", limit.as_secs_f64()));
    let name = "freshet_quorum_round_trip_seconds";
    let help = "To another controller and back, at most, but for 2 of the 12 greetings of the last minute.";
    head(&mut page, name, help, "gauge");
    for (peer, took) in usual {
        let sample = format!("{name}{{peer=\"{peer}\"}} {}", took.as_secs_f64());
        line(&mut page, &sample);
    }
    page
}
