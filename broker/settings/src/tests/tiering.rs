//! The brokers' default of `remote.storage.enable`: what topics make of it, and who may change it.

use freshet_types::TopicName;

use super::*;

const TIERS: &str = "freshet.remote.storage.enable";
const REMOTE: &str = "remote.storage.enable";
const MAY_GO: &str = "remote.log.delete.on.disable";

fn name(name: &str) -> TopicName {
    TopicName::new(name).expect("a name")
}

/// Brokers with object storage, whose cluster has this default.
fn by_default(value: &str) -> Layers {
    layers(&STORE, &[(TIERS, value)], &[])
}

#[test]
fn topics_that_say_nothing_tier_by_the_default() {
    let (on, off) = (by_default("true"), by_default("false"));
    let tiers = |layers: &Layers, set: &[(&str, &str)]| layers.topic_tier(&overrides(set)).enabled;
    assert!(tiers(&on, &[]) && !tiers(&off, &[]));
    assert!(!tiers(&on, &[(REMOTE, "false")]) && tiers(&off, &[(REMOTE, "true")]));
    assert!(tiers(
        &with_store(&["freshet.remote.storage.enable=true"]),
        &[]
    ));
}

#[test]
fn topics_of_the_clusters_own_tier_by_no_default() {
    let tier = |topic: &str, set: &[(&str, &str)]| {
        let layers = by_default("true").for_topic(&name(topic));
        let described = layers.describe_topic(&overrides(set));
        let shown = described.into_iter().find(|it| it.setting.name == REMOTE);
        let shown = shown.expect("it is declared");
        (shown.value, shown.source, shown.candidates.len())
    };
    let plain = (Some("true".to_owned()), Source::DynamicDefault, 2);
    assert_eq!(tier("orders", &[]), plain);
    let own = (Some("false".to_owned()), Source::Default, 0);
    assert_eq!(tier("__consumer_offsets", &[]), own);
    let layers = by_default("true").for_topic(&name("__remote_log_metadata"));
    assert!(!layers.topic_tier(&Overrides::new()).enabled);
    // All else that brokers say holds for them.
    let layers = with_store(&["log.retention.ms=7"]).for_topic(&name("__consumer_offsets"));
    assert_eq!(layers.topic(&Overrides::new()).retention_ms, Some(7));
}

#[test]
fn a_topic_leaves_object_storage_by_what_holds_for_it() {
    let (on, off) = (by_default("true"), by_default("false"));
    let check = |layers: &Layers, before: Option<&[(&str, &str)]>, after: &[(&str, &str)]| {
        let before = before.map(overrides);
        layers
            .check_topic(before.as_ref(), &overrides(after))
            .is_ok()
    };
    let (yes, no, may_go) = ((REMOTE, "true"), (REMOTE, "false"), (MAY_GO, "true"));
    // It tiers by the default, so it has something to lose.
    assert!(!check(&on, Some(&[]), &[no]));
    assert!(check(&on, Some(&[]), &[no, may_go]));
    // One that is new has nothing.
    assert!(check(&on, None, &[no]));
    // What it said itself goes on by the default.
    assert!(check(&on, Some(&[yes]), &[]));
    assert!(!check(&off, Some(&[yes]), &[]));
    // And it begins by the default, where there is a store.
    let storeless = layers(&[], &[(TIERS, "true")], &[]);
    assert!(!check(&storeless, None, &[]) && check(&storeless, None, &[no]));
    assert!(check(
        &storeless.for_topic(&name("__consumer_offsets")),
        None,
        &[]
    ));
    // What stays on disks is a part of all.
    let local = [("retention.ms", "5"), ("local.retention.ms", "6")];
    assert!(!check(&on, None, &local) && check(&off, None, &local));
}

#[test]
fn the_default_goes_when_no_topic_loses_anything() {
    let (on, off) = (by_default("true"), by_default("false"));
    let check = |topics: &[&[(&str, &str)]]| {
        let names = ["a", "b", "c"].map(name);
        let topics: Vec<_> = topics.iter().map(|set| overrides(set)).collect();
        on.check_default(&off, names.iter().zip(&topics))
    };
    let (yes, no, may_go) = ((REMOTE, "true"), (REMOTE, "false"), (MAY_GO, "true"));
    assert!(check(&[]).is_ok());
    assert!(check(&[&[yes], &[no], &[may_go]]).is_ok());
    let error = check(&[&[yes], &[], &[]]).expect_err("two lose what they have");
    let error = error.to_string();
    for word in [TIERS, " b ", "1 of 2", MAY_GO, REMOTE] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(off.check_default(&on, std::iter::empty()).is_ok());
    assert!(off.check_default(&off, std::iter::empty()).is_ok());
    let storeless = layers(&[], &[(TIERS, "true")], &[]);
    let none = layers(&[], &[], &[]);
    assert!(none.check_default(&storeless, std::iter::empty()).is_err());
}

#[test]
fn a_default_in_a_file_needs_a_store_and_is_kept() {
    let set = StaticSettingsBuilder::default().set("freshet.remote.storage.enable=true");
    let error = set
        .expect("a value")
        .finish()
        .expect_err("there is no store");
    assert!(
        error
            .to_string()
            .contains("remote.log.storage.system.enable"),
        "{error}"
    );
    let layers = with_store(&["freshet.remote.storage.enable=true"]);
    assert_eq!(
        layers.default_to_keep(&Overrides::new()),
        Some((TIERS, "true"))
    );
    assert_eq!(
        layers.default_to_keep(&overrides(&[(TIERS, "false")])),
        None
    );
    assert_eq!(with_store(&[]).default_to_keep(&Overrides::new()), None);
}

#[test]
fn objects_go_with_their_topic_unless_somebody_says_no() {
    const GOES: &str = "freshet.remote.delete.on.topic.delete";
    let goes = |cluster: &[(&str, &str)], topic: &[(&str, &str)]| {
        let layers = layers(&[], cluster, &[]);
        layers.topic_tier(&overrides(topic)).delete_with_topic
    };
    assert!(goes(&[], &[]));
    assert!(!goes(&[], &[(GOES, "false")]));
    assert!(!goes(&[(GOES, "false")], &[]));
    assert!(goes(&[(GOES, "false")], &[(GOES, "true")]));
}
