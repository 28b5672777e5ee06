//! Builds the broker from its rooms, lets it run, takes it down again.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use freshet_server as server;

use crate::agreement::Wanted;
use crate::args::Args;
use crate::bound::Bound;
use crate::doors::Doors;
use crate::idle;
use crate::ready::{Addresses, ReadyFile};
use crate::rooms::{Broker, half_of_the_cores};
use crate::stop::Signals;
use crate::watchdog::Watchdog;

/// How often a stop that takes long says that it goes on.
const STOP_NEWS: Duration = Duration::from_secs(3);

/// Runs the broker until a signal.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(parent) = args.with_parent {
        freshet_env::host::end_with(parent)?;
    }
    let (statics, warnings) = args.settings()?;
    for warning in warnings {
        tracing::warn!(setting = %warning.name, "{}", warning.why);
    }
    let wanted = Wanted::of(Arc::new(statics));
    let _watchdog = Watchdog::start()?;
    // For all that is not a connection: groups, metadata, HTTP. Connections have their own threads.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(half_of_the_cores())
        .enable_all()
        .thread_name("control")
        .build()?
        .block_on(live(args, wanted))
}

async fn live(args: &Args, wanted: Wanted) -> Result<()> {
    let mut signals = Signals::new()?;
    let doors = Doors::new();
    let ready = args.ready_file.as_deref();
    let ready = ready.map(|path| ReadyFile::claim(path, &doors.disk));
    let ready = ready.transpose()?;
    if let Some(why) = &wanted.node.idle_reason {
        return idle::live(why, &wanted, signals).await;
    }
    let sockets = wanted.layers().sockets();
    let mut bound = Bound::open(&wanted.node, &wanted.quorum, &sockets).await?;
    let addresses = Addresses::of(&bound)?;
    let mut broker = tokio::select! {
        raised = Broker::raise(&doors, &wanted, &mut bound) => raised?,
        // It may wait for others for ever, and there is nothing to take down yet.
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was complete");
            return Ok(());
        }
    };
    doors.metadata_disk.be_patient(true);
    let (stopper, stop) = server::Stop::new();
    let context = server::Context::new(broker.parts(&doors, &wanted.statics, &stop));
    let grace = Duration::from_millis(wanted.node.shutdown_timeout_ms);
    broker.take_listeners(&mut bound).await?;
    // Whatever goes wrong from here on, the broker that is up goes down cleanly.
    let served = match server::serve(&context, bound.listeners, &stop, grace) {
        Ok(faces) => {
            let told = serve(&broker, signals, || {
                announce(&addresses, ready.as_ref(), &doors)
            });
            let told = told.await;
            if let Some(ready) = &ready {
                ready.remove();
            }
            broker.leave(grace).await;
            stopper.stop();
            faces.ended().await;
            told
        }
        Err(error) => Err(error.into()),
    };
    doors.metadata_disk.be_patient(false);
    broker.part().await;
    let lowered = lower_and_tell(broker).await;
    served.and(lowered)
}

/// Serves until a signal, or until it cannot go on.
async fn serve(
    broker: &Broker,
    mut signals: Signals,
    announce: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let living = async {
        tokio::select! {
            biased;
            failed = broker.failed() => return failed,
            () = broker.serving() => {}
        }
        announce()?;
        broker.failed().await
    };
    let signal = tokio::select! {
        ended = living => return ended,
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "stopping: finishing requests, flushing, closing");
    signals.exit_on_next();
    Ok(())
}

fn announce(addresses: &Addresses, ready: Option<&ReadyFile>, doors: &Doors) -> Result<()> {
    io::stdout().write_all(addresses.lines().as_bytes())?;
    tracing::info!(start_ms = doors.clock.monotonic().0, "ready");
    ready.map_or(Ok(()), |ready| ready.write(addresses))
}

/// Lowers the broker; a stop that takes long says so every few seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "one thread, once, when nothing is served any more"
)]
async fn lower_and_tell(broker: Broker) -> Result<()> {
    let partitions = broker.open_partitions();
    let mut lowering = tokio::task::spawn_blocking(|| broker.lower());
    let mut seconds = 0;
    loop {
        match tokio::time::timeout(STOP_NEWS, &mut lowering).await {
            Ok(lowered) => {
                let (agreement, lowered) = lowered?;
                agreement.leave().await;
                lowered?;
                tracing::info!("stopped cleanly");
                return Ok(());
            }
            Err(_) => {
                seconds += STOP_NEWS.as_secs();
                tracing::info!(seconds, partitions, "still stopping: flushing, closing");
            }
        }
    }
}
