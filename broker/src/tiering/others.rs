//! Who lives in the bucket: asked when a broker starts, before anything is stored there. Names begin with the
//! cluster's id, so nothing has to be left there that says so (decision 19).

use std::time::Duration;

use anyhow::{Result, bail};
use freshet_env::Objects;
use freshet_env::objects::ObjectError;
use freshet_objects::Bucket;
use freshet_tier::{CLUSTERS, Layout};
use freshet_types::ClusterId;
use tokio::time::timeout;

/// How long a store may take to answer one who keeps nothing yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for one who has something to serve meanwhile.
const BRIEF: Duration = Duration::from_secs(3);

/// Looks for other clusters.
pub(super) struct Others<'a> {
    bucket: &'a Bucket,
    me: &'a ClusterId,
}

/// Who lives there.
enum Found {
    /// Nobody else.
    None,
    /// This one as well.
    Beside(String),
    /// Only another one.
    Alone(String),
}

impl<'a> Others<'a> {
    /// For a broker of this cluster.
    pub(super) fn of(bucket: &'a Bucket, me: &'a ClusterId) -> Self {
        Self { bucket, me }
    }

    /// # Errors
    /// Another cluster lives there, and this one does not. A store that does not say who does keeps nobody
    /// from starting.
    pub(super) async fn must_not_be_alone(&self, is_new: bool) -> Result<()> {
        let (bucket, me) = (self.bucket, self.me);
        let patience = if is_new { PATIENCE } else { BRIEF };
        match timeout(patience, self.find()).await {
            Ok(Ok(Found::None)) => {}
            Ok(Ok(Found::Beside(other))) => {
                tracing::warn!(%bucket, %me, %other, "another cluster keeps objects there as well");
            }
            Ok(Ok(Found::Alone(other))) => bail!(
                "{bucket} belongs to another cluster: it has objects of {other}, and none of this one, {me}. Give \
                 each cluster a prefix of its own in remote.log.storage.url. To bring that one back, start brokers \
                 with empty disks and freshet.cluster.id={other}, then run `freshet cluster restore`. If both are \
                 to be there, set freshet.remote.storage.shared=true"
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
        Ok(Found::None)
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
