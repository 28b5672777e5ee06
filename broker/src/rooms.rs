//! The rooms of a broker: how they are raised on one another, and lowered again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use freshet_coordinators::groups::Limits;
use freshet_env::{limits, within};
use freshet_log::{LogDir, OpenError, Writers, WritersOptions};
use freshet_metadata::{Ask, DirectoryId, MetadataMachine, PastLife, RegisterBroker};
use freshet_partition::{
    Directory, DirectoryParts, DirectoryThread, GroupShards, Neighbour, NoProposals, Proposals,
};
use freshet_peers::places::{Places, PlacesParts};
use freshet_quorum::Quorum;
use freshet_quorum::identity::Identity;
use freshet_server as server;
use freshet_settings::{GroupSettings, Layers, NodeSettings, StaticSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::agreement::{Agreement, Wanted};
use crate::bound::Bound;
use crate::citizen::Citizen;
use crate::doors::Doors;
use crate::tiering::Tiering;

/// All rooms below the faces.
pub(crate) struct Broker {
    identity: Identity,
    agreement: Agreement,
    writers: Arc<Writers>,
    partitions: Arc<Directory>,
    directory_thread: DirectoryThread,
    groups: Arc<GroupShards>,
    tiering: Tiering,
    /// None for a broker that is alone, or a controller that is no broker.
    citizen: Option<Citizen>,
    /// Tells the controller in which directory replicas are, for a broker that is alone.
    telling: Option<JoinHandle<()>>,
}

impl Broker {
    pub(crate) async fn raise(doors: &Doors, wanted: &Wanted, bound: &mut Bound) -> Result<Self> {
        let (node, layers) = (&wanted.node, wanted.layers());
        let dirs = open_dirs(doors, node)?;
        let (identity, agreement) = Agreement::reach(doors, &wanted.with(&dirs), bound).await?;
        let quorum = agreement.quorum();
        let directories = with_ids(&dirs, &identity);
        let mut citizen = None;
        if wanted.quorum.is_cluster() && wanted.quorum.roles.broker {
            let around = (directories.clone(), agreement.quorum());
            let registered = Citizen::register(doors, wanted, bound, &identity, around);
            // Its heart beats where the quorum's does.
            citizen = Some(within(agreement.home(), registered).await?);
        }
        let mut places = None;
        if wanted.quorum.roles.broker && citizen.is_none() {
            let epoch = register(doors, node, bound, &identity, quorum.as_ref()).await?;
            places = Some(Places::new(PlacesParts {
                node: identity.node_id,
                directories: directories.clone(),
                quorum: Arc::clone(&quorum),
                broker_epoch: watch::Sender::new(epoch).subscribe(),
            }));
        }
        let is_new = dirs.iter().all(|dir| dir.log_count() == 0);
        let writers = Writers::start(dirs, Arc::clone(&doors.clock), writers_options(&layers))?;
        let limits = group_limits(&layers.groups());
        let groups = Arc::new(GroupShards::new(limits, Arc::clone(&doors.clock)));
        let beside = (&agreement, &groups, is_new);
        let tiering = Tiering::raise(doors, wanted, &identity, beside).await?;
        let mut neighbours = vec![Arc::clone(&groups) as Arc<dyn Neighbour>];
        neighbours.extend(tiering.neighbours());
        let mut proposals: Arc<dyn Proposals> = Arc::new(NoProposals);
        if let Some(citizen) = &citizen {
            neighbours.extend(citizen.neighbours());
            proposals = Arc::clone(&citizen.proposals) as Arc<dyn Proposals>;
        }
        neighbours.extend(places.iter().map(|it| Arc::clone(it) as Arc<dyn Neighbour>));
        let (partitions, directory_thread) = Directory::start(DirectoryParts {
            node: node.node_id,
            writers: Arc::clone(&writers),
            directory_ids: directories.iter().map(|(id, _)| *id).collect(),
            statics: Arc::clone(&wanted.statics),
            image: quorum.watch(),
            clock: Arc::clone(&doors.clock),
            proposals,
            past_readers: tiering.readers(),
            neighbours,
        })?;
        if let Some(citizen) = &mut citizen {
            citizen.settle(&partitions);
        }
        let telling = places.map(|places| tokio::spawn(places.run()));
        tracing::info!(
            cluster = %identity.cluster_id,
            node = %identity.node_id,
            partitions = partitions.all().len(),
            "{} up", if wanted.quorum.roles.broker { "broker" } else { "controller" }
        );
        Ok(Self {
            identity,
            agreement,
            writers,
            partitions,
            directory_thread,
            groups,
            tiering,
            citizen,
            telling,
        })
    }

    /// Takes the listeners back that the quorum was reached by; they must be served at once.
    pub(crate) async fn take_listeners(&mut self, bound: &mut Bound) -> Result<()> {
        self.agreement.hand_back(bound).await
    }

    /// Waits until clients may come.
    pub(crate) async fn serving(&self) {
        if let Some(citizen) = &self.citizen {
            citizen.serving().await;
        }
    }

    /// Waits for what makes it impossible to go on.
    pub(crate) async fn failed(&self) -> Result<()> {
        let life = async {
            match &self.citizen {
                Some(citizen) => citizen.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = life => Err(error.into()),
            why = self.agreement.ended() => {
                bail!("this node's part in the quorum has ended, {why}: the log tells more")
            }
        }
    }

    /// Has others take over, while all is still served.
    pub(crate) async fn leave(&self, patience: Duration) {
        if let Some(citizen) = &self.citizen {
            citizen.leave(patience).await;
        }
    }

    /// Ends what speaks to other brokers, and nothing else.
    pub(crate) async fn part(&mut self) {
        self.tiering.end().await;
        if let Some(citizen) = self.citizen.take() {
            citizen.end().await;
        }
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }

    /// How many partitions are open here.
    pub(crate) fn open_partitions(&self) -> usize {
        self.partitions.all().len()
    }

    pub(crate) fn parts(
        &self,
        doors: &Doors,
        statics: &Arc<StaticSettings>,
        stop: &server::Stop,
    ) -> server::Parts {
        server::Parts {
            identity: server::Identity {
                cluster_id: self.identity.cluster_id.clone(),
                node_id: self.identity.node_id,
            },
            quorum: self.agreement.quorum(),
            voters: self.agreement.face(),
            partitions: Arc::clone(&self.partitions),
            groups: Arc::clone(&self.groups),
            writers: Arc::clone(&self.writers),
            statics: Arc::clone(statics),
            clock: Arc::clone(&doors.clock),
            rng: Arc::clone(&doors.rng),
            stop: stop.clone(),
            peers: self.agreement.peers(),
            readiness: self.citizen.iter().map(Citizen::readiness).collect(),
        }
    }

    /// Flushes and closes everything; a clean stop leaves its mark in each log directory. Gives what
    /// is left then: the part in the quorum.
    pub(crate) fn lower(self) -> (Agreement, Result<()>) {
        self.directory_thread.stop();
        let stopped = self.writers.stop();
        (self.agreement, stopped.map_err(Into::into))
    }
}

/// Opens the log directories. One that cannot be read is offline, as long as others are left and the
/// metadata log is not in it.
fn open_dirs(doors: &Doors, node: &NodeSettings) -> Result<Vec<Arc<LogDir>>> {
    let mut dirs = Vec::with_capacity(node.log_dirs.len());
    for path in &node.log_dirs {
        let opened = match LogDir::open(Arc::clone(&doors.disk), path) {
            Err(error @ (OpenError::Io { .. } | OpenError::Format { .. }))
                if *path != node.metadata_dir =>
            {
                tracing::error!(
                    dir = %path.display(), %error,
                    "log directory offline: starting without it, and without the replicas in it; repair \
                     or replace the disk, or take it out of log.dirs, and start again"
                );
                Ok(LogDir::offline(Arc::clone(&doors.disk), path, &error))
            }
            opened => opened,
        };
        dirs.push(opened.with_context(|| unusable(path))?);
    }
    match dirs.iter().find(|dir| !dir.is_unread()) {
        Some(_) => Ok(dirs),
        None => match dirs.first().and_then(|dir| dir.failure()) {
            Some(failure) => Err(failure).context("none of log.dirs can be used"),
            None => bail!("log.dirs names no directory"),
        },
    }
}

/// All directories with their ids; the id of one that could not be read is not known.
fn with_ids(dirs: &[Arc<LogDir>], identity: &Identity) -> Vec<(DirectoryId, Arc<LogDir>)> {
    let mut known = directory_ids(identity).into_iter();
    let mut id = |dir: &Arc<LogDir>| match dir.is_unread() {
        true => DirectoryId::UNASSIGNED,
        false => known.next().unwrap_or_default(),
    };
    dirs.iter().map(|dir| (id(dir), Arc::clone(dir))).collect()
}

fn unusable(path: &Path) -> String {
    format!(
        "cannot use {} of log.dirs: let it be a folder that this user may write to and that no \
         other broker uses, or name another one (--set log.dirs=PATH)",
        path.display()
    )
}

async fn register(
    doors: &Doors,
    node: &NodeSettings,
    bound: &Bound,
    identity: &Identity,
    quorum: &dyn Quorum<MetadataMachine>,
) -> Result<i64> {
    let request = RegisterBroker {
        node: node.node_id,
        incarnation: doors.rng.id(),
        listeners: bound.registered.clone(),
        rack: node.rack.clone(),
        directories: directory_ids(identity),
        features: Vec::new(),
        past: PastLife::None,
    };
    let epoch = RegisterBroker::answer(quorum.propose(request.into()).await?)?;
    tracing::debug!(epoch, "registered");
    Ok(epoch)
}

fn directory_ids(identity: &Identity) -> Vec<DirectoryId> {
    let ids = identity.directory_ids.iter();
    ids.map(|id| DirectoryId(id.0)).collect()
}

/// The threads that control, and those that append: the rest is for connections. More of them would
/// wake each other up for nothing.
pub(crate) fn half_of_the_cores() -> usize {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, |cores| (cores.get() / 2).max(1))
}

fn writers_options(layers: &Layers) -> WritersOptions {
    let logs = layers.logs();
    WritersOptions {
        append_threads: if logs.append_threads == 0 {
            half_of_the_cores()
        } else {
            logs.append_threads
        },
        read_threads: logs.read_threads,
        queue_bytes: logs.append_queue_bytes,
        hot_bytes: logs.tail_memory_bytes,
        reserve_bytes: logs.disk_reserve_bytes,
        open_segments: open_segments(),
        cache_copies: layers.replicas().by_rack,
        ..WritersOptions::default()
    }
}

/// Sealed segments that stay open for readers: a quarter of all files at most.
fn open_segments() -> usize {
    let quarter = usize::try_from(limits::open_files() / 4).unwrap_or(usize::MAX);
    quarter.min(WritersOptions::default().open_segments)
}

fn group_limits(groups: &GroupSettings) -> Limits {
    Limits {
        session_timeout_min_ms: groups.session_timeout_min_ms,
        session_timeout_max_ms: groups.session_timeout_max_ms,
        initial_rebalance_delay_ms: groups.initial_rebalance_delay_ms,
        members: groups.members_max,
        groups: groups.groups_max,
        offset_metadata: groups.offset_metadata_max_bytes,
        offsets_retention_ms: i64::try_from(groups.offsets_retention_ms).unwrap_or(i64::MAX),
        expiry_interval_ms: groups.offsets_check_interval_ms,
        ..Limits::default()
    }
}
