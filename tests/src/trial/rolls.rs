//! Ends that are asked for.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};

pub(super) const TRIALS: &[Trial] = &[Trial {
    name: "rolling_restart_fails_no_send",
    rows: &[63],
    faults: rolling,
    needs: Needs::Cluster,
}];

fn rolling(stage: &mut Stage) -> Result<()> {
    for id in stage.cluster.ids() {
        let status = stage.cluster.node(id).stop()?;
        // Apache Kafka ends by the signal itself: 143 is its clean exit.
        ensure!(
            matches!(status.code(), Some(0 | 143)),
            "SIGTERM gave {status}"
        );
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "without {id} all acknowledge {acked:.2?} after its end"
        ));
        stage.cluster.watch(Duration::from_millis(300))?;
        stage.cluster.node(id).start()?;
        stage.recover()?;
    }
    Ok(())
}
