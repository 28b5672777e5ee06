//! Names: what listings show, and what is durable of it.
//!
//! A change of names is one step (a rename takes a name away and sets another). It is durable once
//! any directory it touches is synced; a crash keeps or drops each of the others on its own, so code
//! that counts on an order without syncing is caught.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};

use super::file::FileNode;
use crate::Dice;

pub(super) type NodeId = u64;
pub(super) const ROOT: NodeId = 0;

#[derive(Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Debug, Default)]
pub(super) struct DirNode {
    pub(super) cached: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

#[derive(Debug)]
struct Step {
    /// Names a step for the dice, however threads interleave.
    label: (String, u64),
    changes: Vec<(NodeId, String, Option<NodeId>)>,
}

#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next: NodeId,
    pending: Vec<Step>,
    steps_by_name: BTreeMap<String, u64>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]),
            next: ROOT + 1,
            pending: Vec::new(),
            steps_by_name: BTreeMap::new(),
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names(path)? {
            let next = self.dir(node)?.cached.get(name);
            node = *next.ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The directory that holds a path's last name, and that name.
    pub(super) fn place<'p>(&self, path: &'p Path) -> io::Result<(NodeId, &'p str)> {
        let name = names(path)?.pop().ok_or(ErrorKind::InvalidInput)?;
        let parent = path.parent().ok_or(ErrorKind::InvalidInput)?;
        let parent = self.find(parent)?;
        self.dir(parent)?;
        Ok((parent, name))
    }

    pub(super) fn dir(&self, node: NodeId) -> io::Result<&DirNode> {
        match self.nodes.get(&node) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn is_dir(&self, node: NodeId) -> bool {
        self.dir(node).is_ok()
    }

    pub(super) fn make_file(&mut self, path: &Path) -> io::Result<NodeId> {
        self.make(path, Node::File(FileNode::default()))
    }

    pub(super) fn make_dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut made = std::path::PathBuf::new();
        for name in names(path)? {
            made.push(name);
            match self.find(&made) {
                Ok(node) => {
                    self.dir(node)?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.make(&made, Node::Dir(DirNode::default()))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn make(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (parent, name) = self.place(path)?;
        let id = self.next;
        self.next += 1;
        let name = name.to_owned();
        self.nodes.insert(id, node);
        self.step(path, vec![(parent, name, Some(id))]);
        Ok(id)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (old_parent, old_name) = self.place(from)?;
        let (new_parent, new_name) = self.place(to)?;
        if let Ok(present) = self.find(to)
            && self.is_dir(present)
        {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let changes = vec![
            (old_parent, old_name.to_owned(), None),
            (new_parent, new_name.to_owned(), Some(node)),
        ];
        self.step(from, changes);
        Ok(())
    }

    /// Takes away a name; of a directory, all names below it first, each a step of its own.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        let inside: Vec<String> = match self.dir(node) {
            Ok(dir) => dir.cached.keys().cloned().collect(),
            Err(_) => Vec::new(),
        };
        for name in inside {
            self.remove(&path.join(name))?;
        }
        let (parent, name) = self.place(path)?;
        let name = name.to_owned();
        self.step(path, vec![(parent, name, None)]);
        Ok(())
    }

    fn step(&mut self, path: &Path, changes: Vec<(NodeId, String, Option<NodeId>)>) {
        for (dir, name, node) in &changes {
            let Some(Node::Dir(dir)) = self.nodes.get_mut(dir) else {
                continue;
            };
            set(&mut dir.cached, name, *node);
        }
        let name = path.display().to_string();
        let count = self.steps_by_name.entry(name.clone()).or_default();
        *count += 1;
        let label = (name, *count);
        self.pending.push(Step { label, changes });
    }

    pub(super) fn sync_dir(&mut self, dir: NodeId) {
        let (done, waiting) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|step| step.changes.iter().any(|change| change.0 == dir));
        self.pending = waiting;
        self.settle(done);
    }

    fn settle(&mut self, steps: Vec<Step>) {
        for (dir, name, node) in steps.into_iter().flat_map(|step| step.changes) {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
                set(&mut dir.durable, &name, node);
            }
        }
    }

    /// The power went off: names and bytes become what happens to be durable.
    pub(super) fn crash(&mut self, dice: Dice) {
        let survivors = [0, 50, 100][dice.below(3, "names") as usize];
        let steps = std::mem::take(&mut self.pending);
        let kept = steps
            .into_iter()
            .filter(|step| dice.chance(survivors, &step.label))
            .collect();
        self.settle(kept);
        self.steps_by_name.clear();
        for node in self.nodes.values_mut() {
            if let Node::Dir(dir) = node {
                dir.cached.clone_from(&dir.durable);
            }
        }
        let reachable = self.walk();
        let alive: BTreeSet<NodeId> = reachable.iter().map(|(_, node)| *node).collect();
        self.nodes.retain(|id, _| *id == ROOT || alive.contains(id));
        for (path, id) in reachable {
            if let Some(Node::File(file)) = self.nodes.get_mut(&id) {
                file.crash(dice.of(path));
            }
        }
    }

    /// All names with their nodes, parents first, sorted. A node with two names appears twice.
    pub(super) fn walk(&self) -> Vec<(String, NodeId)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, node)) = open.pop() {
            let Ok(dir) = self.dir(node) else {
                continue;
            };
            for (name, child) in dir.cached.iter().rev() {
                let path = format!("{path}/{name}");
                found.push((path.clone(), *child));
                open.push((path, *child));
            }
        }
        found.sort();
        found
    }

    /// Bytes taken by all files that have a name.
    pub(super) fn used_bytes(&self) -> u64 {
        let files: BTreeSet<NodeId> = self.walk().into_iter().map(|(_, node)| node).collect();
        let sizes = files.iter().map(|id| match self.nodes.get(id) {
            Some(Node::File(file)) => file.used_bytes(),
            _ => 0,
        });
        sizes.sum()
    }
}

fn set(names: &mut BTreeMap<String, NodeId>, name: &str, node: Option<NodeId>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(ErrorKind::InvalidInput)?),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(names)
}
