//! A stamp says from which sources a peer was installed.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const FILE: &str = ".stamp";

/// The stamp of a folder of sources: a hash over the names and bytes of what git would keep.
pub(crate) fn of(sources: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(sources, &mut files)?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        file.strip_prefix(sources)
            .unwrap_or(&file)
            .hash(&mut hasher);
        bytes.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let listing = fs::read_dir(folder);
    for entry in listing.with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.push(entry.path());
        } else if kind.is_dir()
            && !matches!(
                &*entry.file_name().to_string_lossy(),
                "node_modules" | "__pycache__"
            )
        {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
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

/// Takes the stamp off, so that an installation cut short is not taken for a whole one.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the stamp in {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_names_and_bytes_only() {
        let folder = std::env::temp_dir().join(format!("freshet-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::write(folder.join("a"), "1").expect("a file");
        let first = of(&folder).expect("a stamp");
        assert_eq!(of(&folder).expect("a stamp"), first);
        fs::write(folder.join("a"), "2").expect("a file");
        assert_ne!(of(&folder).expect("a stamp"), first);
        fs::write(folder.join("a"), "1").expect("a file");
        fs::rename(folder.join("a"), folder.join("b")).expect("a rename");
        assert_ne!(of(&folder).expect("a stamp"), first);
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
