//! `freshet tier restore-plan`.

use clap::Args;

use crate::Context;
use crate::cluster::restore::{self, Restore};

#[derive(Debug, Args)]
#[command(after_help = "\
The same as `freshet cluster restore --dry-run`. It is asked of the cluster that is to have the topics: a new
one with the cluster id of before (freshet.cluster.id) and the same bucket; or, with --deleted, the one that has
deleted them. Whether the objects are all there and undamaged is said by `freshet tier verify`.

EXAMPLES:
  freshet tier restore-plan --from s3://bucket/prefix
  freshet tier restore-plan --from s3://bucket/prefix --deleted orders
  freshet tier restore-plan --from file:///mnt/objects --output json")]
pub(crate) struct RestorePlan {
    /// The object storage of the cluster, as in remote.log.storage.url.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Only this topic, which was deleted and its objects kept, by name or id (`freshet tier kept`); may be
    /// repeated.
    #[arg(long = "deleted", value_name = "TOPIC")]
    deleted: Vec<String>,
}

impl RestorePlan {
    /// The restore that it shows.
    pub(crate) fn restore(self) -> Restore {
        Restore::planned(self.from, self.deleted)
    }
}

/// Shows what a restore would do.
pub(crate) async fn run(context: &Context, args: RestorePlan) -> anyhow::Result<()> {
    restore::run(context, args.restore()).await
}
