//! Builds the broker from its rooms, lets it run, takes it down again.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use freshet_coordinators::groups::Limits;
use freshet_env::disk::SystemDisk;
use freshet_env::{Clock, Disk, Rng, SystemClock, SystemRng};
use freshet_log::{LogDir, Writers, WritersOptions};
use freshet_metadata::{
    Ask, BrokerListener, DirectoryId, MetadataMachine, MetadataOptions, PastLife, RegisterBroker,
};
use freshet_partition::{
    Directory, DirectoryParts, DirectoryThread, GroupShards, Neighbour, NoProposals,
};
use freshet_quorum::identity::{self, Identity};
use freshet_quorum::{Quorum, Solo, SoloOptions};
use freshet_server as server;
use freshet_settings::{
    GroupSettings, Layers, LogSettings, NodeSettings, SocketSettings, StaticSettings,
};
use freshet_types::ClusterId;
use tokio::net::{TcpListener, TcpSocket};

use crate::args::Args;
use crate::ready::{Addresses, ReadyFile};
use crate::stop::Signals;

/// The metadata log's folder in its directory; no topic's log can be called so.
const METADATA_FOLDER: &str = "metadata";

/// How often a stop that takes long says that it goes on.
const STOP_NEWS: Duration = Duration::from_secs(3);

/// Runs the broker until a signal.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (statics, warnings) = args.settings()?;
    for warning in warnings {
        tracing::warn!(setting = %warning.name, "{}", warning.why);
    }
    let statics = Arc::new(statics);
    let node = Layers::of(Arc::clone(&statics)).node();
    // For all that is not a connection: groups, metadata, HTTP. Connections have their own threads.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()?
        .block_on(live(args, statics, node))
}

async fn live(args: &Args, statics: Arc<StaticSettings>, node: NodeSettings) -> Result<()> {
    let signals = Signals::new()?;
    let doors = Doors::new();
    let ready = args.ready_file.as_deref();
    let ready = ready.map(|path| ReadyFile::claim(path, &doors.disk));
    let ready = ready.transpose()?;
    let sockets = Layers::of(Arc::clone(&statics)).sockets();
    let bound = Bound::open(&node, &sockets).await?;
    let addresses = Addresses::of(&bound.listeners)?;
    let broker = Broker::raise(&doors, &statics, &node, &bound).await?;
    let (stopper, stop) = server::Stop::new();
    let context = server::Context::new(broker.parts(&doors, &statics, &stop));
    let grace = Duration::from_millis(node.shutdown_timeout_ms);
    // Whatever goes wrong from here on, the broker that is up goes down cleanly.
    let served = match server::serve(&context, bound.listeners, &stop, grace) {
        Ok(faces) => {
            let told = announce(&addresses, ready.as_ref(), &doors);
            if told.is_ok() {
                until_signal(signals).await;
            }
            if let Some(ready) = &ready {
                ready.remove();
            }
            stopper.stop();
            faces.ended().await;
            told
        }
        Err(error) => Err(error.into()),
    };
    let lowered = lower_and_tell(broker).await;
    served.and(lowered)
}

fn announce(addresses: &Addresses, ready: Option<&ReadyFile>, doors: &Doors) -> Result<()> {
    io::stdout().write_all(addresses.lines().as_bytes())?;
    tracing::info!(start_ms = doors.clock.monotonic().0, "ready");
    ready.map_or(Ok(()), |ready| ready.write(addresses))
}

/// Lowers the broker; a stop that takes long says so every few seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "one thread, once, when nothing is served any more"
)]
async fn lower_and_tell(broker: Broker) -> Result<()> {
    let partitions = broker.partitions.all().len();
    let mut lowering = tokio::task::spawn_blocking(|| broker.lower());
    let mut seconds = 0;
    loop {
        match tokio::time::timeout(STOP_NEWS, &mut lowering).await {
            Ok(lowered) => return lowered?,
            Err(_) => {
                seconds += STOP_NEWS.as_secs();
                tracing::info!(seconds, partitions, "still stopping: flushing, closing");
            }
        }
    }
}

async fn until_signal(mut signals: Signals) {
    let signal = signals.next().await;
    tracing::info!(signal, "stopping: finishing requests, flushing, closing");
    signals.exit_on_next();
}

/// The real doors to the world.
struct Doors {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Doors {
    fn new() -> Self {
        Self {
            disk: Arc::new(SystemDisk),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
        }
    }
}

/// Sockets that are bound and not served yet, so that a port that is taken is known before
/// anything is touched on disk.
struct Bound {
    listeners: server::Listeners,
    registered: Vec<BrokerListener>,
}

impl Bound {
    async fn open(node: &NodeSettings, sockets: &SocketSettings) -> Result<Self> {
        let (mut kafka, mut registered) = (Vec::new(), Vec::new());
        for listener in &node.listeners {
            let endpoint = &listener.endpoint;
            let socket = bind(&endpoint.host, endpoint.port, "listeners", sockets).await?;
            let port = socket.local_addr()?.port();
            let advertised = node.advertised.iter().find(|a| a.name == endpoint.name);
            let (host, port) = match advertised {
                Some(a) => (a.host.clone(), if a.port == 0 { port } else { a.port }),
                None => (reachable(&endpoint.host), port),
            };
            let (name, protocol) = (endpoint.name.clone(), listener.protocol);
            registered.push(BrokerListener {
                name: name.clone(),
                host,
                port,
                protocol,
            });
            kafka.push((name, socket));
        }
        let http = match &node.http {
            Some((host, port)) => Some(bind(host, *port, "http.listener", sockets).await?),
            None => None,
        };
        Ok(Self {
            listeners: server::Listeners { kafka, http },
            registered,
        })
    }
}

async fn bind(
    host: &str,
    port: u16,
    setting: &str,
    sockets: &SocketSettings,
) -> Result<TcpListener> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let listen = async || {
        let address = tokio::net::lookup_host((host, port)).await?.next();
        let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit both.
        if let Some(bytes) = sockets.send_buffer_bytes {
            socket.set_send_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        if let Some(bytes) = sockets.receive_buffer_bytes {
            socket.set_recv_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        socket.bind(address)?;
        socket.listen(sockets.listen_backlog)
    };
    listen().await.with_context(|| {
        format!(
            "cannot listen on {host}:{port}: stop what uses it, or set {setting} to another port"
        )
    })
}

/// What clients are told when nothing is advertised: a listener on all addresses has no address of
/// its own.
fn reachable(host: &str) -> String {
    match host {
        "" | "0.0.0.0" | "::" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

/// All rooms below the faces.
struct Broker {
    identity: Identity,
    quorum: Arc<Solo<MetadataMachine>>,
    writers: Arc<Writers>,
    partitions: Arc<Directory>,
    directory_thread: DirectoryThread,
    groups: Arc<GroupShards>,
}

impl Broker {
    async fn raise(
        doors: &Doors,
        statics: &Arc<StaticSettings>,
        node: &NodeSettings,
        bound: &Bound,
    ) -> Result<Self> {
        let layers = Layers::of(Arc::clone(statics));
        let dirs = open_dirs(doors, node)?;
        let wanted = node.cluster_id.as_deref().map(|id| ClusterId(id.into()));
        let paths = &node.log_dirs;
        let (disk, rng) = (doors.disk.as_ref(), doors.rng.as_ref());
        let identity = identity::identify(disk, rng, paths, node.node_id, wanted)?;
        let quorum = Arc::new(start_quorum(doors, statics, node, &layers)?);
        register(doors, node, bound, &identity, quorum.as_ref()).await?;
        let options = writers_options(&layers.logs());
        let writers = Writers::start(dirs, Arc::clone(&doors.clock), options)?;
        let limits = group_limits(&layers.groups());
        let groups = Arc::new(GroupShards::new(limits, Arc::clone(&doors.clock)));
        let (partitions, directory_thread) = Directory::start(DirectoryParts {
            node: node.node_id,
            writers: Arc::clone(&writers),
            statics: Arc::clone(statics),
            image: quorum.watch(),
            clock: Arc::clone(&doors.clock),
            proposals: Arc::new(NoProposals),
            neighbours: vec![Arc::clone(&groups) as Arc<dyn Neighbour>],
        })?;
        tracing::info!(
            cluster = %identity.cluster_id,
            node = %identity.node_id,
            partitions = partitions.all().len(),
            "broker up"
        );
        Ok(Self {
            identity,
            quorum,
            writers,
            partitions,
            directory_thread,
            groups,
        })
    }

    fn parts(
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
            quorum: Arc::clone(&self.quorum) as Arc<dyn Quorum<MetadataMachine>>,
            voters: None,
            partitions: Arc::clone(&self.partitions),
            groups: Arc::clone(&self.groups),
            writers: Arc::clone(&self.writers),
            statics: Arc::clone(statics),
            clock: Arc::clone(&doors.clock),
            rng: Arc::clone(&doors.rng),
            stop: stop.clone(),
            peers: None,
        }
    }

    /// Flushes and closes everything; a clean stop leaves its mark in each log directory.
    fn lower(self) -> Result<()> {
        self.directory_thread.stop();
        let stopped = self.writers.stop();
        self.quorum.stop();
        stopped?;
        tracing::info!("stopped cleanly");
        Ok(())
    }
}

fn open_dirs(doors: &Doors, node: &NodeSettings) -> Result<Vec<Arc<LogDir>>> {
    let mut dirs = Vec::with_capacity(node.log_dirs.len());
    for path in &node.log_dirs {
        let opened = LogDir::open(Arc::clone(&doors.disk), path);
        dirs.push(opened.with_context(|| unusable(path))?);
    }
    if dirs.is_empty() {
        bail!("log.dirs names no directory");
    }
    Ok(dirs)
}

fn unusable(path: &Path) -> String {
    format!(
        "cannot use {} of log.dirs: let it be a folder that this user may write to and that no \
         other broker uses, or name another one (--set log.dirs=PATH)",
        path.display()
    )
}

fn start_quorum(
    doors: &Doors,
    statics: &Arc<StaticSettings>,
    node: &NodeSettings,
    layers: &Layers,
) -> Result<Solo<MetadataMachine>> {
    let settings = layers.metadata();
    let options = SoloOptions {
        queue_len: settings.queue_requests,
        snapshot_after_bytes: settings.snapshot_bytes,
    };
    let machine = MetadataMachine::new(MetadataOptions::of(Arc::clone(statics)));
    let dir = node.metadata_dir.join(METADATA_FOLDER);
    let (disk, clock) = (Arc::clone(&doors.disk), Arc::clone(&doors.clock));
    Ok(Solo::start(disk, &dir, clock, machine, options)?)
}

async fn register(
    doors: &Doors,
    node: &NodeSettings,
    bound: &Bound,
    identity: &Identity,
    quorum: &Solo<MetadataMachine>,
) -> Result<()> {
    let request = RegisterBroker {
        node: node.node_id,
        incarnation: doors.rng.id(),
        listeners: bound.registered.clone(),
        rack: node.rack.clone(),
        directories: identity
            .directory_ids
            .iter()
            .map(|id| DirectoryId(id.0))
            .collect(),
        features: Vec::new(),
        past: PastLife::None,
    };
    let epoch = RegisterBroker::answer(quorum.propose(request.into()).await?)?;
    tracing::debug!(epoch, "registered");
    Ok(())
}

fn writers_options(logs: &LogSettings) -> WritersOptions {
    let half = std::thread::available_parallelism()
        .map_or(1, |cores| cores.get() / 2)
        .max(1);
    WritersOptions {
        append_threads: if logs.append_threads == 0 {
            half
        } else {
            logs.append_threads
        },
        read_threads: logs.read_threads,
        queue_bytes: logs.append_queue_bytes,
        hot_bytes: logs.tail_memory_bytes,
        reserve_bytes: logs.disk_reserve_bytes,
        ..WritersOptions::default()
    }
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
