//! `freshet broker cordon` and `uncordon`.

use clap::Args;
use freshet_types::NodeId;
use serde_json::json;

use crate::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet broker cordon 1
  freshet broker cordon 1 --output json")]
pub(crate) struct Cordon {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
}

impl Cordon {
    pub(super) fn id(&self) -> NodeId {
        NodeId(self.id)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet broker uncordon 1
  freshet broker uncordon 1 --output json")]
pub(crate) struct Uncordon {
    /// Its number.
    #[arg(value_name = "ID")]
    id: i32,
}

impl Uncordon {
    pub(super) fn id(&self) -> NodeId {
        NodeId(self.id)
    }
}

pub(super) async fn run(context: &Context, id: NodeId, cordoned: bool) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let changing = admin.cordon_broker(id, cordoned);
    context.patience.with("changing a broker", changing).await?;
    let sentence = if cordoned {
        format!("broker {id} is cordoned: it keeps what it has and gets no new partitions")
    } else {
        format!("broker {id} takes new partitions again")
    };
    let result = json!({ "broker": id.0, "cordoned": cordoned });
    context.output.say(&result, &sentence)
}
