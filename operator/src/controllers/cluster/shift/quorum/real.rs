//! The same with brokers that are really there: processes are pods, folders are volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use freshet_client::{Client, ClientConfig, ConfigChange, Resource, Survey};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::super::super::build;
use super::super::super::fetch::Kind;
use super::super::super::names::{REPLICATION_PORT, STOPPED};
use super::tests::{pool, volume, wanted};
use super::*;

/// How long the quorum may take to be as it shall.
const LIMIT: Duration = Duration::from_secs(60);

/// Worlds of this process so far.
static WORLDS: AtomicUsize = AtomicUsize::new(0);

/// One process, and what it has.
struct Running {
    process: Child,
    ready: PathBuf,
    id: i32,
    broker: bool,
}

/// What Kubernetes would have.
pub(crate) struct World {
    folder: tempfile::TempDir,
    wanted: Wanted,
    pub(crate) observed: Observed,
    pods: BTreeMap<String, Running>,
    /// Each pod ever started has an address of its own.
    addresses: BTreeMap<String, String>,
    first_address: usize,
    binary: String,
    /// Changes of the quorum, in their order.
    done: Vec<String>,
    /// What the last look waited for.
    waits_for: Option<String>,
}

impl World {
    pub(crate) fn new(pools: &[Value]) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            wanted: wanted(&json!(pools)),
            observed: Observed::default(),
            pods: BTreeMap::new(),
            addresses: BTreeMap::new(),
            first_address: WORLDS.fetch_add(1, Ordering::Relaxed) * 50 + 2,
            binary: std::env::var("FRESHET_BROKER").expect("FRESHET_BROKER names a broker"),
            done: Vec::new(),
            waits_for: None,
        }
    }

    fn address(&mut self, pod: &str) -> String {
        // All of 127.0.0.0/8 is this machine: ports can be those of pods, and worlds do not meet.
        let run = std::process::id();
        let (high, low) = (run / 250 % 250 + 2, run % 250 + 2);
        let next = self.first_address + self.addresses.len();
        let known = self.addresses.entry(pod.to_owned());
        known
            .or_insert_with(|| format!("127.{high}.{low}.{next}"))
            .clone()
    }

    pub(crate) async fn client(&self) -> Client {
        let brokers = self.pods.iter().filter(|(_, running)| running.broker);
        let at = brokers.map(|(pod, _)| format!("{}:{REPLICATION_PORT}", self.addresses[pod]));
        let config = ClientConfig::new(at.collect::<Vec<_>>());
        Client::connect(config).await.expect("a broker serves")
    }

    /// Somebody asks for a stop of a pod's broker, or for its end; its file says so. Gives the file.
    pub(crate) async fn mark(&mut self, pod: &str, why: Option<&str>) -> String {
        let name = self.wanted.names.claim(pod);
        let mut claims = self.observed.claims.iter_mut();
        let claim = claims
            .find(|claim| claim.name_any() == name)
            .expect("it has one");
        match why {
            Some(why) => drop(
                claim
                    .annotations_mut()
                    .insert(STOPPED.to_owned(), why.to_owned()),
            ),
            None => drop(claim.annotations_mut().remove(STOPPED)),
        }
        let plan = self.planned().await;
        let objects = build::objects(&self.wanted, &plan, &BTreeMap::new(), &BTreeSet::new());
        for object in objects {
            let key = (object.kind, object.name);
            self.observed.objects.insert(key, object.value);
        }
        self.file(pod)
    }

    /// As the kubelet does it when a pod is deleted: the process ends, and another one starts with this file.
    pub(crate) async fn restart(&mut self, pod: &str, text: &str) {
        let plan = self.planned().await;
        let node = plan
            .nodes()
            .find(|node| node.pod == pod)
            .expect("it is planned")
            .clone();
        self.stop(pod).await;
        self.start(&node, text).await;
    }

    /// Where a pod is, and where its records are.
    pub(crate) fn place(&self, pod: &str) -> (String, PathBuf) {
        (self.addresses[pod].clone(), self.folder.path().join(pod))
    }

    /// Writes the objects of a plan, and has pods come and go.
    async fn apply(&mut self, plan: &Plan) {
        let objects = build::objects(&self.wanted, plan, &BTreeMap::new(), &BTreeSet::new());
        let gone: Vec<String> = self.pods.keys().cloned().collect();
        let stays = |pod: &String| plan.nodes().any(|n| n.pod == *pod);
        for pod in gone.into_iter().filter(|pod| !stays(pod)) {
            self.stop(&pod).await;
        }
        self.observed.sets.clear();
        self.observed.objects.clear();
        for object in objects {
            self.observed
                .objects
                .insert((object.kind, object.name), object.value);
        }
        for pool in plan.pools.iter().filter(|pool| pool.replicas > 0) {
            let set = json!({
                "metadata": { "name": self.wanted.names.pool(&pool.name) },
                "spec": { "replicas": pool.replicas, "selector": {}, "serviceName": "s", "template": {} },
            });
            self.observed
                .sets
                .push(serde_json::from_value(set).expect("a StatefulSet"));
        }
        for node in plan.nodes() {
            self.address(&node.pod);
        }
        for node in plan.nodes() {
            if !self.pods.contains_key(&node.pod) {
                self.start(node, &self.file(&node.pod)).await;
            }
        }
        self.observe();
    }

    fn observe(&mut self) {
        // They were waited for.
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        let pod = |pod: &String| {
            let pod = json!({ "metadata": { "name": pod }, "status": ready });
            serde_json::from_value(pod)
        };
        let pods = self.pods.keys().map(|name| pod(name).expect("a Pod"));
        self.observed.pods = pods.collect();
        for (pod, running) in &self.pods {
            let claim = self.wanted.names.claim(pod);
            if !self.observed.claims.iter().any(|c| c.name_any() == claim) {
                self.observed.claims.push(volume(pod, running.id));
            }
        }
    }

    /// A pod's file as the operator writes it, with addresses of this machine.
    pub(crate) fn file(&self, pod: &str) -> String {
        let maps = self
            .observed
            .objects
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::ConfigMap);
        let name = format!("{pod}.properties");
        let mut files = maps.filter_map(|(_, map)| map["data"][&name].as_str());
        let mut text = files.next().expect("each pod has a file").to_owned();
        let own = &self.addresses[pod];
        for (pod, address) in &self.addresses {
            text = text.replace(&self.wanted.names.host(pod), address);
        }
        let data = self.folder.path().join(pod);
        text.replace("://:", &format!("://{own}:"))
            .replace("=0.0.0.0:", &format!("={own}:"))
            .replace("/var/lib/freshet/log", &data.display().to_string())
    }

    async fn start(&mut self, node: &Node, text: &str) {
        let place = |end: &str| self.folder.path().join(format!("{}.{end}", node.pod));
        let (config, ready, log) = (place("properties"), place("ready"), place("log"));
        std::fs::write(&config, text).expect("a file");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::options().create(true).append(true).open(log);
        let process = Command::new(&self.binary)
            .arg("--config")
            .arg(config)
            .arg("--ready-file")
            .arg(&ready)
            .env("FRESHET_ZONE", "z")
            .stdout(log.expect("a log"))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("FRESHET_BROKER can be started");
        let running = Running {
            process,
            ready,
            id: node.id,
            broker: node.broker,
        };
        self.pods.insert(node.pod.clone(), running);
    }

    async fn wait_ready(&mut self) {
        let until = Instant::now() + LIMIT;
        for (pod, running) in &mut self.pods {
            while !running.ready.exists() {
                let ended = running.process.try_wait().expect("its state");
                assert_eq!(ended, None, "{pod} has ended: {}", log_of(&running.ready));
                assert!(Instant::now() < until, "{pod}: {}", log_of(&running.ready));
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// As the kubelet does it: asked first.
    async fn stop(&mut self, pod: &str) {
        let mut running = self.pods.remove(pod).expect("it runs");
        let pid = running.process.id().expect("it runs").to_string();
        let asked = Command::new("kill").arg(pid).status().await;
        assert!(asked.expect("kill is there").success());
        running.process.wait().await.expect("it ends");
    }

    /// Kills a pod's process, and starts it with another file or the same.
    async fn crash(&mut self, node: &Node, text: &str) {
        let mut running = self.pods.remove(&node.pod).expect("it runs");
        running.process.kill().await.expect("it ends");
        self.start(node, text).await;
        self.wait_ready().await;
    }

    async fn quorum(&self) -> QuorumDescription {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(quorum) = describe(&self.client().await).await {
                return quorum;
            }
            assert!(Instant::now() < until, "nobody leads");
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn plan(&self, voters: Option<&BTreeSet<i32>>, empty: &BTreeSet<i32>) -> Plan {
        Plan::of(&self.wanted, &self.observed, voters, empty).expect("a plan")
    }

    /// The plan as the quorum is.
    pub(crate) async fn planned(&self) -> Plan {
        let voting = voters(&self.quorum().await);
        self.plan(Some(&voting), &BTreeSet::new())
    }

    /// One look, as the controller does it. Gives whether there was nothing to do.
    async fn look(&mut self) -> bool {
        if self.pods.is_empty() {
            let plan = self.plan(None, &BTreeSet::new());
            self.apply(&plan).await;
            self.wait_ready().await;
        }
        let client = self.client().await;
        let quorum = self.quorum().await;
        let voting = voters(&quorum);
        let survey = Survey::take(&client).await.expect("it can be looked at");
        let leaving = self.plan(Some(&voting), &BTreeSet::new());
        let is_empty = |node: &&Node| survey.kept_by(NodeId(node.id)).count() == 0;
        let empty = leaving
            .leaving()
            .filter(is_empty)
            .map(|node| node.id)
            .collect();
        let plan = self.plan(Some(&voting), &empty);
        let before = (self.pods.len(), self.observed.objects.clone());
        self.apply(&plan).await;
        self.wait_ready().await;
        if before != (self.pods.len(), self.observed.objects.clone()) {
            return false;
        }
        let around = (&self.observed, &empty);
        let seated = seat(&client, &self.wanted, &plan, &quorum, around).await;
        if let Some((word, sentence)) = seated.changed {
            self.done.push(format!("{word}: {sentence}"));
            return false;
        }
        let roles = roles(Some(&quorum), &plan);
        let changed = roles
            .changed
            .iter()
            .min_by_key(|id| Some(**id) == roles.active);
        if let Some(node) = changed.and_then(|id| node(&plan, *id)) {
            self.stop(&node.pod).await;
            let text = self.file(&node.pod);
            self.start(node, &text).await;
            self.wait_ready().await;
            self.done.push(format!("RoleChanged: {}", node.id));
            return false;
        }
        self.waits_for = seated.waits_for;
        self.waits_for.is_none()
    }

    /// Looks until there is nothing to do, and gives what was done.
    pub(crate) async fn settle(&mut self) -> Vec<String> {
        let until = Instant::now() + LIMIT;
        while !self.look().await {
            let (done, why) = (&self.done, &self.waits_for);
            assert!(Instant::now() < until, "it waits for {why:?}: {done:?}");
            sleep(Duration::from_millis(100)).await;
        }
        std::mem::take(&mut self.done)
    }

    /// Who votes, and who listens where.
    async fn seats(&self) -> (Vec<i32>, Vec<(i32, bool)>) {
        let quorum = self.quorum().await;
        let observers = quorum.observers.iter().map(|o| (o.node.0, controls(o)));
        (voters(&quorum).into_iter().collect(), observers.collect())
    }

    /// The quorum decides, and remembers what it decided before.
    async fn assert_decides(&self, before: &str, now: &str) {
        const NAME: &str = "log.retention.ms";
        let admin = self.client().await.admin();
        let known = async || {
            let all = admin
                .describe_configs(&Resource::AllBrokers)
                .await
                .expect("told");
            let entry = all.into_iter().find(|entry| entry.name == NAME);
            entry.and_then(|entry| entry.value).unwrap_or_default()
        };
        if !before.is_empty() {
            assert_eq!(known().await, before);
        }
        let change = [ConfigChange::set(NAME, now)];
        let changed = admin
            .alter_configs(&Resource::AllBrokers, &change, false)
            .await;
        changed.expect("it is decided");
    }
}

fn log_of(ready: &std::path::Path) -> String {
    let text = std::fs::read_to_string(ready.with_extension("log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(20).collect();
    lines.join("\n")
}

/// The changes of one kind, as the numbers of those they were about.
fn ids(done: &[String], word: &str) -> Vec<i32> {
    let of_kind = done.iter().filter_map(|said| said.strip_prefix(word));
    let number = |said: &str| {
        said.split(|c: char| !c.is_ascii_digit())
            .find_map(|n| n.parse().ok())
    };
    of_kind.filter_map(number).collect()
}

#[tokio::test]
#[ignore = "starts the brokers that FRESHET_BROKER names: cargo xtask test runs it"]
async fn brokers_change_who_votes_as_pools_come_and_go() {
    let main = |replicas| pool("main", &[], replicas);
    let mut world = World::new(&[main(1)]);
    world.settle().await;
    assert_eq!(world.seats().await, (vec![1], vec![]));
    world.assert_decides("", "1000").await;

    // One becomes three.
    world.wanted = wanted(&json!([main(3)]));
    let done = world.settle().await;
    assert_eq!(ids(&done, "VoterAdded"), [2, 3], "{done:?}");
    assert_eq!(world.seats().await, (vec![1, 2, 3], vec![]));
    world.assert_decides("1000", "2000").await;

    a_volume_is_lost(&mut world).await;
    moved_to_a_pool_of_its_own(&mut world).await;
    moved_back(&mut world).await;

    // Three become one, the active controller last.
    let active = world.quorum().await.leader.expect("somebody leads").0;
    world.wanted = wanted(&json!([main(1)]));
    let done = world.settle().await;
    let removed = ids(&done, "VoterRemoved");
    assert_eq!(
        removed.iter().copied().collect::<BTreeSet<_>>(),
        [2, 3].into(),
        "{done:?}"
    );
    assert!(
        active == 1 || removed.last() == Some(&active),
        "{active}: {done:?}"
    );
    assert_eq!(world.pods.keys().collect::<Vec<_>>(), ["demo-main-0"]);
    assert_eq!(world.seats().await.0, [1]);
    world.assert_decides("4000", "5000").await;
}

/// Of a voter that does not lead. Controllers take it in again with another one, since they know its number.
async fn a_volume_is_lost(world: &mut World) {
    let before = world.quorum().await;
    let lost = before.voters.iter().find(|v| Some(v.node) != before.leader);
    let lost = lost.expect("two do not lead").clone();
    let plan = world.planned().await;
    let pod = node(&plan, lost.node.0).expect("it is a pod").clone();
    world.stop(&pod.pod).await;
    std::fs::remove_dir_all(world.folder.path().join(&pod.pod)).expect("it had a volume");
    world.start(&pod, &world.file(&pod.pod)).await;
    world.wait_ready().await;
    let until = Instant::now() + LIMIT;
    loop {
        let now = world.quorum().await;
        let again = now.voters.iter().find(|voter| voter.node == lost.node);
        if again.is_some_and(|voter| voter.directory != lost.directory) {
            break;
        }
        assert!(Instant::now() < until, "{now:?}");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.settle().await, Vec::<String>::new());
    world.assert_decides("2000", "2500").await;
}

async fn moved_to_a_pool_of_its_own(world: &mut World) {
    let pools = [pool("main", &[], 3), pool("ctl", &["controller"], 3)];
    let old = world.file("demo-main-0");
    assert!(old.contains("process.roles=controller,broker"), "{old}");
    world.wanted = wanted(&json!(pools));
    while world
        .done
        .iter()
        .filter(|said| said.starts_with("VoterRemoved"))
        .count()
        < 3
    {
        world.look().await;
    }
    assert_eq!(world.seats().await.0, [4, 5, 6], "{:?}", world.done);
    // One that is a controller still does not vote again by itself.
    let voting = BTreeSet::from([4, 5, 6]);
    let plan = world.plan(Some(&voting), &BTreeSet::new());
    let first = node(&plan, 1).expect("it stays").clone();
    world.crash(&first, &old).await;
    assert_eq!(world.seats().await.0, [4, 5, 6]);
    let done = world.settle().await;
    assert_eq!(ids(&done, "VoterAdded"), [4, 5, 6], "{done:?}");
    assert_eq!(ids(&done, "RoleChanged"), [1, 2, 3], "{done:?}");
    let listening = vec![(1, false), (2, false), (3, false)];
    assert_eq!(world.seats().await, (vec![4, 5, 6], listening));
    world.assert_decides("2500", "3000").await;
}

/// Brokers become controllers on the volumes they have, and a pool of controllers goes altogether.
async fn moved_back(world: &mut World) {
    world.wanted = wanted(&json!([pool("main", &[], 3)]));
    let done = world.settle().await;
    assert_eq!(ids(&done, "RoleChanged"), [1, 2, 3], "{done:?}");
    assert_eq!(ids(&done, "VoterAdded"), [1, 2, 3], "{done:?}");
    assert_eq!(ids(&done, "VoterRemoved").len(), 3, "{done:?}");
    // Controllers that are no brokers are forgotten when the quorum has not heard of them for a while.
    let until = Instant::now() + Duration::from_secs(60);
    while !world.seats().await.1.is_empty() {
        assert!(Instant::now() < until, "{:?}", world.done);
        world.look().await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(ids(&world.done, "ControllerForgotten"), [4, 5, 6]);
    assert_eq!(world.seats().await.0, [1, 2, 3]);
    let main = ["demo-main-0", "demo-main-1", "demo-main-2"];
    assert_eq!(world.pods.keys().collect::<Vec<_>>(), main);
    world.assert_decides("3000", "4000").await;
}
