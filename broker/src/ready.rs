//! Where the broker can be reached: told on stdout, and in the file of `--ready-file`.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use freshet_env::Disk;
use freshet_env::disk::OpenMode;
use tokio::net::TcpListener;

use crate::bound::Bound;

/// Bound addresses as `host:port`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Listener names with their addresses, in the order of `listeners`.
    kafka: Vec<(String, String)>,
    /// Listeners of the controller, which clients have no use for.
    controllers: Vec<(String, String)>,
    http: Option<String>,
}

impl Addresses {
    /// The addresses of bound sockets.
    pub(crate) fn of(bound: &Bound) -> io::Result<Self> {
        let listeners = &bound.listeners;
        let text = |socket: &TcpListener| socket.local_addr().map(|address| address.to_string());
        let kafka = listeners.kafka.iter();
        Ok(Self {
            kafka: kafka
                .map(|(name, socket)| Ok((name.clone(), text(socket)?)))
                .collect::<io::Result<_>>()?,
            controllers: bound
                .controllers
                .iter()
                .map(|(told, socket)| Ok((told.name.clone(), text(socket)?)))
                .collect::<io::Result<_>>()?,
            http: listeners.http.as_ref().map(text).transpose()?,
        })
    }

    /// For people: a line for each listener.
    pub(crate) fn lines(&self) -> String {
        let off = "off".to_owned();
        let kafka = self.kafka.iter();
        let kafka: String = kafka
            .map(|(name, address)| format!("kafka {address} {name}\n"))
            .collect();
        let controllers = self.controllers.iter();
        let controllers: String = controllers
            .map(|(name, address)| format!("quorum {address} {name}\n"))
            .collect();
        format!(
            "{kafka}{controllers}http  {}\n",
            self.http.as_ref().unwrap_or(&off)
        )
    }

    /// For scripts: `kafka` is the first listener, `listeners` has all of them by name.
    fn json(&self) -> String {
        let listeners: BTreeMap<_, _> = self.kafka.iter().cloned().collect();
        let first = self.kafka.first().map(|(_, address)| address);
        let json = serde_json::json!({
            "kafka": first,
            "http": self.http,
            "listeners": listeners,
        });
        format!("{json}\n")
    }
}

/// The file of `--ready-file`. It is there while requests are served, and only then: a script that
/// waits for it must not read where the last broker was.
pub(crate) struct ReadyFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl ReadyFile {
    /// Removes what an earlier run left, and makes sure that the file can be written.
    pub(crate) fn claim(path: &Path, disk: &Arc<dyn Disk>) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let disk = Arc::clone(disk);
        let claim = || {
            absent(disk.remove_file(&path))?;
            // Its temporary neighbour tells whether the folder can be written.
            let probe = path.with_extension("tmp");
            disk.open(&probe, OpenMode::Replace)?;
            disk.remove_file(&probe)
        };
        claim().with_context(|| Self::refusal(&path))?;
        Ok(Self { path, disk })
    }

    /// Tells that requests are served.
    pub(crate) fn write(&self, addresses: &Addresses) -> Result<()> {
        let json = addresses.json();
        let written = self.disk.replace_small(&self.path, json.as_bytes());
        written.with_context(|| Self::refusal(&self.path))
    }

    /// Requests are not served any more.
    pub(crate) fn remove(&self) {
        if let Err(error) = absent(self.disk.remove_file(&self.path)) {
            tracing::warn!(path = %self.path.display(), %error, "the ready file stays");
        }
    }

    fn refusal(path: &Path) -> String {
        format!(
            "cannot write {}: --ready-file needs a file in a folder that is there and that this \
             user may write to",
            path.display()
        )
    }
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use freshet_env::disk::SystemDisk;

    use super::*;

    fn addresses() -> Addresses {
        let own = |text: &str| text.to_owned();
        Addresses {
            kafka: vec![(own("INSIDE"), own("h:1")), (own("EXT"), own("h:2"))],
            controllers: Vec::new(),
            http: None,
        }
    }

    #[test]
    fn every_listener_is_told() {
        let told = addresses();
        assert_eq!(told.lines(), "kafka h:1 INSIDE\nkafka h:2 EXT\nhttp  off\n");
        let json: serde_json::Value = serde_json::from_str(&told.json()).unwrap();
        let listeners = serde_json::json!({"INSIDE": "h:1", "EXT": "h:2"});
        let want = serde_json::json!({"kafka": "h:1", "http": null, "listeners": listeners});
        assert_eq!(json, want);
    }

    #[test]
    fn the_ready_file_is_there_only_while_requests_are_served() {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        disk.replace_small(&path, b"of the last run").unwrap();
        let ready = ReadyFile::claim(&path, &disk).unwrap();
        assert!(disk.list(folder.path()).unwrap().is_empty());
        ready.write(&addresses()).unwrap();
        assert!(disk.exists(&path).unwrap());
        ready.remove();
        ready.remove();
        assert!(disk.list(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn a_ready_file_that_cannot_be_written_is_refused_before_anything_starts() {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("no/ready"), folder.path().to_owned()] {
            let Err(error) = ReadyFile::claim(&path, &disk) else {
                panic!("{} was taken", path.display());
            };
            assert!(error.to_string().contains("--ready-file needs"), "{error}");
        }
    }
}
