//! Black-box tests: real clients, real processes, faults.
//!
//! A test file in `tests/` starts one broker process and drives it with client programs written in
//! the clients' own languages (`tests/peers`). The programs are dumb: they speak JSON lines, and
//! everything that is produced, awaited and compared is decided here.
//!
//! - [`Broker`] is the process under test: Freshet, or Apache Kafka when `FRESHET_TEST_PEER=kafka`,
//!   which proves the tests themselves.
//! - [`Client`] names a client library; [`Peer`] is one running program of it.
//! - [`Raw`] is a bare connection, for what no client library would send.
//! - [`Sample`] is one record, made from a seed and compared field by field.
//! - [`History`] checks what producers and consumers saw while the broker was killed.
//! - [`Suite`] runs the tests of a file one after the other and counts what cannot run as ignored.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

mod authority;
mod bits;
mod broker;
mod bucket;
mod client;
mod cloud;
mod cluster;
mod faults;
mod history;
mod http;
mod kafka_server;
mod kube;
mod line;
mod load;
mod mount;
mod peer;
mod place;
mod process;
mod raw;
mod sample;
mod scenario;
mod secured;
mod suite;
mod tools;
mod trial;

pub use bits::Bits;
pub use broker::{Broker, Kind, freshet_binary, freshet_command};
pub use bucket::{BucketNeeds, BucketTrial, S3Server, bucket_trials, missing_for_buckets};
pub use client::{ALL_CLIENTS, Client, missing_for_all_clients};
pub use cloud::{Cloud, Provider};
pub use cluster::{Cluster, Disk, Member, Network, Node, PartitionView, enter, read_copy};
pub use faults::{Kept, Outcome, faults_page, fold};
pub use history::{Anomaly, History, Lookup, Read, WRITER, Write};
pub use http::get;
pub use kube::{
    Guest, KubeCluster, Kubectl, PROGRESS, PodSeen, Work, end_node, image_tag, kube_scale,
    kube_soak, missing_for_kube, start_node,
};
pub use line::{Line, Refusal, Shown};
pub use load::{Load, Plan, Seen, Writer};
pub use mount::Mount;
pub use peer::{Answer, Peer, Role};
pub use place::Place;
pub use process::{Output, Process, run};
pub use raw::{Raw, batch, fetch_request, now_ms, produce_request};
pub use sample::{Sample, compare, samples};
pub use scenario::{
    Cold, administer, codecs, eventually, group_of_two, kill_loop, restarts, static_members,
};
pub use secured::SecuredKafka;
pub use suite::{Part, Suite, client_suite};
pub use tools::Tools;
pub use trial::{
    Needs, Stage, Trial, Waits, Ways, disk_keeps_what_was_flushed, failover,
    missing as missing_for_trials, missing_for, missing_for_clocks, missing_for_disks,
    missing_for_tiered, run_tiered, run_trial, seed, soak_sequence, tiered_name, trials, ways,
};
