//! Groups whose coordinator goes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};
use crate::client::Client;
use crate::cluster::{committed, coordinator};
use crate::line::Line;
use crate::peer::{Peer, Role};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[Trial {
    name: "kill_the_coordinator_of_a_group",
    rows: &[55],
    faults: kill_coordinator,
    needs: Needs::Cluster,
}];

/// What a group has committed, by partition; -1 where it has not.
fn offsets(stage: &Stage, group: &str) -> Result<Vec<i64>> {
    eventually(RECOVERY, || {
        let id = stage.cluster.ask(|raw| coordinator(raw, group))?;
        let partitions = stage.cluster.partitions(stage.topic())?.len();
        let mut raw = stage.cluster.connect(id)?;
        committed(&mut raw, group, stage.topic(), partitions as i32)
    })
}

fn kill_coordinator(stage: &mut Stage) -> Result<()> {
    let group = format!("group-{}", stage.bits.below(1 << 32));
    let bootstrap = stage.cluster.bootstrap();
    let options = [
        ("topic", stage.topic()),
        ("group", &group),
        ("members", "2"),
    ];
    let mut members = Peer::start(Client::FranzGo, Role::Group, &bootstrap, &options)?;
    let mut before = await_commits(stage, &group, &mut members, &[])?;
    for _ in 0..2 {
        let id = stage.cluster.ask(|raw| coordinator(raw, &group))?;
        stage.cluster.node(id).kill()?;
        let after = await_commits(stage, &group, &mut members, &before);
        before = after.with_context(|| format!("after the kill of coordinator {id}"))?;
        stage.cluster.node(id).start()?;
        stage.recover()?;
        let back = offsets(stage, &group)?;
        let fine = before.iter().zip(&back).all(|(before, now)| now >= before);
        ensure!(fine, "commits went back from {before:?} to {back:?}");
        before = back;
    }
    stage.note(format!("the group is at {before:?}"));
    members.finish(RECOVERY)?;
    Ok(())
}

/// Waits until the group has committed more than before in every partition, and looks that it never
/// committed less.
fn await_commits(
    stage: &Stage,
    group: &str,
    members: &mut Peer,
    before: &[i64],
) -> Result<Vec<i64>> {
    let mut fell = None;
    let outcome = eventually(RECOVERY * 2, || {
        while let Some(line) = members.at_hand(Duration::ZERO) {
            let fine = matches!(line, Line::Record(_) | Line::Assigned { .. });
            ensure!(fine, "a member said {line:?}");
        }
        let now = offsets(stage, group)?;
        if before.iter().zip(&now).any(|(before, now)| now < before) {
            fell = Some(now.clone());
        }
        let on = |at: usize| now[at] > before.get(at).copied().unwrap_or(0);
        ensure!((0..now.len()).all(on), "the group stands at {now:?}");
        Ok(now)
    });
    ensure!(
        fell.is_none(),
        "commits went back from {before:?} to {fell:?}"
    );
    outcome
}
