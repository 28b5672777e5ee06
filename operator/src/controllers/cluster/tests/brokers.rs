//! Brokers, as the controller sees them: who runs, who keeps which partitions, who is cordoned.
//!
//! They live in the pods of the fake Kubernetes, and what must never become of them is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_client::{
    ClientError, ClusterDescription, ClusterNode, ConfigChange, ConfigEntry, ConfigOperation,
    ConfigSource, FeatureLevel, Held, LogDir, NewVoter, Outcomes, QuorumDescription, QuorumReplica,
    Reassignment, Seen, Survey, TopicPartition,
};
use freshet_types::{NodeId, Offset, Timestamp, TopicId};
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::json;

use super::super::brokers::{AfterRestart, BeforeRestart};
use super::super::door::{Answer, Brokers, Door, Word};
use super::super::names::{CONTROLLER_PORT, REPLICATION_PORT};
use super::NAMESPACE;
use crate::controllers::fake::{Fault, Faults, HOST_IP, Key, Kube, Started, text};

/// A broker that runs.
#[derive(Debug, Clone)]
struct Running {
    pod: Started,
    /// Its pod serves.
    serves: bool,
    /// What it keeps is in sync again.
    in_sync: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    running: BTreeMap<i32, Running>,
    /// Brokers that are known, and whether they are cordoned.
    pub(super) registered: BTreeMap<i32, bool>,
    /// Which broker's records are on which volume.
    volumes: BTreeMap<String, i32>,
    pub(super) partitions: Vec<Held>,
    pub(super) settings: BTreeMap<String, String>,
    /// Who votes; nobody before all first controllers run.
    pub(super) voters: BTreeSet<i32>,
    leader: Option<i32>,
    /// Brokers whose disk is not well: their copies do not count.
    pub(super) unwell: BTreeSet<i32>,
    /// Nobody answers.
    pub(super) is_away: bool,
    pub(super) writes: Vec<String>,
    pub(super) breaches: Vec<String>,
}

/// The brokers of one cluster.
#[derive(Default)]
pub(super) struct Kafka(pub(super) Mutex<State>);

impl Kafka {
    pub(super) fn fork(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.0.lock().clone())))
    }

    /// What was changed since this was asked last.
    pub(super) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().writes)
    }

    /// After a step of Kubernetes: brokers start and stop, and partitions move.
    pub(super) fn step(&self, kube: &Kube) {
        let mut state = self.0.lock();
        let (started, condemned) = kube.workloads(|all, _| (all.started(), all.condemned()));
        for pod in condemned {
            let ran = state.running.iter().find(|(_, r)| r.pod.pod == pod);
            let Some(id) = ran.map(|(id, _)| *id) else {
                continue;
            };
            let cluster = Key::new("clusters", NAMESPACE, "demo");
            let is_wanted = kube.objects(|all| all.get(&cluster).is_some());
            if is_wanted && state.voters.contains(&id) {
                let breach = format!("{pod} was deleted, and controller {id} votes");
                state.breaches.push(breach);
            }
            let kept = state.kept_by(id).count();
            if kept > 0 {
                let breach = format!("{pod} was deleted, and broker {id} keeps {kept} partitions");
                state.breaches.push(breach);
            }
        }
        for running in state.running.values_mut() {
            running.in_sync = running.serves;
        }
        state.refresh(kube);
        let is_there = |uid: &String| {
            kube.objects(|all| {
                let mut volumes = all.of_kind("persistentvolumeclaims", 0).into_values();
                volumes.any(|volume| text(&volume["metadata"]["uid"]) == uid)
            })
        };
        let lost = state.volumes.iter().filter(|(uid, _)| !is_there(uid));
        let lost: Vec<_> = lost.map(|(_, id)| *id).collect();
        let cluster = Key::new("clusters", NAMESPACE, "demo");
        let is_wanted = kube.objects(|all| all.get(&cluster).is_some());
        for id in lost.into_iter().filter(|_| is_wanted) {
            let elsewhere = |held: &&Held| held.isr.iter().any(|other| other.0 != id);
            let lost = state.kept_by(id).filter(|held| !elsewhere(held)).count();
            if lost > 0 {
                let breach = format!("{lost} partitions were lost with the volume of broker {id}");
                state.breaches.push(breach);
            }
        }
        state.volumes.retain(|uid, _| is_there(uid));
        for pod in started {
            state.start(pod);
        }
        state.refresh(kube);
        state.end_moves();
    }

    /// Somebody makes topics of so many partitions.
    pub(super) fn make_topic(&self, partitions: i32, copies: usize) {
        let mut state = self.0.lock();
        let open = |id: &i32| state.registered.get(id) == Some(&false);
        let serving = state.running.iter().filter(|(_, r)| r.serves);
        let ids: Vec<_> = serving.map(|(id, _)| *id).filter(open).collect();
        if ids.len() < copies {
            return;
        }
        let topic = format!("t{}", state.partitions.len());
        for partition in 0..partitions {
            let first = state.partitions.len();
            let chosen = (first..first + copies).map(|at| NodeId(ids[at % ids.len()]));
            let replicas: Vec<_> = chosen.collect();
            state.partitions.push(Held {
                partition: (topic.clone(), partition),
                leader: replicas.first().copied(),
                isr: replicas.clone(),
                replicas,
                adding: Vec::new(),
                removing: Vec::new(),
            });
        }
    }
}

impl Running {
    fn controls(&self) -> bool {
        line(&self.pod.file, "process.roles").contains("controller")
    }
}

/// A setting of a file, empty without one.
fn line<'a>(file: &'a str, name: &str) -> &'a str {
    let mut lines = file.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default()
}

impl State {
    fn kept_by(&self, id: i32) -> impl Iterator<Item = &Held> {
        let keeps = move |held: &&Held| held.replicas.contains(&NodeId(id));
        self.partitions.iter().filter(keeps)
    }

    fn serves(&self, id: i32) -> bool {
        self.running.get(&id).is_some_and(|running| running.serves)
    }

    /// Sees which pods are there, and who is in sync.
    fn refresh(&mut self, kube: &Kube) {
        let pod = |name: &str| kube.objects(|all| all.get(&Key::new("pods", NAMESPACE, name)));
        self.running.retain(|_, running| {
            let Some(pod) = pod(&running.pod.pod) else {
                return false;
            };
            let metadata = &pod["metadata"];
            running.serves = pod["status"]["conditions"][0]["status"] == "True";
            text(&metadata["uid"]) == running.pod.uid && metadata["deletionTimestamp"].is_null()
        });
        let serving = self.running.iter().filter(|(_, r)| r.serves);
        let serving: Vec<_> = serving.map(|(id, r)| (NodeId(*id), r.in_sync)).collect();
        for held in &mut self.partitions {
            let is_in_sync =
                |id: &NodeId| serving.contains(&(*id, true)) && !self.unwell.contains(&id.0);
            held.isr = held.replicas.iter().copied().filter(is_in_sync).collect();
            held.leader = held.isr.first().copied();
        }
        self.vote();
        for (id, _) in serving {
            self.registered.entry(id.0).or_insert(false);
        }
    }

    /// The first controllers form a quorum when all of them run; one that serves leads it.
    fn vote(&mut self) {
        if self.voters.is_empty() {
            let named = |running: &Running| {
                let all = line(&running.pod.file, "controller.quorum.bootstrap.servers");
                all.split(',').count()
            };
            let controllers = self.running.iter().filter(|(_, r)| r.controls());
            let first: BTreeMap<_, _> = controllers.map(|(id, r)| (*id, named(r))).collect();
            if first.values().all(|named| *named <= first.len()) {
                self.voters = first.into_keys().collect();
            }
        }
        let can_lead = |id: &i32| self.voters.contains(id) && self.serves(*id);
        let next = || self.voters.iter().copied().find(can_lead);
        self.leader = self.leader.filter(can_lead).or_else(next);
    }

    /// A controller or broker as the active controller sees it.
    fn replica(&self, id: i32) -> QuorumReplica {
        let (silent, now) = (Timestamp(0), Timestamp(1_000_000));
        let port = |running: &Running| match running.controls() {
            true => CONTROLLER_PORT,
            false => REPLICATION_PORT,
        };
        let address = |running: &Running| format!("{}:{}", running.pod.pod, port(running));
        let heard = if self.serves(id) { now } else { silent };
        QuorumReplica {
            node: NodeId(id),
            directory: TopicId::default(),
            addresses: self.running.get(&id).map(address).into_iter().collect(),
            log_end: Some(Offset::default()),
            last_fetch: Some(heard),
            last_caught_up: Some(heard),
        }
    }

    fn quorum(&self) -> QuorumDescription {
        let observers = self.running.keys().filter(|id| !self.voters.contains(id));
        QuorumDescription {
            leader: self.leader.map(NodeId),
            epoch: 1,
            high_watermark: Offset::default(),
            voters: self.voters.iter().map(|id| self.replica(*id)).collect(),
            observers: observers.map(|id| self.replica(*id)).collect(),
        }
    }

    /// Changes who votes, if a majority of those before is there to agree.
    fn seat(&mut self, id: i32, votes: bool) -> Result<(), ClientError> {
        let here = |voters: &BTreeSet<i32>| {
            let serving = voters.iter().filter(|id| self.serves(**id)).count();
            serving * 2 > voters.len()
        };
        if !here(&self.voters) {
            return Err(away("a majority"));
        }
        let mut voters = self.voters.clone();
        if votes {
            voters.insert(id);
        } else {
            voters.remove(&id);
        }
        if !here(&voters) {
            let breach = format!("{voters:?} would vote, and most of them are away");
            self.breaches.push(breach);
        }
        self.voters = voters;
        Ok(())
    }

    fn start(&mut self, pod: Started) {
        let id: i32 = line(&pod.file, "node.id").parse().unwrap();
        let written = *self.volumes.entry(pod.volume.clone()).or_insert(id);
        if written != id {
            let breach = format!("{} is broker {id} on the volume of {written}", pod.pod);
            self.breaches.push(breach);
        }
        if self.volumes.values().filter(|other| **other == id).count() > 1 {
            self.breaches.push(format!("two volumes of broker {id}"));
        }
        let running = Running {
            pod,
            serves: false,
            in_sync: false,
        };
        if let Some(other) = self.running.insert(id, running) {
            let breach = format!("{} is also broker {id}", other.pod.pod);
            self.breaches.push(breach);
        }
    }

    fn end_moves(&mut self) {
        let serving: Vec<_> = self.running.iter().filter(|(_, r)| r.serves).collect();
        let serving: Vec<_> = serving.iter().map(|(id, _)| NodeId(**id)).collect();
        for held in &mut self.partitions {
            if held.adding.iter().all(|id| serving.contains(id)) {
                let removing = std::mem::take(&mut held.removing);
                held.replicas.retain(|id| !removing.contains(id));
                held.adding.clear();
            }
        }
    }

    fn survey(&self) -> Survey {
        let seen = |(id, cordoned): (&i32, &bool)| {
            let dir = LogDir {
                path: "/d".to_owned(),
                error: None,
                total_bytes: 1000,
                usable_bytes: 500,
                cordoned: *cordoned,
                slow: false,
                full: false,
                reserve_bytes: 0,
                partitions: Vec::new(),
            };
            let dirs = self.serves(*id).then(|| vec![dir]);
            let node = self.node(*id);
            (NodeId(*id), Seen { node, dirs })
        };
        Survey {
            brokers: self.registered.iter().map(seen).collect(),
            partitions: self.partitions.clone(),
        }
    }

    fn node(&self, id: i32) -> ClusterNode {
        ClusterNode {
            id: NodeId(id),
            host: format!("broker-{id}"),
            port: 9091,
            rack: None,
            fenced: !self.serves(id),
        }
    }

    fn reassign(&mut self, asked: &Reassignment) -> Result<(), ClientError> {
        let target = asked.replicas.clone().unwrap_or_default();
        if let Some(other) = target.iter().find(|id| !self.serves(id.0)) {
            return Err(away(&format!("broker {other}")));
        }
        let mut partitions = self.partitions.iter_mut();
        let held = partitions.find(|held| held.partition == asked.partition);
        let held = held.ok_or_else(|| away("no such partition"))?;
        let mut original = held.replicas.clone();
        original.retain(|id| !held.adding.contains(id));
        let but = |all: &[NodeId], others: &[NodeId]| -> Vec<NodeId> {
            let not = |id: &NodeId| !others.contains(id);
            all.iter().copied().filter(not).collect()
        };
        held.adding = but(&target, &original);
        held.removing = but(&original, &target);
        held.replicas = [target, held.removing.clone()].concat();
        Ok(())
    }

    fn by_address(&self, ip: &str) -> Result<i32, String> {
        let mut running = self.running.iter().filter(|(_, r)| r.serves);
        let found = running.find(|(_, running)| running.pod.ip == ip);
        found
            .map(|(id, _)| *id)
            .ok_or_else(|| "nobody is there".to_owned())
    }

    /// Whether the process at this address does nothing.
    fn is_idle(&self, ip: &str) -> bool {
        let mut all = self.running.values();
        let running = all.find(|running| running.pod.ip == ip);
        running.is_some_and(|running| !line(&running.pod.file, "freshet.idle.reason").is_empty())
    }

    fn before_restart(&self, ip: &str, others: &[i32]) -> Result<BeforeRestart, String> {
        let id = NodeId(self.by_address(ip)?);
        let (mut lasting, mut last_copy, mut below) = (0, 0, 0);
        for held in self.kept_by(id.0) {
            let stays = |other: &&NodeId| **other != id && !others.contains(&other.0);
            let left = held.isr.iter().filter(stays).count();
            match held.replicas.len() {
                1 => (lasting, last_copy) = (lasting + 1, last_copy + 1),
                copies if left + 1 < copies.min(3) => below += 1,
                _ => {}
            }
        }
        let answer = json!({
            "broker": id.0, "with": others, "safe": last_copy + below == 0, "risks": [], "quorum": null,
            "lasting": lasting,
            "counts": { "last-copy": last_copy, "offline": 0, "below-min-insync": below },
        });
        Ok(serde_json::from_value(answer).expect("an answer of a broker"))
    }

    fn after_restart(&self, ip: &str) -> Result<AfterRestart, String> {
        let id = self.by_address(ip)?;
        let unwell = self.unwell.contains(&id);
        let is_behind = |held: &&Held| !unwell && !held.isr.contains(&NodeId(id));
        let count = self.kept_by(id).filter(is_behind).count();
        Ok(AfterRestart {
            in_sync: count == 0,
            count,
            unwell,
        })
    }
}

fn away(what: &str) -> ClientError {
    ClientError::Unreachable {
        address: what.to_owned(),
        cause: "refused".to_owned(),
    }
}

/// The way of one operator to the brokers, with the faults on it.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) kafka: Arc<Kafka>,
    pub(super) kube: Kube,
    pub(super) faults: Arc<Faults>,
}

impl Way {
    /// One request; `write` names what it changes.
    async fn ask<T>(
        &self,
        write: Option<String>,
        act: impl FnOnce(&mut State) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let fault = self.faults.draw(write.is_some(), false);
        let answer = match fault {
            Some(Fault::Conflict | Fault::Broken | Fault::Busy) => Err(away("a fault of the test")),
            _ => {
                let mut state = self.kafka.0.lock();
                state.refresh(&self.kube);
                let anybody = state.running.values().any(|running| running.serves);
                if anybody && !state.is_away {
                    state.writes.extend(write);
                    act(&mut state)
                } else {
                    Err(away("no broker serves"))
                }
            }
        };
        self.faults.count().await;
        if fault == Some(Fault::Lost) {
            return Err(away("the answer was lost"));
        }
        answer
    }
}

impl Way {
    /// One request to one process, whether any broker serves or not.
    async fn ask_process(&self, act: impl FnOnce(&State) -> bool) -> Result<bool, ClientError> {
        let fault = self.faults.draw(false, false);
        let answer = match fault {
            Some(Fault::Conflict | Fault::Broken | Fault::Busy) => Err(away("a fault of the test")),
            _ => {
                let mut state = self.kafka.0.lock();
                state.refresh(&self.kube);
                Ok(act(&state))
            }
        };
        self.faults.count().await;
        answer
    }
}

impl Door for Way {
    fn reach<'a>(&'a self, _: &'a [String]) -> Answer<'a, Arc<dyn Brokers>> {
        let reached = async {
            self.ask(None, |_| Ok(())).await?;
            Ok(Arc::new(self.clone()) as Arc<dyn Brokers>)
        };
        reached.boxed()
    }

    fn forget(&self, _: &[String]) {}

    fn before_restart<'a>(&'a self, ip: &'a str, others: &'a [i32]) -> Word<'a, BeforeRestart> {
        let asked = async move {
            let answer = self
                .ask(None, |state| Ok(state.before_restart(ip, others)))
                .await;
            answer.map_err(|error| error.to_string())?
        };
        asked.boxed()
    }

    fn is_idle<'a>(&'a self, ip: &'a str) -> Word<'a, bool> {
        let asked = async move {
            let answer = self.ask_process(|state| state.is_idle(ip)).await;
            answer.map_err(|error| error.to_string())
        };
        asked.boxed()
    }

    fn after_restart<'a>(&'a self, ip: &'a str) -> Word<'a, AfterRestart> {
        let asked = async move {
            let answer = self.ask(None, |state| Ok(state.after_restart(ip))).await;
            answer.map_err(|error| error.to_string())?
        };
        asked.boxed()
    }
}

impl Brokers for Way {
    fn survey(&self) -> Answer<'_, Survey> {
        self.ask(None, |state| Ok(state.survey())).boxed()
    }

    fn describe_cluster(&self) -> Answer<'_, ClusterDescription> {
        let described = |state: &mut State| {
            Ok(ClusterDescription {
                cluster_id: "c".to_owned(),
                controller: None,
                nodes: state.registered.keys().map(|id| state.node(*id)).collect(),
            })
        };
        self.ask(None, described).boxed()
    }

    fn describe_quorum(&self) -> Answer<'_, QuorumDescription> {
        self.ask(None, |state| Ok(state.quorum())).boxed()
    }

    fn add_voter<'a>(&'a self, voter: &'a NewVoter) -> Answer<'a, ()> {
        let id = voter.node.0;
        let what = format!("{id} votes");
        self.ask(Some(what), move |state| state.seat(id, true))
            .boxed()
    }

    fn remove_voter(&self, id: NodeId, _: TopicId) -> Answer<'_, ()> {
        let what = format!("{id} votes no more");
        self.ask(Some(what), move |state| state.seat(id.0, false))
            .boxed()
    }

    fn features(&self) -> Answer<'_, Vec<FeatureLevel>> {
        self.ask(None, |_| Ok(Vec::new())).boxed()
    }

    fn features_of(&self, _: NodeId) -> Answer<'_, Vec<FeatureLevel>> {
        self.features()
    }

    fn update_features<'a>(&'a self, _: &'a [(String, i16)], _: bool) -> Answer<'a, ()> {
        self.ask(None, |_| Err(away("features"))).boxed()
    }

    fn advertised(&self, id: NodeId) -> Answer<'_, Option<String>> {
        let told = move |state: &mut State| {
            let running = state.running.get(&id.0).filter(|running| running.serves);
            let running = running.ok_or_else(|| away(&format!("broker {id}")))?;
            let told = line(&running.pod.file, "advertised.listeners");
            Ok(Some(told.replace("${env:FRESHET_HOST}", HOST_IP)))
        };
        self.ask(None, told).boxed()
    }

    fn settings(&self) -> Answer<'_, Vec<ConfigEntry>> {
        let entry = |(name, value): (&String, &String)| ConfigEntry {
            name: name.clone(),
            value: Some(value.clone()),
            source: ConfigSource::AllBrokers,
            read_only: false,
            sensitive: false,
            documentation: None,
        };
        let settings = move |state: &mut State| Ok(state.settings.iter().map(entry).collect());
        self.ask(None, settings).boxed()
    }

    fn set<'a>(&'a self, changes: &'a [ConfigChange]) -> Answer<'a, ()> {
        let set = move |state: &mut State| {
            for change in changes {
                match &change.operation {
                    ConfigOperation::Set(value) => {
                        drop(state.settings.insert(change.name.clone(), value.clone()));
                    }
                    _ => drop(state.settings.remove(&change.name)),
                }
            }
            Ok(())
        };
        self.ask(Some("set".to_owned()), set).boxed()
    }

    fn cordon(&self, id: NodeId, cordoned: bool) -> Answer<'_, ()> {
        let cordon = move |state: &mut State| {
            let known = state.registered.get_mut(&id.0);
            *known.ok_or_else(|| away("no such broker"))? = cordoned;
            Ok(())
        };
        self.ask(Some(format!("cordon {id} {cordoned}")), cordon)
            .boxed()
    }

    fn reassign<'a>(
        &'a self,
        moves: &'a [Reassignment],
    ) -> Answer<'a, Outcomes<TopicPartition, ()>> {
        let reassign = move |state: &mut State| {
            let outcomes = moves
                .iter()
                .map(|asked| (asked.partition.clone(), state.reassign(asked)));
            Ok(outcomes.collect())
        };
        self.ask(Some("reassign".to_owned()), reassign).boxed()
    }

    fn unregister(&self, id: NodeId) -> Answer<'_, ()> {
        let unregister = move |state: &mut State| {
            if state.serves(id.0) || state.kept_by(id.0).next().is_some() {
                let breach = format!("broker {id} was forgotten too early");
                state.breaches.push(breach);
            }
            state.registered.remove(&id.0);
            Ok(())
        };
        self.ask(Some(format!("unregister {id}")), unregister)
            .boxed()
    }
}
