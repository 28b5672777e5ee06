//! Where things are: the checkout, and the cache that everything installed goes to.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout this binary was built from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lives one folder below the root")
}

/// The cache: `${XDG_CACHE_HOME:-$HOME/.cache}/freshet`. It may be deleted at any time.
pub(crate) fn cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into()));
    base.unwrap_or_else(|| home().join(".cache"))
        .join("freshet")
}

/// Where installed peers are: one folder per language.
pub(crate) fn peers() -> PathBuf {
    cache().join("peers")
}

/// Where Cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
