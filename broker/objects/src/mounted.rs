//! Credentials as files: a folder with one file for each name that the environment could say.

use freshet_env::objects::mounted::{Mounted, Written};
use object_store::aws::AwsCredential;

use crate::keys::{KEY, KEY_ID, Keys, Ledger, TOKEN};

/// The variable that names the folder.
pub(crate) const FOLDER: &str = "FRESHET_CREDENTIALS_DIR";

/// What was said of who asks, and of whom.
pub(crate) struct Said {
    pub(crate) names: Vec<(String, String)>,
    /// Where some of them come from.
    pub(crate) folder: Option<Mounted>,
}

/// All that is said: by the environment, and before it by the folder that it names.
pub(crate) fn said(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Said, String> {
    let mut names: Vec<_> = environment.into_iter().collect();
    let folder = names.iter().find(|(name, _)| name == FOLDER);
    let Some(folder) = folder.map(|(_, folder)| Mounted::at(folder)) else {
        return Ok(Said {
            names,
            folder: None,
        });
    };
    let files = folder.all().map_err(|why| {
        let folder = folder.folder().display();
        format!("{FOLDER}={folder} cannot be read: {why}")
    })?;
    names.retain(|(name, _)| !files.iter().any(|(file, _)| file == name));
    names.extend(files);
    Ok(Said {
        names,
        folder: Some(folder),
    })
}

/// Keys for S3 of such a folder; `None` if it has none: then others are asked who asks.
pub(crate) fn keys(folder: &Mounted) -> Option<Keys> {
    let has_both = folder.has(KEY_ID) && folder.has(KEY);
    has_both.then(|| Keys::of(Secret(folder.clone())))
}

struct Secret(Mounted);

impl Ledger for Secret {
    fn written(&self) -> Written {
        self.0.written(&[KEY_ID, KEY, TOKEN])
    }

    fn read(&self) -> Result<AwsCredential, String> {
        let folder = &self.0;
        let value = |name| {
            folder.value(name).map_err(|why| {
                let folder = folder.folder().display();
                format!("the keys in {folder} cannot be read: {why}")
            })
        };
        let token = folder.value(TOKEN).ok();
        Ok(AwsCredential {
            key_id: value(KEY_ID)?,
            secret_key: value(KEY)?,
            token: token.filter(|token| !token.is_empty()),
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the files of a Secret are real ones"
)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use object_store::CredentialProvider as _;

    use super::*;
    use crate::keys::REGION;
    use crate::{Bucket, Limits};

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
        assert!(
            keys(&Mounted::at(folder.path())).is_none(),
            "it has no keys"
        );
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
        let keys = keys(&Mounted::at(folder.path())).unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "first");
        let again = keys.get_credential().await.unwrap();
        assert!(Arc::ptr_eq(&again, &keys.get_credential().await.unwrap()));
        put("TOP\nSECRET", 2);
        let why = keys.get_credential().await.unwrap_err().to_string();
        assert!(
            why.contains("AWS_ACCESS_KEY_ID has") && !why.contains("TOP"),
            "{why}"
        );
        put("second", 3);
        assert_eq!(keys.get_credential().await.unwrap().key_id, "second");
        fs::remove_file(folder.path().join(KEY)).unwrap();
        let why = keys.get_credential().await.unwrap_err().to_string();
        assert!(why.contains("cannot be read"), "{why}");
    }

    #[test]
    fn what_no_header_takes_is_refused_at_the_start() {
        let all = [(KEY_ID, "id"), (KEY, "a b"), (TOKEN, "t"), (REGION, "eu-1")];
        for broken in ["", KEY_ID, KEY, TOKEN, REGION] {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in all {
                let text = match name == broken {
                    true => "TOP\nSECRET",
                    false => text,
                };
                fs::write(folder.path().join(name), text).unwrap();
            }
            let opened = Bucket::open("s3://b", env(folder.path(), &[]), &Limits::default());
            let why = opened.err().map(|error| error.to_string());
            let told = why.as_ref().is_some_and(|why| {
                why.contains(&format!("{broken} has characters")) && !why.contains("TOP")
            });
            assert_eq!(told, !broken.is_empty(), "{broken}: {why:?}");
            assert_eq!(why.is_some(), told, "{broken}: {why:?}");
        }
    }
}
