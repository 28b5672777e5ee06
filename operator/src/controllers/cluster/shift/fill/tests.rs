use freshet_client::LogDir;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::Value;

use super::super::super::samples::{self, broker};
use super::*;

mod real;

/// Three brokers that have everything, and a fourth.
fn survey(partitions: i32) -> Survey {
    let held = |at| Held {
        partition: ("t".to_owned(), at),
        leader: Some(NodeId(1 + at % 3)),
        replicas: vec![NodeId(1 + at % 3)],
        isr: vec![NodeId(1 + at % 3)],
        adding: Vec::new(),
        removing: Vec::new(),
    };
    Survey {
        brokers: (1..=4).map(|id| broker(id, false)).collect(),
        partitions: (0..partitions).map(held).collect(),
    }
}

fn dir(survey: &mut Survey, id: i32) -> &mut LogDir {
    let seen = survey.brokers.get_mut(&NodeId(id));
    let dirs = seen.and_then(|seen| seen.dirs.as_mut());
    &mut dirs.expect("it answers")[0]
}

/// As brokers begin moves.
fn begin(survey: &mut Survey, moves: &[Reassignment]) {
    for planned in moves {
        let wanted = planned.replicas.clone().expect("a move");
        let mut all = survey.partitions.iter_mut();
        let held = all.find(|held| held.partition == planned.partition);
        let held = held.expect("it is there");
        held.removing = held.replicas.clone();
        held.adding.clone_from(&wanted);
        held.replicas = [wanted, held.replicas.clone()].concat();
    }
}

fn asked() -> BTreeMap<i32, bool> {
    BTreeMap::from([(4, false)])
}

#[test]
fn fifty_partitions_move_at_a_time() {
    let mut survey = survey(400);
    let first = next(&survey, &asked());
    assert_eq!(first.moves.len(), 50);
    assert_eq!(first.filled.left, Some(100));
    assert_eq!(first.filled.begun, BTreeSet::from([4]));
    begin(&mut survey, &first.moves[..30]);
    // Whoever looks now, be it another operator, goes on where the first one was.
    let then = next(&survey, &BTreeMap::from([(4, true)]));
    assert_eq!((then.moves.len(), then.filled.left), (20, Some(100)));
    assert!(then.filled.begun.is_empty(), "nobody is told twice");
    begin(&mut survey, &then.moves);
    let busy = next(&survey, &BTreeMap::from([(4, true)]));
    assert_eq!((busy.moves.len(), busy.filled.left), (0, Some(100)));
    assert_eq!(busy.filled.brokers, BTreeSet::from([4]));
    assert_eq!(busy.filled.waits_for, None, "copies are on their way");
}

#[test]
fn a_broker_is_full_when_the_last_copy_has_come() {
    let mut survey = survey(8);
    let moves = next(&survey, &asked()).moves;
    assert_eq!(moves.len(), 2);
    begin(&mut survey, &moves);
    let copying = next(&survey, &BTreeMap::from([(4, true)]));
    assert_eq!(copying.filled.left, Some(2));
    assert!(copying.filled.ended.is_empty());
    for held in &mut survey.partitions {
        let gone = std::mem::take(&mut held.removing);
        held.replicas.retain(|node| !gone.contains(node));
        held.adding.clear();
    }
    let done = next(&survey, &BTreeMap::from([(4, true)]));
    assert_eq!(done.filled.ended, BTreeMap::from([(4, End::HasItsShare)]));
    assert!(done.filled.brokers.is_empty() && done.moves.is_empty());
}

#[test]
fn nothing_moves_while_a_broker_is_away_or_the_new_one_is_not_there() {
    let waits = |survey: &Survey, new: i32| {
        let next = next(survey, &BTreeMap::from([(new, false)]));
        assert!(next.moves.is_empty() && next.filled.begun.is_empty());
        assert_eq!(next.filled.brokers, BTreeSet::from([new]));
        next.filled.waits_for.expect("it waits")
    };
    assert_eq!(waits(&survey(8), 5), "broker 5 to register");
    let mut fenced = survey(8);
    let seen = fenced.brokers.get_mut(&NodeId(2)).expect("broker 2");
    seen.node.fenced = true;
    assert_eq!(waits(&fenced, 4), "broker 2 (fenced)");
    let mut cordoned = survey(8);
    dir(&mut cordoned, 4).cordoned = true;
    assert_eq!(waits(&cordoned, 4), "broker 4 to be uncordoned");
    // One that somebody cordoned and that is not new is no reason to wait.
    let mut other = survey(8);
    dir(&mut other, 2).cordoned = true;
    assert!(!next(&other, &asked()).moves.is_empty());
}

/// Everything a look sees of a cluster with one pool.
struct Sight {
    wanted: Wanted,
    observed: Observed,
    rolled: Rolled,
}

impl Sight {
    /// Of pods 0, 1, … with brokers 1, 2, …; `marks` are on their volumes.
    fn of(replicas: i32, fills: bool, marks: &[Option<&str>]) -> Self {
        let spec = json!({
            "pools": [{ "name": "main", "replicas": replicas, "storage": { "size": "1Gi" } }],
            "balancing": { "fillNewBrokers": fills },
        });
        let there = marks.len();
        let set = json!({
            "metadata": { "name": "a-main" },
            "spec": { "replicas": there, "selector": {}, "serviceName": "s", "template": {} },
        });
        let pod = |at: usize| -> Pod {
            serde_json::from_value(json!({
                "metadata": { "name": format!("a-main-{at}") },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
            }))
            .expect("a Pod")
        };
        let claim = |(at, mark): (usize, &Option<&str>)| -> PersistentVolumeClaim {
            let mut annotations = json!({ NODE_ID: (at + 1).to_string() });
            if let Some(word) = mark {
                annotations[FILLING] = Value::from(*word);
            }
            serde_json::from_value(json!({ "metadata": {
                "name": format!("data-a-main-{at}"), "annotations": annotations,
            }}))
            .expect("a volume")
        };
        Self {
            wanted: samples::wanted("a", &spec),
            observed: Observed {
                sets: vec![serde_json::from_value(set).expect("a StatefulSet")],
                pods: (0..there).map(pod).collect(),
                claims: marks.iter().enumerate().map(claim).collect(),
                ..Observed::default()
            },
            rolled: Rolled::default(),
        }
    }

    fn see<T>(&self, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let plan = Plan::of(&self.wanted, &self.observed, None, &BTreeSet::new()).expect("a plan");
        look(&Scene {
            wanted: &self.wanted,
            plan: &plan,
            observed: &self.observed,
            client: None,
            rolled: Some(&self.rolled),
        })
    }
}

const OLD: [Option<&str>; 3] = [None; 3];

fn with(more: &[Option<&'static str>]) -> Vec<Option<&'static str>> {
    [&OLD[..], more].concat()
}

#[test]
fn volumes_say_which_brokers_are_new() {
    let sight = Sight::of(5, true, &with(&[Some(ASKED), Some(BEGUN)]));
    let marks = sight.see(Marks::read);
    assert_eq!(marks.new, BTreeMap::from([(4, false), (5, true)]));
    assert_eq!(marks.stale, []);
    let people = Sight::of(5, true, &with(&[Some("please")])).see(Marks::read);
    assert_eq!(people.new, BTreeMap::from([(4, false)]));
}

#[test]
fn a_mark_goes_when_the_spec_asks_no_more_or_the_broker_leaves() {
    let marks = with(&[Some(ASKED), Some(BEGUN)]);
    let off = Sight::of(5, false, &marks).see(Marks::read);
    assert!(off.new.is_empty());
    let volume = |at: i32| format!("data-a-main-{at}");
    assert_eq!(off.stale, [(volume(3), 4, false), (volume(4), 5, true)]);
    let leaves = Sight::of(4, true, &marks).see(Marks::read);
    assert_eq!(leaves.new, BTreeMap::from([(4, false)]));
    assert_eq!(leaves.stale, [(volume(4), 5, true)]);
}

#[test]
fn nothing_moves_while_something_else_is_under_way() {
    let marks = with(&[Some(ASKED)]);
    let busy = |sight: &Sight| sight.see(busy).unwrap_or_default();
    let mut sight = Sight::of(4, true, &marks);
    assert_eq!(busy(&sight), "brokers that answer", "there is no client");
    sight.rolled.left = 2;
    assert_eq!(busy(&sight), "the rolling restart");
    let mut sight = Sight::of(4, true, &marks);
    sight.observed.pods.pop();
    assert_eq!(busy(&sight), "pod a-main-3 to be ready");
    let sight = Sight::of(3, true, &marks);
    assert_eq!(busy(&sight), "brokers that leave");
    let sight = Sight::of(4, true, &marks);
    let unseen = sight.see(|scene| {
        super::busy(&Scene {
            rolled: None,
            ..*scene
        })
    });
    assert_eq!(unseen.as_deref(), Some("what was changed just now"));
}

#[test]
fn people_hear_of_the_beginning_and_of_the_end() {
    let told = |filled: &Filled| -> Vec<(bool, &'static str, String)> {
        let words = filled.words().into_iter();
        words.map(|w| (w.warning, w.reason, w.note)).collect()
    };
    assert_eq!(told(&Filled::default()), []);
    let begins = Filled {
        left: Some(60),
        begun: BTreeSet::from([4, 5]),
        ..Filled::default()
    };
    let note = "about 60 replicas move to new brokers 4, 5".to_owned();
    assert_eq!(told(&begins), [(false, "FillingBrokers", note)]);
    let ends = Filled {
        ended: BTreeMap::from([(4, End::HasNoRoom), (5, End::HasItsShare)]),
        ..Filled::default()
    };
    let words = told(&ends);
    assert_eq!(words[0].2, "broker 5: they have their share");
    assert!(words[1].0 && words[1].2.starts_with("broker 4: their disks"));
}
