//! Keys for S3 that are written down in files, and are read again when those have changed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use freshet_env::objects::mounted::Written;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// Files that say who asks.
pub(crate) trait Ledger: Send + Sync + 'static {
    /// When they were written.
    fn written(&self) -> Written;

    /// What they say now.
    ///
    /// # Errors
    /// Which of them cannot be read, and why; never what is in them.
    fn read(&self) -> Result<AwsCredential, String>;
}

/// What they said last.
pub(crate) struct Keys {
    ledger: Box<dyn Ledger>,
    read: Mutex<Option<(Written, Arc<AwsCredential>)>>,
}

/// The client is shown with who gives it keys: without these.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Those of some files.
    pub(crate) fn of(ledger: impl Ledger) -> Self {
        Self {
            ledger: Box::new(ledger),
            read: Mutex::default(),
        }
    }

    fn current(&self) -> Result<Arc<AwsCredential>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.ledger.written();
        if let Some((known, keys)) = &*read
            && *known == before
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.ledger.read()?);
        // An id and a key of two moments are a pair for one request at most: it is refused, and the next
        // one reads them again.
        *read = (self.ledger.written() == before).then(|| (before, Arc::clone(&keys)));
        Ok(keys)
    }
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.current().map_err(|why| object_store::Error::Generic {
            store: "S3",
            source: why.into(),
        })
    }
}
