//! A stamp says from which sources a peer was installed.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};

const FILE: &str = ".stamp";

/// The stamp of a peer's manifests: a hash over their names and bytes.
pub(crate) fn of(folder: &Path, manifests: &[&str]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for name in manifests {
        let file = folder.join(name);
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        (name, bytes).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The stamp that an installed peer bears.
pub(crate) fn read(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(FILE)).ok()
}

/// Puts the stamp on a peer; the last step of its installation.
pub(crate) fn write(folder: &Path, stamp: &str) -> Result<()> {
    fs::write(folder.join(FILE), stamp)
        .with_context(|| format!("cannot write the stamp in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_the_manifests() {
        let folder = std::env::temp_dir().join(format!("freshet-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let stamp = || of(&folder, &["a"]).expect("a stamp");
        fs::write(folder.join("a"), "1").expect("a file");
        let first = stamp();
        fs::write(folder.join("b"), "1").expect("a file");
        assert_eq!(stamp(), first);
        fs::write(folder.join("a"), "2").expect("a file");
        assert_ne!(stamp(), first);
        assert!(of(&folder, &["c"]).is_err());
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
