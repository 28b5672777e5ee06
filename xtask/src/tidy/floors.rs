//! Dependencies point down, and each floor is free of what it must not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};
use serde::Deserialize;

use super::Finding;
use crate::place;

/// Where the floors are declared.
pub(crate) const FILE: &str = "docs/floors.toml";

/// What one floor forbids.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Floor {
    pub(crate) level: u8,
    pub(crate) about: String,
    pub(crate) forbid_crates: Vec<String>,
    pub(crate) forbid_paths: Vec<String>,
}

/// Where one crate stands, and how it differs from its floor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    pub(crate) floor: String,
    pub(crate) uses: Vec<String>,
    #[serde(default)]
    pub(crate) beside: Vec<String>,
    #[serde(default)]
    pub(crate) allow_crates: Vec<String>,
    #[serde(default)]
    pub(crate) forbid_crates: Vec<String>,
    #[serde(default)]
    pub(crate) allow_paths: Vec<String>,
    #[serde(default)]
    pub(crate) forbid_paths: Vec<String>,
}

/// The declaration: floors by name, crates by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) floors: BTreeMap<String, Floor>,
    pub(crate) crates: BTreeMap<String, Room>,
}

impl Plan {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).with_context(|| format!("{FILE} is not as expected"))
    }

    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string(place::root().join(FILE));
        Self::parse(&text.with_context(|| format!("cannot read {FILE}"))?)
    }

    fn level(&self, name: &str) -> Option<u8> {
        Some(self.floors.get(&self.crates.get(name)?.floor)?.level)
    }

    /// External crates that `room` must not reach.
    fn forbidden_crates<'a>(&'a self, room: &'a Room) -> impl Iterator<Item = &'a str> {
        let floor = self
            .floors
            .get(&room.floor)
            .map_or(&[][..], |floor| &floor.forbid_crates);
        forbidden(floor, &room.forbid_crates, &room.allow_crates)
    }

    /// Paths that the code of `room` must not name.
    pub(crate) fn forbidden_paths<'a>(&'a self, room: &'a Room) -> impl Iterator<Item = &'a str> {
        let floor = self
            .floors
            .get(&room.floor)
            .map_or(&[][..], |floor| &floor.forbid_paths);
        forbidden(floor, &room.forbid_paths, &room.allow_paths)
    }
}

fn forbidden<'a>(
    floor: &'a [String],
    own: &'a [String],
    allowed: &'a [String],
) -> impl Iterator<Item = &'a str> {
    floor
        .iter()
        .chain(own)
        .filter(|name| !allowed.contains(name))
        .map(String::as_str)
}

/// One crate of the house and what it depends on outside of tests.
#[derive(Default)]
pub(crate) struct Crate {
    /// House crates it names itself.
    pub(crate) house: BTreeSet<String>,
    /// Every crate it reaches from the registries, with the chain of crates that leads there.
    pub(crate) reached: BTreeMap<String, String>,
    /// The folder of its sources, from the root.
    pub(crate) folder: String,
}

/// All crates of the house by name.
pub(crate) type House = BTreeMap<String, Crate>;

/// The floors against what Cargo says.
pub(crate) fn check_house() -> Result<Vec<Finding>> {
    Ok(check(&Plan::read()?, &house()?))
}

fn check(plan: &Plan, house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in house.keys().filter(|name| !plan.crates.contains_key(*name)) {
        findings.push(Finding::new(
            FILE,
            format!("crate `{name}` stands on no floor"),
        ));
    }
    for (name, room) in &plan.crates {
        let Some(krate) = house.get(name) else {
            findings.push(Finding::new(FILE, format!("there is no crate `{name}`")));
            continue;
        };
        if !plan.floors.contains_key(&room.floor) {
            findings.push(Finding::new(
                FILE,
                format!("`{name}`: no floor `{}`", room.floor),
            ));
        }
        findings.extend(declared(plan, name, room));
        for used in &krate.house {
            if !room.uses.contains(used) && !room.beside.contains(used) {
                let what = format!("must not depend on `{used}` (see {FILE})");
                findings.push(Finding::new(name, what));
            }
        }
        for foreign in plan.forbidden_crates(room) {
            if let Some(chain) = krate.reached.get(foreign) {
                let what = format!("must not reach `{foreign}`, but does: {chain}");
                findings.push(Finding::new(name, what));
            }
        }
    }
    findings
}

/// Whether the declaration itself points down.
fn declared(plan: &Plan, name: &str, room: &Room) -> Vec<Finding> {
    let mut findings = Vec::new();
    let own = plan.level(name);
    for used in &room.uses {
        if plan.level(used) >= own || plan.level(used).is_none() {
            let what = format!("`{name}` uses `{used}`, which is not below it");
            findings.push(Finding::new(FILE, what));
        }
    }
    for used in &room.beside {
        if plan.level(used) != own {
            let what = format!("`{name}` names `{used}` as beside it, which it is not");
            findings.push(Finding::new(FILE, what));
        }
    }
    findings
}

/// Asks Cargo for the crates of the house and all that they reach.
pub(crate) fn house() -> Result<House> {
    let manifest = place::root().join("Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .exec()
        .context("cargo metadata failed")?;
    let members: BTreeSet<_> = metadata.workspace_members.iter().collect();
    let names: BTreeMap<&PackageId, String> = metadata
        .packages
        .iter()
        .map(|p| (&p.id, p.name.to_string()))
        .collect();
    let resolve = metadata
        .resolve
        .as_ref()
        .context("cargo metadata resolved nothing")?;
    let shipped = |kind: DependencyKind| kind != DependencyKind::Development;
    let mut edges: BTreeMap<&PackageId, Vec<&PackageId>> = BTreeMap::new();
    for node in &resolve.nodes {
        // Build scripts of foreign crates run on the builder's machine and are not shipped.
        let house = members.contains(&node.id);
        let wanted = |kind| {
            if house {
                shipped(kind)
            } else {
                kind == DependencyKind::Normal
            }
        };
        let used = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|k| wanted(k.kind)));
        edges.insert(&node.id, used.map(|dep| &dep.pkg).collect());
    }
    let mut house = House::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| members.contains(&package.id))
    {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|p| p.strip_prefix(place::root()).ok());
        let direct = edges.get(&package.id).into_iter().flatten();
        let inside = direct.filter(|id| members.contains(*id));
        let krate = Crate {
            house: inside.map(|id| names[*id].clone()).collect(),
            reached: reach(&package.id, &edges, &names),
            folder: folder.map(ToString::to_string).unwrap_or_default(),
        };
        house.insert(package.name.to_string(), krate);
    }
    Ok(house)
}

/// Every crate reachable from `start`, with the shortest chain of names that leads to it.
fn reach(
    start: &PackageId,
    edges: &BTreeMap<&PackageId, Vec<&PackageId>>,
    names: &BTreeMap<&PackageId, String>,
) -> BTreeMap<String, String> {
    let mut chains = BTreeMap::from([(start, names[start].clone())]);
    let mut front = vec![start];
    while !front.is_empty() {
        let mut next = Vec::new();
        for id in front {
            for &to in edges.get(id).into_iter().flatten() {
                if !chains.contains_key(to) {
                    chains.insert(to, format!("{} → {}", chains[id], names[to]));
                    next.push(to);
                }
            }
        }
        front = next;
    }
    chains.remove(start);
    chains
        .into_iter()
        .map(|(id, chain)| (names[id].clone(), chain))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        [floors.low]
        level = 0
        about = "values"
        forbid_crates = ["tokio"]
        forbid_paths = []
        [floors.high]
        level = 1
        about = "the rest"
        forbid_crates = []
        forbid_paths = []
        [crates.a]
        floor = "low"
        uses = []
        [crates.b]
        floor = "high"
        uses = ["a"]
    "#;

    fn krate(house: &[&str], reached: &[&str]) -> Crate {
        Crate {
            house: house.iter().map(ToString::to_string).collect(),
            reached: reached
                .iter()
                .map(|name| ((*name).into(), "chain".into()))
                .collect(),
            folder: String::new(),
        }
    }

    fn complaints(plan: &str, house: Vec<(&str, Crate)>) -> Vec<String> {
        let plan = Plan::parse(plan).expect("the plan is well formed");
        let house = house
            .into_iter()
            .map(|(name, krate)| (name.into(), krate))
            .collect();
        check(&plan, &house)
            .into_iter()
            .map(|f| format!("{}: {}", f.place, f.what))
            .collect()
    }

    #[test]
    fn a_good_house_passes() {
        let house = vec![("a", krate(&[], &[])), ("b", krate(&["a"], &["tokio"]))];
        assert!(complaints(PLAN, house).is_empty());
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let house = vec![("a", krate(&["b"], &[])), ("b", krate(&[], &[]))];
        assert_eq!(
            complaints(PLAN, house),
            ["a: must not depend on `b` (see docs/floors.toml)"]
        );
    }

    #[test]
    fn a_declaration_that_points_up_is_found() {
        let plan = PLAN.replace("uses = []", "uses = [\"b\"]");
        let house = vec![("a", krate(&[], &[])), ("b", krate(&[], &[]))];
        assert!(complaints(&plan, house)[0].contains("not below"));
        let plan = PLAN.replace("uses = []", "uses = []\nbeside = [\"b\"]");
        let house = vec![("a", krate(&[], &[])), ("b", krate(&[], &[]))];
        assert!(complaints(&plan, house)[0].contains("beside"));
    }

    #[test]
    fn a_forbidden_crate_is_found_however_it_is_reached() {
        let house = vec![("a", krate(&[], &["tokio"])), ("b", krate(&[], &[]))];
        assert!(complaints(PLAN, house)[0].contains("must not reach `tokio`"));
    }

    #[test]
    fn a_crate_may_widen_or_narrow_its_floor() {
        let plan = PLAN.replace("uses = []", "uses = []\nallow_crates = [\"tokio\"]");
        let house = vec![("a", krate(&[], &["tokio"])), ("b", krate(&[], &[]))];
        assert!(complaints(&plan, house).is_empty());
        let plan = PLAN.replace("uses = []", "uses = []\nforbid_crates = [\"rand\"]");
        let house = vec![("a", krate(&[], &["rand"])), ("b", krate(&[], &[]))];
        assert_eq!(complaints(&plan, house).len(), 1);
    }

    #[test]
    fn a_crate_without_a_floor_and_a_floor_without_a_crate_are_found() {
        let house = vec![("a", krate(&[], &[])), ("c", krate(&[], &[]))];
        let found = complaints(PLAN, house);
        assert!(found.iter().any(|f| f.contains("`c` stands on no floor")));
        assert!(found.iter().any(|f| f.contains("no crate `b`")));
    }
}
