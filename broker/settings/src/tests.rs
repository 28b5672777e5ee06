//! The table as a whole, and what is derived from it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use freshet_types::NodeId;
use proptest::prelude::*;

use crate::*;

mod tiering;

const SCOPES: [Scope; 4] = [
    Scope::Broker,
    Scope::Topic,
    Scope::Group,
    Scope::ClientMetrics,
];

fn statics(set: &[&str]) -> Arc<StaticSettings> {
    let builder = set
        .iter()
        .fold(StaticSettingsBuilder::default(), |builder, argument| {
            builder.set(argument).unwrap()
        });
    Arc::new(builder.finish().unwrap().0)
}

fn overrides(set: &[(&str, &str)]) -> Overrides {
    let owned = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn layers(set: &[&str], cluster: &[(&str, &str)], broker: &[(&str, &str)]) -> Layers {
    Layers {
        statics: statics(set),
        cluster: Arc::new(overrides(cluster)),
        broker: Arc::new(overrides(broker)),
        ..Layers::default()
    }
}

const STORE: [&str; 2] = [
    "remote.log.storage.system.enable=true",
    "remote.log.storage.url=file:///tmp",
];

/// Settings of a broker with object storage.
fn with_store(more: &[&str]) -> Layers {
    layers(&[&STORE, more].concat(), &[], &[])
}

#[test]
fn every_declaration_is_whole() {
    for setting in SCOPES.into_iter().flat_map(Setting::all) {
        let name = setting.name;
        assert!(setting.doc.ends_with('.'), "{name}: doc is a sentence");
        if let Some(default) = setting.default {
            assert_eq!(
                setting.check(default).as_deref(),
                Ok(default),
                "{name}: default is legal"
            );
        }
        for synonym in setting.synonyms {
            let broker = Setting::find(Scope::Broker, synonym.name);
            assert!(
                broker.is_some(),
                "{name}: synonym {} is declared",
                synonym.name
            );
        }
    }
}

#[test]
fn names_are_declared_once() {
    for scope in SCOPES {
        let declared = crate::table::lines().filter(|s| s.scope == scope).count();
        assert_eq!(declared, Setting::all(scope).count(), "{scope:?}");
    }
}

#[test]
fn a_topic_and_its_broker_default_agree() {
    for topic in Setting::all(Scope::Topic) {
        let described = Layers::default().describe_topic(&Overrides::new());
        let found = described
            .iter()
            .find(|d| d.setting.name == topic.name)
            .unwrap();
        assert_eq!(found.value.as_deref(), topic.default, "{}", topic.name);
        assert_eq!(found.source, Source::Default, "{}", topic.name);
    }
}

#[test]
fn all_slices_can_be_cut() {
    let layers = Layers::default();
    let node = layers.node();
    assert_eq!((node.node_id.0, node.listeners.len()), (1, 1));
    assert_eq!(node.log_dirs, [std::path::PathBuf::from("./freshet-data")]);
    assert_eq!(node.http, Some(("127.0.0.1".to_owned(), 9644)));
    assert_eq!(layers.sockets().request_max_bytes, 104_857_600);
    assert_eq!(layers.logs().producer_expiration_ms, 86_400_000);
    assert_eq!(layers.topic_defaults().partitions, 1);
    assert_eq!(layers.metadata().snapshot_bytes, 20 << 20);
    assert_eq!(layers.groups().offsets_retention_ms, 7 * 86_400_000);
    let topic = TopicConfig::default();
    assert_eq!(
        (topic.retention_ms, topic.retention_bytes),
        (Some(604_800_000), None)
    );
    assert_eq!(
        (topic.durability, topic.compression),
        (Durability::Fsync, CompressionType::Producer)
    );
}

#[test]
fn the_strongest_layer_wins_and_units_are_converted() {
    type Case<'a> = (
        &'a [&'a str],
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        &'a str,
        Source,
    );
    let cases: &[Case<'_>] = &[
        (&[], &[], &[], &[], "604800000", Source::Default),
        (
            &["log.retention.hours=1"],
            &[],
            &[],
            &[],
            "3600000",
            Source::Static,
        ),
        (
            &["log.retention.hours=1", "log.retention.minutes=3"],
            &[],
            &[],
            &[],
            "180000",
            Source::Static,
        ),
        (
            &["log.retention.hours=-1"],
            &[],
            &[],
            &[],
            "-1",
            Source::Static,
        ),
        (
            &["log.retention.hours=1"],
            &[("log.retention.ms", "5")],
            &[],
            &[],
            "5",
            Source::DynamicDefault,
        ),
        (
            &[],
            &[("log.retention.ms", "5")],
            &[("log.retention.ms", "6")],
            &[],
            "6",
            Source::DynamicBroker,
        ),
        (
            &[],
            &[],
            &[("log.retention.ms", "6")],
            &[("retention.ms", "7")],
            "7",
            Source::Topic,
        ),
        // What another version stored and this one does not understand counts as not there.
        (
            &[],
            &[],
            &[],
            &[("retention.ms", "soon")],
            "604800000",
            Source::Default,
        ),
    ];
    for (set, cluster, broker, topic, value, source) in cases {
        let described = layers(set, cluster, broker).describe_topic(&overrides(topic));
        let found = described
            .iter()
            .find(|d| d.setting.name == "retention.ms")
            .unwrap();
        assert_eq!(
            (found.value.as_deref(), found.source),
            (Some(*value), *source),
            "{set:?}"
        );
    }
}

#[test]
fn candidates_are_listed_the_strongest_first() {
    let layers = layers(
        &["log.segment.bytes=2097152"],
        &[("log.segment.bytes", "3145728")],
        &[],
    );
    let described = layers.describe_topic(&overrides(&[("segment.bytes", "4194304")]));
    let found = described
        .iter()
        .find(|d| d.setting.name == "segment.bytes")
        .unwrap();
    let flat: Vec<_> = found
        .candidates
        .iter()
        .map(|c| (c.name, c.value.as_str(), c.source))
        .collect();
    let want = [
        ("segment.bytes", "4194304", Source::Topic),
        ("log.segment.bytes", "3145728", Source::DynamicDefault),
        ("log.segment.bytes", "2097152", Source::Static),
        ("log.segment.bytes", "1073741824", Source::Default),
    ];
    assert_eq!(flat, want);
}

#[test]
fn a_broker_describes_all_it_knows_and_hides_secrets() {
    let layers = layers(&["ssl.key.password=secret", "num.partitions=3"], &[], &[]);
    let described = layers.describe_broker();
    assert_eq!(described.len(), Setting::all(Scope::Broker).count());
    let of = |name: &str| described.iter().find(|d| d.setting.name == name).unwrap();
    assert_eq!(of("num.partitions").value.as_deref(), Some("3"));
    assert_eq!(of("num.partitions").source, Source::Static);
    assert_eq!(of("ssl.key.password").value, None);
    assert!(of("ssl.key.password").candidates.is_empty());
    let error = Setting::find(Scope::Broker, "ssl.key.password").unwrap();
    assert!(error.is_sensitive());
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let cases = [
        (
            "log.retension.ms=5",
            "\"log.retension.ms\" is not a broker setting; did you mean log.retention.ms?",
        ),
        ("qqqq=1", "\"qqqq\" is not a broker setting"),
        (
            "num.partitions=0",
            "num.partitions=0: expected a whole number, at least 1",
        ),
        (
            "num.partitions=many",
            "num.partitions=many: expected a whole number, at least 1",
        ),
        (
            "log.preallocate=maybe",
            "log.preallocate=maybe: expected true or false",
        ),
        (
            "log.segment.bytes=1",
            "log.segment.bytes=1: expected a whole number, at least 1048576 (bytes)",
        ),
        (
            "compression.type=brotli",
            "compression.type=brotli: expected one of producer, uncompressed, gzip, snappy, lz4, zstd",
        ),
        (
            "listeners=nonsense",
            "listeners=nonsense: expected NAME://host:port entries separated by commas",
        ),
        (
            "num.partitions",
            "--set: expected NAME=VALUE, found \"num.partitions\"",
        ),
    ];
    for (argument, want) in cases {
        let error = StaticSettingsBuilder::default().set(argument).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let cases: &[&[&str]] = &[
        &["listeners=A://127.0.0.1:1"],
        &["advertised.listeners=EXT://h:1"],
        &["advertised.listeners=PLAINTEXT://0.0.0.0:1"],
        &[
            "group.min.session.timeout.ms=10",
            "group.max.session.timeout.ms=5",
        ],
        &["node.id=1", "broker.id=2"],
    ];
    for set in cases {
        let builder = set
            .iter()
            .fold(StaticSettingsBuilder::default(), |b, a| b.set(a).unwrap());
        let error = builder.finish().unwrap_err();
        assert!(
            matches!(error, SettingError::Contradiction { .. }),
            "{set:?}: {error}"
        );
    }
}

#[test]
fn a_listener_with_tls_or_sasl_is_refused_and_never_served_in_the_clear() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["listeners=SSL://127.0.0.1:1"],
            "listener SSL is to speak SSL",
        ),
        (
            &["listeners=PLAINTEXT://127.0.0.1:1,sasl_ssl://127.0.0.1:2"],
            "listener SASL_SSL is to speak SASL_SSL",
        ),
        (
            &[
                "listeners=EXT://127.0.0.1:1",
                "listener.security.protocol.map=EXT:SASL_PLAINTEXT",
            ],
            "listener EXT is to speak SASL_PLAINTEXT",
        ),
        (
            &["listener.security.protocol.map=PLAINTEXT:SSL"],
            "listener PLAINTEXT is to speak SSL",
        ),
    ];
    for (set, want) in cases {
        let builder = set
            .iter()
            .fold(StaticSettingsBuilder::default(), |b, a| b.set(a).unwrap());
        let text = builder.finish().unwrap_err().to_string();
        assert!(text.contains(want), "{text}");
        assert!(text.contains("TLS and SASL are not built yet"), "{text}");
    }
}

#[test]
fn a_setting_that_is_said_to_work_has_a_reader() {
    let readers = [
        include_str!("slices.rs"),
        include_str!("topic_config.rs"),
        include_str!("cross.rs"),
        include_str!("slices/quorum.rs"),
        include_str!("slices/tier.rs"),
    ];
    let is_read = |name: &str| readers.iter().any(|r| r.contains(&format!("\"{name}\"")));
    let topics = || Setting::all(Scope::Topic).filter(|s| s.standing == Standing::Used);
    let inherited = |name: &str| topics().any(|t| t.synonyms.iter().any(|s| s.name == name));
    let unread: Vec<_> = SCOPES
        .into_iter()
        .flat_map(Setting::all)
        .filter(|s| s.standing == Standing::Used && !is_read(s.name) && !inherited(s.name))
        .map(|s| s.name)
        .collect();
    assert_eq!(unread, Vec::<&str>::new());
}

#[test]
fn compaction_is_warned_of_though_its_setting_works() {
    let without_effect = |scope, name, value| {
        let setting: &Setting = Setting::find(scope, name).unwrap();
        setting.without_effect(value).is_some()
    };
    assert!(without_effect(
        Scope::Topic,
        "cleanup.policy",
        "delete,compact"
    ));
    assert!(!without_effect(Scope::Topic, "cleanup.policy", "delete"));
    assert!(without_effect(
        Scope::Broker,
        "log.cleanup.policy",
        "compact"
    ));
    assert!(without_effect(Scope::Topic, "delete.retention.ms", "5"));
    assert!(!without_effect(Scope::Topic, "retention.ms", "5"));
}

#[test]
fn a_directory_can_be_listed_once() {
    for (dirs, fine) in [
        ("a,b", true),
        ("/a,a", true),
        ("a,b,./a/", false),
        ("/d/x,/d//x", false),
    ] {
        let builder = StaticSettingsBuilder::default().set(&format!("log.dirs={dirs}"));
        let finished = builder.unwrap().finish();
        assert_eq!(finished.is_ok(), fine, "{dirs}");
        if let Err(error) = finished {
            assert!(error.to_string().contains("is there twice"), "{error}");
        }
    }
}

#[test]
fn a_listener_of_the_controller_stays_closed_and_is_warned_of_once() {
    let cases: &[&[&str]] = &[
        &["listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"],
        &[
            "listeners=PLAINTEXT://127.0.0.1:1,ctl://127.0.0.1:2",
            "controller.listener.names=ctl",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CTL:SSL",
        ],
    ];
    for set in cases {
        let builder = set
            .iter()
            .fold(StaticSettingsBuilder::default(), |b, a| b.set(a).unwrap());
        let (settings, warnings) = builder.finish().unwrap();
        let names: Vec<_> = warnings.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["controller.listener.names"], "{set:?}");
        assert!(warnings[0].why.contains("not opened"));
        let open = Layers::of(Arc::new(settings)).node().listeners;
        let open: Vec<_> = open.iter().map(|l| l.endpoint.name.as_str()).collect();
        assert_eq!(open, ["PLAINTEXT"]);
    }
    let only = StaticSettingsBuilder::default()
        .set("listeners=CONTROLLER://127.0.0.1:1")
        .unwrap();
    assert!(matches!(
        only.finish(),
        Err(SettingError::Contradiction { .. })
    ));
}

#[test]
fn settings_without_effect_are_accepted_with_one_warning() {
    let (settings, warnings) = StaticSettingsBuilder::default()
        .file("f", "num.io.threads=8\nzookeeper.connect=x\nauto.include.jmx.reporter=true\nnum.partitions=2\n")
        .unwrap()
        .set("num.io.threads=9")
        .unwrap()
        .finish()
        .unwrap();
    let names: Vec<_> = warnings.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "num.io.threads",
            "zookeeper.connect",
            "auto.include.jmx.reporter"
        ]
    );
    assert_eq!(settings.get("num.io.threads"), Some("9"));
    assert_eq!(settings.iter().count(), 2);
}

#[test]
fn an_old_file_may_name_the_broker_by_broker_id() {
    let node = |set: &[&str]| Layers::of(statics(set)).node().node_id.0;
    assert_eq!(node(&["broker.id=7"]), 7);
    assert_eq!(node(&["broker.id=7", "node.id=7"]), 7);
    assert_eq!(node(&["broker.id=-1"]), 1);
    assert_eq!(node(&["node.id=0"]), 0);
}

#[test]
fn lists_grow_and_shrink_by_items() {
    let policy = Setting::dynamic(Scope::Topic, "cleanup.policy").unwrap();
    assert_eq!(
        policy.append(None, "compact").as_deref(),
        Ok("delete,compact")
    );
    assert_eq!(
        policy.append(Some("compact"), "compact").as_deref(),
        Ok("compact")
    );
    assert_eq!(policy.subtract(None, "delete").as_deref(), Ok(""));
    assert!(policy.append(None, "shred").is_err());
    let number = Setting::dynamic(Scope::Topic, "retention.ms").unwrap();
    assert_eq!(
        number.append(None, "1"),
        Err(SettingError::NotAList {
            name: "retention.ms".into()
        })
    );
}

#[test]
fn what_may_be_set_at_run_time() {
    assert!(Setting::dynamic(Scope::Broker, "log.retention.ms").is_ok());
    let restart = Setting::dynamic(Scope::Broker, "num.partitions").unwrap_err();
    assert_eq!(
        restart,
        SettingError::ReadOnly {
            name: "num.partitions".into()
        }
    );
    assert!(matches!(
        Setting::dynamic(Scope::Topic, "nope"),
        Err(SettingError::Unknown { .. })
    ));
    let retention = Setting::dynamic(Scope::Topic, "retention.ms").unwrap();
    assert!(retention.check_override(None).is_err());
    assert!(
        retention
            .check_override(Some(&"9".repeat(OVERRIDE_MAX_BYTES + 1)))
            .is_err()
    );
    assert_eq!(retention.check_override(Some(" 5 ")).as_deref(), Ok("5"));
}

#[test]
fn directories_can_be_cordoned_one_by_one_or_all() {
    let of = |value: &str| layers(&[], &[], &[("cordoned.log.dirs", value)]).cordoned_dirs();
    let covers = |value: &str, dir: &str| of(value).covers(Path::new(dir));
    assert_eq!(of(""), CordonedDirs::default());
    assert!(covers("/a, /b", "/b") && !covers("/a,/b", "/c"));
    assert!(covers("*", "/c") && of("*").all);
    assert!(Setting::dynamic(Scope::Broker, "cordoned.log.dirs").is_ok());
}

#[test]
fn only_directories_that_are_there_can_be_cordoned() {
    let layers = layers(&["log.dirs=/a, /b/"], &[], &[]);
    for fine in ["", "*", "/a", "/b", "/a,/b", "*,/a"] {
        assert_eq!(layers.check_cordoned(fine), Ok(()), "{fine}");
    }
    for unknown in ["/c", "/a,/c", "*,/c", "/a/x", "a"] {
        let refused = layers.check_cordoned(unknown).unwrap_err().to_string();
        assert!(refused.contains("is none of them"), "{refused}");
    }
}

#[test]
fn moves_between_directories_have_no_bound_until_one_is_set() {
    let free = layers(&[], &[], &[]).moves();
    assert_eq!((free.bytes_per_second, free.at_a_time), (u64::MAX, None));
    let rate = ("replica.alter.log.dirs.io.max.bytes.per.second", "1000");
    let threads = "num.replica.alter.log.dirs.threads=3";
    let bound = layers(&[threads], &[rate], &[]).moves();
    assert_eq!((bound.bytes_per_second, bound.at_a_time), (1000, Some(3)));
}

#[test]
fn throttles_are_read_as_they_are_set() {
    let rate = ("leader.replication.throttled.rate", "1000");
    let throttles = layers(&[], &[rate], &[]).throttles();
    assert_eq!(throttles.leader_bytes_per_second, 1000);
    assert_eq!(
        throttles.follower_bytes_per_second,
        u64::try_from(i64::MAX).unwrap()
    );
    let of = |leaders: &str, followers: &str| {
        let set = [
            ("leader.replication.throttled.replicas", leaders),
            ("follower.replication.throttled.replicas", followers),
        ];
        Layers::default().topic_throttle(&overrides(&set))
    };
    assert_eq!(of("", ""), TopicThrottle::default());
    let throttle = of("0:1, 1:2", "*");
    let has = |partition, node| throttle.leaders.has(partition, NodeId(node));
    assert!(has(0, 1) && has(1, 2) && !has(0, 2) && !has(2, 1));
    assert!(throttle.followers.has(7, NodeId(9)));
}

#[test]
fn a_topics_local_retention_follows_its_retention() {
    let of = |set: &[(&str, &str)]| Layers::default().topic_tier(&overrides(set));
    let plain = TopicTier {
        enabled: false,
        local_retention_ms: Some(604_800_000),
        local_retention_bytes: None,
        copy_disabled: false,
        delete_on_disable: false,
        delete_with_topic: true,
        copy_lag_ms: Some(0),
        copy_lag_bytes: None,
    };
    assert_eq!(of(&[]), plain);
    let followed = of(&[("retention.ms", "9"), ("retention.bytes", "8")]);
    let followed = (followed.local_retention_ms, followed.local_retention_bytes);
    assert_eq!(followed, (Some(9), Some(8)));
    let own = of(&[
        ("retention.ms", "9"),
        ("local.retention.ms", "3"),
        ("local.retention.bytes", "-1"),
        ("remote.storage.enable", "true"),
        ("remote.log.copy.disable", "true"),
        ("remote.copy.lag.bytes", "5"),
    ]);
    let expected = TopicTier {
        enabled: true,
        local_retention_ms: Some(3),
        copy_disabled: true,
        copy_lag_bytes: Some(5),
        ..plain
    };
    assert_eq!(own, expected);
}

#[test]
fn a_topic_that_deletes_nothing_may_leave_the_disk_by_its_own_word() {
    let local = |set: &[(&str, &str)]| {
        let set = [
            &[("cleanup.policy", "compact"), ("retention.bytes", "5")],
            set,
        ]
        .concat();
        let tier = Layers::default().topic_tier(&overrides(&set));
        (tier.local_retention_ms, tier.local_retention_bytes)
    };
    assert_eq!(local(&[]), (None, None), "all of it stays");
    let month = "2592000000";
    let set = [
        ("local.retention.ms", month),
        ("local.retention.bytes", "9"),
    ];
    assert_eq!(local(&set), (Some(2_592_000_000), Some(9)));
    let both = [set.as_slice(), &[("cleanup.policy", "compact,delete")]].concat();
    assert_eq!(local(&both), (Some(604_800_000), Some(5)));
    let check = |set: &[(&str, &str)]| {
        let set = [set, &[("remote.storage.enable", "true")]].concat();
        with_store(&[]).check_topic(None, &overrides(&set))
    };
    let longer = ("local.retention.ms", month);
    assert!(check(&[("cleanup.policy", "compact"), longer]).is_ok());
    assert!(check(&[("cleanup.policy", "delete"), longer]).is_err());
}

#[test]
fn nothing_waits_to_be_copied_for_longer_than_it_stays() {
    let of = |set: &[(&str, &str)]| {
        let tier = Layers::default().topic_tier(&overrides(set));
        (tier.copy_lag_ms, tier.copy_lag_bytes)
    };
    let bounds = [("local.retention.ms", "7"), ("local.retention.bytes", "9")];
    let with = |ms, bytes| {
        let lags = [
            ("retention.bytes", "20"),
            ("remote.copy.lag.ms", ms),
            ("remote.copy.lag.bytes", bytes),
        ];
        of(&[bounds.as_slice(), lags.as_slice()].concat())
    };
    assert_eq!(with("-1", "-1"), (Some(7), Some(9)));
    assert_eq!(with("5", "6"), (Some(5), Some(6)));
    assert_eq!(with("8", "10"), (Some(7), Some(9)));
    let for_ever = [("retention.ms", "-1"), ("remote.copy.lag.ms", "-1")];
    assert_eq!(of(&for_ever), (None, None));
}

#[test]
fn local_retention_is_never_longer_than_all_retention() {
    let tier = Layers::default().topic_tier(&overrides(&[
        ("retention.ms", "5"),
        ("local.retention.ms", "9"),
        ("local.retention.bytes", "7"),
    ]));
    let local = (tier.local_retention_ms, tier.local_retention_bytes);
    assert_eq!(local, (Some(5), Some(7)));
}

#[test]
fn topic_settings_are_checked_together() {
    let none = Overrides::default();
    let check = |set: &[(&str, &str)], has_store| check_topic(&none, &overrides(set), has_store);
    let tiered = ("remote.storage.enable", "true");
    assert!(check(&[tiered], false).is_err());
    assert!(check(&[tiered], true).is_ok());
    assert!(check(&[("remote.storage.enable", "false")], false).is_ok());
    let lags = [
        ("min.compaction.lag.ms", "10"),
        ("max.compaction.lag.ms", "5"),
    ];
    assert!(check(&lags, false).is_err());
    for (all, local, is_right) in [
        ("10", "10", true),
        ("10", "11", false),
        ("10", "-2", true),
        ("10", "-1", false),
        ("-1", "-1", true),
        ("-1", "11", true),
    ] {
        for unit in ["ms", "bytes"] {
            let (retention, part) = (
                format!("retention.{unit}"),
                format!("local.retention.{unit}"),
            );
            let set = [tiered, (&retention, all), (&part, local)];
            assert_eq!(check(&set, true).is_ok(), is_right, "{set:?}");
            assert!(
                check(&set[1..], true).is_ok(),
                "without object storage it means nothing"
            );
        }
    }
}

#[test]
fn a_topics_local_retention_is_compared_with_its_brokers_retention() {
    let none = Overrides::default();
    let layers = with_store(&["log.retention.hours=1"]);
    let check = |set: &[(&str, &str)]| {
        let set = [&[("remote.storage.enable", "true")], set].concat();
        layers.check_topic(Some(&none), &overrides(&set))
    };
    assert!(check(&[("local.retention.ms", "3600000")]).is_ok());
    let error = check(&[("local.retention.ms", "3600001")]).expect_err("more than an hour");
    assert!(error.to_string().contains("3600000"), "{error}");
    assert!(check(&[("local.retention.ms", "-1")]).is_err());
    let longer = ("retention.ms", "3600001");
    assert!(check(&[("local.retention.ms", "3600001"), longer]).is_ok());
    let store = [
        STORE[0],
        STORE[1],
        "log.local.retention.ms=9",
        "log.retention.ms=8",
    ];
    let builder = store
        .iter()
        .try_fold(StaticSettingsBuilder::default(), |all, set| all.set(set));
    let error = builder
        .expect("each is right")
        .finish()
        .expect_err("not together");
    assert!(error.to_string().contains("log.local.retention"), "{error}");
}

#[test]
fn nobody_loses_what_is_in_object_storage_by_accident() {
    let before = overrides(&[("remote.storage.enable", "true")]);
    let check = |set: &[(&str, &str)]| check_topic(&before, &overrides(set), true);
    assert!(check(&[("remote.storage.enable", "false")]).is_err());
    assert!(check(&[]).is_err());
    let delete = ("remote.log.delete.on.disable", "true");
    assert!(check(&[delete]).is_ok());
    assert!(check(&[delete, ("remote.storage.enable", "false")]).is_ok());
    let copies_no_more = ("remote.log.copy.disable", "true");
    assert!(check(&[("remote.storage.enable", "true"), copies_no_more]).is_ok());
}

#[test]
fn the_reference_page_names_every_setting() {
    let page = reference_markdown();
    for setting in SCOPES.into_iter().flat_map(Setting::all) {
        assert!(
            page.contains(&format!("`{}`", setting.name)),
            "{}",
            setting.name
        );
    }
}

#[test]
fn the_topic_settings_are_kafkas_and_two_of_ours() {
    let names: BTreeMap<_, _> = Setting::all(Scope::Topic).map(|s| (s.name, ())).collect();
    assert_eq!(names.len(), 38, "{names:?}");
    for name in [
        "cleanup.policy",
        "freshet.durability",
        "freshet.remote.delete.on.topic.delete",
        "errors.deadletterqueue.group.enable",
    ] {
        assert!(names.contains_key(name));
    }
}

proptest! {
    // Each case goes over the whole table.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn checking_a_value_never_panics_and_is_stable(text: String) {
        for setting in SCOPES.into_iter().flat_map(Setting::all) {
            if let Ok(kept) = setting.check(&text) {
                prop_assert_eq!(setting.check(&kept), Ok(kept));
            }
        }
    }

    #[test]
    fn a_topic_can_be_resolved_whatever_is_stored(stored: BTreeMap<String, String>, odd: String) {
        let mut stored = stored;
        for setting in Setting::all(Scope::Topic) {
            stored.insert(setting.name.to_owned(), odd.clone());
        }
        Layers::default().topic(&stored);
    }
}
