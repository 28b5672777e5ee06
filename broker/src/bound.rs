//! Sockets that are bound and not served yet, so that a port that is taken is known before anything
//! is touched on disk.

use std::io;

use anyhow::{Context as _, Result};
use freshet_metadata::BrokerListener;
use freshet_server as server;
use freshet_settings::{Endpoint, Listener, NodeSettings, QuorumSettings, SocketSettings};
use tokio::net::{TcpListener, TcpSocket};

/// All sockets of the process.
pub(crate) struct Bound {
    /// For clients, probes and scrapers.
    pub(crate) listeners: server::Listeners,
    /// Where clients are told to go.
    pub(crate) registered: Vec<BrokerListener>,
    /// For controllers, with what they are told.
    pub(crate) controllers: Vec<(BrokerListener, TcpListener)>,
}

impl Bound {
    pub(crate) async fn open(
        node: &NodeSettings,
        quorum: &QuorumSettings,
        sockets: &SocketSettings,
    ) -> Result<Self> {
        let (mut kafka, mut registered) = (Vec::new(), Vec::new());
        let told = (node.advertised.as_slice(), quorum.is_cluster());
        for listener in &node.listeners {
            let (socket, told) = open(listener, told, sockets).await?;
            kafka.push((told.name.clone(), socket));
            registered.push(told);
        }
        let mut controllers = Vec::new();
        for listener in &quorum.listeners {
            let (socket, told) = open(listener, told, sockets).await?;
            controllers.push((told, socket));
        }
        let http = http(node, sockets).await?;
        Ok(Self {
            listeners: server::Listeners { kafka, http },
            registered,
            controllers,
        })
    }

    /// Where others reach a listener.
    pub(crate) fn told(&self, name: &str) -> Option<&BrokerListener> {
        let controllers = self.controllers.iter().map(|(told, _)| told);
        let all = self.registered.iter().chain(controllers);
        all.into_iter().find(|told| told.name == name)
    }
}

/// The socket for probes and scrapers; none where HTTP is off.
pub(crate) async fn http(
    node: &NodeSettings,
    sockets: &SocketSettings,
) -> Result<Option<TcpListener>> {
    match &node.http {
        Some((host, port)) => Ok(Some(bind(host, *port, "http.listener", sockets).await?)),
        None => Ok(None),
    }
}

async fn open(
    listener: &Listener,
    (advertised, is_cluster): (&[Endpoint], bool),
    sockets: &SocketSettings,
) -> Result<(TcpListener, BrokerListener)> {
    let endpoint = &listener.endpoint;
    let socket = bind(&endpoint.host, endpoint.port, "listeners", sockets).await?;
    let port = socket.local_addr()?.port();
    let advertised = advertised.iter().find(|a| a.name == endpoint.name);
    let (host, port) = match advertised {
        Some(a) => (a.host.clone(), if a.port == 0 { port } else { a.port }),
        None => (reachable(&endpoint.host, is_cluster), port),
    };
    let told = BrokerListener {
        name: endpoint.name.clone(),
        host,
        port,
        protocol: listener.protocol,
    };
    Ok((socket, told))
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

/// What others are told when nothing is advertised: a listener on all addresses has no address of
/// its own. In a cluster the others are on other machines, perhaps.
fn reachable(host: &str, is_cluster: bool) -> String {
    match host {
        "" | "0.0.0.0" | "::" if is_cluster => freshet_env::host::name(),
        "" | "0.0.0.0" | "::" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}
