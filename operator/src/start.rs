//! The order of a start, and of its end.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use freshet_api::{Cluster, Topic};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command, LogFormat, Run};
use crate::context::{Context, ContextParts};
use crate::{controllers, http, lease, probe};

/// How often the API server is asked whether our kinds are there.
const AGAIN: Duration = Duration::from_secs(3);

pub(crate) fn run(args: Args) -> Result<()> {
    // It waits for answers nearly all of the time: one thread is enough, and takes less memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args.command {
        Some(Command::Crds) => {
            let text = definitions()?;
            return std::io::stdout()
                .write_all(text.as_bytes())
                .context("cannot print");
        }
        Some(Command::Probe { url }) => return probe::ask(&url),
        Some(Command::Release { namespaces }) => return runtime.block_on(release(&namespaces)),
        None => {}
    }
    log_lines(args.run.log_format);
    runtime.block_on(serve(args.run))
}

async fn release(namespaces: &[String]) -> Result<()> {
    let client = connect().await?;
    let released = controllers::topic::release(&client, &scope(namespaces)).await?;
    println!("let go of {released} Topics");
    Ok(())
}

async fn connect() -> Result<Client> {
    let client = Client::try_default().await;
    client.context("no Kubernetes is configured: run it in a pod, or set KUBECONFIG")
}

/// The definitions of all kinds, as one YAML file.
pub(crate) fn definitions() -> Result<String> {
    let mut text = String::new();
    for definition in freshet_api::definitions() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

fn log_lines(format: LogFormat) {
    let asked = std::env::var("FRESHET_LOG").unwrap_or_default();
    let asked = if asked.is_empty() {
        "info".to_owned()
    } else {
        asked
    };
    let filter = EnvFilter::try_new(&asked).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
}

async fn serve(args: Run) -> Result<()> {
    let client = connect().await?;
    let context = Context::new(ContextParts {
        client: client.clone(),
        identity: args.identity.clone(),
        broker_image: args.broker_image,
        domain: args.cluster_domain,
        own_namespace: args.own_namespace.clone(),
    });
    let listener = TcpListener::bind(args.http_listener)
        .await
        .with_context(|| format!("cannot listen at {}", args.http_listener))?;
    let ready = Arc::new(AtomicBool::new(false));
    tokio::spawn(http::serve(
        Arc::clone(&context),
        listener,
        Arc::clone(&ready),
    ));

    let work = async {
        let namespaces = scope(&args.namespaces);
        for namespace in &namespaces {
            known::<Cluster>(&client, namespace.as_deref()).await;
            known::<Topic>(&client, namespace.as_deref()).await;
        }
        ready.store(true, Ordering::Relaxed);
        let mut held = if args.no_lease {
            None
        } else {
            Some(lease::hold(&client, &args.own_namespace, &args.identity).await?)
        };
        if let Some(held) = &mut held {
            tracing::info!("waiting for the Lease");
            lease::won(held).await?;
        }
        context.metrics.at_work();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), ?namespaces, "at work");
        look_after(&context, namespaces, held).await
    };
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        ended = work => ended,
        _ = term.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// `None` is all namespaces.
fn scope(namespaces: &[String]) -> Vec<Option<String>> {
    let mut named: Vec<_> = namespaces
        .iter()
        .filter(|n| !n.is_empty())
        .cloned()
        .collect();
    named.sort();
    named.dedup();
    if named.is_empty() {
        return vec![None];
    }
    named.into_iter().map(Some).collect()
}

async fn look_after(
    context: &Arc<Context>,
    namespaces: Vec<Option<String>>,
    held: Option<watch::Receiver<bool>>,
) -> Result<()> {
    let clusters = controllers::cluster::run(context, &namespaces);
    // Topics of one namespace may have rivals in another: one looks after all.
    let topics = controllers::topic::run(context, &namespaces);
    let lost = async {
        match held {
            Some(mut held) => lease::lost(&mut held).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = async { tokio::join!(clusters, topics) } => anyhow::bail!("nothing is watched any more"),
        () = lost => anyhow::bail!("somebody else has the Lease"),
    }
}

/// Waits until the API server knows a kind: whoever installs us may install the kinds afterwards.
async fn known<K>(client: &Client, namespace: Option<&str>)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = controllers::api(client, namespace);
    let mut told = String::new();
    while let Err(error) = api.list_metadata(&ListParams::default().limit(1)).await {
        let why = error.to_string();
        if why != told {
            tracing::warn!(
                kind = %K::kind(&()), %error,
                "cannot list: are the definitions installed (`freshet-operator crds | kubectl apply \
                 --server-side -f -`), and may this ServiceAccount list them? Trying again"
            );
            told = why;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_names_are_all_namespaces() {
        assert_eq!(scope(&[]), [None]);
        assert_eq!(scope(&[String::new()]), [None]);
        let named = scope(&["b".into(), "a".into(), "b".into()]);
        assert_eq!(named, [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
