//! What a cluster says of its partitions, and what it is asked to do with them: Freshet's own
//! client, the same for both brokers. None of it is part of what is measured but by its waiting.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use freshet_client::{
    Client, ClientConfig, ConfigChange, Election, NewTopic, PartitionView, Producer,
    ProducerConfig, ProducerRecord, Reassignment, Resource, TopicView,
};
use freshet_types::NodeId;
use tokio::runtime::Runtime;

/// How often a cluster is asked again; also the precision of what is waited for.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client of one cluster.
pub(crate) struct Asker {
    runtime: Runtime,
    client: Client,
}

/// A producer with its records under way.
pub(crate) struct Sample {
    producer: Producer,
    topic: String,
    partitions: Vec<i32>,
}

impl Asker {
    /// Waits for the first contact with any broker of `bootstrap`.
    pub(crate) fn new(bootstrap: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let config = ClientConfig {
            backoff_min: ASK_EVERY,
            backoff_max: ASK_EVERY * 5,
            request_timeout: PATIENCE,
            call_timeout: PATIENCE,
            bootstrap_timeout: PATIENCE,
            ..ClientConfig::new(bootstrap.split(','))
        };
        let client = runtime.block_on(Client::connect(config))?;
        Ok(Self { runtime, client })
    }

    /// Waits until so many brokers are there.
    pub(crate) fn await_brokers(&self, count: usize) -> Result<()> {
        let start = Instant::now();
        while self.client.view().brokers.len() < count {
            if start.elapsed() > PATIENCE {
                bail!("fewer than {count} brokers after {PATIENCE:?}");
            }
            // A broker that does not answer yet is asked again.
            let seen = self.client.view();
            drop(self.runtime.block_on(self.client.refresh(&seen)));
        }
        Ok(())
    }

    /// Creates a topic.
    pub(crate) fn create(&self, name: &str, partitions: u32, replicas: i16) -> Result<()> {
        let topic = NewTopic {
            replication: Some(replicas),
            ..NewTopic::new(name)
                .partitions(i32::try_from(partitions)?)
                .config("min.insync.replicas", (replicas - 1).max(1).to_string())
        };
        self.runtime
            .block_on(self.client.admin().create_topic(&topic))?;
        Ok(())
    }

    /// Waits until `fine` holds of all partitions of a topic.
    pub(crate) fn until(&self, topic: &str, fine: impl Fn(&PartitionView) -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            let view = self.topic(topic);
            if view.is_ok_and(|view| view.partitions.iter().all(&fine)) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("{topic} is not as expected after {PATIENCE:?}");
            }
        }
    }

    /// Waits until all replicas of a topic are in sync.
    pub(crate) fn until_whole(&self, topic: &str) -> Result<()> {
        self.until(topic, |p| {
            p.leader.is_some() && p.isr.len() == p.replicas.len()
        })
    }

    /// Has the first of its replicas lead each partition, and waits for that.
    pub(crate) fn elect_preferred(&self, topic: &str) -> Result<()> {
        let admin = self.client.admin();
        let elected = admin.elect_leaders(Election::Preferred, None);
        self.runtime.block_on(elected)?;
        self.until(topic, |p| p.leader.as_ref() == p.replicas.first())
    }

    /// A topic as it is now.
    pub(crate) fn topic(&self, name: &str) -> Result<TopicView> {
        let names = [name.to_owned()];
        let view = self.runtime.block_on(async {
            let seen = self.client.topics(&names).await?;
            self.client.refresh(&seen).await
        })?;
        view.topic(name)
            .cloned()
            .with_context(|| format!("there is no topic {name}"))
    }

    /// Has replicas moved.
    pub(crate) fn reassign(&self, topic: &str, places: &[(i32, Vec<NodeId>)]) -> Result<()> {
        let place = |(partition, replicas): &(i32, Vec<NodeId>)| Reassignment {
            partition: (topic.to_owned(), *partition),
            replicas: Some(replicas.clone()),
        };
        let changes: Vec<_> = places.iter().map(place).collect();
        let admin = self.client.admin();
        let outcomes = self.runtime.block_on(admin.reassign(&changes))?;
        outcomes
            .into_iter()
            .try_for_each(|(_, outcome)| outcome)
            .context("reassigning")
    }

    /// How many moves are under way.
    pub(crate) fn moves(&self) -> Result<usize> {
        let admin = self.client.admin();
        Ok(self.runtime.block_on(admin.list_reassignments())?.len())
    }

    /// Waits until nothing is moved any more.
    pub(crate) fn until_settled(&self) -> Result<()> {
        let start = Instant::now();
        while self.moves()? > 0 {
            if start.elapsed() > PATIENCE {
                bail!("replicas still move after {PATIENCE:?}");
            }
            std::thread::sleep(ASK_EVERY * 5);
        }
        Ok(())
    }

    /// Changes settings of something.
    pub(crate) fn configure(&self, what: &Resource, changes: &[ConfigChange]) -> Result<()> {
        let admin = self.client.admin();
        let altered = self
            .runtime
            .block_on(admin.alter_configs(what, changes, false));
        altered.with_context(|| format!("setting {what}"))
    }

    /// A producer for single records, one for each of some partitions.
    pub(crate) fn sample(&self, topic: &str, partitions: Vec<i32>) -> Result<Sample> {
        let config = ProducerConfig {
            linger: Duration::ZERO,
            ..ProducerConfig::default()
        };
        Ok(Sample {
            producer: self
                .runtime
                .block_on(Producer::start(&self.client, config))?,
            topic: topic.to_owned(),
            partitions,
        })
    }

    /// Sends a record to each partition of the sample, and waits until all are accepted.
    pub(crate) fn accepted(&self, sample: &Sample) -> Result<()> {
        self.runtime.block_on(async {
            let mut receipts = Vec::new();
            for partition in &sample.partitions {
                let record = ProducerRecord {
                    topic: sample.topic.clone(),
                    partition: Some(*partition),
                    value: Some("one of a sample".into()),
                    ..ProducerRecord::default()
                };
                receipts.push(sample.producer.send(record).await?);
            }
            for receipt in receipts {
                receipt.delivered().await?;
            }
            Ok(())
        })
    }
}
