use freshet_client::{ClusterNode, Seen};

use super::*;

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn held(partition: i32, replicas: &[i32]) -> Held {
    Held {
        partition: ("t".to_owned(), partition),
        leader: Some(NodeId(replicas[0])),
        replicas: nodes(replicas),
        isr: nodes(replicas),
        adding: Vec::new(),
        removing: Vec::new(),
    }
}

fn survey(partitions: Vec<Held>) -> Survey {
    let broker = |id: i32| {
        let node = ClusterNode {
            id: NodeId(id),
            host: "h".to_owned(),
            port: 1,
            rack: None,
            fenced: id == 9,
        };
        (NodeId(id), Seen { node, dirs: None })
    };
    Survey {
        brokers: [1, 2, 3, 4, 9].map(broker).into(),
        partitions,
    }
}

fn change(partition: i32, replicas: &[i32]) -> Reassignment {
    Reassignment {
        partition: ("t".to_owned(), partition),
        replicas: Some(nodes(replicas)),
    }
}

fn list(text: &str) -> BTreeSet<String> {
    items(Some(text))
}

#[test]
fn who_sends_and_who_receives_is_named_and_nobody_else() {
    let mut moving = held(1, &[3, 1, 2]);
    moving.adding = nodes(&[3]);
    let all = vec![held(0, &[1, 2, 9]), moving, held(2, &[1, 2]), held(3, &[1])];
    // The first is new, the second turns to somebody else, and the last only has another order.
    let changes = [change(0, &[3, 2]), change(1, &[4, 1]), change(2, &[2, 1])];
    let needs = Needs::of(&survey(all), &changes);
    let (sends, receives) = (Side::Leader, Side::Follower);
    let named = BTreeMap::from([
        (sends, list("0:1,0:2,1:1,1:2")),
        (receives, list("0:3,1:4")),
    ]);
    assert_eq!(needs.topics, BTreeMap::from([("t".to_owned(), named)]));
    let limited = [(1, sends), (2, sends), (3, receives), (4, receives)];
    assert_eq!(
        needs.rates,
        limited.map(|(id, side)| (NodeId(id), side)).into()
    );
}

#[test]
fn copies_fewer_than_before_need_no_limit() {
    let needs = Needs::of(&survey(vec![held(0, &[1, 2, 3])]), &[change(0, &[1])]);
    assert_eq!(needs, Needs::default());
}

#[test]
fn only_what_was_not_there_is_added() {
    let wanted = list("0:1,1:2");
    assert_eq!(addition(&list(""), &wanted), Some(wanted.clone()));
    assert_eq!(addition(&list("0:1,7:7"), &wanted), Some(list("1:2")));
    assert_eq!(addition(&wanted, &wanted), None);
    assert_eq!(addition(&list("*"), &wanted), None, "all are named");
}

#[test]
fn only_what_was_added_is_taken_out() {
    let ours = list("0:1,1:2");
    let taken = |present: &str| removal(Side::Leader, &list(present), &ours);
    let name = Side::Leader.replicas();
    assert_eq!(taken("1:2, 0:1"), Some(ConfigChange::unset(name)));
    let rest = ConfigChange {
        name: name.to_owned(),
        operation: ConfigOperation::Subtract("0:1".to_owned()),
    };
    assert_eq!(taken("0:1,7:7"), Some(rest));
    assert_eq!(taken("7:7"), None);
    assert_eq!(taken("*"), None, "somebody else says so");
    assert_eq!(taken(""), None);
}
