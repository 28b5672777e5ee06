//! What brokers say of themselves over HTTP: may this one restart, and is it back?

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::names::HTTP_PORT;

/// How long a broker may take; it asks its controller first.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a process may take that has nothing else to do.
const HASTE: Duration = Duration::from_secs(2);
/// An answer names at most 100 partitions.
const LONGEST: usize = 256 << 10;

/// `/admin/pre-restart`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct BeforeRestart {
    safe: bool,
    /// Those that it was asked about beside itself. A broker of an older version is asked in vain.
    #[serde(default)]
    with: Vec<i32>,
    /// Why the other controllers would be no majority.
    quorum: Option<String>,
    /// Partitions at risk whatever one waits for: they have too few copies.
    #[serde(default)]
    lasting: usize,
    counts: Counts,
}

/// Partitions at risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Counts {
    last_copy: usize,
    offline: usize,
    below_min_insync: usize,
}

impl BeforeRestart {
    /// Whether this is what was asked: about a stop together with these, in any order.
    pub(crate) fn is_about(&self, others: &[i32]) -> bool {
        let sorted = |ids: &[i32]| ids.iter().copied().collect::<BTreeSet<_>>();
        sorted(&self.with) == sorted(others)
    }

    /// What to wait for; `None` when the broker may stop now. What no waiting mends is not waited for.
    pub(crate) fn waits_for(&self) -> Option<String> {
        if let Some(why) = &self.quorum {
            return Some(why.clone());
        }
        let Counts {
            last_copy,
            offline,
            below_min_insync,
        } = self.counts;
        let all = last_copy + offline + below_min_insync;
        if self.safe || all <= self.lasting {
            return None;
        }
        Some(format!(
            "{} partitions to be in sync elsewhere: {last_copy} have no other copy of all records now, \
             {offline} none that is up, {below_min_insync} too few",
            all - self.lasting
        ))
    }
}

/// `/admin/post-restart`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct AfterRestart {
    pub(crate) in_sync: bool,
    /// Partitions that are not.
    pub(crate) count: usize,
    /// A disk of it is slow or full, and what is on that does not count. An older one does not say so.
    #[serde(default)]
    pub(crate) unwell: bool,
}

/// May the broker at this address stop, together with these?
pub(crate) async fn before_restart(ip: &str, others: &[i32]) -> Result<BeforeRestart, String> {
    if others.is_empty() {
        return ask(ip, "/admin/pre-restart").await;
    }
    let ids: Vec<_> = others.iter().map(ToString::to_string).collect();
    ask(ip, &format!("/admin/pre-restart?with={}", ids.join(","))).await
}

/// Is it in sync again?
pub(crate) async fn after_restart(ip: &str) -> Result<AfterRestart, String> {
    ask(ip, "/admin/post-restart").await
}

/// Is the process at this address stopped on purpose?
pub(crate) async fn is_idle(ip: &str) -> Result<bool, String> {
    let (status, body) = get(ip, "/readyz", HASTE).await?;
    Ok(status == StatusCode::SERVICE_UNAVAILABLE && body.starts_with(b"stopped on purpose:"))
}

async fn ask<T: serde::de::DeserializeOwned>(ip: &str, path: &str) -> Result<T, String> {
    let (status, body) = get(ip, path, PATIENCE).await?;
    if status != StatusCode::OK {
        return Err(format!(
            "{status}: {}",
            String::from_utf8_lossy(&body).trim()
        ));
    }
    serde_json::from_slice(&body).map_err(|e| format!("its answer cannot be read: {e}"))
}

async fn get(ip: &str, path: &str, patience: Duration) -> Result<(StatusCode, Bytes), String> {
    let asked = async {
        let stream = TcpStream::connect((ip, HTTP_PORT as u16))
            .await
            .map_err(|e| e.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", ip)
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|e| e.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        Ok((status, body))
    };
    match timeout(patience, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> BeforeRestart {
        serde_json::from_str(text).expect("an answer of a broker")
    }

    #[test]
    fn what_no_waiting_mends_is_not_waited_for() {
        let safe = told(
            r#"{"broker":1,"safe":true,"counts":{"last-copy":0,"offline":0,"below-min-insync":0},"risks":[],"quorum":null,"lasting":0}"#,
        );
        assert_eq!(safe.waits_for(), None);
        assert!(
            safe.is_about(&[]) && !safe.is_about(&[2]),
            "an older broker"
        );
        let three = told(
            r#"{"broker":1,"with":[2,3],"safe":true,"counts":{"last-copy":0,"offline":0,"below-min-insync":0}}"#,
        );
        assert!(three.is_about(&[3, 2]) && !three.is_about(&[2]));
        let single = told(
            r#"{"broker":1,"safe":false,"counts":{"last-copy":3,"offline":0,"below-min-insync":0},"risks":[],"quorum":null,"lasting":3}"#,
        );
        assert_eq!(single.waits_for(), None);
        let behind = told(
            r#"{"broker":1,"safe":false,"counts":{"last-copy":3,"offline":0,"below-min-insync":2},"risks":[],"quorum":null,"lasting":3}"#,
        );
        assert!(
            behind
                .waits_for()
                .is_some_and(|why| why.starts_with("2 partitions"))
        );
        let alone = told(
            r#"{"broker":1,"safe":false,"counts":{"last-copy":0,"offline":0,"below-min-insync":0},"risks":[],"quorum":"only 0 of the 2","lasting":0}"#,
        );
        assert_eq!(alone.waits_for().as_deref(), Some("only 0 of the 2"));
    }
}
