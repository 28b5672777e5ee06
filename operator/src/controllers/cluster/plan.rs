//! Which brokers there shall be: their numbers, who votes, and who leaves.
//!
//! A broker's number belongs to its volume. It is looked for in this order: on the volume, in the file that
//! the pod was last started with, else the lowest number that nobody has. It never comes from a pod's name.

mod voters;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::fetch::{Kind, Observed};
use super::names::{CLUSTER_ID, NODE_ID, STOPPED};
use super::validate::{Wanted, WantedPool};

/// Which brokers there shall be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) cluster_id: String,
    pub(crate) pools: Vec<PlannedPool>,
    /// Node ids of those that vote or shall vote, with their pods: where others find the quorum.
    pub(crate) controllers: BTreeMap<i32, String>,
    /// Node ids of those that vote, as the quorum says; `None` when it was not asked.
    pub(crate) voters: Option<BTreeSet<i32>>,
    /// Node ids of those that shall vote. [`super::shift`] goes there step by step.
    pub(crate) shall_vote: BTreeSet<i32>,
    /// Node ids of those that are to be stopped on purpose, and why.
    pub(crate) stopped: BTreeMap<i32, String>,
}

/// A pool, also one that is going.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedPool {
    pub(crate) name: String,
    /// `None` when the spec has it no more: its pods are emptied, then it goes.
    pub(crate) wanted: Option<WantedPool>,
    /// Pods that the StatefulSet shall have now: as many as wanted, and those that are not empty yet,
    /// or vote still.
    pub(crate) replicas: i32,
    /// All of them, in the order of their ordinals.
    pub(crate) nodes: Vec<Node>,
    /// Those that shall go, once they are empty.
    pub(crate) leaving: Vec<Node>,
}

/// One pod and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) pod: String,
    pub(crate) ordinal: i32,
    pub(crate) id: i32,
    pub(crate) broker: bool,
    /// Whether it may vote: those that do both are controllers only while they vote, or shall.
    pub(crate) controller: bool,
}

/// Why the wanted cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impossible {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Plan {
    /// Plans. `voters` are those of the quorum, `None` when it cannot be asked: then nobody's vote is
    /// taken for lost. `empty` are leaving brokers that keep nothing any more.
    pub(crate) fn of(
        wanted: &Wanted,
        observed: &Observed,
        voters: Option<&BTreeSet<i32>>,
        empty: &BTreeSet<i32>,
    ) -> Result<Self, Impossible> {
        let written = Written::read(wanted, observed);
        let cluster_id = cluster_id(wanted, observed)?;
        let mut numbers = Numbers::of(observed, &written);
        let mut pools = Vec::new();
        for pool in &wanted.pools {
            pools.push(planned(
                wanted,
                &pool.name,
                Some(pool),
                observed,
                &mut numbers,
            ));
        }
        for gone in gone_pools(wanted, observed) {
            pools.push(planned(wanted, &gone, None, observed, &mut numbers));
        }
        let voting = voters.unwrap_or(&written.controllers);
        let shall_vote = voters::chosen(&pools, voting)?;
        let mut controllers = BTreeMap::new();
        for pool in &mut pools {
            for node in pool.nodes.iter_mut().chain(&mut pool.leaving) {
                let votes = voting.contains(&node.id) || shall_vote.contains(&node.id);
                node.controller = votes || !node.broker;
                if votes {
                    controllers.insert(node.id, node.pod.clone());
                }
            }
            stay(pool, |id| voting.contains(&id) || !empty.contains(&id));
        }
        Ok(Self {
            cluster_id,
            stopped: stopped(wanted, observed, &pools),
            pools,
            controllers,
            voters: voters.cloned(),
            shall_vote,
        })
    }

    /// All nodes, those that leave too as long as they are there.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.pools.iter().flat_map(|pool| &pool.nodes)
    }

    /// Brokers that shall go.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = &Node> {
        self.pools.iter().flat_map(|pool| &pool.leaving)
    }
}

/// What the files say that pods were last started with.
#[derive(Debug, Default)]
struct Written {
    ids: BTreeMap<String, i32>,
    brokers: BTreeSet<i32>,
    controllers: BTreeSet<i32>,
}

impl Written {
    fn read(wanted: &Wanted, observed: &Observed) -> Self {
        let mut written = Self::default();
        let files = observed.objects.iter().filter(|((kind, name), _)| {
            *kind == Kind::ConfigMap && name.starts_with(&wanted.names.cluster)
        });
        for file in files
            .filter_map(|(_, map)| map["data"].as_object())
            .flatten()
        {
            let (name, Some(text)) = (file.0, file.1.as_str()) else {
                continue;
            };
            let Some(pod) = name.strip_suffix(".properties") else {
                continue;
            };
            let line = |key: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            };
            let Some(id) = line("node.id").and_then(|id| id.parse().ok()) else {
                continue;
            };
            written.ids.insert(pod.to_owned(), id);
            let roles = line("process.roles").unwrap_or_default();
            if roles.contains("broker") {
                written.brokers.insert(id);
            }
            if roles.contains("controller") {
                written.controllers.insert(id);
            }
        }
        written
    }
}

/// Numbers that are taken, and by whom.
struct Numbers<'a> {
    written: &'a Written,
    volumes: BTreeMap<String, i32>,
    taken: BTreeSet<i32>,
}

impl<'a> Numbers<'a> {
    fn of(observed: &Observed, written: &'a Written) -> Self {
        let number = |claim: &PersistentVolumeClaim| {
            let id = claim.annotations().get(NODE_ID)?.parse().ok()?;
            Some((claim.name_any(), id))
        };
        let volumes: BTreeMap<_, _> = observed.claims.iter().filter_map(number).collect();
        let taken = volumes
            .values()
            .chain(written.ids.values())
            .copied()
            .collect();
        Self {
            written,
            volumes,
            taken,
        }
    }

    fn of_pod(&mut self, pod: &str, claim: &str) -> i32 {
        let known = self
            .volumes
            .get(claim)
            .or_else(|| self.written.ids.get(pod));
        if let Some(id) = known {
            return *id;
        }
        let free = (1..)
            .find(|id| !self.taken.contains(id))
            .unwrap_or(i32::MAX);
        self.taken.insert(free);
        free
    }
}

fn planned(
    wanted: &Wanted,
    name: &str,
    pool: Option<&WantedPool>,
    observed: &Observed,
    numbers: &mut Numbers<'_>,
) -> PlannedPool {
    let shall = pool.map_or(0, |pool| pool.replicas);
    let has = observed.replicas(&wanted.names.pool(name)).unwrap_or(0);
    let written = numbers.written;
    // Nobody says any more what a pool did that the spec has no more: its files do.
    let only_controls =
        |id: &i32| written.controllers.contains(id) && !written.brokers.contains(id);
    let node = |ordinal| {
        let pod = wanted.names.pod(name, ordinal);
        let id = numbers.of_pod(&pod, &wanted.names.claim(&pod));
        Node {
            pod,
            ordinal,
            id,
            broker: pool.map_or_else(|| !only_controls(&id), |pool| pool.broker),
            controller: pool.is_some_and(|pool| pool.controller),
        }
    };
    let mut nodes: Vec<_> = (0..shall.max(has)).map(node).collect();
    let leaving = nodes.split_off(usize::try_from(shall).unwrap_or(0).min(nodes.len()));
    PlannedPool {
        name: name.to_owned(),
        wanted: pool.cloned(),
        replicas: shall,
        nodes,
        leaving,
    }
}

/// Pods go from the highest ordinal down, and only those that are needed no more: all below stay,
/// with those that are.
fn stay(pool: &mut PlannedPool, is_needed: impl Fn(i32) -> bool) {
    let occupied = |node: &&Node| is_needed(node.id);
    if let Some(last) = pool.leaving.iter().rfind(occupied) {
        pool.replicas = last.ordinal + 1;
    }
    let still = pool
        .leaving
        .iter()
        .filter(|node| node.ordinal < pool.replicas);
    pool.nodes.extend(still.cloned().collect::<Vec<_>>());
}

fn gone_pools(wanted: &Wanted, observed: &Observed) -> Vec<String> {
    let prefix = format!("{}-", wanted.names.cluster);
    let names = observed.sets.iter().map(ResourceExt::name_any);
    let pools = names.filter_map(|name| Some(name.strip_prefix(&prefix)?.to_owned()));
    let known = |pool: &String| wanted.pools.iter().any(|p| p.name == *pool);
    pools.filter(|pool| !known(pool)).collect()
}

/// Letters of a reason that are told.
const REASON: usize = 200;

/// Those whose volumes say that they are to be stopped.
fn stopped(wanted: &Wanted, observed: &Observed, pools: &[PlannedPool]) -> BTreeMap<i32, String> {
    let word = |node: &Node| {
        let name = wanted.names.claim(&node.pod);
        let claim = observed
            .claims
            .iter()
            .find(|claim| claim.name_any() == name)?;
        Some((node.id, reason(claim.annotations().get(STOPPED)?)))
    };
    pools
        .iter()
        .flat_map(|pool| &pool.nodes)
        .filter_map(word)
        .collect()
}

/// A reason as one line of a file that asks the environment for nothing.
fn reason(word: &str) -> String {
    let letters = word.chars().take(REASON);
    let line: String = letters
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match line.replace("${", "$ {").trim() {
        "" => "no reason was given".to_owned(),
        line => line.to_owned(),
    }
}

/// The cluster that the volumes belong to; a new one has the id of its object.
fn cluster_id(wanted: &Wanted, observed: &Observed) -> Result<String, Impossible> {
    let of = |claim: &PersistentVolumeClaim| claim.annotations().get(CLUSTER_ID).cloned();
    let ids: BTreeSet<_> = observed
        .claims
        .iter()
        .filter_map(of)
        .chain(wanted.cluster_id.clone())
        .collect();
    let mut ids = ids.into_iter();
    match (ids.next(), ids.next()) {
        (Some(one), Some(other)) => Err(Impossible {
            reason: "VolumesOfAnotherCluster",
            message: format!(
                "volumes named after this cluster belong to cluster {one} and to cluster {other}. Delete \
                 those that are not wanted (`kubectl get pvc -l freshet.dev/cluster={} -o yaml` shows the \
                 annotation {CLUSTER_ID}), or give the Cluster another name",
                wanted.names.cluster
            ),
        }),
        (Some(id), None) => Ok(id),
        (None, _) => Ok(id_of(&wanted.uid)),
    }
}

/// A UUID's 16 bytes as Kafka writes them: 22 characters of base64.
fn id_of(uid: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hex: String = uid.chars().filter(char::is_ascii_hexdigit).collect();
    let bits = u128::from_str_radix(&hex, 16).unwrap_or_default();
    // 22 digits hold 132 bits: four zeros follow.
    let digit = |at: u32| {
        let six = if at == 21 {
            (bits << 4) & 63
        } else {
            (bits >> (122 - 6 * at)) & 63
        };
        char::from(DIGITS[six as usize])
    };
    (0..22).map(digit).collect()
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
