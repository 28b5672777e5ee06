//! The command line's top.

pub(crate) mod security;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;
use crate::{broker, cluster, config, consume, group, produce, text, tier, topic};

/// Topics, records, groups and settings of a Freshet or Kafka cluster.
#[derive(Debug, Parser)]
#[command(name = "freshet", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES:
  freshet topic create orders --partitions 6
  echo 'hello' | freshet produce orders
  freshet consume orders --from beginning
  freshet consume orders --group billing --follow
  freshet group describe billing
  freshet --bootstrap broker-1:9092,broker-2:9092 cluster describe
  freshet --bootstrap kafka:9093 --command-config client.properties topic list";

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Brokers to learn the cluster from, separated by commas.
    #[arg(
        long,
        global = true,
        env = "FRESHET_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = text::address
    )]
    pub(crate) bootstrap: Vec<String>,
    /// How to reach brokers behind TLS and passwords: a properties file with the names of Kafka's own
    /// clients, such as security.protocol and sasl.jaas.config.
    #[arg(
        long,
        global = true,
        env = "FRESHET_COMMAND_CONFIG",
        value_name = "FILE"
    )]
    pub(crate) command_config: Option<PathBuf>,
    /// How results are shown: table, or json for programs.
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        hide_possible_values = true,
        default_value_t = Format::Table
    )]
    pub(crate) output: Format,
    /// How long to try before giving up, for example 500ms or 2m [default: 30s, and 3s for the first
    /// contact].
    #[arg(long, global = true, value_name = "DURATION", value_parser = text::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Say nothing on stderr unless something fails.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// How long one call, or the way of one record to the broker, may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(30))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list, describe, alter and delete topics.
    #[command(subcommand)]
    Topic(topic::Command),
    /// Write records: lines from stdin or a file, or one value.
    Produce(produce::Command),
    /// Read records, alone or as a member of a group.
    Consume(consume::Command),
    /// List groups, show their lag, move their positions, delete them.
    #[command(subcommand)]
    Group(group::Command),
    /// Show and change settings of topics, brokers and groups.
    #[command(subcommand)]
    Config(config::Command),
    /// Show what is in object storage, pause copying and resume it.
    #[command(subcommand)]
    Tier(tier::Command),
    /// List brokers, cordon and drain them, take them out of the cluster.
    #[command(subcommand)]
    Broker(broker::Command),
    /// Show the controllers, change who votes.
    #[command(subcommand)]
    Quorum(cluster::quorum::Command),
    /// Show and set feature levels.
    #[command(subcommand)]
    Feature(cluster::feature::Command),
    /// Show the cluster and its brokers.
    #[command(subcommand)]
    Cluster(cluster::Command),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_name() == "help" {
                return;
            }
            if !command.has_subcommands() {
                let help = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(help.contains("EXAMPLES"), "{path} has no examples");
            }
            command.get_subcommands().for_each(|c| check(c, &path));
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn who_looks_into_a_bucket_is_shown_what_a_restore_would_do() {
        let mut cli = Cli::command();
        let tier = cli.find_subcommand_mut("tier").expect("a command");
        let help = tier.render_help().to_string();
        assert!(help.contains("restore-plan"), "{help}");
        let plan = "freshet tier restore-plan --from s3://bucket/prefix --deleted orders";
        let plan = Cli::try_parse_from(plan.split(' ')).expect("it is a command");
        let restore = "freshet cluster restore --from s3://bucket/prefix --deleted orders \
                       --dry-run --watch 0s";
        let restore = Cli::try_parse_from(restore.split(' ')).expect("so is that");
        let Command::Tier(tier::Command::RestorePlan(plan)) = plan.command else {
            panic!("{plan:?}");
        };
        let Command::Cluster(cluster::Command::Restore(restore)) = restore.command else {
            panic!("{restore:?}");
        };
        assert_eq!(format!("{:?}", plan.restore()), format!("{restore:?}"));
    }

    #[test]
    fn global_options_may_follow_the_command() {
        let cli =
            Cli::try_parse_from(["freshet", "topic", "list", "-o", "json", "--timeout", "5s"]);
        let global = cli.expect("it parses").global;
        assert_eq!(
            (global.output, global.timeout()),
            (Format::Json, Duration::from_secs(5))
        );
    }
}
