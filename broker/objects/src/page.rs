//! One page out of a listing.

use std::collections::BTreeMap;

use freshet_env::objects::{Listing, ObjectHead};
use freshet_types::Timestamp;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::{ObjectMeta, Result};

/// What is known of an object.
pub(crate) fn head(meta: &ObjectMeta) -> ObjectHead {
    ObjectHead {
        len_bytes: meta.size,
        modified: Timestamp(meta.last_modified.timestamp_millis()),
    }
}

/// Which names a page may have, as the store knows them.
pub(crate) struct Wanted<'a> {
    /// What all of them begin with.
    pub(crate) prefix: &'a str,
    /// What all of them come behind.
    pub(crate) after: Option<&'a str>,
    /// How many there may be.
    pub(crate) at_most: usize,
    /// Whether the store lists them in the order of their bytes. Files come in the order of folders,
    /// so all of them are looked at, and no more than a page is kept.
    pub(crate) sorted: bool,
}

impl Wanted<'_> {
    fn has(&self, name: &str) -> bool {
        name.starts_with(self.prefix) && self.after.is_none_or(|after| name > after)
    }

    /// Takes the page from a listing; names are told without the first `cut` bytes.
    pub(crate) async fn page(
        &self,
        mut listing: BoxStream<'static, Result<ObjectMeta>>,
        cut: usize,
    ) -> Result<Listing> {
        let mut found = BTreeMap::new();
        let mut more = false;
        while let Some(meta) = listing.next().await {
            let meta = meta?;
            let name = meta.location.as_ref();
            if !self.has(name) {
                continue;
            }
            found.insert(name.to_owned(), head(&meta));
            if found.len() > self.at_most {
                found.pop_last();
                more = true;
                if self.sorted {
                    break;
                }
            }
        }
        let objects = found.into_iter();
        let objects = objects.map(|(name, head)| (name[cut..].to_owned(), head));
        Ok(Listing {
            objects: objects.collect(),
            more,
        })
    }
}
