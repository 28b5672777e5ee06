use serde_json::json;

use super::*;

fn node(id: i32, controller: bool) -> Node {
    Node {
        pod: format!("a-main-{id}"),
        ordinal: id,
        id,
        broker: true,
        controller,
    }
}

fn pod(id: i32, old: Option<&'static str>, state: State) -> Seen {
    Seen {
        node: node(id, id < 3),
        old,
        state,
        ip: Some("10.0.0.1".to_owned()),
        uid: None,
    }
}

const OLD: Option<&str> = Some("ImageChanged");

fn chosen(next: Next) -> i32 {
    match next {
        Next::Ask(seen) | Next::Mend(seen) => seen.node.id,
        other => panic!("nobody was chosen: {other:?}"),
    }
}

#[test]
fn the_active_controller_goes_last() {
    let all = [
        pod(0, OLD, State::Ready),
        pod(1, OLD, State::Ready),
        pod(5, OLD, State::Ready),
    ];
    assert_eq!(chosen(next(&all, Some(0))), 1);
    assert_eq!(chosen(next(&all[..1], Some(0))), 0);
    assert_eq!(
        chosen(next(&all[1..], Some(0))),
        1,
        "controllers before brokers"
    );
}

#[test]
fn nobody_goes_while_somebody_is_away() {
    let coming = [pod(0, OLD, State::Ready), pod(1, None, State::Coming)];
    assert!(matches!(next(&coming, None), Next::Wait(why) if why.contains("a-main-1")));
    let broken = [
        pod(0, OLD, State::Ready),
        pod(1, None, State::Broken("CrashLoopBackOff".into())),
    ];
    assert!(matches!(next(&broken, None), Next::Wait(why) if why.contains("CrashLoopBackOff")));
}

#[test]
fn what_is_broken_and_old_is_mended_without_asking() {
    let all = [
        pod(0, OLD, State::Ready),
        pod(1, OLD, State::Broken("no node takes it".into())),
        pod(2, None, State::Coming),
    ];
    assert!(matches!(next(&all, None), Next::Mend(seen) if seen.node.id == 1));
}

#[test]
fn an_old_pod_that_is_starting_is_left_to_start() {
    // It may be reading its logs; a restart would make it begin again.
    let all = [pod(0, OLD, State::Coming)];
    assert!(matches!(next(&all, None), Next::Wait(_)));
}

#[test]
fn nothing_old_is_nothing_to_do() {
    assert_eq!(next(&[pod(0, None, State::Coming)], None), Next::Nothing);
}

fn set(revision: &str) -> k8s_openapi::api::apps::v1::StatefulSet {
    serde_json::from_value(json!({
        "metadata": { "name": "a-main", "generation": 4 },
        "spec": { "selector": {}, "serviceName": "a", "template": {
            "metadata": { "annotations": { SETTINGS: "s2" } },
            "spec": { "containers": [{ "name": "broker", "image": "i:2" }] },
        }},
        "status": { "replicas": 1, "observedGeneration": 4, "updateRevision": revision },
    }))
    .expect("a StatefulSet")
}

fn real(revision: &str, image: &str, settings: &str, status: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "a-main-0", "uid": "u",
            "labels": { "controller-revision-hash": revision },
            "annotations": { SETTINGS: settings },
        },
        "spec": { "containers": [{ "name": "broker", "image": image }] },
        "status": status,
    }))
    .expect("a Pod")
}

#[test]
fn a_pod_of_another_revision_is_old_and_says_why() {
    let why = |pod: &Pod| old(pod, &set("r2"));
    assert_eq!(why(&real("r2", "i:2", "s2", json!({}))), None);
    assert_eq!(
        why(&real("r1", "i:1", "s2", json!({}))),
        Some("ImageChanged")
    );
    assert_eq!(
        why(&real("r1", "i:2", "s1", json!({}))),
        Some("SettingsChanged")
    );
    assert_eq!(why(&real("r1", "i:2", "s2", json!({}))), Some("PodChanged"));
    let mut asked = real("r2", "i:2", "s2", json!({}));
    asked
        .annotations_mut()
        .insert(RESTART.to_owned(), "now".to_owned());
    assert_eq!(why(&asked), Some("RestartAsked"));
}

#[test]
fn a_set_that_was_not_looked_at_yet_tells_nothing() {
    let mut set = set("r2");
    set.metadata.generation = Some(5);
    assert_eq!(old(&real("r1", "i:1", "s1", json!({})), &set), None);
}

#[test]
fn states_of_pods() {
    let of = |status| state(&real("r", "i", "s", status));
    assert_eq!(
        of(json!({ "conditions": [{ "type": "Ready", "status": "True" }] })),
        State::Ready
    );
    assert_eq!(of(json!({ "phase": "Pending" })), State::Coming);
    let stuck = json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes" }] });
    assert_eq!(
        of(stuck),
        State::Broken("no node takes it: 0/3 nodes".into())
    );
    let crash = json!({ "containerStatuses": [{
        "name": "broker", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
    }] });
    assert_eq!(of(crash), State::Broken("CrashLoopBackOff".into()));
}
