use std::collections::BTreeSet;

use freshet_api::AtOnce;
use kube::ResourceExt;
use serde_json::json;

use super::super::super::names::{RESTART, SETTINGS};
use super::super::super::plan::Node;
use super::super::super::samples;
use super::pods::{State, old, state};
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
        zone: None,
        uid: None,
        unwell: false,
    }
}

const OLD: Option<&str> = Some("ImageChanged");

fn chosen(next: Next) -> i32 {
    match next {
        Next::Ask(seen, others) => {
            assert_eq!(others, [], "one at a time");
            seen.node.id
        }
        Next::Mend(seen) => seen.node.id,
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
    assert_eq!(chosen(next(&all, Some(0), AtOnce::Pod)), 1);
    assert_eq!(chosen(next(&all[..1], Some(0), AtOnce::Pod)), 0);
    assert_eq!(
        chosen(next(&all[1..], Some(0), AtOnce::Pod)),
        1,
        "controllers before brokers"
    );
}

#[test]
fn a_broker_whose_disk_is_not_well_goes_first() {
    let mut all = [0, 1, 5].map(|id| pod(id, OLD, State::Ready));
    all[2].unwell = true;
    assert_eq!(chosen(next(&all, Some(0), AtOnce::Pod)), 5);
    all[0].unwell = true;
    assert_eq!(chosen(next(&all, Some(0), AtOnce::Pod)), 5, "of these two");
    all[2].unwell = false;
    assert_eq!(
        chosen(next(&all, Some(0), AtOnce::Pod)),
        0,
        "the active controller too: the others could not go before it is well"
    );
    all[0].old = None;
    assert_eq!(chosen(next(&all, Some(0), AtOnce::Pod)), 1);
}

#[test]
fn nobody_goes_while_somebody_is_away() {
    let coming = [pod(0, OLD, State::Ready), pod(1, None, State::Coming)];
    assert!(
        matches!(next(&coming, None, AtOnce::Pod), Next::Wait(why) if why.contains("a-main-1"))
    );
    let broken = [
        pod(0, OLD, State::Ready),
        pod(1, None, State::Broken("CrashLoopBackOff".into())),
    ];
    assert!(
        matches!(next(&broken, None, AtOnce::Pod), Next::Wait(why) if why.contains("CrashLoopBackOff"))
    );
}

#[test]
fn what_is_broken_and_old_is_mended_without_asking() {
    let all = [
        pod(0, OLD, State::Ready),
        pod(1, OLD, State::Broken("no node takes it".into())),
        pod(2, None, State::Coming),
    ];
    assert!(matches!(next(&all, None, AtOnce::Pod), Next::Mend(seen) if seen.node.id == 1));
}

#[test]
fn an_old_pod_that_is_starting_is_left_to_start() {
    // It may be reading its logs; a restart would make it begin again.
    let all = [pod(0, OLD, State::Coming)];
    assert!(matches!(next(&all, None, AtOnce::Pod), Next::Wait(_)));
}

/// The ids that would go together, the first one first.
fn rack(seen: &[Seen], active: Option<i32>) -> Vec<i32> {
    match next(seen, active, AtOnce::Rack) {
        Next::Ask(first, others) => {
            let ids = others.iter().map(|seen| seen.node.id);
            std::iter::once(first.node.id).chain(ids).collect()
        }
        other => panic!("nobody was chosen: {other:?}"),
    }
}

fn at(id: i32, zone: &str) -> Seen {
    Seen {
        zone: Some(zone.to_owned()),
        ..pod(id, OLD, State::Ready)
    }
}

/// Nine pods over three zones; 0, 1 and 2 vote.
fn nine() -> Vec<Seen> {
    let zones = ["a", "b", "c"];
    (0..9).map(|id| at(id, zones[id as usize % 3])).collect()
}

#[test]
fn old_pods_of_a_rack_go_together_and_the_rack_of_the_active_controller_last() {
    let mut all = nine();
    assert_eq!(rack(&all, Some(0)), [1, 4, 7]);
    for id in [1, 4, 7] {
        all[id].old = None;
    }
    assert_eq!(rack(&all, Some(0)), [2, 5, 8]);
    for id in [2, 5, 8] {
        all[id].old = None;
    }
    assert_eq!(rack(&all, Some(0)), [3, 6, 0], "it is the last to go alone");
    assert_eq!(rack(&all, Some(1)), [0, 3, 6], "1 is done already");
}

#[test]
fn the_rack_of_a_broker_whose_disk_is_not_well_goes_first() {
    let mut all = nine();
    all[8].unwell = true;
    assert_eq!(rack(&all, Some(0)), [8, 2, 5]);
    all[6].unwell = true;
    assert_eq!(rack(&all, Some(0)), [8, 2, 5]);
    all[8].unwell = false;
    assert_eq!(rack(&all, Some(0)), [6, 3, 0]);
}

#[test]
fn a_rack_that_has_begun_one_by_one_goes_on_with_those_left() {
    let mut all = nine();
    all[1].old = None;
    assert_eq!(rack(&all, Some(0)), [2, 5, 8], "controllers first");
    all[2].old = None;
    all[5].old = None;
    assert_eq!(rack(&all, Some(0)), [4, 7]);
}

#[test]
fn a_pod_without_a_zone_is_a_rack_of_its_own() {
    let mut all = nine();
    for seen in &mut all {
        seen.zone = None;
    }
    all[5].zone = Some("a".to_owned());
    assert_eq!(rack(&all, Some(0)), [1]);
    assert_eq!(rack(&all[3..], None), [3]);
    assert_eq!(rack(&all[5..], None), [5]);
}

#[test]
fn controllers_that_are_no_brokers_go_before_the_brokers_of_their_rack() {
    let mut all = nine();
    for seen in &mut all[..3] {
        seen.node.broker = false;
    }
    assert_eq!(rack(&all, Some(0)), [1]);
    assert_eq!(rack(&[&all[..1], &all[3..]].concat(), Some(0)), [3, 6]);
    let two = [at(1, "a"), at(2, "a")].map(|mut seen| {
        seen.node.broker = false;
        seen
    });
    assert_eq!(rack(&two, Some(1)), [2, 1], "whether both may is asked");
}

#[test]
fn no_rack_goes_while_somebody_is_away_and_what_is_broken_is_mended_alone() {
    let mut all = nine();
    all[8].old = None;
    all[8].state = State::Coming;
    assert!(matches!(next(&all, None, AtOnce::Rack), Next::Wait(_)));
    all[4].state = State::Broken("CrashLoopBackOff".into());
    assert!(matches!(next(&all, None, AtOnce::Rack), Next::Mend(seen) if seen.node.id == 4));
}

#[test]
fn a_rack_goes_together_only_if_the_broker_says_so_of_all_of_it() {
    let against = |ids: &[i32], told: &str| {
        let told = serde_json::from_str(told).map_err(|_| told.to_owned());
        objection(&at(1, "a"), ids, told).unwrap_or_default()
    };
    let safe =
        r#"{ "safe": true, "counts": { "last-copy": 0, "offline": 0, "below-min-insync": 0 } }"#;
    let safe_together = safe.replace(r#"{ "safe""#, r#"{ "with": [4, 7], "safe""#);
    assert_eq!(against(&[7, 4], &safe_together), "");
    assert_eq!(against(&[], safe), "");
    // An older broker answers for itself alone, whatever it is asked.
    assert!(against(&[7, 4], safe).contains("version"));
    let last_copies = safe_together
        .replace("true", "false")
        .replace(r#""last-copy": 0"#, r#""last-copy": 3"#);
    assert!(against(&[4, 7], &last_copies).starts_with("3 partitions"));
    assert_eq!(
        against(&[4], "no answer within 8 s"),
        "an answer of broker 1 (no answer within 8 s)"
    );
}

#[test]
fn people_hear_which_pods_were_restarted_and_why_one_went_alone() {
    let mut rolled = Rolled {
        left: 9,
        pod: Some(("a-main-1".to_owned(), "ImageChanged")),
        ..Rolled::default()
    };
    assert!(rolled.word().is_none(), "nothing was restarted");
    rolled.restarted = vec!["a-main-1".to_owned(), "a-main-4".to_owned()];
    let note = |rolled: &Rolled| rolled.word().map(|word| word.note).unwrap_or_default();
    assert_eq!(
        note(&rolled),
        "pods a-main-1, a-main-4 were restarted; 7 more are to follow"
    );
    rolled.restarted.pop();
    rolled.alone_since = Some("only 1 of the 1 other controllers".to_owned());
    assert_eq!(
        note(&rolled),
        "pod a-main-1 was restarted; 8 more are to follow. The others of its rack did not go with it: \
         only 1 of the 1 other controllers"
    );
}

#[test]
fn a_role_that_changes_is_a_reason_to_restart() {
    let changed = [1, 2].into();
    let mut all = [
        pod(0, None, State::Ready),
        pod(1, None, State::Ready),
        pod(2, None, State::Coming),
        pod(3, OLD, State::Ready),
    ];
    all.iter_mut()
        .for_each(|seen| note(seen, &changed, "RoleChanged"));
    let why: Vec<_> = all.iter().map(|seen| seen.old).collect();
    assert_eq!(why, [None, Some("RoleChanged"), None, OLD]);
}

#[test]
fn pods_that_are_about_to_leave_are_restarted_only_if_they_do_not_start() {
    let pools = json!([{ "name": "main", "replicas": 1, "storage": { "size": "1Gi" } }]);
    let wanted = samples::wanted("a", &json!({ "pools": pools }));
    let mut set = set("r2");
    set.spec.as_mut().expect("a spec").replicas = Some(2);
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    let crash = json!({ "containerStatuses": [{
        "name": "broker", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
    }] });
    let why = |status: &serde_json::Value| {
        let pods = ["a-main-0", "a-main-1"].map(|name| {
            let mut pod = real("r1", "i:1", "s1", status.clone());
            pod.metadata.name = Some(name.to_owned());
            pod
        });
        let observed = Observed {
            sets: vec![set.clone()],
            pods: pods.into(),
            ..Observed::default()
        };
        let plan = Plan::of(&wanted, &observed, None, &BTreeSet::new()).expect("a plan");
        assert_eq!(
            plan.leaving().map(|node| node.ordinal).collect::<Vec<_>>(),
            [1]
        );
        let seen = look(&wanted, &plan, &observed);
        seen.iter().map(|seen| seen.old).collect::<Vec<_>>()
    };
    assert_eq!(why(&ready), [OLD, None]);
    assert_eq!(why(&crash), [OLD, OLD]);
}

#[test]
fn nothing_old_is_nothing_to_do() {
    assert_eq!(
        next(&[pod(0, None, State::Coming)], None, AtOnce::Pod),
        Next::Nothing
    );
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
    let refused = json!({ "containerStatuses": [{
        "name": "broker", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
        "lastState": { "terminated": { "exitCode": 1, "message":
            "{\"level\":\"INFO\"}\nfreshet-broker: the controller refuses this broker: broker 1 cannot work \
             with level 2 of feature freshet.metadata.version\n" } },
    }] });
    let why = "CrashLoopBackOff freshet-broker: the controller refuses this broker: broker 1 cannot work \
               with level 2 of feature freshet.metadata.version";
    assert_eq!(of(refused.clone()), State::Broken(why.into()));
    // It is told also when no other pod is to be restarted any more.
    let mut last = pod(0, None, state(&real("r", "i", "s", refused)));
    let told = trouble(&[pod(1, None, State::Ready), last.clone()]);
    assert!(told.is_some_and(|said| said.ends_with(why)));
    last.state = State::Coming;
    assert_eq!(trouble(&[last]), None);
}
