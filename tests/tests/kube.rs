//! The operator on a real Kubernetes: installed by Helm, asked by `kubectl`, under load of real clients.
//!
//! The tests are one story and run in their order; `cargo xtask test kube` raises the Kubernetes.
#![expect(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock"
)]

#[path = "kube/begin.rs"]
mod begin;
#[path = "kube/changes.rs"]
mod changes;
#[path = "kube/end.rs"]
mod end;
#[path = "kube/losses.rs"]
mod losses;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use freshet_tests::{Guest, KubeCluster, PROGRESS, PodSeen, Suite, Work, missing_for_kube};
use serde_json::Value;

const NAMESPACE: &str = "streams";
/// Written and read from outside of pods; it stays on the disks.
const TOPIC: &str = "orders";
/// Written and read by clients in pods; it leaves the disks.
const COLD: &str = "payments";

/// What the tests hand on to each other.
#[derive(Default)]
struct Story {
    cluster: Option<Arc<KubeCluster>>,
    work: Option<Work>,
    /// The pods of others, and where in its bucket the cluster keeps its segments.
    guests: Option<(Guest, Guest, String)>,
}

type Pods = BTreeMap<String, PodSeen>;
type Shared = Arc<Mutex<Story>>;
type Chapter = fn(&mut Story) -> Result<()>;

/// In their order.
const CHAPTERS: &[(&str, Chapter)] = &[
    ("helm_installs_the_operator", begin::install),
    ("others_have_pods_too", begin::guests),
    ("a_cluster_of_three_becomes_ready", begin::three_brokers),
    (
        "a_spec_that_cannot_be_carried_out_says_why_and_harms_nobody",
        begin::bad_input,
    ),
    ("topics_become_ready", begin::topics),
    (
        "a_topic_of_a_cluster_known_by_its_address_comes_and_goes",
        begin::external,
    ),
    (
        "what_is_as_it_was_asked_to_be_is_not_written",
        begin::quiescence,
    ),
    (
        "a_setting_that_needs_no_restart_restarts_nobody",
        changes::live_setting,
    ),
    (
        "an_image_is_rolled_out_and_back_again",
        changes::rolled_back,
    ),
    (
        "an_operator_that_is_killed_goes_on_with_the_roll",
        changes::killed_mid_roll,
    ),
    ("three_brokers_become_five", changes::grown),
    ("a_rack_restarts_as_a_whole", changes::racks),
    ("five_brokers_become_three_again", changes::shrunk),
    (
        "a_level_of_the_metadata_that_brokers_do_not_know_is_refused",
        changes::level,
    ),
    ("another_pool_comes_and_goes", changes::another_pool),
    ("volumes_grow_and_nobody_restarts", changes::volumes_grow),
    (
        "a_pod_that_is_killed_and_a_volume_that_is_lost_come_back",
        losses::volume,
    ),
    (
        "a_broker_is_stopped_on_purpose_and_goes_on",
        losses::stopped,
    ),
    ("a_node_is_drained_and_comes_back", losses::drained),
    ("a_node_that_dies_comes_back", losses::node),
    (
        "a_topic_that_was_changed_by_hand_is_put_right",
        losses::drift,
    ),
    ("nothing_that_was_acknowledged_is_lost", end::judged),
    (
        "a_cluster_that_is_deleted_comes_back_with_its_records",
        end::deleted_and_back,
    ),
    ("load_balancers_give_addresses", end::load_balancers),
    ("a_namespace_goes_with_all_that_is_in_it", end::namespace),
    ("what_was_installed_goes_away", end::uninstall),
    (
        "an_operator_of_one_namespace_does_its_work",
        end::one_namespace,
    ),
];

fn main() -> ExitCode {
    let missing = missing_for_kube();
    let story = Shared::default();
    let mut suite = Suite::default();
    for (name, chapter) in CHAPTERS {
        let story = Arc::clone(&story);
        suite.test(name, missing.clone(), move || {
            chapter(&mut story.lock().unwrap_or_else(PoisonError::into_inner))
        });
    }
    suite.run()
}

fn of(story: &Story) -> Result<Arc<KubeCluster>> {
    story
        .cluster
        .clone()
        .context("there is no cluster, see the tests before")
}

/// All clients get on.
fn progress(story: &Story) -> Result<()> {
    let work = story.work.as_ref();
    let work = work.context("nobody works, see the tests before")?;
    work.progress(PROGRESS)
}

/// What the cluster of the story is asked to be.
fn spec(story: &Story, size: &str) -> Result<Value> {
    let guests = story.guests.as_ref();
    let (.., bucket) = guests.context("there is no bucket, see the tests before")?;
    Ok(KubeCluster::usual_spec(bucket, size))
}

fn say(what: &str, took: Duration) {
    eprintln!("{what}: {:.1} s", took.as_secs_f64());
}
