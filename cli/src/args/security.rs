//! The file of `--command-config`.

use std::path::Path;

use anyhow::{Context, Result};
use freshet_client::Security;

use crate::output::patience::Patience;

/// Reads the file, and those with certificates that it names.
pub(crate) fn read(file: &Path, patience: &Patience) -> Result<Security> {
    let text = open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let named = |path: &str| open(Path::new(path)).map_err(|e| format!("cannot read {path}: {e}"));
    let read = Security::read(&text, named).with_context(|| file.display().to_string())?;
    if !read.ignored.is_empty() && !patience.is_quiet() {
        let names = read.ignored.join(", ");
        let file = file.display();
        eprintln!("{file}: not about security, and so not looked at: {names}");
    }
    Ok(read.security)
}

fn open(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}
