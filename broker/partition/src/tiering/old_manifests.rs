//! Manifests before the newest one, where no leader's walks see to them: of a topic that is deleted, and of
//! a past that goes. A leader that tiers leaves a few of them, see `patrol`.

use std::sync::atomic::Ordering;

use freshet_env::objects::ObjectFailure;
use freshet_tier::ObjectName;

use super::tended::{Tended, Trouble, failed};

impl Tended {
    /// Deletes all manifests before version `end`, one after the other. Who is stopped begins again, and
    /// finds fewer.
    pub(super) async fn drop_manifests(&self, end: u64) -> Result<(), Trouble> {
        let parts = &self.shared.parts;
        let prefix = parts.layout.manifests(self.at);
        let mut after: Option<String> = None;
        loop {
            let page = self.shared.list(self.at, &prefix, after.as_deref()).await;
            let page = page.map_err(|error| failed(&error))?;
            for (key, _) in &page.objects {
                match parts.layout.parse(self.at, key) {
                    Some(ObjectName::Manifest { version }) if version < end => {}
                    // They come in the order of versions.
                    Some(ObjectName::Manifest { .. }) => return Ok(()),
                    _ => continue,
                }
                self.drop_manifest(key).await?;
            }
            after = page.objects.last().map(|(key, _)| key.clone());
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    async fn drop_manifest(&self, key: &str) -> Result<(), Trouble> {
        let parts = &self.shared.parts;
        match parts.objects.delete(key).await {
            Err(error) if error.failure != ObjectFailure::NotFound => Err(failed(&error)),
            _ => {
                let old = &parts.counts.scrub.old_manifests;
                old.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}
