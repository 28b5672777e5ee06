//! Opens the doors: Kafka listeners and one for HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::Reactors;
use freshet_settings::Layers;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http;
use crate::kafka::{ConnectionLimits, Context, KafkaListener, ListenerShared};
use crate::metrics;
use crate::stop::Stop;

/// Bound sockets.
#[derive(Debug)]
pub struct Listeners {
    /// For clients, with their names.
    pub kafka: Vec<(String, TcpListener)>,
    /// For probes and scrapers.
    pub http: Option<TcpListener>,
}

/// The running faces; they end after the stop signal.
#[derive(Debug)]
pub struct Faces {
    tasks: Vec<JoinHandle<()>>,
}

/// Starts serving.
pub fn serve(
    context: &Arc<Context>,
    listeners: Listeners,
    stop: &Stop,
    grace: Duration,
) -> io::Result<Faces> {
    let layers = Layers::of(Arc::clone(&context.statics));
    let limits = ConnectionLimits::of(&layers.sockets());
    let reactors = Arc::new(Reactors::start("net", layers.node().network_threads)?);
    let mut tasks = Vec::new();
    for (name, listener) in listeners.kafka {
        let shared = ListenerShared {
            name: name.into(),
            context: Arc::clone(context),
            limits: limits.clone(),
            stop: stop.clone(),
        };
        let face = KafkaListener::new(shared, Arc::clone(&reactors));
        tasks.push(tokio::spawn(face.serve(listener, grace)));
    }
    tasks.push(tokio::spawn(metrics::count_unclean_elections(
        Arc::clone(context),
        stop.clone(),
    )));
    if let Some(listener) = listeners.http {
        let face = http::Face::Broker(Arc::clone(context));
        tasks.push(tokio::spawn(http::serve(face, listener, stop.clone())));
    }
    Ok(Faces { tasks })
}

/// Tells over HTTP that this process lives and why it does nothing else, until the stop signal.
pub async fn serve_idle(listener: TcpListener, why: String, stop: Stop) {
    http::serve(http::Face::Idle(why.into()), listener, stop).await;
}

impl Faces {
    /// Waits until all faces have ended.
    pub async fn ended(self) {
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a face ended badly");
            }
        }
    }
}
