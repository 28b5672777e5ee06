//! A folder of small files that stand for names and values, as Kubernetes mounts a Secret. Unlike an
//! environment it may say something else while the process runs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is longer is none of what people put into Secrets: Kubernetes takes no more.
const MOST_BYTES: u64 = 1 << 20;

/// All certificates that the system believes take a quarter of a MiB.
const MOST_CERTIFICATES_BYTES: u64 = 4 << 20;

/// A file of certificates that somebody has named, 4 MiB at most: all of it. It is read once, at a start.
///
/// # Errors
/// It cannot be read, is no regular file, or is longer.
pub fn certificates(path: &str) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    open_regular(Path::new(path))?
        .take(MOST_CERTIFICATES_BYTES + 1)
        .read_to_end(&mut all)?;
    match all.len() as u64 > MOST_CERTIFICATES_BYTES {
        true => Err(too_long("it", MOST_CERTIFICATES_BYTES)),
        false => Ok(all),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is named or mounted is on no disk that records are on"
)]
fn open_regular(path: &Path) -> io::Result<File> {
    // A pipe would be waited for as long as nobody writes.
    if !fs::metadata(path)?.is_file() {
        let why = "it is no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    File::open(path)
}

fn too_long(what: &str, most_bytes: u64) -> io::Error {
    let why = format!("{what} is longer than {most_bytes} bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

/// One such folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted(PathBuf);

/// When some of its files were written. Two that follow within one tick of the kernel's clock are told apart by
/// their numbers and lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written(Vec<Option<(SystemTime, u64, u64)>>);

impl Mounted {
    /// The one that is there. Nothing is looked at yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Names and values of all files, in no order. Files whose names begin with a dot are the kubelet's own.
    ///
    /// # Errors
    /// The folder or a file cannot be read, or a file is no UTF-8.
    pub fn all(&self) -> io::Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or(".");
            if !name.starts_with('.') && path.is_file() {
                all.push((name.to_owned(), self.value(name)?));
            }
        }
        Ok(all)
    }

    /// One value: a file of 1 MiB at most, without the end of the last line.
    ///
    /// # Errors
    /// The file cannot be read, is no regular one, is longer, or is no UTF-8.
    pub fn value(&self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        open_regular(&self.0.join(name))?
            .take(MOST_BYTES + 1)
            .read_to_string(&mut text)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(too_long(name, MOST_BYTES));
        }
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(text)
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.join(name).is_file()
    }

    /// When these files were written; another answer means that they may say something else now.
    pub fn written(&self, names: &[&str]) -> Written {
        let at = |name: &&str| {
            let file = fs::metadata(self.0.join(name)).ok()?;
            Some((file.modified().ok()?, file.ino(), file.len()))
        };
        Written(names.iter().map(at).collect())
    }
}
