//! The rules in the definitions: each refuses what it is for, and nothing else.

use freshet_api::definitions;
use kube_cel::{Validator, compile_schema};
use serde_json::{Value, json};

/// The schema of a kind, as it is installed.
fn schema(kind: &str) -> Value {
    let all = definitions();
    let found = all
        .iter()
        .find(|definition| definition.spec.names.kind == kind);
    let version = &found.expect("a known kind").spec.versions[0];
    let schema = version.schema.as_ref().expect("a schema");
    serde_json::to_value(&schema.open_api_v3_schema).expect("a schema is JSON")
}

/// What the API server looks at: without the nulls of fields that are not nullable.
fn without_nulls(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let own = schema.pointer("/properties").and_then(|all| all.get(name));
                let own = own.or_else(|| schema.get("additionalProperties"));
                let own = own.unwrap_or(&Value::Null);
                let nullable = own.get("nullable") == Some(&Value::Bool(true));
                let dropped = value.is_null() && !nullable;
                (!dropped).then(|| (name.clone(), without_nulls(own, value)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let own = schema.get("items").unwrap_or(&Value::Null);
            items.iter().map(|item| without_nulls(own, item)).collect()
        }
        other => other.clone(),
    }
}

/// What is said of an object of a kind, and of one that was before.
fn judged(kind: &str, now: &Value, before: Option<&Value>) -> Vec<String> {
    let schema = schema(kind);
    let now = without_nulls(&schema, now);
    let before = before.map(|before| without_nulls(&schema, before));
    let told = Validator::new().validate(&schema, &now, before.as_ref());
    let errors = told.err().map(|errors| errors.into_vec());
    let errors = errors.into_iter().flatten();
    errors.map(|error| error.message).collect()
}

#[track_caller]
fn accepted(kind: &str, now: &Value, before: Option<&Value>) {
    let told = judged(kind, now, before);
    assert!(told.is_empty(), "{now} is refused: {told:?}");
}

/// It is refused for one reason, which a person can read.
#[track_caller]
fn refused(kind: &str, now: &Value, before: Option<&Value>, why: &str) {
    let told = judged(kind, now, before);
    let fits = told.len() == 1 && told[0].contains(why);
    assert!(fits, "{now} should be refused for `{why}`: {told:?}");
}

fn topic(spec: Value) -> Value {
    json!({"apiVersion": "freshet.dev/v1", "kind": "Topic", "metadata": {"name": "orders"}, "spec": spec})
}

fn cluster(spec: Value) -> Value {
    json!({"apiVersion": "freshet.dev/v1", "kind": "Cluster", "metadata": {"name": "main"}, "spec": spec})
}

/// A cluster of one pool, with changes to the pool.
fn pooled(pool: Value) -> Value {
    let mut whole = json!({"name": "a", "replicas": 3, "storage": {"size": "10Gi"}});
    let changes = pool.as_object().expect("fields");
    for (name, value) in changes {
        whole[name] = value.clone();
    }
    cluster(json!({"pools": [whole]}))
}

/// A cluster of one pool, with more in its spec.
fn with(more: Value) -> Value {
    let mut whole = pooled(json!({}));
    for (name, value) in more.as_object().expect("fields") {
        whole["spec"][name] = value.clone();
    }
    whole
}

#[test]
fn every_rule_can_be_read() {
    for kind in ["Cluster", "Topic"] {
        let compiled = compile_schema(&schema(kind));
        assert!(
            !compiled.has_errors(),
            "{:?}",
            compiled.compilation_errors()
        );
    }
}

/// The API server reckons with the longest text, and takes no definition whose rules could cost too much.
#[test]
fn what_rules_read_is_bounded() {
    let of_storage = "/properties/spec/properties/pools/items/properties/storage/properties/size";
    let size = schema("Cluster").pointer(of_storage).cloned();
    assert_eq!(size.expect("a size")["maxLength"], 32);
}

#[test]
fn no_field_may_be_null() {
    for kind in ["Cluster", "Topic"] {
        assert!(!schema(kind).to_string().contains("nullable"));
    }
}

#[test]
fn a_topic_is_of_one_cluster() {
    let here = json!({"name": "main"});
    let there = json!({"bootstrapServers": ["kafka:9092"]});
    let why = "either clusterRef or external";
    accepted("Topic", &topic(json!({"clusterRef": here})), None);
    accepted("Topic", &topic(json!({"external": there})), None);
    let one = topic(json!({"clusterRef": here, "external": null}));
    accepted("Topic", &one, None);
    let other = topic(json!({"clusterRef": null, "external": there}));
    accepted("Topic", &other, None);
    let both = topic(json!({"clusterRef": here, "external": there}));
    refused("Topic", &both, None, why);
    refused("Topic", &topic(json!({})), None, why);
    let guarded = json!({"bootstrapServers": ["kafka:9093"], "secret": {"name": "kafka"}});
    accepted("Topic", &topic(json!({"external": guarded})), None);
    let both = topic(json!({"clusterRef": here, "external": guarded}));
    refused("Topic", &both, None, why);
    let nulls = topic(json!({"clusterRef": null, "external": null}));
    refused("Topic", &nulls, None, why);
}

#[test]
fn a_topic_stays_in_its_cluster() {
    let of = |reference: Value| topic(json!({"clusterRef": reference}));
    let before = of(json!({"name": "main"}));
    let why = "clusterRef cannot change";
    accepted("Topic", &before, Some(&before));
    let null = of(json!({"name": "main", "namespace": null}));
    accepted("Topic", &null, Some(&before));
    refused("Topic", &of(json!({"name": "other"})), Some(&before), why);
    let away = of(json!({"name": "main", "namespace": "elsewhere"}));
    refused("Topic", &away, Some(&before), why);
    let external = topic(json!({"external": {"bootstrapServers": ["kafka:9092"]}}));
    refused("Topic", &external, Some(&before), why);
    refused("Topic", &before, Some(&external), why);
    // The address of a cluster may change: it is the same one.
    let moved = topic(json!({"external": {"bootstrapServers": ["kafka-2:9092"]}}));
    accepted("Topic", &moved, Some(&external));
    // And the Secret that lets us in may come, change and go.
    let with = |secret: &str| {
        topic(json!({"external": {"bootstrapServers": ["kafka:9092"], "secret": {"name": secret}}}))
    };
    accepted("Topic", &with("a"), Some(&external));
    accepted("Topic", &with("b"), Some(&with("a")));
    accepted("Topic", &external, Some(&with("a")));
}

/// It is always of the Topic's own namespace.
#[test]
fn a_secret_has_a_name_and_nothing_else() {
    let schema = schema("Topic");
    let secret = schema.pointer("/properties/spec/properties/external/properties/secret");
    let secret = secret.expect("it is there");
    let fields: Vec<_> = secret["properties"]
        .as_object()
        .expect("fields")
        .keys()
        .collect();
    assert_eq!(fields, ["name"]);
    assert_eq!(secret["required"], json!(["name"]));
}

#[test]
fn a_topic_keeps_its_name() {
    let of = |name: Value| topic(json!({"clusterRef": {"name": "main"}, "topicName": name}));
    let (named, unnamed) = (of(json!("Orders_1")), of(Value::Null));
    let why = "topicName cannot change";
    accepted("Topic", &named, Some(&named));
    accepted("Topic", &unnamed, Some(&unnamed));
    refused("Topic", &of(json!("Orders_2")), Some(&named), why);
    refused("Topic", &unnamed, Some(&named), why);
    refused("Topic", &named, Some(&unnamed), why);
    for dots in [".", ".."] {
        refused("Topic", &of(json!(dots)), None, "cannot be called");
    }
    accepted("Topic", &of(json!("...")), None);
}

#[test]
fn a_name_that_is_too_long_needs_another_one() {
    let mut long = topic(json!({"clusterRef": {"name": "main"}}));
    long["metadata"]["name"] = json!("a".repeat(250));
    refused("Topic", &long, None, "at most 249 characters");
    long["spec"]["topicName"] = json!("a");
    accepted("Topic", &long, None);
}

#[test]
fn partitions_only_grow() {
    let of = |partitions: Value| {
        topic(json!({"clusterRef": {"name": "main"}, "partitions": partitions}))
    };
    let why = "partitions only grow";
    accepted("Topic", &of(json!(3)), Some(&of(json!(3))));
    accepted("Topic", &of(json!(4)), Some(&of(json!(3))));
    // Whoever did not say how many may say it later: the operator knows how many there are.
    accepted("Topic", &of(json!(1)), Some(&of(Value::Null)));
    accepted("Topic", &of(Value::Null), Some(&of(Value::Null)));
    refused("Topic", &of(json!(2)), Some(&of(json!(3))), why);
    refused("Topic", &of(Value::Null), Some(&of(json!(3))), why);
}

#[test]
fn a_cluster_has_a_name_for_services() {
    let named = |name: &str| {
        let mut named = pooled(json!({}));
        named["metadata"]["name"] = json!(name);
        named
    };
    for good in ["a", "main", "main-2", &"a".repeat(32)] {
        accepted("Cluster", &named(good), None);
    }
    for bad in ["2main", "main.eu", "main-", &"a".repeat(33)] {
        refused("Cluster", &named(bad), None, "a cluster's name");
    }
}

#[test]
fn replicas_are_said_once() {
    let of = |replicas: Value, pools: &[Value]| {
        let pool = |(at, replicas): (usize, &Value)| json!({"name": format!("p{at}"), "replicas": replicas, "storage": {"size": "1Gi"}});
        let pools: Vec<Value> = pools.iter().enumerate().map(pool).collect();
        cluster(json!({"replicas": replicas, "pools": pools}))
    };
    let (none, three) = (Value::Null, json!(3));
    let why = "spec.replicas is for the one pool";
    let each = of(none.clone(), &[three.clone(), three.clone()]);
    accepted("Cluster", &each, None);
    let one = of(three.clone(), &[three.clone(), none.clone()]);
    accepted("Cluster", &one, None);
    for (replicas, pools) in [
        (&none, [&three, &none]),
        (&none, [&none, &none]),
        (&three, [&three, &three]),
        (&three, [&none, &none]),
    ] {
        let pools = pools.map(Clone::clone);
        refused("Cluster", &of(replicas.clone(), &pools), None, why);
    }
}

#[test]
fn a_cluster_has_both_roles() {
    for good in [
        json!(["broker", "controller"]),
        json!(["controller", "broker"]),
        Value::Null,
    ] {
        accepted("Cluster", &pooled(json!({"roles": good})), None);
    }
    let brokers = pooled(json!({"roles": ["broker"]}));
    refused("Cluster", &brokers, None, "needs controllers");
    let controllers = pooled(json!({"roles": ["controller"]}));
    refused("Cluster", &controllers, None, "needs brokers");
    let mut apart = brokers;
    let more =
        json!({"name": "c", "replicas": 3, "roles": ["controller"], "storage": {"size": "1Gi"}});
    apart["spec"]["pools"]
        .as_array_mut()
        .expect("pools")
        .push(more);
    accepted("Cluster", &apart, None);
}

#[test]
fn the_roles_of_a_pool_stay() {
    let (both, said) = (json!({}), json!({"roles": ["broker", "controller"]}));
    let why = "the roles of a pool cannot change";
    for same in [&both, &said] {
        let same = pooled(same.clone());
        accepted("Cluster", &same, Some(&same));
    }
    refused(
        "Cluster",
        &pooled(said.clone()),
        Some(&pooled(both.clone())),
        why,
    );
    refused("Cluster", &pooled(both), Some(&pooled(said)), why);
}

#[test]
fn a_cluster_keeps_its_id() {
    let of = |id: Value| with(json!({"clusterId": id}));
    let (one, other) = (
        json!("AAAAAAAAAAAAAAAAAAAAAA"),
        json!("BBBBBBBBBBBBBBBBBBBBBB"),
    );
    let why = "clusterId cannot change";
    accepted("Cluster", &of(one.clone()), Some(&of(one.clone())));
    accepted("Cluster", &of(one.clone()), Some(&of(Value::Null)));
    accepted("Cluster", &of(Value::Null), Some(&of(Value::Null)));
    refused("Cluster", &of(other), Some(&of(one.clone())), why);
    refused("Cluster", &of(Value::Null), Some(&of(one)), why);
}

#[test]
fn volumes_only_grow() {
    let of = |size: Value, class: Value| pooled(json!({"storage": {"size": size, "class": class}}));
    let before = of(json!("10Gi"), json!("fast"));
    accepted("Cluster", &before, Some(&before));
    for larger in [json!("11Gi"), json!("10240Mi"), json!(20_000_000_000_i64)] {
        accepted("Cluster", &of(larger, json!("fast")), Some(&before));
    }
    for smaller in [json!("9Gi"), json!("10G"), json!(10)] {
        refused(
            "Cluster",
            &of(smaller, json!("fast")),
            Some(&before),
            "volumes only grow",
        );
    }
    let why = "the class of a volume cannot change";
    for class in [json!("slow"), Value::Null] {
        refused("Cluster", &of(json!("10Gi"), class), Some(&before), why);
    }
    let default = of(json!("10Gi"), Value::Null);
    accepted("Cluster", &default, Some(&default));
    refused("Cluster", &before, Some(&default), why);
}

#[test]
fn what_cannot_be_a_volume_is_refused() {
    let of = |size: &str| pooled(json!({"storage": {"size": size}}));
    for good in ["1Gi", "500M", "1.5Ti"] {
        accepted("Cluster", &of(good), None);
    }
    for bad in ["ten", "", "10 Gi", "-1Gi", "0"] {
        refused("Cluster", &of(bad), None, "size");
    }
}

#[test]
fn listeners_have_ports_of_their_own() {
    let of = |listener: Value| with(json!({"listeners": [listener]}));
    accepted(
        "Cluster",
        &of(json!({"name": "internal", "port": 9092})),
        None,
    );
    for taken in [9090, 9091, 9644] {
        let listener = of(json!({"name": "internal", "port": taken}));
        refused("Cluster", &listener, None, "used by the brokers themselves");
    }
    for taken in ["replication", "controller"] {
        let listener = of(json!({"name": taken, "port": 9092}));
        refused("Cluster", &listener, None, "brokers have for each other");
    }
    let why = "nodePort is for type";
    let open = json!({"name": "out", "type": "NodePort", "port": 9094, "nodePort": 30_000});
    accepted("Cluster", &of(open.clone()), None);
    let mut balanced = open.clone();
    balanced["type"] = json!("LoadBalancer");
    accepted("Cluster", &of(balanced), None);
    let inner = json!({"name": "in", "port": 9094, "nodePort": 30_000});
    refused("Cluster", &of(inner), None, why);
    let null = json!({"name": "in", "port": 9094, "nodePort": null});
    accepted("Cluster", &of(null), None);
    let twice = with(json!({"listeners": [
        {"name": "a", "port": 9094}, {"name": "b", "port": 9094},
    ]}));
    refused("Cluster", &twice, None, "a port of its own");
}

#[test]
fn a_selector_is_for_selecting() {
    let of = |allowed: Value| with(json!({"allowedTopics": allowed}));
    let selector = json!({"matchLabels": {"team": "shop"}});
    let why = "a selector belongs to from: Selector";
    accepted("Cluster", &of(json!({"from": "All"})), None);
    accepted(
        "Cluster",
        &of(json!({"from": "All", "selector": null})),
        None,
    );
    let selected = of(json!({"from": "Selector", "selector": selector}));
    accepted("Cluster", &selected, None);
    let useless = of(json!({"from": "Same", "selector": selector}));
    refused("Cluster", &useless, None, why);
    let missing = of(json!({"from": "Selector", "selector": null}));
    refused("Cluster", &missing, None, why);
}

#[test]
fn examples_pass() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../charts/freshet-operator/examples"
    );
    let mut judged = 0;
    for entry in std::fs::read_dir(folder).expect("examples") {
        let text = std::fs::read_to_string(entry.expect("a file").path()).expect("text");
        for part in text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(part).expect("YAML");
            if object["apiVersion"] == "freshet.dev/v1" {
                accepted(object["kind"].as_str().expect("a kind"), &object, None);
                judged += 1;
            }
        }
    }
    assert!(judged >= 7, "{judged}");
}
