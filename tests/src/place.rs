//! Where cold records are kept: a folder, or a bucket of a real S3 server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::bucket::{S3Server, files};

/// The folder that a broker puts below its URL.
const ALL: &str = "freshet";

/// One place, empty at first; it is gone when it is dropped.
pub enum Place {
    /// Local files.
    Folder(TempDir),
    /// A bucket.
    Server(S3Server),
}

impl Place {
    /// A folder.
    pub fn folder() -> Result<Self> {
        Ok(Self::Folder(tempfile::tempdir()?))
    }

    /// A server with an empty bucket.
    pub fn server() -> Result<Self> {
        S3Server::start().map(Self::Server)
    }

    /// What `remote.log.storage.url` is to be.
    pub fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("file://{}", folder.path().display()),
            Self::Server(_) => S3Server::url(),
        }
    }

    /// What has to be in the environment of brokers that have a network of their own, by name.
    pub fn environment(&self) -> Vec<(String, String)> {
        match self {
            Self::Folder(_) => Vec::new(),
            Self::Server(server) => server.environment(),
        }
    }

    /// The same for whoever is on this machine, and in no namespace of its own.
    pub fn environment_here(&self) -> Vec<(String, String)> {
        match self {
            Self::Folder(_) => Vec::new(),
            Self::Server(server) => server.environment_here(),
        }
    }

    /// Below this folder each object is a file of its name.
    pub fn root(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().to_owned(),
            Self::Server(server) => server.root(),
        }
    }

    /// All objects, in no order.
    pub fn objects(&self) -> Result<Vec<PathBuf>> {
        files(&self.root())
    }

    /// Takes all of it away, or brings it back as it was. Nothing can be stored or read meanwhile.
    pub fn hide(&mut self, hidden: bool) -> Result<()> {
        match self {
            Self::Folder(folder) => hide(folder.path(), hidden),
            Self::Server(server) => server.hide(hidden),
        }
    }
}

/// A file where a folder was: nobody makes that anew.
fn hide(folder: &Path, hidden: bool) -> Result<()> {
    let (all, aside) = (folder.join(ALL), folder.join("moved"));
    if hidden {
        fs::rename(&all, &aside)?;
        return fs::write(&all, "").context("in its place");
    }
    fs::remove_file(&all)?;
    fs::rename(&aside, &all).context("bringing it back")
}
