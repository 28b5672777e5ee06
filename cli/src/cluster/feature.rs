//! `freshet feature`.

use clap::{Args, Subcommand};
use freshet_client::FeatureLevel;
use serde::Serialize;
use serde_json::json;

use crate::Context;
use crate::output::Rows;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the brokers can work with, and what the cluster uses.
    List(List),
    /// Set levels for the whole cluster, all of them or none.
    Set(Set),
}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet feature list
  freshet feature list --output json")]
pub(crate) struct List {}

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet feature set eligible.leader.replicas.version=1 --dry-run
  freshet feature set freshet.metadata.version=1")]
pub(crate) struct Set {
    /// Features and their new levels.
    #[arg(required = true, value_name = "NAME=LEVEL", value_parser = level)]
    levels: Vec<(String, i16)>,
    /// Let levels go down.
    #[arg(long)]
    allow_downgrade: bool,
    /// Only check.
    #[arg(long)]
    dry_run: bool,
}

fn level(text: &str) -> Result<(String, i16), String> {
    let (name, level) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{text:?} must have the form NAME=LEVEL"))?;
    let level = level
        .parse()
        .map_err(|_| format!("{level:?} is no level"))?;
    Ok((name.to_owned(), level))
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    min: Option<i16>,
    max: Option<i16>,
    finalized: Option<i16>,
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    let admin = context.client.admin();
    match command {
        Command::List(_) => {
            let asking = admin.features();
            let features = context.patience.with("listing features", asking).await?;
            let listed: Vec<Listed> = features.into_iter().map(listed).collect();
            context.output.show(&listed, table)
        }
        Command::Set(args) => {
            let setting = admin.update_features(&args.levels, args.allow_downgrade, args.dry_run);
            context.patience.with("setting features", setting).await?;
            let all = args
                .levels
                .iter()
                .map(|(name, level)| format!("{name}={level}"));
            let all: Vec<_> = all.collect();
            let done = if args.dry_run { "could be set" } else { "set" };
            let result = json!({ "features": all, "dry_run": args.dry_run });
            let sentence = format!("{} {done}", all.join(", "));
            context.output.say(&result, &sentence)
        }
    }
}

fn listed(feature: FeatureLevel) -> Listed {
    Listed {
        name: feature.name,
        min: feature.supported.map(|(min, _)| min),
        max: feature.supported.map(|(_, max)| max),
        finalized: feature.finalized,
    }
}

fn table(features: &Vec<Listed>) -> Rows {
    let mut rows = Rows::new(
        &["FEATURE", ">LEVEL", ">LOWEST", ">HIGHEST"],
        "the brokers tell of no features",
    );
    for feature in features {
        let number = |n: Option<i16>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        rows.push([
            feature.name.clone(),
            number(feature.finalized),
            number(feature.min),
            number(feature.max),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_number() {
        assert_eq!(level("a.b=2"), Ok(("a.b".to_owned(), 2)));
        for bad in ["a", "=1", "a=", "a=x", "a=99999"] {
            assert!(level(bad).is_err(), "{bad}");
        }
    }
}
