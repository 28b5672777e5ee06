//! Keys for S3 that are written down in files, and are read again when those have changed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use freshet_env::objects::mounted::Written;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

pub(crate) const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(crate) const KEY: &str = "AWS_SECRET_ACCESS_KEY";
pub(crate) const TOKEN: &str = "AWS_SESSION_TOKEN";
pub(crate) const REGION: &str = "AWS_REGION";

/// Whether a text can be what it is called. Ids, tokens and regions are sent in headers, and `object_store` panics
/// over what no header takes. Secrets are not sent, and some servers take blanks in them.
pub(crate) fn fits(name: &str, text: &str) -> bool {
    match name {
        KEY => !text.chars().any(char::is_control),
        REGION => text.bytes().all(|it| matches!(it, b' '..=b'~')),
        _ => text.bytes().all(|it| it.is_ascii_graphic()),
    }
}

/// # Errors
/// It cannot be what it is called. The text is not shown.
pub(crate) fn must_fit(name: &str, text: Option<&str>) -> Result<(), String> {
    match text.is_none_or(|text| fits(name, text)) {
        true => Ok(()),
        false => Err(format!(
            "{name} has characters that none has, such as the end of a line"
        )),
    }
}

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
        must_fit(KEY_ID, Some(&keys.key_id))?;
        must_fit(KEY, Some(&keys.secret_key))?;
        must_fit(TOKEN, keys.token.as_deref())?;
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
