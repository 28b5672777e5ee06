//! Apache's console tools, run as a user runs them.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::kafka_server::java;
use crate::process::{Output, run};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs console tools against one broker.
pub struct Tools {
    bootstrap: String,
}

impl Tools {
    /// Tools that speak to `bootstrap`.
    pub fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
        }
    }

    /// Runs a tool by its script's name (`kafka-topics`) and gives its standard output.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Result<String> {
        self.feed(script, arguments, "")
    }

    /// The same with something on its standard input.
    pub fn feed(&self, script: &str, arguments: &[&str], input: &str) -> Result<String> {
        let told = || format!("{script} {}", arguments.join(" "));
        self.outcome(script, arguments, input)?
            .success()
            .with_context(told)
    }

    /// Runs a tool that may fail.
    pub fn outcome(&self, script: &str, arguments: &[&str], input: &str) -> Result<Output> {
        let class = match script {
            "kafka-topics" => "org.apache.kafka.tools.TopicCommand",
            "kafka-console-producer" => "org.apache.kafka.tools.ConsoleProducer",
            "kafka-console-consumer" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "kafka-consumer-groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            "kafka-configs" => "kafka.admin.ConfigCommand",
            "kafka-get-offsets" => "org.apache.kafka.tools.GetOffsetShell",
            "kafka-delete-records" => "org.apache.kafka.tools.DeleteRecordsCommand",
            "kafka-producer-perf-test" => "org.apache.kafka.tools.ProducerPerformance",
            "kafka-broker-api-versions" => "org.apache.kafka.tools.BrokerApiVersionsCommand",
            "kafka-log-dirs" => "org.apache.kafka.tools.LogDirsCommand",
            "kafka-reassign-partitions" => {
                "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
            }
            "kafka-leader-election" => "org.apache.kafka.tools.LeaderElectionCommand",
            "kafka-metadata-quorum" => "org.apache.kafka.tools.MetadataQuorumCommand",
            "kafka-features" => "org.apache.kafka.tools.FeatureCommand",
            "kafka-cluster" => "org.apache.kafka.tools.ClusterTool",
            other => anyhow::bail!("no tool {other}"),
        };
        let mut command = java("-Xmx256m", &[])?;
        command.arg(class);
        // This one wants its verb first.
        let verbs = usize::from(script == "kafka-cluster");
        command
            .args(&arguments[..verbs])
            .args(["--bootstrap-server", &self.bootstrap])
            .args(&arguments[verbs..]);
        run(command, input, LIMIT)
    }
}
