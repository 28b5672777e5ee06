//! Topics that tier, on a broker without object storage: whoever leads them here cannot read what has left the
//! disks, nor free one. Kafka's brokers refuse to start then.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use freshet_metadata::MetadataImage;
use freshet_settings::StaticSettings;
use freshet_types::NodeId;
use tokio::sync::watch;
use tokio::time::sleep;

/// Names that a message has at most.
const NAMED: usize = 10;
/// Time between two looks, and two messages.
const PAUSE: Duration = Duration::from_secs(60);
/// What is to be done.
const ADVICE: &str = "set remote.log.storage.system.enable=true and remote.log.storage.url as on the other brokers; \
                      to do without object storage, first start with it and switch these topics off \
                      (remote.storage.enable=false with remote.log.delete.on.disable=true), or delete them";

/// A broker without object storage.
pub(super) struct Stranded {
    pub(super) statics: Arc<StaticSettings>,
    pub(super) node: NodeId,
}

impl Stranded {
    /// # Errors
    /// It has replicas of topics that tier.
    pub(super) fn must_not_be(&self, image: &MetadataImage) -> Result<()> {
        match self.topics(image).as_slice() {
            [] => Ok(()),
            topics => bail!(
                "this broker has replicas of topics with remote.storage.enable=true, and no object storage ({}): {ADVICE}",
                listed(topics)
            ),
        }
    }

    /// Tells of those that come later, from a controller that knows of object storage: it goes on, for it has
    /// all of them still.
    pub(super) async fn tell(self, mut image: watch::Receiver<Arc<MetadataImage>>) {
        while image.changed().await.is_ok() {
            let now = Arc::clone(&image.borrow_and_update());
            let topics = self.topics(&now);
            if !topics.is_empty() {
                let topics = listed(&topics);
                tracing::error!(
                    topics,
                    "topics tier, and this broker has no object storage: nothing leaves its disks, and it will not \
                     start again; {ADVICE}"
                );
            }
            sleep(PAUSE).await;
        }
    }

    /// Those of which a replica belongs here.
    fn topics<'a>(&self, image: &'a MetadataImage) -> Vec<&'a str> {
        let layers = image.layers(&self.statics, self.node);
        let topics = image.topics().filter(|topic| !topic.name.is_internal());
        let tiered = topics.filter(|topic| layers.topic_tier(&topic.configs).enabled);
        let here = tiered.filter(|topic| {
            let mut partitions = topic.partitions.iter();
            partitions.any(|at| at.replicas.contains(&self.node))
        });
        let mut names: Vec<_> = here.map(|topic| topic.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// The first of them, and how many there are.
fn listed(topics: &[&str]) -> String {
    match topics.get(..NAMED) {
        Some(first) if topics.len() > NAMED => {
            format!("{} and {} more", first.join(", "), topics.len() - NAMED)
        }
        _ => topics.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use freshet_metadata::{
        AlterConfigs, AlterResource, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget,
        CreateTopics, MetadataMachine, MetadataOptions, NewTopic, PastLife, RegisterBroker,
        Request,
    };
    use freshet_settings::StaticSettingsBuilder;
    use freshet_types::{Machine, Millis, Now, Ticket, Timestamp, TopicId};

    use super::*;

    const ENABLE: (&str, &str) = ("remote.storage.enable", "true");

    fn statics(set: &[&str]) -> Arc<StaticSettings> {
        let set = set.iter().copied();
        let built = set.fold(StaticSettingsBuilder::default(), |built, set| {
            built.set(set).expect("declared")
        });
        Arc::new(built.finish().expect("settings that agree").0)
    }

    fn ask(machine: &mut MetadataMachine, request: Request) {
        let now = Now {
            monotonic: Millis(1),
            wall: Timestamp(1_700_000_000_000),
        };
        let decision = machine.decide(now, Ticket(0), request);
        for record in &decision.records {
            machine.apply(record);
        }
    }

    /// Two brokers; `a` tiers on the first, `b` on the second, `c` on neither.
    fn cluster() -> MetadataMachine {
        let controllers = statics(&[
            "remote.log.storage.system.enable=true",
            "remote.log.storage.url=file:///bucket",
        ]);
        let mut machine = MetadataMachine::new(MetadataOptions::of(controllers));
        for node in [1, 2] {
            let broker = RegisterBroker {
                node: NodeId(node),
                incarnation: [1; 16],
                listeners: Vec::new(),
                rack: None,
                directories: Vec::new(),
                features: Vec::new(),
                past: PastLife::None,
            };
            ask(&mut machine, broker.into());
        }
        let topic = |name: &str, n, node, configs: &[(&str, &str)]| NewTopic {
            name: name.to_owned(),
            id: TopicId([n; 16]),
            assignments: vec![(0, vec![NodeId(node)])],
            configs: configs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect(),
            partitions: -1,
            replication_factor: -1,
        };
        let create = CreateTopics {
            topics: vec![
                topic("a", 1, 1, &[ENABLE]),
                topic("b", 2, 2, &[ENABLE]),
                topic("c", 3, 2, &[]),
                topic("__consumer_offsets", 4, 2, &[]),
            ],
            validate_only: false,
        };
        ask(&mut machine, create.into());
        machine
    }

    fn topics(machine: &MetadataMachine, node: i32) -> Vec<String> {
        let broker = Stranded {
            statics: statics(&[]),
            node: NodeId(node),
        };
        let named = broker.topics(machine.image());
        named.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_broker_without_a_bucket_does_not_start_with_replicas_that_tier() {
        let mut machine = cluster();
        assert_eq!(topics(&machine, 1), ["a"]);
        assert_eq!(topics(&machine, 2), ["b"]);
        assert!(topics(&machine, 3).is_empty(), "it has none of them");
        let broker = Stranded {
            statics: statics(&[]),
            node: NodeId(2),
        };
        let why = broker
            .must_not_be(machine.image())
            .expect_err("b")
            .to_string();
        for said in [
            "(b)",
            "remote.log.storage.system.enable=true",
            "remote.log.storage.url",
        ] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
        // By the default of the cluster all do that say nothing, but for its own.
        let change = AlterConfigs {
            resources: vec![AlterResource {
                target: ConfigTarget::Cluster,
                change: ConfigChange::Edit(vec![ConfigEdit {
                    name: "freshet.remote.storage.enable".to_owned(),
                    op: ConfigOp::Set,
                    value: Some("true".to_owned()),
                }]),
            }],
            validate_only: false,
        };
        ask(&mut machine, change.into());
        assert_eq!(topics(&machine, 2), ["b", "c"]);
    }

    #[test]
    fn a_message_names_some_and_counts_the_rest() {
        let names: Vec<_> = (0..12).map(|n| format!("t{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(listed(&names[..2]), "t0, t1");
        assert!(listed(&names).ends_with("t9 and 2 more"));
    }
}
