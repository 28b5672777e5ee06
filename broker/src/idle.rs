//! A broker that is stopped on purpose: nothing of it is opened, so that a person can look at its directories,
//! or mend them, while no process uses them. It only says that it lives, and that it is not ready.

use anyhow::Result;
use freshet_server as server;

use crate::agreement::Wanted;
use crate::bound;
use crate::stop::Signals;

/// Does nothing until a signal.
pub(crate) async fn live(why: &str, wanted: &Wanted, mut signals: Signals) -> Result<()> {
    let (stopper, stop) = server::Stop::new();
    let http = bound::http(&wanted.node, &wanted.layers().sockets()).await?;
    let address = http.as_ref().map(|http| http.local_addr()).transpose()?;
    tracing::warn!(
        reason = why,
        http = address.map(tracing::field::display),
        "stopped on purpose: no directory is opened and no client served until freshet.idle.reason is taken away"
    );
    let face = http.map(|http| tokio::spawn(server::serve_idle(http, why.to_owned(), stop)));
    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    stopper.stop();
    if let Some(face) = face {
        face.await?;
    }
    Ok(())
}
