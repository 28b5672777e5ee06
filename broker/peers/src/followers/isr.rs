//! Tells the controller who leaders see in sync.
//!
//! Changes gather while a request is under way, and go together in the next one: when a broker dies,
//! thousands of partitions change at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_metadata::{
    AlterPartitions, Ask, MetadataError, MetadataMachine, Outcome, ProposedIsr,
};
use freshet_partition::replication::{Guard, IsrChange, holds};
use freshet_partition::{Directory, Proposals};
use freshet_quorum::{Quorum, QuorumError};
use freshet_types::{NodeId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::changed;

/// Partitions of one request: an entry of the quorum's log has a largest size.
const BATCH: usize = 1000;
/// Pause before what was not decided is sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for a decision.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the sending needs.
pub struct IsrProposalsParts {
    /// This broker.
    pub node: NodeId,
    /// Its registration; below 0 while it has none.
    pub broker_epoch: watch::Receiver<i64>,
    /// Who decides.
    pub quorum: Arc<dyn Quorum<MetadataMachine>>,
    /// Where leaders are told.
    pub directory: Arc<Directory>,
}

/// Gathers proposals from the moment it is made; [`IsrProposals::run`] sends them. Holds one for each
/// partition at most: a later one stands for all before.
#[derive(Debug, Default)]
pub struct IsrProposals {
    waiting: Mutex<BTreeMap<TopicPartition, IsrChange>>,
    told: Notify,
}

/// What comes of one proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The image brings all there is to know.
    Settled,
    /// Not attempted: the leader is asked whether it wants another one.
    Refused,
    /// Not decided: the leader is asked whether it still wants it.
    Again,
}

/// What an answer to one proposal means to the leader that made it.
pub fn verdict<T>(outcome: &Outcome<T>) -> Verdict {
    match outcome {
        Ok(_) => Verdict::Settled,
        Err(MetadataError::IneligibleReplica { .. }) => Verdict::Refused,
        Err(MetadataError::Behind { .. }) => Verdict::Again,
        Err(_) if !holds(Guard::StaleIsOpen) => Verdict::Refused,
        // Epochs of the past, or a partition that is gone or led by another: a newer image is
        // under way.
        Err(_) => Verdict::Settled,
    }
}

impl Proposals for IsrProposals {
    fn propose(&self, at: TopicPartition, change: IsrChange) {
        self.waiting.lock().insert(at, change);
        self.told.notify_one();
    }
}

impl IsrProposals {
    /// Gathers, until somebody runs it.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sends what gathers, for ever; one request at a time.
    pub async fn run(self: Arc<Self>, parts: IsrProposalsParts) {
        let mut broker_epoch = parts.broker_epoch.clone();
        loop {
            let batch = self.take();
            if batch.is_empty() {
                self.told.notified().await;
                continue;
            }
            let epoch = registration(&mut broker_epoch).await;
            let again = send(&parts, epoch, &batch).await;
            if !again.is_empty() {
                self.put_again(&parts, &again);
                sleep(PAUSE).await;
            }
        }
    }

    fn take(&self) -> Vec<(TopicPartition, IsrChange)> {
        let mut waiting = self.waiting.lock();
        let mut batch = std::mem::take(&mut *waiting);
        if let Some(rest) = batch.keys().nth(BATCH).copied() {
            *waiting = batch.split_off(&rest);
        }
        batch.into_iter().collect()
    }

    /// Leaders say what they want now, unless they have said so already.
    fn put_again(&self, parts: &IsrProposalsParts, again: &[TopicPartition]) {
        let leaders = again.iter().filter_map(|at| parts.directory.get(*at));
        let leaders: Vec<_> = leaders.collect();
        let image = Arc::clone(&parts.quorum.watch().borrow());
        for leader in &leaders {
            // Whoever was refused may be eligible by now, and a partition at rest hears of nobody.
            leader.look_for_joiners(&image);
        }
        let wanted = leaders.iter();
        let wanted: Vec<_> = wanted
            .filter_map(|leader| Some((leader.id(), leader.isr_proposed()?)))
            .collect();
        let mut waiting = self.waiting.lock();
        for (at, change) in wanted {
            waiting.entry(at).or_insert(change);
        }
    }
}

async fn registration(broker_epoch: &mut watch::Receiver<i64>) -> i64 {
    loop {
        let epoch = *broker_epoch.borrow_and_update();
        if epoch >= 0 {
            return epoch;
        }
        changed(broker_epoch).await;
    }
}

/// Sends a batch; gives those that are to be sent again.
async fn send(
    parts: &IsrProposalsParts,
    broker_epoch: i64,
    batch: &[(TopicPartition, IsrChange)],
) -> Vec<TopicPartition> {
    let all = || batch.iter().map(|(at, _)| *at).collect();
    let request = AlterPartitions {
        node: parts.node,
        broker_epoch,
        partitions: batch.iter().map(proposed).collect(),
    };
    let outcomes = match timeout(TIMEOUT, parts.quorum.propose(request.into())).await {
        Ok(Ok(reply)) => AlterPartitions::answer(reply),
        Ok(Err(error)) => {
            tell_undecided(&error, batch.len());
            return all();
        }
        Err(_) => {
            tracing::info!(
                partitions = batch.len(),
                "no answer to changes of who is in sync"
            );
            return all();
        }
    };
    match outcomes {
        Ok(outcomes) => tell(&parts.directory, batch, &outcomes),
        Err(error) => {
            tracing::info!(%error, "the controller knows this broker by another registration");
            wait_for_another(&parts.broker_epoch, broker_epoch).await;
            all()
        }
    }
}

fn proposed((at, change): &(TopicPartition, IsrChange)) -> ProposedIsr {
    ProposedIsr {
        at: *at,
        leader_epoch: change.leader_epoch,
        partition_epoch: change.partition_epoch,
        isr: change.isr.clone(),
    }
}

fn tell_undecided(error: &QuorumError, partitions: usize) {
    match error {
        QuorumError::Stopped => tracing::debug!(%error, "nothing is decided any more"),
        error => tracing::info!(%error, partitions, "changes of who is in sync are not decided"),
    }
}

/// Tells leaders about proposals that were not attempted; gives those that are to be sent again.
fn tell<T>(
    directory: &Directory,
    batch: &[(TopicPartition, IsrChange)],
    outcomes: &[Outcome<T>],
) -> Vec<TopicPartition> {
    let mut again = Vec::new();
    for ((at, change), outcome) in batch.iter().zip(outcomes) {
        if let Err(error) = outcome {
            tracing::debug!(partition = %at, %error, "who is in sync was not changed");
        }
        match verdict(outcome) {
            Verdict::Settled => {}
            Verdict::Again => again.push(*at),
            Verdict::Refused => {
                if let Some(leader) = directory.get(*at) {
                    leader.isr_refused(change);
                    again.push(*at);
                }
            }
        }
    }
    again
}

/// The lifecycle registers again; until it has, the controller listens to nothing. It may not be that
/// the answer is older than the registration, so this does not wait for ever.
async fn wait_for_another(broker_epoch: &watch::Receiver<i64>, old: i64) {
    let mut broker_epoch = broker_epoch.clone();
    let another = broker_epoch.wait_for(|epoch| *epoch != old);
    // Either way it is tried again.
    let _ = timeout(TIMEOUT, another).await;
}

#[cfg(test)]
mod tests {
    use freshet_types::TopicId;

    use super::*;

    fn change(partition_epoch: i32) -> IsrChange {
        IsrChange {
            leader_epoch: 1,
            partition_epoch,
            isr: vec![(NodeId(1), -1)],
        }
    }

    fn at(partition: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicId([1; 16]),
            partition,
        }
    }

    #[test]
    fn a_later_proposal_stands_for_those_before() {
        let proposals = IsrProposals::new();
        proposals.propose(at(0), change(1));
        proposals.propose(at(1), change(1));
        proposals.propose(at(0), change(2));
        let batch = vec![(at(0), change(2)), (at(1), change(1))];
        assert_eq!(proposals.take(), batch);
        assert!(proposals.take().is_empty());
    }

    #[test]
    fn a_batch_has_a_largest_size() {
        let proposals = IsrProposals::new();
        let all = i32::try_from(BATCH).expect("small") + 5;
        for partition in 0..all {
            proposals.propose(at(partition), change(1));
        }
        assert_eq!(proposals.take().len(), BATCH);
        assert_eq!(proposals.take().len(), 5);
    }

    #[test]
    fn each_outcome_has_one_verdict() {
        let ineligible = MetadataError::IneligibleReplica {
            node: NodeId(2),
            reason: "it is fenced".into(),
        };
        let stale = MetadataError::StalePartition {
            epoch: 1,
            present: 2,
        };
        let table = [
            (Ok(()), Verdict::Settled),
            (Err(ineligible), Verdict::Refused),
            (Err(stale), Verdict::Settled),
            (Err(MetadataError::Behind { epoch: 3 }), Verdict::Again),
        ];
        for (outcome, expected) in table {
            assert_eq!(verdict(&outcome), expected, "{outcome:?}");
        }
    }
}
