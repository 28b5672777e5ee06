//! A limit on what moves copy, for as long as they do (KIP-73).
//!
//! A broker limits what it sends, or receives, for those replicas out of sync that their topics name. So
//! both are set: the rate on brokers that send or receive, and the replicas on topics, before a move begins.
//! Afterwards all of it goes, and nothing else: what somebody else has set stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use freshet_client::{
    ConfigChange, ConfigOperation, ConfigSource, Held, Reassignment, Resource, Survey,
    TopicPartition,
};
use freshet_types::NodeId;
use freshet_wire::ErrorCode;

use crate::Context;

/// Who is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    /// Who sends.
    Leader,
    /// Who receives.
    Follower,
}

impl Side {
    fn rate(self) -> &'static str {
        match self {
            Self::Leader => "leader.replication.throttled.rate",
            Self::Follower => "follower.replication.throttled.rate",
        }
    }

    fn replicas(self) -> &'static str {
        match self {
            Self::Leader => "leader.replication.throttled.replicas",
            Self::Follower => "follower.replication.throttled.replicas",
        }
    }
}

/// Replicas of a topic, `partition:broker`, by what limits them.
type Replicas = BTreeMap<Side, BTreeSet<String>>;

/// What it takes to limit some moves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    rates: BTreeSet<(NodeId, Side)>,
    topics: BTreeMap<String, Replicas>,
}

impl Needs {
    fn of(survey: &Survey, changes: &[Reassignment]) -> Self {
        let partitions = survey.partitions.iter();
        let all: BTreeMap<&TopicPartition, &Held> =
            partitions.map(|held| (&held.partition, held)).collect();
        let is_up = |node: &NodeId| {
            let seen = survey.brokers.get(node);
            seen.is_some_and(|seen| !seen.node.fenced)
        };
        let mut needs = Self::default();
        for change in changes {
            let held = all.get(&change.partition);
            let Some((held, then)) = held.zip(change.replicas.as_ref()) else {
                continue;
            };
            for (node, side) in sides(held, then).filter(|(node, _)| is_up(node)) {
                needs.rates.insert((node, side));
                let (topic, partition) = &held.partition;
                let of_topic = needs.topics.entry(topic.clone()).or_default();
                let replicas = of_topic.entry(side).or_default();
                replicas.insert(format!("{partition}:{node}"));
            }
        }
        needs
    }
}

/// Who receives, and who may have to send it; nobody, if nothing is copied.
fn sides<'a>(held: &'a Held, then: &'a [NodeId]) -> impl Iterator<Item = (NodeId, Side)> + 'a {
    let is_there = |node: &&NodeId| held.replicas.contains(node) && !held.adding.contains(node);
    let comes = move |node: &&NodeId| !is_there(node);
    let receivers = then
        .iter()
        .filter(comes)
        .map(|node| (*node, Side::Follower));
    let senders = held.replicas.iter().filter(is_there);
    let senders = senders.map(|node| (*node, Side::Leader));
    let copies = then.iter().any(|node| comes(&node));
    receivers.chain(senders.filter(move |_| copies))
}

/// The items of a list.
fn items(list: Option<&str>) -> BTreeSet<String> {
    let items = list.unwrap_or_default().split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

fn joined(items: BTreeSet<String>) -> String {
    Vec::from_iter(items).join(",")
}

/// The change that adds items to a list; `None` if they are all there.
fn addition(present: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let new: BTreeSet<_> = wanted.difference(present).cloned().collect();
    (!new.is_empty() && !present.contains("*")).then_some(new)
}

/// The change that takes items out of a list; `None` if none of them is there.
fn removal(
    side: Side,
    present: &BTreeSet<String>,
    ours: &BTreeSet<String>,
) -> Option<ConfigChange> {
    let name = side.replicas();
    let there: BTreeSet<_> = present.intersection(ours).cloned().collect();
    match there.len() {
        0 => None,
        all if all == present.len() => Some(ConfigChange::unset(name)),
        _ => Some(ConfigChange {
            name: name.to_owned(),
            operation: ConfigOperation::Subtract(joined(there)),
        }),
    }
}

/// A limit that some moves have.
pub(crate) struct Throttle<'a> {
    context: &'a Context,
    /// Bytes a second of each broker, in and out; `None` limits nothing.
    rate: Option<u64>,
    /// Brokers that have it, whoever set it.
    limited: BTreeSet<(NodeId, Side)>,
    /// What was set here.
    set: Needs,
}

impl<'a> Throttle<'a> {
    pub(crate) fn new(context: &'a Context, rate: Option<u64>) -> Self {
        Self {
            context,
            rate,
            limited: BTreeSet::new(),
            set: Needs::default(),
        }
    }

    /// Where it is set.
    pub(crate) fn context(&self) -> &'a Context {
        self.context
    }

    /// Limits these moves. To be called before they begin.
    ///
    /// # Errors
    /// A broker has another limit already: whoever set it has a reason.
    pub(crate) async fn cover(
        &mut self,
        survey: &Survey,
        changes: &[Reassignment],
    ) -> anyhow::Result<()> {
        let Some(rate) = self.rate else {
            return Ok(());
        };
        let needs = Needs::of(survey, changes);
        for (node, side) in needs.rates {
            if !self.limited.contains(&(node, side)) {
                self.limit(node, side, &rate.to_string()).await?;
                self.limited.insert((node, side));
            }
        }
        for (topic, replicas) in needs.topics {
            self.name(topic, &replicas).await?;
        }
        Ok(())
    }

    async fn limit(&mut self, node: NodeId, side: Side, rate: &str) -> anyhow::Result<()> {
        let admin = self.context.client.admin();
        let (broker, name) = (Resource::Broker(node), side.rate());
        let present = admin.describe_config(&broker, name).await?;
        let present = present.filter(|entry| entry.source == ConfigSource::Broker);
        match present.and_then(|entry| entry.value) {
            None => {}
            Some(value) if value == rate => return Ok(()),
            Some(value) => bail!(
                "broker {node} is throttled already ({name}={value}): wait for whoever did that, or lift it \
                 (`freshet config unset broker:{node} {name}`)"
            ),
        }
        // Noted first: it may be set although no answer comes.
        self.set.rates.insert((node, side));
        let change = ConfigChange::set(name, rate);
        admin.alter_configs(&broker, &[change], false).await?;
        Ok(())
    }

    async fn name(&mut self, topic: String, replicas: &Replicas) -> anyhow::Result<()> {
        let admin = self.context.client.admin();
        let resource = Resource::Topic(topic.clone());
        let mut changes = Vec::new();
        for (side, wanted) in replicas {
            let name = side.replicas();
            let entry = match admin.describe_config(&resource, name).await {
                // It was deleted meanwhile.
                Err(error) if is_gone(&error) => return Ok(()),
                told => told?,
            };
            let present = items(entry.and_then(|entry| entry.value).as_deref());
            let Some(new) = addition(&present, wanted) else {
                continue;
            };
            let ours = self.set.topics.entry(topic.clone()).or_default();
            ours.entry(*side).or_default().extend(new.iter().cloned());
            changes.push(ConfigChange {
                name: name.to_owned(),
                operation: ConfigOperation::Append(joined(new)),
            });
        }
        if changes.is_empty() {
            return Ok(());
        }
        match admin.alter_configs(&resource, &changes, false).await {
            Err(error) if is_gone(&error) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Takes back what was set here, when the moves have `ended`, however that was.
    pub(crate) async fn lift_after<T>(mut self, ended: anyhow::Result<T>) -> anyhow::Result<T> {
        let set = std::mem::take(&mut self.set);
        let mut failed = Vec::new();
        for (topic, replicas) in set.topics {
            if let Err(error) = self.unname(&topic, &replicas).await {
                let names: Vec<_> = replicas.keys().map(|side| side.replicas()).collect();
                let names = names.join(" ");
                failed.push(format!(
                    "freshet config unset topic:{topic} {names} ({error:#})"
                ));
            }
        }
        for (node, side) in set.rates {
            if let Err(error) = self.unlimit(node, side).await {
                let name = side.rate();
                failed.push(format!(
                    "freshet config unset broker:{node} {name} ({error:#})"
                ));
            }
        }
        if failed.is_empty() {
            return ended;
        }
        let how = format!(
            "the throttle is still there; lift it:\n  {}",
            failed.join("\n  ")
        );
        match ended {
            Ok(_) => Err(anyhow::anyhow!(how)),
            Err(error) => Err(anyhow::anyhow!("{error:#}\n{how}")),
        }
    }

    async fn unname(&self, topic: &str, replicas: &Replicas) -> anyhow::Result<()> {
        let admin = self.context.client.admin();
        let resource = Resource::Topic(topic.to_owned());
        let mut changes = Vec::new();
        for (side, ours) in replicas {
            let entry = match admin.describe_config(&resource, side.replicas()).await {
                Err(error) if is_gone(&error) => return Ok(()),
                told => told?,
            };
            let present = items(entry.and_then(|entry| entry.value).as_deref());
            changes.extend(removal(*side, &present, ours));
        }
        if changes.is_empty() {
            return Ok(());
        }
        match admin.alter_configs(&resource, &changes, false).await {
            Err(error) if is_gone(&error) => Ok(()),
            done => Ok(done?),
        }
    }

    async fn unlimit(&self, node: NodeId, side: Side) -> anyhow::Result<()> {
        let admin = self.context.client.admin();
        let (broker, name) = (Resource::Broker(node), side.rate());
        let unset = ConfigChange::unset(name);
        // A broker that is away cannot tell; nobody else had set it a moment ago.
        let entry = admin.describe_config(&broker, name).await.ok().flatten();
        let value = entry.and_then(|entry| entry.value);
        let is_ours = |value: String| Some(value) == self.rate.map(|rate| rate.to_string());
        if value.is_none_or(is_ours) {
            admin.alter_configs(&broker, &[unset], false).await?;
        }
        Ok(())
    }
}

fn is_gone(error: &freshet_client::ClientError) -> bool {
    error.code() == Some(ErrorCode::UnknownTopicOrPartition)
}

#[cfg(test)]
mod tests;
