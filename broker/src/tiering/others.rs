//! Who lives in the bucket: asked when a broker starts, before anything is stored there. Names begin with the
//! cluster's id, so where there is anything they say so (decision 19); an empty bucket is claimed (decision 20).

use std::time::Duration;

use anyhow::{Result, bail};
use freshet_env::Objects;
use freshet_env::objects::ObjectError;
use freshet_objects::Bucket;
use freshet_tier::{CLUSTERS, Layout};
use freshet_types::ClusterId;
use tokio::time::timeout;

use super::claims::{Claimed, Claims};

/// How long a store may take to answer one who keeps nothing yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for one who has something to serve meanwhile.
const BRIEF: Duration = Duration::from_secs(3);

/// Looks for other clusters.
pub(super) struct Others<'a> {
    bucket: &'a Bucket,
    me: &'a ClusterId,
    /// Nobody else's object has this name.
    nonce: [u8; 16],
}

/// Who lives there.
enum Found {
    /// Nobody.
    None,
    /// Nobody else.
    Me,
    /// Nobody yet, but another one has come first.
    Claimed(Claimed),
    /// This one as well.
    Beside(String),
    /// Only another one.
    Alone(String),
}

impl<'a> Others<'a> {
    /// For a broker of this cluster.
    pub(super) fn of(bucket: &'a Bucket, me: &'a ClusterId, nonce: [u8; 16]) -> Self {
        Self { bucket, me, nonce }
    }

    /// # Errors
    /// Another cluster lives there, and this one does not. A store that does not say who does keeps nobody
    /// from starting.
    pub(super) async fn must_not_be_alone(&self, is_new: bool) -> Result<()> {
        let (bucket, me) = (self.bucket, self.me);
        let patience = if is_new { PATIENCE } else { BRIEF };
        match timeout(patience, self.find_or_claim()).await {
            Ok(Ok(Found::None | Found::Me)) => {}
            Ok(Ok(Found::Beside(other))) => {
                tracing::warn!(%bucket, %me, %other, "another cluster keeps objects there as well");
            }
            Ok(Ok(Found::Alone(other))) => bail!(
                "{bucket} belongs to another cluster: it has objects of {other}, and none of this one, {me}. Give \
                 each cluster a prefix of its own in remote.log.storage.url. To bring that one back, start brokers \
                 with empty disks and freshet.cluster.id={other}, then run `freshet cluster restore`. If both are \
                 to be there, set freshet.remote.storage.shared=true"
            ),
            Ok(Ok(Found::Claimed(Claimed { by, key }))) => bail!(
                "{bucket} belongs to another cluster: {by} has come to it first and has stored nothing yet, and this \
                 one is {me}. Give each cluster a prefix of its own in remote.log.storage.url. If that one is gone, \
                 delete {key}, or wait ten minutes: its claim is void then. If both are to be there, set \
                 freshet.remote.storage.shared=true"
            ),
            Ok(Err(error)) => {
                tracing::warn!(%bucket, %error, "object storage does not say whose it is: going on");
            }
            Err(_) => {
                tracing::warn!(%bucket, "object storage does not say whose it is in time: going on");
            }
        }
        Ok(())
    }

    async fn find_or_claim(&self) -> Result<Found, ObjectError> {
        let Self { bucket, me, nonce } = *self;
        match self.find().await? {
            Found::None => {
                let claimed = Claims { bucket, me, nonce }.claim().await?;
                Ok(claimed.map_or(Found::Me, Found::Claimed))
            }
            found => Ok(found),
        }
    }

    async fn find(&self) -> Result<Found, ObjectError> {
        let known = self.bucket.folders(CLUSTERS).await?;
        let is_here = self.lives(self.me).await?;
        let mine = self.me.0.split('/').next();
        for other in known.into_iter().filter(|id| Some(id.as_str()) != mine) {
            if self.lives(&ClusterId(other.as_str().into())).await? {
                return Ok(match is_here {
                    true => Found::Beside(other),
                    false => Found::Alone(other),
                });
            }
        }
        Ok(if is_here { Found::Me } else { Found::None })
    }

    /// Whether there is an object of it; one that a broker has left at its start is none.
    async fn lives(&self, cluster: &ClusterId) -> Result<bool, ObjectError> {
        let layout = Layout::new("", cluster);
        let (home, probes) = (layout.home(), layout.probes());
        let first = self.bucket.list(&home, None, 1).await?;
        let Some((key, _)) = first.objects.first() else {
            return Ok(false);
        };
        if !key.starts_with(&probes) {
            return Ok(true);
        }
        // What comes after a slash.
        let behind = format!("{}0", probes.trim_end_matches('/'));
        let next = self.bucket.list(&home, Some(&behind), 1).await?;
        Ok(!next.objects.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use bytes::Bytes;
    use freshet_objects::Limits;
    use freshet_tier::{CLAIMS, claim};

    use super::*;

    fn bucket(folder: &Path) -> Bucket {
        let url = format!("file://{}", folder.display());
        Bucket::open(&url, [], &Limits::default()).expect("a folder")
    }

    async fn starts(folder: &Path, id: &str, nonce: u8) -> Result<()> {
        let (bucket, me) = (bucket(folder), ClusterId(id.into()));
        let others = Others::of(&bucket, &me, [nonce; 16]);
        others.must_not_be_alone(true).await
    }

    async fn store(folder: &Path, key: &str, bytes: &'static [u8]) {
        let put = bucket(folder);
        let put = put.put_new(key, &mut Bytes::from_static(bytes)).await;
        put.expect("it is stored");
    }

    async fn names(folder: &Path, prefix: &str) -> Vec<String> {
        let listed = bucket(folder).list(prefix, None, 100).await;
        let listed = listed.expect("names").objects.into_iter();
        listed.map(|(key, _)| key).collect()
    }

    #[tokio::test]
    async fn of_two_that_find_nobody_one_starts() {
        for round in 0..20 {
            let folder = tempfile::tempdir().expect("a folder");
            let at = folder.path();
            let (one, two) = tokio::join!(starts(at, "one", 1), starts(at, "two", 2));
            assert_ne!(one.is_ok(), two.is_ok(), "{round}: {one:?} {two:?}");
            let (first, error) = match (one, two) {
                (Ok(()), Err(error)) => ("one", error),
                (Err(error), _) => ("two", error),
                (Ok(()), Ok(())) => unreachable!("one is refused"),
            };
            let told = error.to_string();
            let said = ["belongs to another cluster", first, CLAIMS, "shared=true"];
            assert!(said.iter().all(|it| told.contains(it)), "{told}");
            // Its other brokers, and its own next start.
            starts(at, first, 3).await.expect("it is its own");
            assert!(names(at, CLUSTERS).await.is_empty(), "nothing else is left");
        }
    }

    #[tokio::test]
    async fn where_there_are_objects_claims_count_for_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        // As a broker of before has left it.
        store(at, "freshet/one/cluster/1", b"x").await;
        starts(at, "one", 1).await.expect("it is at home");
        assert!(names(at, CLAIMS).await.is_empty(), "names say it already");
        store(at, &claim(1), b"x").await;
        starts(at, "one", 1).await.expect("whatever a claim says");
        let told = starts(at, "two", 2).await.expect_err("it is not empty");
        assert!(told.to_string().contains("objects of one"), "{told}");
    }

    #[tokio::test]
    async fn a_claim_that_is_old_or_damaged_keeps_nobody_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        starts(at, "one", 1).await.expect("it is empty");
        starts(at, "two", 2).await.expect_err("it is claimed");
        let long_ago = Command::new("touch")
            .args(["-d", "11 minutes ago"])
            .arg(at.join(claim(1)))
            .status();
        assert!(long_ago.expect("touch").success());
        let (two, three) = tokio::join!(starts(at, "two", 2), starts(at, "three", 3));
        assert_ne!(two.is_ok(), three.is_ok(), "{two:?} {three:?}");
        assert_eq!(names(at, CLAIMS).await, [claim(1), claim(2)]);
        starts(at, "one", 1)
            .await
            .expect_err("it has come back late");
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        store(at, &claim(1), &[0xff; 3]).await;
        starts(at, "one", 1)
            .await
            .expect("nobody knows whose it is");
        assert_eq!(names(at, CLAIMS).await, [claim(1), claim(2)]);
    }
}
