//! The objects that a plan needs, as they are written. Pure: the same plan gives the same objects.

mod files;
mod policies;
mod services;
mod sets;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fetch::Kind;
use super::names::WRITTEN;
use super::plan::Plan;
use super::validate::Wanted;

pub(crate) use services::{HOST_OF_NODE, addresses, given, lacking};

/// What load balancers and nodes have given to Services, by their names: `host:port`, or a port.
pub(crate) type Given = BTreeMap<String, services::Reached>;

/// One object as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// All objects of a cluster, in the order in which they are applied.
///
/// `live` are the names of settings that were set without a restart: they are noted, so that one
/// that is wanted no more can be unset.
pub(crate) fn objects(
    wanted: &Wanted,
    plan: &Plan,
    given: &Given,
    live: &BTreeSet<String>,
) -> Vec<Object> {
    let mut objects = vec![policies::account(wanted)];
    objects.extend(services::all(wanted, plan, live));
    objects.extend(policies::network(wanted));
    objects.push(policies::disruption(wanted));
    for pool in plan
        .pools
        .iter()
        .filter(|pool| pool.wanted.is_some() || pool.replicas > 0)
    {
        let files = files::of_pool(wanted, plan, pool, given);
        objects.push(sets::files(wanted, pool, &files));
    }
    for pool in &plan.pools {
        // A pool that the spec has no more is left as it is until it is empty.
        if let Some(of) = &pool.wanted {
            let settings = files::digest(wanted, plan);
            objects.push(sets::set(wanted, pool, of, &settings));
        }
    }
    objects.extend(policies::monitor(wanted));
    for object in &mut objects {
        sign(object);
    }
    objects
}

/// An object of ours: its kind, labels and owner.
fn object(wanted: &Wanted, kind: Kind, name: String, rest: Value) -> Object {
    let mut value = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {
            "name": name,
            "namespace": wanted.names.namespace,
            "labels": wanted.names.labels(),
            "ownerReferences": [{
                "apiVersion": "freshet.dev/v1",
                "kind": "Cluster",
                "name": wanted.names.cluster,
                "uid": wanted.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
    });
    merge(&mut value, rest);
    Object { kind, name, value }
}

/// Puts what `more` has into `value`.
fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(value), Value::Object(more)) => {
            for (name, more) in more {
                merge(value.entry(name).or_insert(Value::Null), more);
            }
        }
        (value, more) => *value = more,
    }
}

/// A digest beside what was written tells later what changed here from what others changed.
fn sign(object: &mut Object) {
    let digest = digest(&object.value.to_string());
    merge(
        &mut object.value,
        json!({ "metadata": { "annotations": { WRITTEN: digest } } }),
    );
}

/// 64 bits of a text, as 16 digits (FNV-1a): it tells changes apart, and protects from nobody.
pub(super) fn digest(text: &str) -> String {
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "golden files lie beside the code"
)]
#[path = "build/tests.rs"]
mod tests;
