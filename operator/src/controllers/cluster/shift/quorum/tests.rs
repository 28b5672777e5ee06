use freshet_types::Timestamp;
use serde_json::{Value, json};

use super::super::super::samples;
use super::*;

/// The active controller's clock at the look.
const NOW: i64 = 100_000;
const AGREED: i64 = 5_000;

pub(crate) fn wanted(pools: &Value) -> Wanted {
    samples::wanted("demo", &json!({ "pools": pools }))
}

pub(crate) fn pool(name: &str, roles: &[&str], replicas: i32) -> Value {
    json!({ "name": name, "roles": roles, "replicas": replicas, "storage": { "size": "1Gi" } })
}

/// Sets and volumes as they are when pods of these pools have run, numbered from 1.
fn there(pools: &[(&str, i32)]) -> Observed {
    let mut observed = Observed::default();
    let mut id = 0;
    for (name, replicas) in pools {
        let set = json!({
            "metadata": { "name": format!("demo-{name}") },
            "spec": { "replicas": replicas, "selector": {}, "serviceName": "s", "template": {} },
        });
        observed
            .sets
            .push(serde_json::from_value(set).expect("a StatefulSet"));
        for ordinal in 0..*replicas {
            id += 1;
            let pod = format!("demo-{name}-{ordinal}");
            observed.claims.push(volume(&pod, id));
            let pod = json!({ "metadata": { "name": pod } });
            observed
                .pods
                .push(serde_json::from_value(pod).expect("a Pod"));
        }
    }
    observed
}

pub(crate) fn volume(pod: &str, id: i32) -> PersistentVolumeClaim {
    serde_json::from_value(json!({ "metadata": {
        "name": format!("data-{pod}"), "annotations": { NODE_ID: id.to_string() },
    }}))
    .expect("a volume")
}

fn replica(id: i32, port: i32) -> QuorumReplica {
    QuorumReplica {
        node: NodeId(id),
        directory: directory(id),
        addresses: vec![format!("pod-{id}:{port}")],
        log_end: Some(AGREED),
        last_fetch: Some(Timestamp(NOW - 100)),
        last_caught_up: None,
    }
}

fn directory(id: i32) -> TopicId {
    TopicId([u8::try_from(id).expect("small"); 16])
}

/// A quorum that is well; observers run as controllers.
fn quorum(leader: i32, voters: &[i32], observers: &[i32]) -> QuorumDescription {
    let controllers = |ids: &[i32]| ids.iter().map(|id| replica(*id, CONTROLLER_PORT)).collect();
    let mut quorum = QuorumDescription {
        leader: Some(NodeId(leader)),
        epoch: 1,
        high_watermark: AGREED,
        voters: controllers(voters),
        observers: controllers(observers),
    };
    of(&mut quorum, leader).last_fetch = Some(Timestamp(NOW));
    quorum
}

fn of(quorum: &mut QuorumDescription, id: i32) -> &mut QuorumReplica {
    let mut all = quorum.voters.iter_mut().chain(&mut quorum.observers);
    all.find(|replica| replica.node.0 == id)
        .expect("it takes part")
}

struct Scene {
    wanted: Wanted,
    observed: Observed,
}

impl Scene {
    fn new(pools: &[Value], before: &[(&str, i32)]) -> Self {
        Self {
            wanted: wanted(&json!(pools)),
            observed: there(before),
        }
    }

    fn plan(&self, quorum: &QuorumDescription, empty: &[i32]) -> Plan {
        let empty = empty.iter().copied().collect();
        Plan::of(&self.wanted, &self.observed, Some(&voters(quorum)), &empty).expect("a plan")
    }

    fn next(&self, quorum: &QuorumDescription, empty: &[i32]) -> Next {
        let plan = self.plan(quorum, empty);
        let empty = empty.iter().copied().collect();
        next(quorum, &plan, &empty, &gone(&plan, &self.observed))
    }

    /// Looks until nothing changes, as if brokers did what they are told. Says what was done.
    fn run(&self, mut quorum: QuorumDescription, empty: &[i32]) -> Vec<String> {
        let mut done = Vec::new();
        loop {
            assert!(done.len() < 20, "it does not end: {done:?}");
            match self.next(&quorum, empty) {
                Next::Nothing => return done,
                Next::Wait(why) => {
                    done.push(format!("waits for {why}"));
                    return done;
                }
                Next::Add(voter) => {
                    let at = quorum.observers.iter().position(|o| o.node == voter.node);
                    quorum
                        .voters
                        .push(quorum.observers.remove(at.expect("it listens")));
                    done.push(format!("+{}", voter.node));
                }
                Next::Remove(node, disk) => {
                    let at = quorum.voters.iter().position(|v| v.node == node);
                    let voter = quorum.voters.remove(at.expect("it votes"));
                    assert_eq!(voter.directory, disk);
                    quorum.observers.push(voter);
                    assert!(!quorum.voters.is_empty(), "never the last");
                    if quorum.leader == Some(node) {
                        quorum.leader = Some(quorum.voters[0].node);
                    }
                    done.push(format!("-{node}"));
                }
                Next::Forget(node) => {
                    quorum.observers.retain(|o| o.node != node);
                    done.push(format!("forgotten {node}"));
                }
            }
        }
    }
}

fn waits(next: Next) -> String {
    match next {
        Next::Wait(why) => why,
        other => panic!("it does not wait: {other:?}"),
    }
}

#[test]
fn one_becomes_three_when_both_can() {
    let scene = Scene::new(&[pool("main", &[], 3)], &[("main", 3)]);
    assert_eq!(scene.run(quorum(1, &[1], &[2, 3]), &[]), ["+2", "+3"]);
    let alone = waits(scene.next(&quorum(1, &[1], &[2]), &[]));
    assert_eq!(
        alone,
        "pod demo-main-2 (id 3) to follow the quorum as a controller"
    );
    let mut slow = quorum(1, &[1], &[2, 3]);
    of(&mut slow, 3).log_end = Some(AGREED - LAG - 1);
    assert_eq!(
        waits(scene.next(&slow, &[])),
        "pod demo-main-2 (id 3) to catch up with the quorum"
    );
    let mut silent = quorum(1, &[1], &[2, 3]);
    of(&mut silent, 2).last_fetch = Some(Timestamp(NOW - SILENCE_MS - 1));
    assert!(waits(scene.next(&silent, &[])).contains("demo-main-1"));
}

#[test]
fn a_newcomer_is_named_as_the_quorum_knows_it() {
    let scene = Scene::new(&[pool("main", &[], 3)], &[("main", 3)]);
    let expected = NewVoter {
        node: NodeId(2),
        directory: directory(2),
        listener: "CONTROLLER".to_owned(),
        host: "pod-2".to_owned(),
        port: 9090,
    };
    assert_eq!(
        scene.next(&quorum(1, &[1], &[2, 3]), &[]),
        Next::Add(expected)
    );
    assert_eq!(
        controller_place("[fe80::1]:9090"),
        Some(("[fe80::1]", 9090))
    );
    assert_eq!(controller_place("pod-2:9091"), None);
}

#[test]
fn a_broker_votes_only_after_it_was_restarted_as_a_controller() {
    let scene = Scene::new(&[pool("main", &[], 3)], &[("main", 3)]);
    let mut seen = quorum(1, &[1], &[2, 3]);
    of(&mut seen, 2).addresses = vec!["pod-2:9091".to_owned()];
    assert!(waits(scene.next(&seen, &[])).contains("demo-main-1"));
    let told = roles(Some(&seen), &scene.plan(&seen, &[]));
    assert_eq!((told.active, told.changed), (Some(1), [2].into()));
}

#[test]
fn three_become_one_when_both_are_empty() {
    let scene = Scene::new(&[pool("main", &[], 1)], &[("main", 3)]);
    let all = quorum(1, &[1, 2, 3], &[]);
    assert_eq!(waits(scene.next(&all, &[2])), "broker 3 to be empty");
    assert_eq!(scene.run(all, &[2, 3]), ["-2", "-3"]);
    // Those that leave keep their role: a restart would only take time.
    let then = quorum(1, &[1], &[2, 3]);
    assert_eq!(
        roles(Some(&then), &scene.plan(&then, &[])).changed,
        BTreeSet::new()
    );
}

#[test]
fn of_two_pods_one_goes_on_without_a_vote_and_is_restarted() {
    let scene = Scene::new(&[pool("main", &[], 2)], &[("main", 3)]);
    let all = quorum(1, &[1, 2, 3], &[]);
    assert_eq!(
        waits(scene.next(&all, &[])),
        "broker 3 to be empty",
        "none of them alone"
    );
    assert_eq!(scene.run(all, &[3]), ["-2", "-3"]);
    let then = quorum(1, &[1], &[2, 3]);
    assert_eq!(
        roles(Some(&then), &scene.plan(&then, &[3])).changed,
        [2].into()
    );
}

#[test]
fn the_active_controller_goes_last() {
    let scene = Scene::new(&[pool("next", &[], 3)], &[("next", 3), ("old", 3)]);
    let done = scene.run(quorum(4, &[4, 5, 6], &[1, 2, 3]), &[4, 5, 6]);
    assert_eq!(done, ["+1", "+2", "+3", "-5", "-6", "-4"]);
}

#[test]
fn five_controllers_become_three() {
    let pools = [
        pool("ctl", &["controller"], 3),
        pool("main", &["broker"], 1),
    ];
    let scene = Scene::new(&pools, &[("ctl", 5), ("main", 1)]);
    let all = quorum(5, &[1, 2, 3, 4, 5], &[6]);
    assert_eq!(scene.run(all, &[4, 5]), ["-4", "-5"]);
}

#[test]
fn the_quorum_moves_to_a_pool_of_its_own() {
    let pools = [pool("main", &[], 3), pool("ctl", &["controller"], 3)];
    let scene = Scene::new(&pools, &[("main", 3), ("ctl", 3)]);
    let done = scene.run(quorum(2, &[1, 2, 3], &[4, 5, 6]), &[]);
    assert_eq!(done, ["+4", "+5", "+6", "-1", "-3", "-2"]);
    let then = quorum(4, &[4, 5, 6], &[1, 2, 3]);
    assert_eq!(
        roles(Some(&then), &scene.plan(&then, &[])).changed,
        [1, 2, 3].into()
    );
    let mut done = quorum(4, &[4, 5, 6], &[1, 2, 3]);
    for id in [1, 2, 3] {
        of(&mut done, id).addresses = vec![format!("pod-{id}:9091")];
    }
    assert_eq!(
        roles(Some(&done), &scene.plan(&done, &[])).changed,
        BTreeSet::new()
    );
    assert_eq!(scene.next(&done, &[]), Next::Nothing);
}

#[test]
fn a_voter_that_lags_and_stays_is_waited_for() {
    let scene = Scene::new(
        &[
            pool("ctl", &["controller"], 3),
            pool("main", &["broker"], 1),
        ],
        &[("ctl", 5), ("main", 1)],
    );
    let mut slow = quorum(1, &[1, 2, 3, 4, 5], &[]);
    of(&mut slow, 2).log_end = Some(0);
    assert_eq!(
        waits(scene.next(&slow, &[4, 5])),
        "controller 2 to catch up"
    );
    let grow = Scene::new(&[pool("main", &[], 3)], &[("main", 3)]);
    let mut slow = quorum(1, &[1, 2], &[3]);
    of(&mut slow, 2).last_fetch = None;
    assert_eq!(waits(grow.next(&slow, &[])), "controller 2 to catch up");
}

#[test]
fn a_voter_that_lags_and_leaves_goes_first() {
    let pools = [
        pool("ctl", &["controller"], 3),
        pool("main", &["broker"], 1),
    ];
    let scene = Scene::new(&pools, &[("ctl", 5), ("main", 1)]);
    let mut slow = quorum(1, &[1, 2, 3, 4, 5], &[]);
    of(&mut slow, 5).last_fetch = None;
    assert_eq!(scene.run(slow.clone(), &[4, 5]), ["-5", "-4"]);
    of(&mut slow, 4).last_fetch = None;
    assert_eq!(
        scene.run(slow, &[4, 5]),
        ["-4", "-5"],
        "three of four are there"
    );
}

#[test]
fn nobody_goes_whose_going_would_leave_no_majority() {
    let scene = Scene::new(&[pool("main", &[], 1)], &[("main", 3)]);
    let mut two = quorum(1, &[1, 2, 3], &[]);
    for id in [2, 3] {
        of(&mut two, id).last_fetch = None;
    }
    assert_eq!(
        waits(scene.next(&two, &[2, 3])),
        "a majority of the other controllers to be up"
    );
}

#[test]
fn a_voter_whose_pod_is_gone_is_removed_and_others_not_touched() {
    let mut scene = Scene::new(&[pool("main", &[], 3)], &[("main", 3)]);
    scene.observed.claims.push(volume("demo-old-0", 9));
    let mut ghost = quorum(1, &[1, 2, 3, 9], &[]);
    of(&mut ghost, 9).last_fetch = None;
    let removed = Next::Remove(NodeId(9), directory(9));
    assert_eq!(scene.next(&ghost, &[]), removed);
    let foreign = quorum(1, &[1, 2, 3, 77], &[]);
    assert_eq!(scene.next(&foreign, &[]), Next::Nothing);
}

#[test]
fn a_controller_that_is_no_broker_is_forgotten_when_its_pod_is_gone() {
    let mut scene = Scene::new(&[pool("main", &[], 3)], &[("main", 3)]);
    for (pod, id) in [("demo-ctl-0", 4), ("demo-ctl-1", 5), ("demo-old-0", 6)] {
        scene.observed.claims.push(volume(pod, id));
    }
    let mut seen = quorum(1, &[1, 2, 3], &[4, 5, 6, 77]);
    for id in [4, 6, 77] {
        of(&mut seen, id).last_fetch = None;
    }
    of(&mut seen, 6).addresses = vec!["pod-6:9091".to_owned()];
    // 5 is heard still, 6 is a broker, 77 is nobody of ours.
    assert_eq!(scene.run(seen, &[]), ["forgotten 4"]);
}

#[test]
fn what_only_the_active_controller_knows_is_not_guessed() {
    let scene = Scene::new(&[pool("main", &[], 1)], &[("main", 3)]);
    let mut headless = quorum(1, &[1, 2, 3], &[]);
    headless.leader = None;
    assert_eq!(
        waits(scene.next(&headless, &[2, 3])),
        "an active controller"
    );
    let mut hearsay = quorum(1, &[1, 2, 3], &[]);
    of(&mut hearsay, 1).last_fetch = None;
    assert_eq!(now(&hearsay), None);
    assert_eq!(roles(None, &scene.plan(&hearsay, &[])), Roles::default());
}
