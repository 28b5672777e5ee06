//! The table. One file per area; every line of it says all there is to say about a setting.

mod cluster;
mod node;
mod storage;
mod topic;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::setting::{Scope, Setting};

/// Starts of setting names that have a free part, and why they do nothing.
pub(crate) static FAMILIES: &[(&str, &str)] = &[];

static AREAS: &[&[Setting]] = &[
    cluster::SETTINGS,
    node::SETTINGS,
    storage::SETTINGS,
    topic::SETTINGS,
];

type Index = BTreeMap<&'static str, &'static Setting>;

/// The settings of a scope by name.
pub(crate) fn index(scope: Scope) -> &'static Index {
    static INDEX: OnceLock<[Index; 4]> = OnceLock::new();
    let all = INDEX.get_or_init(|| {
        let mut all = <[Index; 4]>::default();
        for setting in AREAS.iter().copied().flatten() {
            all[place(setting.scope)].insert(setting.name, setting);
        }
        all
    });
    &all[place(scope)]
}

fn place(scope: Scope) -> usize {
    match scope {
        Scope::Broker => 0,
        Scope::Topic => 1,
        Scope::Group => 2,
        Scope::ClientMetrics => 3,
    }
}
