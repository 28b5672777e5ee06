//! `freshet topic alter`.

use clap::Args;
use freshet_client::{ConfigChange, Resource};
use serde_json::json;

use super::factor;
use crate::{Context, text};

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet topic alter orders --partitions 12
  freshet topic alter orders --replication-factor 1
  freshet topic alter orders --replication-factor 3 --throttle 50MB
  freshet topic alter orders --config retention.ms=3600000
  freshet topic alter orders --unset retention.ms")]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
pub(crate) struct Alter {
    /// Name of the topic.
    #[arg(value_name = "TOPIC")]
    name: String,
    /// Partitions it shall have in total; more than now. Keys may move to other partitions.
    #[arg(long, short, group = "change", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies that each partition shall have. They are made, or dropped, in the background.
    #[arg(long, group = "change", value_name = "COPIES", value_parser = clap::value_parser!(u16).range(1..=1000))]
    replication_factor: Option<u16>,
    /// Bytes a second that each broker sends, and receives, for copies at most, such as 50MB. Waits until
    /// they are made.
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = text::rate, requires = "replication_factor")]
    throttle: Option<u64>,
    /// A setting to change; may be repeated.
    #[arg(
        long = "config",
        short,
        group = "change",
        value_name = "NAME=VALUE",
        value_parser = text::name_value
    )]
    configs: Vec<(String, String)>,
    /// A setting that shall fall back to its default; may be repeated.
    #[arg(long, group = "change", value_name = "NAME")]
    unset: Vec<String>,
}

pub(super) async fn run(context: &Context, args: Alter) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let changes: Vec<_> = args
        .configs
        .iter()
        .map(|(name, value)| ConfigChange::set(name, value))
        .chain(args.unset.iter().map(ConfigChange::unset))
        .collect();
    // First what can be undone.
    if !changes.is_empty() {
        let resource = Resource::Topic(args.name.clone());
        let changing = admin.alter_configs(&resource, &changes, false);
        context.patience.with("changing settings", changing).await?;
    }
    if let Some(count) = args.partitions {
        let widening = admin.create_partitions(&args.name, count);
        context.patience.with("adding partitions", widening).await?;
    }
    let mut moving = 0;
    if let Some(factor) = args.replication_factor {
        let names = std::slice::from_ref(&args.name);
        let finding = context.client.topics(names);
        context.patience.with("finding a topic", finding).await?;
        moving = factor::change(context, &args.name, usize::from(factor), args.throttle).await?;
    }
    let result = json!({
        "name": args.name,
        "partitions": args.partitions,
        "settings": changes.len(),
        "moving": if args.throttle.is_some() { 0 } else { moving },
        "moved": if args.throttle.is_some() { moving } else { 0 },
    });
    let moves = match (moving, args.throttle) {
        (0, _) => String::new(),
        (count, Some(_)) => format!("; {} moved", text::count(count as u64, "partition")),
        (count, None) => format!(
            "; {} on the move, `freshet topic reassign --list` shows them",
            text::count(count as u64, "partition")
        ),
    };
    let sentence = format!("topic {} altered{moves}", args.name);
    context.output.say(&result, &sentence)
}
