use freshet_api::Cluster;
use freshet_settings::StaticSettingsBuilder;

use super::super::apply::differs;
use super::super::fetch::Observed;
use super::super::validate::{Defaults, validate};
use super::*;

const MINIMAL: &str = include_str!("golden/minimal.in.yaml");
const FULL: &str = include_str!("golden/full.in.yaml");

fn planned(text: &str) -> (Wanted, Plan) {
    let cluster: Cluster = serde_saphyr::from_str(text).expect("a Cluster");
    let defaults = Defaults {
        image: "freshet.dev/broker:0.1.0",
        domain: "cluster.local",
        operator_namespace: "freshet-system",
    };
    let wanted = validate(&cluster, &defaults).expect("a sound spec");
    let plan = Plan::of(&wanted, &Observed::default(), None, &BTreeSet::new()).expect("a plan");
    (wanted, plan)
}

fn built(text: &str, given: &Given) -> (Wanted, Vec<Object>) {
    let (wanted, plan) = planned(text);
    let live = wanted.live.keys().map(ToString::to_string).collect();
    let objects = objects(&wanted, &plan, given, &live);
    (wanted, objects)
}

fn ports() -> Given {
    let reached = |port| services::Reached::of_node(port);
    (1..=5)
        .map(|id| (format!("big-outside-{id}"), reached(31_000 + id)))
        .collect()
}

/// The objects are those that a person has looked at. `FRESHET_BLESS=1` writes them anew, to be looked at.
fn golden(name: &str, objects: &[Object]) {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&object.value).expect("YAML"));
    }
    let path = format!(
        "{}/src/controllers/cluster/build/golden/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("FRESHET_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the golden file is written");
    }
    let seen = std::fs::read_to_string(&path).expect("a golden file");
    assert_eq!(
        seen, text,
        "{name}: if that is meant, FRESHET_BLESS=1 writes it"
    );
}

#[test]
fn the_objects_of_a_minimal_cluster() {
    golden("minimal", &built(MINIMAL, &Given::new()).1);
}

#[test]
fn the_objects_of_a_large_cluster() {
    golden("full", &built(FULL, &ports()).1);
}

#[test]
fn brokers_can_read_their_files() {
    for (text, given) in [
        (MINIMAL, Given::new()),
        (FULL, ports()),
        (FULL, Given::new()),
    ] {
        let (_, objects) = built(text, &given);
        let mut files = 0;
        for map in objects.iter().filter(|o| o.kind == Kind::ConfigMap) {
            for (name, file) in map.value["data"].as_object().expect("files") {
                let file = file
                    .as_str()
                    .expect("text")
                    .replace("${env:FRESHET_ZONE}", "zone-1");
                let file = file.replace("${env:FRESHET_HOST}", "10.0.0.1");
                let read = StaticSettingsBuilder::default()
                    .file(name, &file)
                    .and_then(StaticSettingsBuilder::finish);
                assert!(read.is_ok(), "{name}: {:?}\n{file}", read.err());
                files += 1;
            }
        }
        assert!(files >= 3);
    }
}

#[test]
fn what_was_written_is_not_written_again() {
    let (_, objects) = built(FULL, &ports());
    for object in &objects {
        let mut seen = object.value.clone();
        seen["metadata"]["resourceVersion"] = "12".into();
        seen["status"] = json!({ "replicas": 3 });
        assert!(!differs(&object.value, &seen), "{}", object.name);
    }
    let (_, again) = built(FULL, &ports());
    assert_eq!(objects, again, "the same plan gives the same objects");
}

#[test]
fn a_broker_more_restarts_no_other() {
    let settings = |replicas: &str| {
        let (_, objects) = built(&MINIMAL.replace("replicas: 3", replicas), &Given::new());
        let set = objects
            .into_iter()
            .find(|o| o.kind == Kind::StatefulSet)
            .expect("a set");
        set.value["spec"]["template"].clone()
    };
    assert_eq!(settings("replicas: 3"), settings("replicas: 5"));
    assert_ne!(
        settings("replicas: 3"),
        settings("replicas: 1"),
        "copies of new topics are a static setting"
    );
}

#[test]
fn no_file_is_written_before_all_addresses_are_known() {
    let (wanted, plan) = planned(FULL);
    let lacks = |given: &Given| lacking(&wanted, &plan, given);
    assert_eq!(lacks(&ports()), None);
    assert!(lacks(&Given::new()).is_some_and(|why| why.contains("big-outside-4")));
}
