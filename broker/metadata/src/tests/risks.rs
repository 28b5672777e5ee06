//! What a stop of brokers would risk.

use super::*;

#[test]
fn what_a_stop_would_risk() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("a", &[&[1, 2, 3]]);
    cluster.create_on("b", &[&[1, 2], &[2, 3], &[3, 1]]);
    cluster.create_on("c", &[&[1]]);
    for topic in ["a", "b", "c"] {
        let target = ConfigTarget::Topic(topic.into());
        cluster.set(target, "min.insync.replicas", "2");
    }
    let layers = freshet_settings::Layers::default();
    let name = |cluster: &Cluster, at: freshet_types::TopicPartition| {
        let topic = cluster.image().topic_by_id(at.topic).unwrap();
        format!("{}-{}", topic.name, at.partition)
    };
    let risks = |cluster: &Cluster, node| {
        let risks = cluster.image().stop_risks(&[NodeId(node)].into(), &layers);
        let named = risks.into_iter().map(|r| (name(cluster, r.at), r.risk));
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        named
    };
    let of = |named: &[(&str, Risk)]| -> Vec<(String, Risk)> {
        named
            .iter()
            .map(|(n, risk)| ((*n).to_owned(), *risk))
            .collect()
    };
    let below = Risk::BelowMinInsync;
    let all = of(&[("b-0", below), ("b-2", below), ("c-0", Risk::LastCopy)]);
    assert_eq!(risks(&cluster, 1), all);
    let lasting = |cluster: &Cluster, node| {
        let risks = cluster.image().stop_risks(&[NodeId(node)].into(), &layers);
        let lasting = risks.into_iter().filter(|risk| risk.lasting);
        let mut named: Vec<_> = lasting.map(|r| name(cluster, r.at)).collect();
        named.sort_unstable();
        named
    };
    // Two copies that must both have a record, and one copy: no waiting makes these safe.
    assert_eq!(lasting(&cluster, 1), ["b-0", "b-2", "c-0"]);
    cluster.second(&[1, 2]);
    // What is worse than it has to be is worth waiting for.
    assert_eq!(lasting(&cluster, 1), ["b-0", "c-0"]);
    let lone = [
        ("a-0", below),
        ("b-0", below),
        ("b-2", Risk::Offline),
        ("c-0", Risk::LastCopy),
    ];
    assert_eq!(risks(&cluster, 1), of(&lone));
    let held = |cluster: &Cluster, node| {
        let lagging = cluster.image().lagging(NodeId(node));
        let mut named: Vec<_> = lagging.into_iter().map(|at| name(cluster, at)).collect();
        named.sort_unstable();
        named
    };
    assert_eq!(held(&cluster, 3), ["a-0", "b-1", "b-2"]);
    assert!(held(&cluster, 1).is_empty());
}

#[test]
fn what_a_stop_of_several_would_risk() {
    let mut cluster = Cluster::watched(4);
    cluster.create_on("three", &[&[1, 2, 3]]);
    cluster.create_on("pairs", &[&[1, 2], &[2, 3], &[3, 4]]);
    cluster.create_on("strict", &[&[1, 2]]);
    cluster.create_on("one", &[&[4]]);
    for (topic, least) in [("three", "2"), ("pairs", "1"), ("strict", "2")] {
        let target = ConfigTarget::Topic(topic.into());
        cluster.set(target, "min.insync.replicas", least);
    }
    let layers = freshet_settings::Layers::default();
    let risks = |cluster: &Cluster, nodes: &[i32]| {
        let stopping = nodes.iter().copied().map(NodeId).collect();
        let risks = cluster.image().stop_risks(&stopping, &layers);
        let mut named: Vec<_> = risks
            .into_iter()
            .map(|r| {
                let topic = cluster.image().topic_by_id(r.at.topic).unwrap();
                let name = format!("{}-{}", topic.name, r.at.partition);
                (name, r.risk, r.lasting)
            })
            .collect();
        named.sort_unstable();
        named
    };
    let of = |named: &[(&str, Risk, bool)]| -> Vec<(String, Risk, bool)> {
        let owned =
            |(name, risk, lasting): &(&str, Risk, bool)| ((*name).to_owned(), *risk, *lasting);
        named.iter().map(owned).collect()
    };
    let (below, last) = (Risk::BelowMinInsync, Risk::LastCopy);
    assert_eq!(risks(&cluster, &[]), of(&[]));
    assert_eq!(risks(&cluster, &[3]), of(&[]), "alone it may");
    // Either may stop alone, as far as `three` and `pairs` go; both may not, and one by one they could.
    let both = of(&[
        ("pairs-0", last, false),
        ("strict-0", last, false),
        ("three-0", below, false),
    ]);
    assert_eq!(risks(&cluster, &[1, 2]), both);
    // What one of them alone would risk anyway is no reason to stop one by one.
    let far = of(&[("one-0", last, true), ("strict-0", below, true)]);
    assert_eq!(risks(&cluster, &[1, 4]), far);
    let all = risks(&cluster, &[1, 2, 3, 4]);
    let lasting: Vec<_> = all.iter().filter(|(.., lasting)| *lasting).collect();
    assert_eq!(all.len(), 6);
    assert_eq!(lasting, [&("one-0".to_owned(), last, true)]);
}
