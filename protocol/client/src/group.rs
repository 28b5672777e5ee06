//! Consumers that share topics: the classic group protocol (KIP-62, KIP-345, KIP-394, KIP-429).
//!
//! ```text
//!            ┌──────────── a rebalance is announced ◄──────────────┐
//!            ▼                                                     │
//! JoinGroup ──► (the leader shares out) ──► SyncGroup ──► reading, heartbeats
//! ```

mod assignor;
pub(crate) mod embedded;
mod heartbeat;
mod leader;
mod member;
mod offsets;
mod sticky;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Client, ClientError, Consumer, ConsumerConfig, ConsumerRecord, Start, TopicPartition};
use heartbeat::Signal;
use member::Member;

pub use assignor::{Assignor, MemberView, Shares};
pub use embedded::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions};

/// Settings of a [`GroupConsumer`].
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// The group's id.
    pub group: String,
    /// Topics to read.
    pub topics: Vec<String>,
    /// How to share them out, best first. With only cooperative assignors, members keep reading what
    /// stays with them during a rebalance.
    pub assignors: Vec<Assignor>,
    /// Static name: a restart within the session timeout causes no rebalance.
    pub instance_id: Option<String>,
    /// Time without a heartbeat after which the member is taken for dead.
    pub session_timeout: Duration,
    /// Time the group waits for this member in a rebalance: longer than the work between two polls.
    pub rebalance_timeout: Duration,
    /// How often positions are committed by `poll`; `None` leaves it to the caller.
    pub auto_commit: Option<Duration>,
    /// How to read. `reset` is where a partition without a committed position starts.
    pub consumer: ConsumerConfig,
}

impl GroupConfig {
    /// Java's defaults.
    pub fn new(group: impl Into<String>, topics: Vec<String>) -> Self {
        Self {
            group: group.into(),
            topics,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            auto_commit: Some(Duration::from_secs(5)),
            consumer: ConsumerConfig::default(),
        }
    }

    /// Whether partitions are kept during a rebalance.
    fn is_cooperative(&self) -> bool {
        self.assignors
            .iter()
            .all(|a| *a == Assignor::CooperativeSticky)
    }
}

/// A member of a group that reads its share of the topics.
///
/// Records that one `poll` hands out count as done when the next is called: a crash in between means
/// that they are read again, by whoever takes over.
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    config: GroupConfig,
    consumer: Consumer,
    member: Member,
    last_commit: Instant,
}

impl GroupConsumer {
    /// A consumer that joins its group with the first `poll`.
    pub fn new(client: &Client, config: GroupConfig) -> Result<Self, ClientError> {
        if config.topics.is_empty() || config.assignors.is_empty() {
            let what = "a group consumer needs at least one topic and one assignor";
            return Err(ClientError::Invalid(what.to_owned()));
        }
        Ok(Self {
            client: client.clone(),
            consumer: Consumer::new(client, config.consumer.clone()),
            member: Member::new(client, &config),
            config,
            last_commit: Instant::now(),
        })
    }

    /// Waits for records, at most `max_wait` (longer while the group is rebalanced). An empty answer
    /// means that none came. May be dropped while it waits.
    pub async fn poll(&mut self, max_wait: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + max_wait;
        self.commit_if_due().await;
        loop {
            self.rebalance_if_needed().await?;
            let wait = deadline.saturating_duration_since(Instant::now());
            tokio::select! {
                records = self.consumer.poll(wait) => return records,
                () = self.member.disturbed() => {}
            }
        }
    }

    /// Changes how many records one `poll` hands out.
    pub fn set_max_records(&mut self, count: usize) {
        self.consumer.set_max_records(count);
    }

    /// What it reads at present.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment()
    }

    /// The consumer inside, for positions and ends.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// The id that the coordinator has given; empty before the first `poll`.
    pub fn member_id(&self) -> &str {
        &self.member.id
    }

    /// The generation it is in; -1 outside of any.
    pub fn generation(&self) -> i32 {
        self.member.generation
    }

    /// Commits the positions behind what `poll` has handed out so far.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let all: BTreeSet<_> = self.consumer.assignment().into_iter().collect();
        self.commit_these(&all).await
    }

    /// Commits, as far as it does so by itself, and leaves the group. Static members stay in it.
    pub async fn close(mut self) -> Result<(), ClientError> {
        if self.config.auto_commit.is_some() && self.member.generation >= 0 {
            self.commit().await?;
        }
        self.member.leave().await
    }

    async fn commit_these(
        &mut self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), ClientError> {
        let offsets = offsets::positions(&self.consumer, partitions);
        self.last_commit = Instant::now();
        self.member.commit(&offsets).await
    }

    /// A commit that fails is tried again with the next one; the positions are still here.
    async fn commit_if_due(&mut self) {
        let Some(every) = self.config.auto_commit else {
            return;
        };
        if self.last_commit.elapsed() >= every
            && self.member.generation >= 0
            && let Err(error) = self.commit().await
        {
            tracing::warn!(%error, group = self.config.group, "positions were not committed");
        }
    }

    async fn rebalance_if_needed(&mut self) -> Result<(), ClientError> {
        self.member.look_for_new_partitions().await;
        loop {
            match self.member.signal() {
                Signal::Stable => return Ok(()),
                Signal::Rejoin => self.give_up_before_joining().await,
                Signal::Lost => self.drop_everything(),
                Signal::Fatal(error) => return Err(error),
            }
            let owned = self.consumer.assignment();
            let share: BTreeSet<_> = self.member.join(owned.clone()).await?.into_iter().collect();
            let revoked: BTreeSet<_> = owned.into_iter().filter(|p| !share.contains(p)).collect();
            self.revoke(&revoked).await;
            self.start_reading(&share).await?;
            tracing::info!(
                group = self.config.group,
                generation = self.member.generation,
                partitions = share.len(),
                "joined"
            );
            if !revoked.is_empty() {
                // What was given up can be handed out in the next generation (KIP-429).
                self.member.join_again();
            }
        }
    }

    /// Eager members stop reading before they join, cooperative ones go on.
    async fn give_up_before_joining(&mut self) {
        if !self.config.is_cooperative() {
            let all = self.consumer.assignment().into_iter().collect();
            self.revoke(&all).await;
        }
    }

    /// The group went on without this member: others read its partitions by now.
    fn drop_everything(&mut self) {
        for partition in self.consumer.assignment() {
            self.consumer.unassign(&partition);
        }
    }

    async fn revoke(&mut self, partitions: &BTreeSet<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        if self.config.auto_commit.is_some()
            && let Err(error) = self.commit_these(partitions).await
        {
            tracing::warn!(%error, group = self.config.group, "revoked without a commit");
        }
        for partition in partitions {
            self.consumer.unassign(partition);
        }
    }

    async fn start_reading(&mut self, share: &BTreeSet<TopicPartition>) -> Result<(), ClientError> {
        let owned = self.consumer.assignment();
        let new: Vec<_> = share
            .iter()
            .filter(|p| !owned.contains(p))
            .cloned()
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let committed = offsets::committed(&self.client, &self.config.group, &new).await?;
        for partition in new {
            let start = match (committed.get(&partition), self.config.consumer.reset) {
                (Some(offset), _) => Start::Offset(*offset),
                (None, crate::Reset::Earliest) => Start::Earliest,
                (None, crate::Reset::Latest) => Start::Latest,
                (None, crate::Reset::Fail) => {
                    let (topic, index) = &partition;
                    return Err(ClientError::Invalid(format!(
                        "group {:?} has no position in {topic}-{index}",
                        self.config.group
                    )));
                }
            };
            self.consumer.assign(partition, start);
        }
        Ok(())
    }
}
