//! `freshet config`.

mod resource;

use clap::{Args, Subcommand};
use freshet_client::{ConfigChange, ConfigEntry, ConfigSource, Resource};
use serde::Serialize;
use serde_json::json;

use crate::advice::nearest;
use crate::output::Rows;
use crate::{Context, text};

const RESOURCES: &str = "\
RESOURCES:
  topic:NAME   a topic
  broker:ID    one broker
  brokers      what all brokers share
  group:NAME   a group";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show settings, by default those that somebody has set.
    Describe(Describe),
    /// Change settings.
    Set(Set),
    /// Let settings fall back to their defaults.
    Unset(Unset),
}

#[derive(Debug, Args)]
#[command(before_long_help = RESOURCES, after_help = "\
EXAMPLES:
  freshet config describe topic:orders
  freshet config describe topic:orders --all
  freshet config describe broker:1 --name log.retention.ms")]
pub(crate) struct Describe {
    /// topic:NAME, broker:ID, brokers or group:NAME.
    #[arg(value_parser = resource::parse)]
    resource: Resource,
    /// Show defaults too.
    #[arg(long)]
    all: bool,
    /// Show only this setting; may be repeated.
    #[arg(long = "name")]
    names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(before_long_help = RESOURCES, after_help = "\
EXAMPLES:
  freshet config set topic:orders retention.ms=3600000 max.message.bytes=2000000
  freshet config set brokers log.retention.ms=604800000
  freshet config set topic:orders retention.ms=1 --dry-run")]
pub(crate) struct Set {
    /// topic:NAME, broker:ID, brokers or group:NAME.
    #[arg(value_parser = resource::parse)]
    resource: Resource,
    /// Settings and their new values.
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = text::name_value)]
    settings: Vec<(String, String)>,
    /// Only check.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(before_long_help = RESOURCES, after_help = "\
EXAMPLES:
  freshet config unset topic:orders retention.ms
  freshet config unset broker:1 log.cleaner.threads")]
pub(crate) struct Unset {
    /// topic:NAME, broker:ID, brokers or group:NAME.
    #[arg(value_parser = resource::parse)]
    resource: Resource,
    /// Names of the settings.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
    sensitive: bool,
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Describe(args) => describe(context, args).await,
        Command::Set(args) => {
            let set = |(name, value)| ConfigChange::set(name, value);
            let changes = args.settings.into_iter().map(set).collect();
            alter(context, &args.resource, changes, args.dry_run).await
        }
        Command::Unset(args) => {
            let changes = args.names.into_iter().map(ConfigChange::unset).collect();
            alter(context, &args.resource, changes, false).await
        }
    }
}

async fn describe(context: &Context, args: Describe) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let entries = context
        .patience
        .with("reading settings", admin.describe_configs(&args.resource))
        .await?;
    for name in &args.names {
        if !entries.iter().any(|entry| entry.name == *name) {
            let known = entries.iter().map(|entry| entry.name.as_str());
            let hint = nearest::hint(name, known);
            anyhow::bail!("{} has no setting {name:?}{hint}", args.resource);
        }
    }
    let wanted = |entry: &ConfigEntry| {
        if args.names.is_empty() {
            args.all || entry.source != ConfigSource::Default
        } else {
            args.names.contains(&entry.name)
        }
    };
    let shown: Vec<_> = entries.into_iter().filter(wanted).map(show).collect();
    context.output.show(&shown, table)
}

fn show(entry: ConfigEntry) -> Entry {
    Entry {
        name: entry.name,
        value: entry.value,
        source: entry.source.name(),
        read_only: entry.read_only,
        sensitive: entry.sensitive,
    }
}

fn table(entries: &Vec<Entry>) -> Rows {
    let mut rows = Rows::new(
        &["NAME", "VALUE", "SOURCE"],
        "nobody has set anything; --all shows defaults",
    );
    for entry in entries {
        let hidden = if entry.sensitive { "(hidden)" } else { "" };
        rows.push([
            entry.name.clone(),
            entry.value.clone().unwrap_or_else(|| hidden.to_owned()),
            entry.source.to_owned(),
        ]);
    }
    rows
}

async fn alter(
    context: &Context,
    resource: &Resource,
    changes: Vec<ConfigChange>,
    dry_run: bool,
) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let changing = admin.alter_configs(resource, &changes, dry_run);
    context.patience.with("changing settings", changing).await?;
    let names: Vec<_> = changes.iter().map(|c| c.name.as_str()).collect();
    let done = if dry_run {
        "could be changed"
    } else {
        "changed"
    };
    let sentence = format!("{resource}: {} {done}", names.join(", "));
    context.output.say(
        &json!({ "resource": resource.to_string(), "changed": names, "dry_run": dry_run }),
        &sentence,
    )
}
