//! Static members (KIP-345): a member that comes back in time is not missed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{WORK_LIMIT, create_topic};
use crate::broker::Broker;
use crate::client::Client;
use crate::line::Line;
use crate::peer::{Peer, Role};

const PARTITIONS: i32 = 4;
/// Longer than a rebalance takes, shorter than the session of a member.
const NOTICE: Duration = Duration::from_secs(3);

/// Two static members; one is restarted, then replaced by a second holder of its name.
pub fn static_members(client: Client, broker: &mut Broker) -> Result<()> {
    let topic = format!("static-{}", client.name());
    let bootstrap = broker.bootstrap();
    create_topic(client, bootstrap, &topic, PARTITIONS)?;
    let join = |instance: &str| {
        let group = format!("{topic}-readers");
        let options = [
            ("topic", topic.as_str()),
            ("group", &group),
            ("instance", instance),
        ];
        Peer::start(client, Role::Group, bootstrap, &options)
    };
    let mut stays = join("stays")?;
    let mut leaves = join("leaves")?;
    let (first, second) = halves(&mut stays, &mut leaves)?;

    leaves.finish(WORK_LIMIT)?;
    ensure!(
        stays.at_hand(NOTICE).is_none(),
        "the group was told of a member that may come back"
    );
    let mut back = join("leaves")?;
    let again = assignment(&mut back)?;
    ensure!(
        again == second,
        "it held {second:?} and came back to {again:?}, beside {first:?}"
    );
    ensure!(
        stays.at_hand(NOTICE).is_none(),
        "the group was told of a member that came back"
    );

    // Two holders of one name: the newer one wins, the older one is fenced and ends.
    let mut newer = join("leaves")?;
    ensure!(
        assignment(&mut newer)? == second,
        "the newer holder got something else"
    );
    match back.next(WORK_LIMIT) {
        Ok(line) => bail!("the older holder goes on with {line:?}"),
        Err(why) => {
            let why = format!("{why:#}");
            ensure!(
                why.contains("FencedInstanceId"),
                "the older holder ended with {why}"
            );
        }
    }
    newer.finish(WORK_LIMIT)?;
    stays.finish(WORK_LIMIT)?;
    Ok(())
}

/// The next assignment that a program with one member tells.
fn assignment(member: &mut Peer) -> Result<Vec<i32>> {
    match member.next(WORK_LIMIT)? {
        Line::Assigned { mut p, .. } => {
            p.sort_unstable();
            Ok(p)
        }
        other => bail!("instead of an assignment: {other:?}"),
    }
}

/// Waits until both members hold half of the partitions.
fn halves(first: &mut Peer, second: &mut Peer) -> Result<(Vec<i32>, Vec<i32>)> {
    let started = Instant::now();
    let half = PARTITIONS.unsigned_abs() as usize / 2;
    let mut held = assignment(first)?;
    while held.len() != half {
        ensure!(
            started.elapsed() < WORK_LIMIT,
            "the first still holds {held:?}"
        );
        held = assignment(first)?;
    }
    let other = assignment(second).context("the second member")?;
    ensure!(other.len() == half, "the second holds {other:?}");
    Ok((held, other))
}
