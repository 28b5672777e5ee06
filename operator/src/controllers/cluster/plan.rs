//! Which brokers there shall be: their numbers, who votes, and who leaves.
//!
//! A broker's number belongs to its volume. It is looked for in this order: on the volume, in the file that
//! the pod was last started with, else the lowest number that nobody has. It never comes from a pod's name.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::fetch::{Kind, Observed};
use super::names::{CLUSTER_ID, NODE_ID};
use super::validate::{Wanted, WantedPool};

/// Voters of a quorum without a pool of its own.
const VOTERS: usize = 3;

/// Which brokers there shall be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) cluster_id: String,
    pub(crate) pools: Vec<PlannedPool>,
    /// Node ids of the voters, with their pods.
    pub(crate) voters: BTreeMap<i32, String>,
}

/// A pool, also one that is going.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedPool {
    pub(crate) name: String,
    /// `None` when the spec has it no more: its pods are emptied, then it goes.
    pub(crate) wanted: Option<WantedPool>,
    /// Pods that the StatefulSet shall have now: as many as wanted, and those that are not empty yet.
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
    pub(crate) controller: bool,
}

/// Why the wanted cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impossible {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Plan {
    /// Plans; `empty` are leaving brokers that keep nothing any more.
    pub(crate) fn of(
        wanted: &Wanted,
        observed: &Observed,
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
        let voters = voters(&pools, &written);
        for pool in &mut pools {
            for node in pool.nodes.iter_mut().chain(&mut pool.leaving) {
                node.controller = voters.contains_key(&node.id);
            }
            stay(pool, empty);
        }
        no_voter_leaves(&pools)?;
        Ok(Self {
            cluster_id,
            pools,
            voters,
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
    voters: BTreeSet<i32>,
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
            if line("process.roles").is_some_and(|roles| roles.contains("controller")) {
                written.voters.insert(id);
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
    // Whether a pool that the spec has no more has brokers is asked of the brokers; it costs nothing
    // to look at one that has none.
    let broker = pool.is_none_or(|pool| pool.broker);
    let node = |ordinal| {
        let pod = wanted.names.pod(name, ordinal);
        let id = numbers.of_pod(&pod, &wanted.names.claim(&pod));
        Node {
            pod,
            ordinal,
            id,
            broker,
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

/// Pods go from the highest ordinal down, and only those that are empty: all below stay, with those
/// that are not.
fn stay(pool: &mut PlannedPool, empty: &BTreeSet<i32>) {
    let occupied = |node: &&Node| !empty.contains(&node.id);
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

/// Those who vote: all of the pools that do nothing else; without such pools three of the others, or
/// one. Who votes goes on.
fn voters(pools: &[PlannedPool], written: &Written) -> BTreeMap<i32, String> {
    let all = || {
        pools
            .iter()
            .flat_map(|pool| pool.nodes.iter().chain(&pool.leaving))
    };
    let pair = |node: &Node| (node.id, node.pod.clone());
    let mut voters: BTreeMap<_, _> = all()
        .filter(|n| written.voters.contains(&n.id))
        .map(pair)
        .collect();
    let candidates: Vec<_> = pools
        .iter()
        .flat_map(|pool| &pool.nodes)
        .filter(|node| node.controller)
        .collect();
    let own: Vec<_> = candidates
        .iter()
        .filter(|node| !node.broker)
        .copied()
        .collect();
    let (from, most) = if own.is_empty() {
        (candidates, VOTERS)
    } else {
        let most = own.len();
        (own, most)
    };
    // An even number survives no more losses than the odd one below it.
    let most = most.min(from.len());
    let most = if most % 2 == 0 {
        most.saturating_sub(1)
    } else {
        most
    };
    for node in from {
        if voters.len() >= most {
            break;
        }
        voters.insert(node.id, node.pod.clone());
    }
    voters
}

fn no_voter_leaves(pools: &[PlannedPool]) -> Result<(), Impossible> {
    let leaving = pools.iter().flat_map(|pool| &pool.leaving);
    let voters: Vec<_> = leaving
        .filter(|node| node.controller)
        .map(|n| n.pod.clone())
        .collect();
    if voters.is_empty() {
        return Ok(());
    }
    Err(Impossible {
        reason: "QuorumWouldShrink",
        message: format!(
            "{} would go, and with it a vote of the quorum. Keep as many pods, or make another one a \
             voter first (`freshet quorum add-voter`, `freshet quorum remove-voter`)",
            voters.join(", ")
        ),
    })
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
