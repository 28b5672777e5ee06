use serde_json::{Value, json};

use super::super::samples;
use super::*;

fn wanted(spec: Value) -> Wanted {
    samples::wanted("demo", &spec)
}

fn pool(name: &str, roles: &[&str], replicas: i32) -> Value {
    let mut pool = json!({ "name": name, "replicas": replicas, "storage": { "size": "1Gi" } });
    if !roles.is_empty() {
        pool["roles"] = json!(roles);
    }
    pool
}

fn combined(replicas: i32) -> Wanted {
    wanted(json!({ "pools": [pool("main", &[], replicas)] }))
}

fn set(name: &str, replicas: i32) -> k8s_openapi::api::apps::v1::StatefulSet {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": {}, "serviceName": "s", "template": {} },
    }))
    .expect("a StatefulSet")
}

fn volume(pod: &str, id: i32, cluster: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({ "metadata": {
        "name": format!("data-{pod}"),
        "annotations": { NODE_ID: id.to_string(), CLUSTER_ID: cluster },
    }}))
    .expect("a volume")
}

/// What the API server has after a plan was carried out.
fn carried_out(wanted: &Wanted, plan: &Plan) -> Observed {
    let mut observed = Observed::default();
    let none = BTreeMap::new();
    for object in super::super::build::objects(wanted, plan, &none, &BTreeSet::new()) {
        observed
            .objects
            .insert((object.kind, object.name), object.value);
    }
    for pool in &plan.pools {
        observed
            .sets
            .push(set(&wanted.names.pool(&pool.name), pool.replicas));
    }
    observed
}

fn planned(wanted: &Wanted, observed: &Observed) -> Plan {
    Plan::of(wanted, observed, None, &BTreeSet::new()).expect("a plan")
}

/// A plan, with what the quorum says and with brokers that are empty.
fn asked(wanted: &Wanted, observed: &Observed, voters: &[i32], empty: &[i32]) -> Plan {
    let (voters, empty) = (set_of(voters), set_of(empty));
    Plan::of(wanted, observed, Some(&voters), &empty).expect("a plan")
}

fn set_of(ids: &[i32]) -> BTreeSet<i32> {
    ids.iter().copied().collect()
}

/// Numbers of those that are started as controllers.
fn controllers(plan: &Plan) -> Vec<i32> {
    let all = plan.nodes().filter(|node| node.controller);
    all.map(|node| node.id).collect()
}

fn ids(plan: &Plan) -> Vec<(String, i32)> {
    plan.nodes()
        .map(|node| (node.pod.clone(), node.id))
        .collect()
}

#[test]
fn an_id_is_the_uuid_as_kafka_writes_it() {
    // As Kafka's Uuid.toString and every base64 library have it.
    assert_eq!(
        id_of("00112233-4455-6677-8899-aabbccddeeff"),
        "ABEiM0RVZneImaq7zN3u_w"
    );
    assert_eq!(
        id_of("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        "_____________________w"
    );
}

#[test]
fn new_brokers_get_the_lowest_numbers() {
    let plan = planned(&combined(3), &Observed::default());
    let pods = [("demo-main-0", 1), ("demo-main-1", 2), ("demo-main-2", 3)];
    assert_eq!(ids(&plan), pods.map(|(pod, id)| (pod.to_owned(), id)));
    assert_eq!(plan.shall_vote, set_of(&[1, 2, 3]));
    assert_eq!(plan.cluster_id, "ABEiM0RVZneImaq7zN3u_w");
}

#[test]
fn numbers_stay_with_files_and_volumes() {
    let wanted = combined(3);
    let plan = planned(&wanted, &Observed::default());
    let mut observed = carried_out(&wanted, &plan);
    assert_eq!(planned(&wanted, &observed), plan, "files remember");
    // Volumes count more than files, and a number on a volume is nobody else's.
    observed.claims = vec![volume("demo-main-1", 7, "ABEiM0RVZneImaq7zN3u_w")];
    assert_eq!(ids(&planned(&wanted, &observed))[1].1, 7);
    let fresh = Observed {
        claims: vec![volume("demo-main-1", 1, "ABEiM0RVZneImaq7zN3u_w")],
        ..Observed::default()
    };
    let numbers: Vec<_> = ids(&planned(&wanted, &fresh))
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    assert_eq!(numbers, [2, 1, 3]);
}

#[test]
fn a_cluster_that_comes_back_has_the_id_of_its_volumes() {
    let observed = Observed {
        claims: vec![volume("demo-main-0", 1, "AAAAAAAAAAAAAAAAAAAAAA")],
        ..Observed::default()
    };
    assert_eq!(
        planned(&combined(3), &observed).cluster_id,
        "AAAAAAAAAAAAAAAAAAAAAA"
    );
    let mixed = Observed {
        claims: vec![
            volume("demo-main-0", 1, "AAAAAAAAAAAAAAAAAAAAAA"),
            volume("demo-main-1", 2, "BBBBBBBBBBBBBBBBBBBBBB"),
        ],
        ..Observed::default()
    };
    let refused = Plan::of(&combined(3), &mixed, None, &BTreeSet::new()).unwrap_err();
    assert_eq!(refused.reason, "VolumesOfAnotherCluster");
}

#[test]
fn who_votes_goes_on_when_there_are_more() {
    let three = combined(3);
    let plan = planned(&three, &Observed::default());
    let observed = carried_out(&three, &plan);
    let five = planned(&combined(5), &observed);
    assert_eq!(five.controllers, plan.controllers);
    assert_eq!(five.pools[0].replicas, 5);
    assert_eq!(controllers(&five), [1, 2, 3]);
    let others = asked(&combined(5), &observed, &[2, 4, 5], &[]);
    assert_eq!(
        others.shall_vote,
        set_of(&[2, 4, 5]),
        "who votes is preferred"
    );
}

#[test]
fn three_of_those_that_do_both_vote_or_one() {
    for (pods, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (9, 3)] {
        let plan = planned(&combined(pods), &Observed::default());
        assert_eq!(plan.shall_vote.len(), voters, "{pods}");
    }
}

fn apart(controllers: i32) -> Wanted {
    let pools = [
        pool("ctl", &["controller"], controllers),
        pool("main", &["broker"], 4),
    ];
    wanted(json!({ "pools": pools }))
}

#[test]
fn all_of_those_that_do_nothing_else_vote() {
    for pods in [1, 2, 3, 4, 5] {
        let plan = planned(&apart(pods), &Observed::default());
        let voters: Vec<_> = (1..=pods).collect();
        assert_eq!(plan.shall_vote, set_of(&voters));
        assert_eq!(controllers(&plan), voters, "no file is without a role");
        let mut voters = plan.controllers.values();
        assert!(voters.all(|pod| pod.starts_with("demo-ctl-")));
    }
}

#[test]
fn whoever_leaves_stays_until_it_is_empty() {
    let five = combined(5);
    let observed = carried_out(&five, &planned(&five, &Observed::default()));
    let three = combined(3);
    let left = |empty: &[i32]| {
        let plan = asked(&three, &observed, &[1, 2, 3], empty);
        let leaving: Vec<_> = plan.leaving().map(|n| n.id).collect();
        assert_eq!(leaving, [4, 5]);
        assert_eq!(
            i32::try_from(plan.pools[0].nodes.len()).unwrap(),
            plan.pools[0].replicas
        );
        plan.pools[0].replicas
    };
    assert_eq!(left(&[]), 5);
    assert_eq!(left(&[4]), 5, "ordinals go from the top");
    assert_eq!(left(&[5]), 4);
    assert_eq!(left(&[4, 5]), 3);
}

/// Voters and empty brokers at one look; pods that stay then, and who is started as a controller.
type Looks<'a> = &'a [(&'a [i32], &'a [i32], i32, &'a [i32])];

fn assert_looks(wanted: &Wanted, observed: &Observed, pool: usize, looks: Looks<'_>) {
    for (voters, empty, replicas, roles) in looks {
        let plan = asked(wanted, observed, voters, empty);
        assert_eq!(plan.pools[pool].replicas, *replicas, "{voters:?} {empty:?}");
        assert_eq!(controllers(&plan), *roles, "{voters:?} {empty:?}");
    }
}

#[test]
fn a_voter_leaves_when_it_votes_no_more() {
    let three = combined(3);
    let observed = carried_out(&three, &planned(&three, &Observed::default()));
    let one = combined(1);
    assert_eq!(planned(&one, &observed).shall_vote, set_of(&[1]));
    let looks: Looks<'_> = &[
        (&[1, 2, 3], &[], 3, &[1, 2, 3]),
        (&[1, 2, 3], &[2, 3], 3, &[1, 2, 3]),
        (&[1, 2], &[2, 3], 2, &[1, 2]),
        (&[1, 2], &[2], 3, &[1, 2]),
        (&[1], &[2], 3, &[1]),
        (&[1], &[2, 3], 1, &[1]),
    ];
    assert_looks(&one, &observed, 0, looks);
    // Of two pods one votes; the other one stays, without the role.
    let two = combined(2);
    let looks: Looks<'_> = &[
        (&[1, 2, 3], &[3], 3, &[1, 2, 3]),
        (&[1, 2], &[3], 2, &[1, 2]),
        (&[1], &[3], 2, &[1]),
    ];
    assert_looks(&two, &observed, 0, looks);
}

#[test]
fn nobody_leaves_while_the_quorum_cannot_be_asked() {
    let three = combined(3);
    let observed = carried_out(&three, &planned(&three, &Observed::default()));
    let plan = Plan::of(&combined(1), &observed, None, &set_of(&[2, 3])).expect("a plan");
    assert_eq!(plan.pools[0].replicas, 3);
    assert_eq!(controllers(&plan), [1, 2, 3]);
    assert_eq!(plan.voters, None);
}

#[test]
fn five_controllers_become_three() {
    let five = apart(5);
    let observed = carried_out(&five, &planned(&five, &Observed::default()));
    let looks: Looks<'_> = &[
        (&[1, 2, 3, 4, 5], &[4, 5], 5, &[1, 2, 3, 4, 5]),
        (&[1, 2, 3, 5], &[4, 5], 5, &[1, 2, 3, 4, 5]),
        (&[1, 2, 3], &[4, 5], 3, &[1, 2, 3]),
    ];
    assert_looks(&apart(3), &observed, 0, looks);
    assert_eq!(
        asked(&apart(3), &observed, &[1, 2, 3, 4, 5], &[]).shall_vote,
        set_of(&[1, 2, 3])
    );
}

#[test]
fn one_voter_becomes_three() {
    let one = combined(1);
    let observed = carried_out(&one, &planned(&one, &Observed::default()));
    let looks: Looks<'_> = &[
        (&[1], &[], 3, &[1, 2, 3]),
        (&[1, 2], &[], 3, &[1, 2, 3]),
        (&[1, 2, 3], &[], 3, &[1, 2, 3]),
    ];
    assert_looks(&combined(3), &observed, 0, looks);
    // Pods that were brokers only get the role, too.
    let two = combined(2);
    let observed = carried_out(&two, &planned(&two, &Observed::default()));
    assert_eq!(controllers(&planned(&two, &observed)), [1]);
    assert_eq!(
        controllers(&asked(&combined(3), &observed, &[1], &[])),
        [1, 2, 3]
    );
}

#[test]
fn the_quorum_moves_to_a_pool_of_its_own() {
    let both = combined(3);
    let observed = carried_out(&both, &planned(&both, &Observed::default()));
    let moved = wanted(json!({ "pools": [pool("main", &[], 3), pool("ctl", &["controller"], 3)] }));
    let looks: Looks<'_> = &[
        (&[1, 2, 3], &[], 3, &[1, 2, 3, 4, 5, 6]),
        (&[1, 2, 3, 4, 5, 6], &[], 3, &[1, 2, 3, 4, 5, 6]),
        (&[3, 4, 5, 6], &[], 3, &[3, 4, 5, 6]),
        (&[4, 5, 6], &[], 3, &[4, 5, 6]),
    ];
    assert_looks(&moved, &observed, 0, looks);
    let done = asked(&moved, &observed, &[4, 5, 6], &[]);
    assert!(done.controllers.keys().eq(&[4, 5, 6]));
    assert_eq!(done.leaving().count(), 0);
    // What the files say then is what they say while nobody can be asked.
    let observed = carried_out(&moved, &done);
    let unknown = planned(&moved, &observed);
    assert_eq!(unknown.pools, done.pools);
    assert_eq!(unknown.controllers, done.controllers);
}

#[test]
fn a_pool_that_is_gone_stays_while_it_votes() {
    let pools = |name| wanted(json!({ "pools": [pool(name, &[], 3)] }));
    let old = pools("old");
    let observed = carried_out(&old, &planned(&old, &Observed::default()));
    let looks: Looks<'_> = &[
        (&[1, 2, 3], &[1, 2, 3], 3, &[4, 5, 6, 1, 2, 3]),
        (&[3, 4, 5, 6], &[1, 2, 3], 3, &[4, 5, 6, 3]),
        (&[4, 5, 6], &[1, 2, 3], 0, &[4, 5, 6]),
    ];
    assert_looks(&pools("new"), &observed, 1, looks);
}

#[test]
fn controllers_of_a_pool_that_is_gone_do_not_become_brokers() {
    let before = apart(3);
    let observed = carried_out(&before, &planned(&before, &Observed::default()));
    let after = wanted(
        json!({ "pools": [pool("main", &["broker"], 4), pool("next", &["controller"], 3)] }),
    );
    let plan = asked(&after, &observed, &[1, 2, 3], &[]);
    let old = &plan.pools[2];
    assert_eq!((old.name.as_str(), old.replicas), ("ctl", 3));
    assert!(old.nodes.iter().all(|node| node.controller && !node.broker));
}

#[test]
fn a_cluster_without_controllers_is_refused() {
    let none = wanted(json!({ "pools": [pool("main", &["broker"], 3)] }));
    let refused = Plan::of(&none, &Observed::default(), None, &BTreeSet::new()).unwrap_err();
    assert_eq!(refused.reason, "NoControllers");
}

#[test]
fn a_pool_that_is_gone_is_emptied_first() {
    let two = wanted(
        json!({ "pools": [pool("ctl", &["controller"], 3), pool("main", &["broker"], 3), pool("old", &["broker"], 2)] }),
    );
    let observed = carried_out(&two, &planned(&two, &Observed::default()));
    let one =
        wanted(json!({ "pools": [pool("ctl", &["controller"], 3), pool("main", &["broker"], 3)] }));
    let plan = planned(&one, &observed);
    let old = &plan.pools[2];
    assert_eq!(
        (old.name.as_str(), old.replicas, old.leaving.len()),
        ("old", 2, 2)
    );
    let empty = old.leaving.iter().map(|n| n.id).collect();
    let plan = Plan::of(&one, &observed, Some(&set_of(&[1, 2, 3])), &empty).expect("a plan");
    assert_eq!(plan.pools[2].replicas, 0);
}
