//! Credentials as files: a folder with one file for each name that the environment could say, as Kubernetes
//! mounts a Secret. Unlike an environment it may say something else while the process runs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// The variable that names the folder.
pub(crate) const FOLDER: &str = "FRESHET_CREDENTIALS_DIR";
/// What is longer is no credential.
const MOST_BYTES: u64 = 64 << 10;

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const KEY: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// What was said of who asks, and of whom.
pub(crate) struct Said {
    pub(crate) names: Vec<(String, String)>,
    /// Where some of them come from.
    pub(crate) folder: Option<PathBuf>,
}

/// All that is said: by the environment, and before it by the folder that it names.
pub(crate) fn said(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Said, String> {
    let mut names: Vec<_> = environment.into_iter().collect();
    let folder = names.iter().find(|(name, _)| name == FOLDER);
    let Some(folder) = folder.map(|(_, folder)| PathBuf::from(folder)) else {
        return Ok(Said {
            names,
            folder: None,
        });
    };
    let files = files(&folder)
        .map_err(|why| format!("{FOLDER}={} cannot be read: {why}", folder.display()))?;
    names.retain(|(name, _)| !files.iter().any(|(file, _)| file == name));
    names.extend(files);
    Ok(Said {
        names,
        folder: Some(folder),
    })
}

/// Names and contents of a folder's files.
fn files(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Kubernetes keeps folders of its own beside them, whose names begin with dots.
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or(".");
        if !name.starts_with('.') && path.is_file() {
            files.push((name.to_owned(), text(&path)?));
        }
    }
    Ok(files)
}

/// A file without the end of its line.
#[expect(
    clippy::disallowed_methods,
    reason = "a mounted Secret is on no disk that records are on"
)]
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MOST_BYTES)
        .read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Keys for S3 that are read again when their files have changed.
#[derive(Debug)]
pub(crate) struct Keys {
    folder: PathBuf,
    read: Mutex<Option<(Stamp, Arc<AwsCredential>)>>,
}

/// When the files were written.
type Stamp = [Option<SystemTime>; 3];

impl Keys {
    /// `None` if the folder has no keys: then others are asked who asks.
    pub(crate) fn in_folder(folder: &Path) -> Option<Self> {
        let has = |name| folder.join(name).is_file();
        (has(KEY_ID) && has(KEY)).then(|| Self {
            folder: folder.to_owned(),
            read: Mutex::default(),
        })
    }

    fn stamp(&self) -> Stamp {
        [KEY_ID, KEY, TOKEN].map(|name| fs::metadata(self.folder.join(name)).ok()?.modified().ok())
    }

    fn read(&self) -> io::Result<AwsCredential> {
        let file = |name| text(&self.folder.join(name));
        Ok(AwsCredential {
            key_id: file(KEY_ID)?,
            secret_key: file(KEY)?,
            token: file(TOKEN).ok().filter(|token| !token.is_empty()),
        })
    }

    fn current(&self) -> io::Result<Arc<AwsCredential>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.stamp();
        if let Some((stamp, keys)) = &*read
            && *stamp == before
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.read()?);
        // An id and a key of two moments are a pair for one request at most: it is refused, and the next
        // one reads them again.
        *read = (self.stamp() == before).then(|| (before, Arc::clone(&keys)));
        Ok(keys)
    }
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.current().map_err(|why| object_store::Error::Generic {
            store: "S3",
            source: format!(
                "the keys in {} cannot be read: {why}",
                self.folder.display()
            )
            .into(),
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the files of a Secret are real ones"
)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn env(folder: &Path, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut all: Vec<_> = more.iter().map(own).collect();
        all.push((FOLDER.to_owned(), folder.display().to_string()));
        all
    }

    #[test]
    fn files_win_over_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("..2026_11_22")).unwrap();
        fs::write(folder.path().join("AWS_REGION"), "eu-central-1\n").unwrap();
        let around = env(folder.path(), &[("AWS_REGION", "x"), ("AWS_TIMEOUT", "5s")]);
        let mut all = said(around).unwrap().names;
        all.retain(|(name, _)| name != FOLDER);
        all.sort();
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            all,
            [own("AWS_REGION", "eu-central-1"), own("AWS_TIMEOUT", "5s")]
        );
        assert!(Keys::in_folder(folder.path()).is_none(), "it has no keys");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let why = said(env(&folder.path().join("none"), &[])).err().unwrap();
        assert!(why.contains("FRESHET_CREDENTIALS_DIR=/"), "{why}");
    }

    /// As the kubelet does it: another folder is filled, and a link is turned to it.
    #[tokio::test]
    async fn keys_that_change_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let put = |id: &str, at: u64| {
            let data = folder.path().join(format!("..{at}"));
            fs::create_dir_all(&data).unwrap();
            for (name, text) in [(KEY_ID, id), (KEY, "secret")] {
                fs::write(data.join(name), text).unwrap();
                let file = File::options().append(true).open(data.join(name)).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
                    .unwrap();
                let (new, link) = (folder.path().join("..new"), folder.path().join(name));
                std::os::unix::fs::symlink(data.join(name), &new).unwrap();
                fs::rename(new, link).unwrap();
            }
        };
        put("first", 1);
        let keys = Keys::in_folder(folder.path()).unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "first");
        let again = keys.get_credential().await.unwrap();
        assert!(Arc::ptr_eq(&again, &keys.get_credential().await.unwrap()));
        put("second", 2);
        assert_eq!(keys.get_credential().await.unwrap().key_id, "second");
        fs::remove_file(folder.path().join(KEY)).unwrap();
        let why = keys.get_credential().await.unwrap_err().to_string();
        assert!(why.contains("cannot be read"), "{why}");
    }
}
