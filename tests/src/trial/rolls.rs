//! Ends that are asked for.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};
use crate::broker::freshet_command;
use crate::cluster::reassign;
use crate::process::Process;
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "rolling_restart_fails_no_send",
        rows: &[63],
        faults: rolling,
        needs: Needs::Cluster,
    },
    Trial {
        name: "decommission_under_load",
        rows: &[],
        faults: decommission,
        needs: Needs::Command,
    },
];

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

/// A fourth broker takes part of the work, and leaves for good by the command that does so.
fn decommission(stage: &mut Stage) -> Result<()> {
    let mut fourth = stage.cluster.spare()?;
    fourth.be_no_controller();
    fourth.start()?;
    let id = fourth.id;
    stage.cluster.await_brokers(4)?;
    let topic = stage.topic();
    for (partition, replicas) in [(0, [id, 1, 2]), (1, [2, id, 3])] {
        let told = stage
            .cluster
            .ask(|raw| reassign(raw, topic, partition, &replicas))?;
        ensure!(
            told == 0,
            "moving {topic}-{partition} to {replicas:?}: error {told}"
        );
    }
    let keeps = |stage: &Stage| {
        let views = stage.cluster.partitions(topic)?;
        let kept = views.iter().filter(|view| view.replicas.contains(&id));
        Ok::<_, anyhow::Error>(kept.map(|view| view.index).collect::<Vec<_>>())
    };
    stage.cluster.await_whole(topic, RECOVERY)?;
    ensure!(keeps(stage)? == [0, 1], "broker {id} took nothing");
    let mut command = Command::new(freshet_command());
    let bootstrap = stage.cluster.bootstrap();
    command.args([
        "--bootstrap",
        &bootstrap,
        "broker",
        "decommission",
        &id.to_string(),
    ]);
    let log = stage.cluster.folder().join("decommission.log");
    let mut command = Process::start(command, &log)?;
    eventually(RECOVERY, || {
        let left = keeps(stage)?;
        ensure!(
            left.is_empty(),
            "broker {id} still keeps {left:?}; {}",
            command.tail()
        );
        Ok(())
    })?;
    stage.load.await_progress(RECOVERY)?;
    fourth.stop()?;
    let status = command.wait(RECOVERY)?;
    ensure!(status.success(), "{status}: {}", command.tail());
    stage.cluster.await_brokers(3)?;
    stage.recover()
}
