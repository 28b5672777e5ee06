//! Whether the store takes this broker in: asked when it starts, so that a wrong name or missing rights
//! are not first heard of when a segment is to leave.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_objects::Bucket;
use freshet_tier::Layout;
use tokio::time::timeout;

/// How long a store may take to answer all that is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the object says that is stored.
const WORDS: &[u8] = b"stored, read and removed by a broker that starts\n";

/// Asks a store.
pub(super) struct Probe {
    pub(super) bucket: Arc<Bucket>,
    pub(super) layout: Layout,
    /// Nobody else's object has this name.
    pub(super) nonce: [u8; 16],
}

impl Probe {
    /// For a broker that keeps nothing yet.
    ///
    /// # Errors
    /// The store refuses. One that does not answer may do so later.
    pub(super) async fn must_be_welcome(self) -> Result<()> {
        match self.refused().await {
            None => Ok(()),
            Some(error) => bail!("{}", self.advice(&error)),
        }
    }

    /// For a broker that keeps something: it serves that, whatever the store says.
    pub(super) async fn tell(self) {
        if let Some(error) = self.refused().await {
            tracing::error!("{}", self.advice(&error));
        }
    }

    fn advice(&self, error: &ObjectError) -> String {
        format!(
            "{} refuses this broker ({error}): nothing can leave the disks. See to remote.log.storage.url, the \
             credentials, and that they allow to list, put, get and delete objects below {}",
            self.bucket,
            self.layout.home()
        )
    }

    async fn refused(&self) -> Option<ObjectError> {
        let error = match timeout(PATIENCE, self.ask()).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => {
                tracing::warn!(bucket = %self.bucket, "object storage does not answer: going on");
                return None;
            }
        };
        match error.failure {
            ObjectFailure::Denied | ObjectFailure::Invalid | ObjectFailure::NotFound => Some(error),
            _ => {
                let bucket = &self.bucket;
                tracing::warn!(%bucket, %error, "object storage is not at its best: going on");
                None
            }
        }
    }

    /// Everything that will ever be asked of it.
    async fn ask(&self) -> Result<(), ObjectError> {
        let key = self.layout.probe(self.nonce);
        let objects: &dyn Objects = &*self.bucket;
        objects.list(&self.layout.home(), None, 1).await?;
        objects
            .put_new(&key, &mut Bytes::from_static(WORDS))
            .await?;
        objects.get_range(&key, 0..WORDS.len() as u64).await?;
        objects.delete(&key).await
    }
}
