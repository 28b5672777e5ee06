//! A real S3 server as a store, and what happens to it.

use freshet_env::objects::Objects;

use crate::cases::{self, Pattern};
use crate::gateway::Gateway;
use crate::real::{Real, real_server};

real_server!(Gateway::start(), 1000);

/// Without TLS nobody but the server sees that, and only if it is told a sum of what was sent.
#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test runs it"]
async fn a_bit_that_flips_on_the_way_is_sent_again() {
    let gateway = Gateway::start();
    let len = cases::LARGE_BYTES;
    for (more, is_seen) in [
        (&[][..], true),
        (&[("AWS_UNSIGNED_PAYLOAD", "false")], true),
        (&[("AWS_UNSIGNED_PAYLOAD", "true")], false),
    ] {
        let line = gateway.line(3 << 20);
        let store = gateway.behind(&line, more);
        let key = format!("flipped/{}", line.port);
        store.put_new(&key, &mut Pattern::of(len)).await.unwrap();
        let stored = gateway.bucket().get_range(&key, 0..len).await.unwrap();
        let is_right = stored == Pattern::bytes(0..len);
        assert_eq!(is_right, is_seen, "{more:?}");
        assert_eq!(line.sent() > len + (8 << 20), is_seen, "{more:?}");
    }
}
