//! Which cluster and broker a directory belongs to.
//!
//! Each log directory holds a `freshet.properties` file. It is written once, into an empty
//! directory, and never changed: a directory of another cluster or broker is refused before anything
//! in it is touched.
//!
//! The file has the lines of Kafka's `meta.properties` and on purpose not its name. With the same
//! name, a directory of Kafka's (whose `node.id` is 1 as well, after Kafka's quick start) would pass
//! for ours, and its topics for leftovers to be removed.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freshet_env::{Disk, Rng};
use freshet_types::{ClusterId, ErrorKind, NodeId, TopicId};

/// The file's name.
const FILE: &str = "freshet.properties";
/// The only version of the file so far.
const VERSION: &str = "1";
/// No such file is larger.
const CAP_BYTES: u64 = 64 << 10;
/// What may lie in a directory that is called empty.
const HARMLESS: &[&str] = &["lost+found", ".lock"];

/// Who this broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The broker.
    pub node_id: NodeId,
    /// One id for each directory, in the order given; a lost disk that comes back empty has a new
    /// one (KIP-858).
    pub directory_ids: Vec<TopicId>,
}

/// Why directories cannot be used together, or at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The directory belongs to another cluster.
    #[error(
        "{} belongs to cluster {found}, not {wanted}: point log.dirs at this cluster's directory, \
         or at an empty one", dir.display()
    )]
    ForeignCluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster it belongs to.
        found: ClusterId,
        /// The cluster that was asked for, or that the first directory belongs to.
        wanted: ClusterId,
    },
    /// The directory belongs to another broker.
    #[error(
        "{} belongs to node.id {found}, not {wanted}: set node.id={found} or use another directory",
        dir.display()
    )]
    ForeignNode {
        /// The directory.
        dir: PathBuf,
        /// The broker it belongs to.
        found: NodeId,
        /// This broker.
        wanted: NodeId,
    },
    /// Files, but no identity: not ours, or its `freshet.properties` was lost.
    #[error(
        "{} holds {example:?} but no {FILE}: point log.dirs at an empty directory, or \
         restore the file", dir.display()
    )]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of the names in it.
        example: String,
    },
    /// The file cannot be understood.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The operating system refused.
    #[error("{doing} {}: {why}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's words.
        why: Arc<str>,
    },
}

impl IdentityError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ForeignCluster { .. } | Self::ForeignNode { .. } | Self::NotEmpty { .. } => {
                ErrorKind::Conflict
            }
            Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::Io { .. } => ErrorKind::Unavailable,
        }
    }
}

struct Found {
    cluster_id: ClusterId,
    node_id: NodeId,
    directory_id: TopicId,
}

/// The cluster that `dirs` belong to; `None` while none of them is formatted.
pub fn cluster_of(disk: &dyn Disk, dirs: &[PathBuf]) -> Result<Option<ClusterId>, IdentityError> {
    for dir in dirs {
        if let Some(found) = read(disk, dir)? {
            return Ok(Some(found.cluster_id));
        }
    }
    Ok(None)
}

/// Reads the identity of `dirs`, writing it into those that are empty. A new cluster id is made
/// only when every directory is empty and none is `wanted`.
pub fn identify(
    disk: &dyn Disk,
    rng: &dyn Rng,
    dirs: &[PathBuf],
    node_id: NodeId,
    wanted: Option<ClusterId>,
) -> Result<Identity, IdentityError> {
    let found: Vec<_> = dirs
        .iter()
        .map(|dir| read(disk, dir))
        .collect::<Result<_, _>>()?;
    let first = found
        .iter()
        .flatten()
        .next()
        .map(|found| found.cluster_id.clone());
    let cluster_id = wanted
        .or(first)
        .unwrap_or_else(|| ClusterId::from_random(rng.id()));
    for (dir, found) in dirs.iter().zip(&found) {
        match found {
            Some(found) => check(dir, found, &cluster_id, node_id)?,
            None => check_empty(disk, dir)?,
        }
    }
    let mut directory_ids = Vec::with_capacity(dirs.len());
    for (dir, found) in dirs.iter().zip(found) {
        let directory_id = match found {
            Some(found) => found.directory_id,
            None => write(disk, dir, &cluster_id, node_id, TopicId(rng.id()))?,
        };
        directory_ids.push(directory_id);
    }
    Ok(Identity {
        cluster_id,
        node_id,
        directory_ids,
    })
}

fn check(
    dir: &Path,
    found: &Found,
    cluster_id: &ClusterId,
    node_id: NodeId,
) -> Result<(), IdentityError> {
    if found.cluster_id != *cluster_id {
        return Err(IdentityError::ForeignCluster {
            dir: dir.to_owned(),
            found: found.cluster_id.clone(),
            wanted: cluster_id.clone(),
        });
    }
    if found.node_id != node_id {
        let (found, wanted) = (found.node_id, node_id);
        return Err(IdentityError::ForeignNode {
            dir: dir.to_owned(),
            found,
            wanted,
        });
    }
    Ok(())
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> IdentityError + 'a {
    move |error| IdentityError::Io {
        doing,
        path: path.to_owned(),
        why: error.to_string().into(),
    }
}

fn check_empty(disk: &dyn Disk, dir: &Path) -> Result<(), IdentityError> {
    let entries = disk.list(dir).map_err(io_error("listing", dir))?;
    let ours = |name: &str| HARMLESS.contains(&name) || name.ends_with(".tmp");
    match entries.into_iter().find(|entry| !ours(&entry.name)) {
        None => Ok(()),
        Some(entry) => Err(IdentityError::NotEmpty {
            dir: dir.to_owned(),
            example: entry.name,
        }),
    }
}

fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Found>, IdentityError> {
    let path = dir.join(FILE);
    if !disk.exists(&path).map_err(io_error("looking at", &path))? {
        return Ok(None);
    }
    let bytes = disk
        .read_small(&path, CAP_BYTES)
        .map_err(io_error("reading", &path))?;
    parse(&String::from_utf8_lossy(&bytes))
        .map(Some)
        .map_err(|why| IdentityError::Malformed { path, why })
}

fn parse(text: &str) -> Result<Found, String> {
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
            .ok_or_else(|| format!("{name} is missing"))
    };
    let version = value("version")?;
    if version != VERSION {
        return Err(format!(
            "version {version} is not known: it was written by a newer Freshet"
        ));
    }
    let cluster_id = ClusterId(value("cluster.id")?.into());
    let node_id = value("node.id")?
        .parse()
        .map_err(|_| "node.id is not a number")?;
    let directory_id = value("directory.id")?
        .parse()
        .map_err(|_| "directory.id is not an id")?;
    Ok(Found {
        cluster_id,
        node_id: NodeId(node_id),
        directory_id,
    })
}

fn write(
    disk: &dyn Disk,
    dir: &Path,
    cluster_id: &ClusterId,
    node_id: NodeId,
    directory_id: TopicId,
) -> Result<TopicId, IdentityError> {
    let mut text = String::from("# Which cluster and broker this directory belongs to.\n");
    let lines = [
        ("version", VERSION.to_owned()),
        ("cluster.id", cluster_id.to_string()),
        ("node.id", node_id.to_string()),
        ("directory.id", directory_id.to_string()),
    ];
    for (name, value) in lines {
        writeln!(text, "{name}={value}").expect("writing to a string cannot fail");
    }
    let path = dir.join(FILE);
    disk.replace_small(&path, text.as_bytes())
        .map_err(io_error("writing", &path))?;
    Ok(directory_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_env::SystemRng;
    use freshet_env::disk::SystemDisk;

    const NODE: NodeId = NodeId(1);

    fn dirs(count: usize) -> (tempfile::TempDir, Vec<PathBuf>) {
        let home = tempfile::tempdir().expect("a temporary directory");
        let dirs: Vec<_> = (0..count)
            .map(|i| home.path().join(i.to_string()))
            .collect();
        for dir in &dirs {
            SystemDisk.create_dir_all(dir).expect("made");
        }
        (home, dirs)
    }

    fn identify_as(
        dirs: &[PathBuf],
        node: NodeId,
        cluster: Option<&str>,
    ) -> Result<Identity, IdentityError> {
        let cluster = cluster.map(|id| ClusterId(id.into()));
        identify(&SystemDisk, &SystemRng, dirs, node, cluster)
    }

    #[test]
    fn an_empty_directory_gets_an_identity_that_stays() {
        let (_home, dirs) = dirs(2);
        let first = identify_as(&dirs[..1], NODE, None).expect("formatted");
        let both = identify_as(&dirs, NODE, None).expect("the second joins the first");
        assert_eq!(both.cluster_id, first.cluster_id);
        assert_eq!(both.directory_ids[0], first.directory_ids[0]);
        assert_ne!(both.directory_ids[0], both.directory_ids[1]);
        assert_eq!(identify_as(&dirs, NODE, None), Ok(both));
    }

    #[test]
    fn foreign_directories_are_refused() {
        let (_home, dirs) = dirs(2);
        identify_as(&dirs[..1], NODE, Some("one")).expect("formatted");
        let foreign = |result| matches!(result, Err(IdentityError::ForeignCluster { .. }));
        assert!(foreign(identify_as(&dirs[..1], NODE, Some("two"))));
        identify_as(&dirs[1..], NODE, Some("two")).expect("formatted");
        assert!(
            foreign(identify_as(&dirs, NODE, None)),
            "two clusters at once"
        );
        let other = identify_as(&dirs[..1], NodeId(2), None);
        assert!(matches!(other, Err(IdentityError::ForeignNode { .. })));
    }

    #[test]
    fn a_directory_of_kafkas_is_not_taken_for_ours() {
        let (_home, dirs) = dirs(1);
        identify_as(&dirs, NODE, None).expect("formatted");
        // Kafka writes the same lines under its own name.
        let kafkas = dirs[0].join("meta.properties");
        SystemDisk
            .rename(&dirs[0].join(FILE), &kafkas)
            .expect("renamed");
        let refused = identify_as(&dirs, NODE, None);
        let example = "meta.properties".to_owned();
        let dir = dirs[0].clone();
        assert_eq!(refused, Err(IdentityError::NotEmpty { dir, example }));
    }

    #[test]
    fn files_of_somebody_else_are_left_alone() {
        let (_home, dirs) = dirs(1);
        SystemDisk
            .replace_small(&dirs[0].join("thesis.doc"), b"x")
            .expect("written");
        let refused = identify_as(&dirs, NODE, None);
        assert!(
            matches!(refused, Err(IdentityError::NotEmpty { .. })),
            "{refused:?}"
        );
        assert_eq!(SystemDisk.list(&dirs[0]).expect("listed").len(), 1);
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let (_home, dirs) = dirs(1);
        SystemDisk
            .replace_small(&dirs[0].join(FILE), b"version=2\n")
            .expect("written");
        let refused = identify_as(&dirs, NODE, None);
        assert!(
            matches!(refused, Err(IdentityError::Malformed { .. })),
            "{refused:?}"
        );
    }
}
