//! The command line.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  freshet-operator crds | kubectl apply --server-side -f -
      install the definitions of Cluster and Topic
  freshet-operator --namespaces shop,billing
      look after these namespaces only

In a cluster it is installed by the Helm chart freshet-operator. Logging: FRESHET_LOG=debug.";

/// Makes Kubernetes run what Cluster and Topic resources ask for.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the definitions of all kinds as YAML.
    Crds,
    /// Let go of all Topics, so that deleting them waits for no operator. Topics and records stay.
    ///
    /// For an operator that is uninstalled; one at work takes hold of them again.
    Release {
        /// Of these namespaces, separated by commas; none for all
        #[arg(
            long,
            env = "FRESHET_NAMESPACES",
            value_delimiter = ',',
            value_name = "NAMES"
        )]
        namespaces: Vec<String>,
    },
    /// Ask an address of plain HTTP, such as an operator's `/readyz`: exit code 0 if the answer is 200.
    Probe {
        /// What to ask, `http://HOST:PORT/PATH`
        url: String,
    },
}

/// How to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Namespaces to look after, separated by commas; none for all
    #[arg(
        long,
        env = "FRESHET_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub(crate) namespaces: Vec<String>,

    /// The image of brokers whose Cluster names none
    #[arg(long, env = "FRESHET_BROKER_IMAGE", value_name = "IMAGE",
          default_value = concat!("freshet.dev/broker:", env!("CARGO_PKG_VERSION")))]
    pub(crate) broker_image: String,

    /// Where health and metrics are served
    #[arg(
        long,
        env = "FRESHET_HTTP_LISTENER",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    pub(crate) http_listener: SocketAddr,

    /// The namespace that the operator runs in: its Lease is there
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NAME",
        default_value = "default"
    )]
    pub(crate) own_namespace: String,

    /// The name by which this process holds the Lease
    #[arg(
        long,
        env = "POD_NAME",
        value_name = "NAME",
        default_value = "freshet-operator"
    )]
    pub(crate) identity: String,

    /// Work without a Lease, where nobody else can be at work
    #[arg(long, env = "FRESHET_NO_LEASE")]
    pub(crate) no_lease: bool,

    /// The domain of Services
    #[arg(
        long,
        env = "FRESHET_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    pub(crate) cluster_domain: String,

    /// How log lines look
    #[arg(long, env = "FRESHET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let args = Args::parse_from(["freshet-operator", "--namespaces", "a,b"]);
        assert_eq!(args.run.namespaces, ["a", "b"]);
    }
}
