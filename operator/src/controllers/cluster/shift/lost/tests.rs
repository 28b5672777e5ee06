use serde_json::Value;

use super::super::super::samples::broker;
use super::*;

fn node(id: i32) -> Node {
    Node {
        pod: format!("a-main-{id}"),
        ordinal: id,
        id,
        broker: true,
        controller: false,
    }
}

fn held(leader: Option<i32>, replicas: &[i32], isr: &[i32]) -> Held {
    let ids = |all: &[i32]| all.iter().copied().map(NodeId).collect();
    Held {
        partition: ("t".to_owned(), 0),
        leader: leader.map(NodeId),
        replicas: ids(replicas),
        isr: ids(isr),
        adding: Vec::new(),
        removing: Vec::new(),
    }
}

/// Three brokers, of which the third one is gone.
fn survey(partitions: Vec<Held>) -> Survey {
    let mut survey = Survey {
        brokers: (1..=3).map(|id| broker(id, false)).collect(),
        partitions,
    };
    let gone = survey.brokers.get_mut(&NodeId(3)).expect("broker 3");
    gone.node.fenced = true;
    gone.dirs = None;
    survey
}

#[test]
fn what_others_have_is_no_risk_and_what_nobody_else_has_is() {
    let risk = |partitions| risk(&survey(partitions), &node(3));
    let well = || held(Some(1), &[3, 1, 2], &[1, 2]);
    assert_eq!(risk(vec![well(), held(Some(2), &[2], &[2])]), None);
    assert_eq!(
        risk(vec![held(Some(1), &[3, 1], &[1])]),
        None,
        "one copy of all is enough"
    );
    for bad in [
        held(None, &[3], &[3]),
        held(None, &[3, 1], &[3]),
        held(None, &[3, 1], &[]),
        // The controller has not noticed yet.
        held(Some(1), &[3, 1], &[1, 3]),
        held(Some(3), &[3, 1], &[3, 1]),
    ] {
        let why = risk(vec![well(), bad.clone()]).unwrap_or_default();
        assert!(
            why.starts_with("of 1 partitions") && why.contains("t-0"),
            "{bad:?}: {why}"
        );
    }
}

#[test]
fn nothing_is_replaced_while_somebody_else_is_away() {
    let mut two = survey(Vec::new());
    two.brokers.get_mut(&NodeId(1)).expect("broker 1").dirs = None;
    assert_eq!(
        risk(&two, &node(3)).as_deref(),
        Some("broker 1 is away, too (no answer)")
    );
    let mut alive = survey(Vec::new());
    alive
        .brokers
        .get_mut(&NodeId(3))
        .expect("broker 3")
        .node
        .fenced = false;
    assert!(risk(&alive, &node(3)).is_some_and(|why| why.contains("counts on broker 3")));
}

#[test]
fn a_node_has_to_be_gone_for_long_enough() {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let limit = SignedDuration::from_mins(5);
    let now = at("2026-01-01T00:10:00Z");
    assert_eq!(next(None, now, limit, false), Next::Note);
    assert_eq!(
        next(Some(at("2026-01-01T00:05:00Z")), now, limit, false),
        Next::Replace
    );
    let until = at("2026-01-01T00:10:01Z");
    assert_eq!(
        next(Some(at("2026-01-01T00:05:01Z")), now, limit, false),
        Next::Wait(until)
    );
    let never = next(Some(at("2026-01-01T00:00:00Z")), now, limit, true);
    assert!(matches!(never, Next::Stay(why) if why.contains("Keep")));
}

#[test]
fn a_pod_is_stuck_that_no_node_takes_or_whose_node_is_silent() {
    let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
    let stuck = |metadata: Value, status: Value| {
        let pod = json!({ "metadata": metadata, "status": status });
        is_stuck(&serde_json::from_value(pod).expect("a Pod"), now)
    };
    let condition =
        |kind: &str, status: &str| json!({ "conditions": [{ "type": kind, "status": status }] });
    assert!(stuck(json!({}), condition("PodScheduled", "False")));
    assert!(
        !stuck(json!({}), condition("PodScheduled", "True")),
        "it is starting"
    );
    assert!(!stuck(json!({}), condition("Ready", "True")));
    assert!(stuck(json!({}), json!({ "phase": "Unknown" })));
    let deleted = |time: &str| json!({ "deletionTimestamp": time });
    assert!(stuck(deleted("2026-01-01T00:09:00Z"), json!({})));
    assert!(
        !stuck(deleted("2026-01-01T00:11:00Z"), json!({})),
        "it may still end well"
    );
}

#[test]
fn people_are_told_once_why_a_volume_stays() {
    let lost = Lost {
        replaced: None,
        stays: BTreeMap::from([("a-main-3".to_owned(), "the node is gone".to_owned())]),
    };
    let reasons = |before: &str| {
        let words = lost.words(before).into_iter();
        words.map(|word| word.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(""), ["NodeLost"]);
    assert!(reasons("something else; the node is gone").is_empty());
}
