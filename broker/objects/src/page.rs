//! One page out of a listing.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_env::objects::{Listing, ObjectHead};
use freshet_types::Timestamp;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{Error, ObjectMeta, Result};

/// What the stores tell at once, unless less is asked for; Azure five times that.
const STORE_PAGE: usize = 1000;

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

    /// A listing whose requests ask for as many names as are wanted, and one that tells whether there are more; none
    /// where a page of the store's own is no longer than that.
    pub(crate) fn few(
        &self,
        store: &Arc<dyn PaginatedListStore>,
    ) -> Option<BoxStream<'static, Result<ObjectMeta>>> {
        let most = self.at_most.saturating_add(1);
        if most >= STORE_PAGE {
            return None;
        }
        let (store, prefix) = (Arc::clone(store), self.prefix.to_owned());
        let after = self.after.map(str::to_owned);
        let pages = stream::try_unfold(Some(None), move |token: Option<Option<String>>| {
            let (store, prefix, offset) = (Arc::clone(&store), prefix.clone(), after.clone());
            async move {
                let Some(page_token) = token else {
                    return Ok(None);
                };
                let options = PaginatedListOptions {
                    offset,
                    max_keys: Some(most),
                    page_token,
                    ..PaginatedListOptions::default()
                };
                let prefix = Some(&*prefix).filter(|prefix| !prefix.is_empty());
                let page = store.list_paginated(prefix, options).await?;
                let next = page.page_token.map(Some);
                let found = stream::iter(page.result.objects.into_iter().map(Ok));
                Ok::<_, Error>(Some((found, next)))
            }
        });
        Some(pages.try_flatten().boxed())
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
