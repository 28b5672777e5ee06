//! How this process agrees with others on metadata, or with nobody.

mod member;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use freshet_env::Disk;
use freshet_log::LogDir;
use freshet_metadata::{MetadataMachine, MetadataOptions};
use freshet_partition::ManifestKeeper;
use freshet_peers::quorum::Relay;
use freshet_quorum::identity::{self, Identity};
use freshet_quorum::{Quorum, QuorumError, Solo, SoloOptions};
use freshet_server as server;
use freshet_settings::{Layers, NodeSettings, QuorumSettings, StaticSettings};
use freshet_types::ClusterId;
use tokio::runtime::Handle;

use crate::bound::Bound;
use crate::doors::Doors;
use member::Member;

/// The metadata log's folder in its directory; no topic's log can be called so.
const METADATA_FOLDER: &str = "metadata";

/// What the settings say about this node.
pub(crate) struct Wanted {
    pub(crate) statics: Arc<StaticSettings>,
    pub(crate) node: NodeSettings,
    pub(crate) quorum: QuorumSettings,
}

impl Wanted {
    pub(crate) fn of(statics: Arc<StaticSettings>) -> Self {
        let layers = Layers::of(Arc::clone(&statics));
        Self {
            statics,
            node: layers.node(),
            quorum: layers.quorum(),
        }
    }

    /// The same, with those log directories only that could be read.
    pub(crate) fn with(&self, dirs: &[Arc<LogDir>]) -> Self {
        let read = dirs.iter().filter(|dir| !dir.is_unread());
        let mut node = self.node.clone();
        node.log_dirs = read.map(|dir| dir.path().to_owned()).collect();
        Self {
            statics: Arc::clone(&self.statics),
            node,
            quorum: self.quorum.clone(),
        }
    }

    pub(crate) fn layers(&self) -> Layers {
        Layers::of(Arc::clone(&self.statics))
    }

    fn metadata_dir(&self) -> PathBuf {
        self.node.metadata_dir.join(METADATA_FOLDER)
    }

    /// Everything that has an identity: the log directories, then that of metadata if it is another.
    fn directories(&self, disk: &dyn Disk) -> Result<Vec<PathBuf>> {
        let mut dirs = self.node.log_dirs.clone();
        let metadata = &self.node.metadata_dir;
        if !dirs.contains(metadata) {
            disk.create_dir_all(metadata)
                .with_context(|| format!("cannot make {}", metadata.display()))?;
            dirs.push(metadata.clone());
        }
        Ok(dirs)
    }

    fn cluster_id(&self) -> Option<ClusterId> {
        let id = self.node.cluster_id.as_deref();
        id.map(|id| ClusterId(id.into()))
    }
}

/// Where metadata is agreed.
pub(crate) enum Agreement {
    /// Here, alone.
    Alone(Arc<Solo<MetadataMachine>>),
    /// Among the controllers of a cluster.
    Together(Box<Member>),
}

impl Agreement {
    /// Finds out who this node is, and brings it to where it knows all that was agreed before.
    /// Waits for others as long as it takes.
    pub(crate) async fn reach(
        doors: &Doors,
        wanted: &Wanted,
        bound: &mut Bound,
    ) -> Result<(Identity, Self)> {
        if wanted.quorum.is_cluster() {
            let (identity, member) = Member::join(doors, wanted, bound).await?;
            return Ok((identity, Self::Together(Box::new(member))));
        }
        let identity = identify_alone(doors, wanted)?;
        Ok((identity, Self::Alone(Arc::new(alone(doors, wanted)?))))
    }

    pub(crate) fn quorum(&self) -> Arc<dyn Quorum<MetadataMachine>> {
        match self {
            Self::Alone(solo) => Arc::clone(solo) as Arc<dyn Quorum<MetadataMachine>>,
            Self::Together(member) => member.quorum(),
        }
    }

    /// Where what belongs to it runs.
    pub(crate) fn home(&self) -> Handle {
        match self {
            Self::Alone(_) => Handle::current(),
            Self::Together(member) => member.home(),
        }
    }

    /// Who votes, for administrators.
    pub(crate) fn face(&self) -> Option<Arc<dyn server::QuorumFace>> {
        match self {
            Self::Alone(_) => None,
            Self::Together(member) => Some(member.face()),
        }
    }

    /// By which other nodes reach this one, where it has no listener of the controller.
    pub(crate) fn peers(&self) -> Option<Arc<dyn server::PeerDoor>> {
        match self {
            Self::Alone(_) => None,
            Self::Together(member) => member.peers(),
        }
    }

    /// The way to other nodes; `None` for a broker that is alone.
    pub(crate) fn relay(&self) -> Option<Arc<Relay>> {
        match self {
            Self::Alone(_) => None,
            Self::Together(member) => Some(member.relay()),
        }
    }

    /// Other nodes are answered about manifests from now on.
    pub(crate) fn keep_manifests(&self, keeper: Arc<dyn ManifestKeeper>) {
        if let Self::Together(member) = self {
            member.keep_manifests(keeper);
        }
    }

    /// From now on the broker serves all of its listeners itself.
    pub(crate) async fn hand_back(&mut self, bound: &mut Bound) -> Result<()> {
        match self {
            Self::Alone(_) => Ok(()),
            Self::Together(member) => member.hand_back(bound).await,
        }
    }

    /// Waits until this node takes part no more, against its will.
    pub(crate) async fn ended(&self) -> QuorumError {
        match self {
            Self::Alone(_) => std::future::pending().await,
            Self::Together(member) => member.ended().await,
        }
    }

    /// Takes part no more. Whoever decides hands over first.
    pub(crate) async fn leave(self) {
        match self {
            Self::Alone(solo) => solo.stop(),
            Self::Together(member) => member.leave().await,
        }
    }
}

/// Who this broker is. Nobody else knows what its metadata was.
fn identify_alone(doors: &Doors, wanted: &Wanted) -> Result<Identity> {
    let node = &wanted.node;
    let (disk, rng) = (doors.disk.as_ref(), doors.rng.as_ref());
    let dirs = wanted.directories(disk)?;
    let metadata = std::slice::from_ref(&node.metadata_dir);
    if identity::cluster_of(disk, &node.log_dirs)?.is_some()
        && identity::cluster_of(disk, metadata)?.is_none()
    {
        bail!(
            "metadata.log.dir {} is empty, but log.dirs are not: without the metadata nothing in them \
             can be used; restore it, or point metadata.log.dir at where it was",
            node.metadata_dir.display()
        );
    }
    let cluster = wanted.cluster_id();
    let mut identity = identity::identify(disk, rng, &dirs, node.node_id, cluster)?;
    identity.directory_ids.truncate(node.log_dirs.len());
    Ok(identity)
}

fn alone(doors: &Doors, wanted: &Wanted) -> Result<Solo<MetadataMachine>> {
    let settings = wanted.layers().metadata();
    let options = SoloOptions {
        queue_len: settings.queue_requests,
        snapshot_after_bytes: settings.snapshot_bytes,
    };
    let machine = MetadataMachine::new(MetadataOptions::of(Arc::clone(&wanted.statics)));
    let dir = wanted.metadata_dir();
    let (disk, clock) = (doors.metadata_disk.clone(), Arc::clone(&doors.clock));
    Ok(Solo::start(disk, &dir, clock, machine, options)?)
}
