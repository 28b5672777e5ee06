//! The moves of a drain: some at a time, until nothing is left.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet_client::{Drain as Plan, Held, Move, Reassignment, Survey, TopicPartition};
use freshet_types::NodeId;
use freshet_wire::ErrorCode;
use tokio::time::{Instant, sleep};

use super::check;
use crate::topic::throttle::Throttle;
use crate::{Context, advice, text};

/// How often the moves are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often brokers and their disks are looked at, and a word is said.
const LOOK: Duration = Duration::from_secs(5);
/// Looks at a broker that is away before another one takes over what was on its way there.
const HOPELESS: u32 = 6;
/// Rounds in which nothing could begin and nothing was under way.
const VAIN: u32 = 10;

/// A drain under way.
pub(super) struct Work<'a> {
    context: &'a Context,
    throttle: Throttle<'a>,
    node: NodeId,
    /// Moves at the same time.
    batch: usize,
    survey: Survey,
    looked: Instant,
    sizes: BTreeMap<TopicPartition, u64>,
    /// How often the receiver of a move was seen to be away.
    away: BTreeMap<TopicPartition, u32>,
    /// What the controller said no to, in the last round.
    refused: Vec<String>,
    vain: u32,
    of: usize,
}

impl<'a> Work<'a> {
    pub(super) fn new(throttle: Throttle<'a>, survey: Survey, node: NodeId, batch: usize) -> Self {
        Self {
            of: survey.kept_by(node).count(),
            sizes: survey.sizes(),
            context: throttle.context(),
            throttle,
            node,
            batch,
            survey,
            looked: Instant::now(),
            away: BTreeMap::new(),
            refused: Vec::new(),
            vain: 0,
        }
    }

    /// Partitions and bytes that have to go.
    pub(super) fn amount(&self) -> (usize, u64) {
        let sizes = self.survey.kept_by(self.node).map(|held| self.size(held));
        (self.of, sizes.sum())
    }

    fn size(&self, held: &Held) -> u64 {
        self.sizes.get(&held.partition).copied().unwrap_or(0)
    }

    pub(super) async fn until_empty(&mut self) -> anyhow::Result<()> {
        self.cover_begun().await?;
        loop {
            self.survey.partitions = Survey::partitions(&self.context.client).await?;
            let kept = self.survey.kept_by(self.node).cloned();
            let (moving, waiting): (Vec<_>, Vec<_>) =
                kept.partition(|held| held.removing.contains(&self.node));
            if moving.is_empty() && waiting.is_empty() {
                return Ok(());
            }
            if self.looked.elapsed() >= LOOK {
                self.look(&moving, &waiting).await?;
            }
            let room = self.batch.saturating_sub(moving.len());
            let begun = self.begin(&waiting[..waiting.len().min(room)]).await?;
            self.give_up_in_vain(begun + moving.len())?;
            sleep(TICK).await;
        }
    }

    /// What an earlier run has begun is limited as well.
    async fn cover_begun(&mut self) -> anyhow::Result<()> {
        let kept = self.survey.kept_by(self.node);
        let moving = kept.filter(|held| held.removing.contains(&self.node));
        let begun = moving.map(|held| Reassignment {
            partition: held.partition.clone(),
            replicas: Some(held.target()),
        });
        let begun: Vec<_> = begun.collect();
        self.throttle.cover(&self.survey, &begun).await
    }

    /// Takes the throttle back, however it ended.
    pub(super) async fn lift_after(self, ended: anyhow::Result<()>) -> anyhow::Result<()> {
        self.throttle.lift_after(ended).await
    }

    /// Begins moves; says how many have begun.
    async fn begin(&mut self, waiting: &[Held]) -> anyhow::Result<usize> {
        if waiting.is_empty() {
            return Ok(0);
        }
        let plan = Plan::of_some(&self.survey, self.node, waiting);
        self.refused.clear();
        if let Err(error) = check(&plan, self.node) {
            self.refused.push(error.to_string());
        }
        if plan.moves.is_empty() {
            return Ok(0);
        }
        let changes: Vec<_> = plan.moves.iter().map(Move::reassignment).collect();
        self.throttle.cover(&self.survey, &changes).await?;
        let outcomes = self.context.client.admin().reassign(&changes).await?;
        let mut begun = 0;
        for (_, outcome) in outcomes {
            match outcome {
                Ok(()) => begun += 1,
                // It was deleted meanwhile.
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
                Err(error) => self.refused.push(advice::sentence(&error.into())),
            }
        }
        Ok(begun)
    }

    /// Partitions can be refused for a moment, as while their leader changes; not for long.
    fn give_up_in_vain(&mut self, alive: usize) -> anyhow::Result<()> {
        self.vain = if alive == 0 { self.vain + 1 } else { 0 };
        if self.vain < VAIN || self.refused.is_empty() {
            return Ok(());
        }
        let shown = &self.refused[..self.refused.len().min(10)];
        anyhow::bail!(
            "the drain of broker {} cannot go on:\n  {}",
            self.node,
            shown.join("\n  ")
        )
    }

    /// Looks at the brokers again, and says how far it is.
    async fn look(&mut self, moving: &[Held], waiting: &[Held]) -> anyhow::Result<()> {
        self.survey = Survey::take(&self.context.client).await?;
        self.looked = Instant::now();
        if !self.context.patience.is_quiet() {
            eprintln!("{}", self.words(moving, waiting));
        }
        self.turn_back(moving).await
    }

    fn words(&self, moving: &[Held], waiting: &[Held]) -> String {
        let rest = moving.iter().chain(waiting);
        let bytes: u64 = rest.map(|held| self.missing_bytes(held)).sum();
        let left = moving.len() + waiting.len();
        format!(
            "draining broker {}: {left} of {} left, {} to copy, {} moving …",
            self.node,
            text::count(self.of as u64, "partition"),
            text::bytes(bytes),
            moving.len()
        )
    }

    /// What the receivers of a move do not have yet.
    fn missing_bytes(&self, held: &Held) -> u64 {
        let size = self.size(held);
        let has = |node: &NodeId| {
            let dirs = self.survey.brokers.get(node)?.dirs.as_ref()?;
            let mut logs = dirs.iter().flat_map(|dir| &dir.partitions);
            let log = logs.find(|log| log.partition == held.partition)?;
            u64::try_from(log.size_bytes).ok()
        };
        let least = held.adding.iter().map(|node| has(node).unwrap_or(0)).min();
        size.saturating_sub(least.unwrap_or(0))
    }

    /// A receiver that does not come back must not hold up the drain: its moves are taken back, and
    /// begin again towards somebody else.
    async fn turn_back(&mut self, moving: &[Held]) -> anyhow::Result<()> {
        let mut away = BTreeMap::new();
        let mut back = Vec::new();
        for held in moving {
            let is_away = |node: &&NodeId| {
                let seen = self.survey.brokers.get(*node);
                seen.is_none_or(|seen| seen.node.fenced)
            };
            let Some(heir) = held.adding.iter().find(is_away) else {
                continue;
            };
            let times = self.away.get(&held.partition).copied().unwrap_or(0) + 1;
            if times < HOPELESS {
                away.insert(held.partition.clone(), times);
                continue;
            }
            eprintln!(
                "broker {heir}, which should take {}, is away: another one will",
                held.name()
            );
            back.push(Reassignment {
                partition: held.partition.clone(),
                replicas: None,
            });
        }
        self.away = away;
        if !back.is_empty() {
            // Whatever comes of it is seen in the next round.
            self.context.client.admin().reassign(&back).await?;
        }
        Ok(())
    }
}
