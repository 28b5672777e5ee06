//! The door to brokers: all that a look at a cluster asks of them. Tests answer in their place.

use std::sync::Arc;

use freshet_client::{
    Client, ClientError, ClusterDescription, ConfigChange, ConfigEntry, FeatureLevel, NewVoter,
    Outcomes, QuorumDescription, Reassignment, Resource, Survey, TopicPartition,
};
use freshet_types::{NodeId, TopicId};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::brokers::{self, AfterRestart, BeforeRestart};
use crate::clusters::{Clusters, Way};

/// What brokers answer over Kafka's protocol.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, ClientError>>;
/// What one broker answers over HTTP; else a sentence that says why it does not.
pub(crate) type Word<'a, T> = BoxFuture<'a, Result<T, String>>;

/// The way to brokers.
pub(crate) trait Door: Send + Sync {
    /// The brokers of the cluster at these addresses, once one of them answers.
    fn reach<'a>(&'a self, bootstrap: &'a [String]) -> Answer<'a, Arc<dyn Brokers>>;
    /// Lets go of a cluster's connections.
    fn forget(&self, bootstrap: &[String]);
    /// May the broker at this address stop, together with these?
    fn before_restart<'a>(&'a self, ip: &'a str, others: &'a [i32]) -> Word<'a, BeforeRestart>;
    /// Is it in sync again?
    fn after_restart<'a>(&'a self, ip: &'a str) -> Word<'a, AfterRestart>;
    /// Is the process at this address stopped on purpose?
    fn is_idle<'a>(&'a self, ip: &'a str) -> Word<'a, bool>;
}

/// The brokers of one cluster.
pub(crate) trait Brokers: Send + Sync {
    /// Brokers and partitions.
    fn survey(&self) -> Answer<'_, Survey>;
    /// The brokers that are registered, those that are down too.
    fn describe_cluster(&self) -> Answer<'_, ClusterDescription>;
    /// Who votes, and who leads.
    fn describe_quorum(&self) -> Answer<'_, QuorumDescription>;
    /// Gives a controller that has caught up a vote.
    fn add_voter<'a>(&'a self, voter: &'a NewVoter) -> Answer<'a, ()>;
    /// Takes the vote of a controller in this directory.
    fn remove_voter(&self, id: NodeId, directory: TopicId) -> Answer<'_, ()>;
    /// Levels of features, as any broker tells them.
    fn features(&self) -> Answer<'_, Vec<FeatureLevel>>;
    /// The same of one broker: what it can work with.
    fn features_of(&self, id: NodeId) -> Answer<'_, Vec<FeatureLevel>>;
    /// Sets levels; `down` allows lower ones.
    fn update_features<'a>(&'a self, levels: &'a [(String, i16)], down: bool) -> Answer<'a, ()>;
    /// What all brokers are set to.
    fn settings(&self) -> Answer<'_, Vec<ConfigEntry>>;
    /// The addresses that a broker tells, as it was started with them; `None` if it was not.
    fn advertised(&self, id: NodeId) -> Answer<'_, Option<String>>;
    /// Changes what all brokers are set to.
    fn set<'a>(&'a self, changes: &'a [ConfigChange]) -> Answer<'a, ()>;
    /// Keeps new partitions away from a broker, or lets them come again.
    fn cordon(&self, id: NodeId, cordoned: bool) -> Answer<'_, ()>;
    /// Moves partitions; each has its own outcome.
    fn reassign<'a>(
        &'a self,
        moves: &'a [Reassignment],
    ) -> Answer<'a, Outcomes<TopicPartition, ()>>;
    /// Forgets a broker.
    fn unregister(&self, id: NodeId) -> Answer<'_, ()>;
}

impl Door for Clusters {
    fn reach<'a>(&'a self, bootstrap: &'a [String]) -> Answer<'a, Arc<dyn Brokers>> {
        let reached = async {
            let client = self.client(&Way::open(bootstrap)).await?;
            Ok(Arc::new(client) as Arc<dyn Brokers>)
        };
        reached.boxed()
    }

    fn forget(&self, bootstrap: &[String]) {
        self.forget(&Way::open(bootstrap));
    }

    fn before_restart<'a>(&'a self, ip: &'a str, others: &'a [i32]) -> Word<'a, BeforeRestart> {
        brokers::before_restart(ip, others).boxed()
    }

    fn after_restart<'a>(&'a self, ip: &'a str) -> Word<'a, AfterRestart> {
        brokers::after_restart(ip).boxed()
    }

    fn is_idle<'a>(&'a self, ip: &'a str) -> Word<'a, bool> {
        brokers::is_idle(ip).boxed()
    }
}

impl Brokers for Client {
    fn survey(&self) -> Answer<'_, Survey> {
        Survey::take(self).boxed()
    }

    fn describe_cluster(&self) -> Answer<'_, ClusterDescription> {
        async { self.admin().describe_cluster().await }.boxed()
    }

    fn describe_quorum(&self) -> Answer<'_, QuorumDescription> {
        async { self.admin().describe_quorum().await }.boxed()
    }

    fn add_voter<'a>(&'a self, voter: &'a NewVoter) -> Answer<'a, ()> {
        async move { self.admin().add_voter(voter).await }.boxed()
    }

    fn remove_voter(&self, id: NodeId, directory: TopicId) -> Answer<'_, ()> {
        async move { self.admin().remove_voter(id, directory).await }.boxed()
    }

    fn features(&self) -> Answer<'_, Vec<FeatureLevel>> {
        async { self.admin().features().await }.boxed()
    }

    fn features_of(&self, id: NodeId) -> Answer<'_, Vec<FeatureLevel>> {
        async move { self.admin().features_of(id).await }.boxed()
    }

    fn update_features<'a>(&'a self, levels: &'a [(String, i16)], down: bool) -> Answer<'a, ()> {
        async move { self.admin().update_features(levels, down, false).await }.boxed()
    }

    fn settings(&self) -> Answer<'_, Vec<ConfigEntry>> {
        async { self.admin().describe_configs(&Resource::AllBrokers).await }.boxed()
    }

    fn advertised(&self, id: NodeId) -> Answer<'_, Option<String>> {
        let told = async move {
            let (admin, broker) = (self.admin(), Resource::Broker(id));
            let found = admin
                .describe_config(&broker, "advertised.listeners")
                .await?;
            Ok(found.and_then(|entry| entry.value))
        };
        told.boxed()
    }

    fn set<'a>(&'a self, changes: &'a [ConfigChange]) -> Answer<'a, ()> {
        let altered = async move {
            let admin = self.admin();
            admin
                .alter_configs(&Resource::AllBrokers, changes, false)
                .await
        };
        altered.boxed()
    }

    fn cordon(&self, id: NodeId, cordoned: bool) -> Answer<'_, ()> {
        async move { self.admin().cordon_broker(id, cordoned).await }.boxed()
    }

    fn reassign<'a>(
        &'a self,
        moves: &'a [Reassignment],
    ) -> Answer<'a, Outcomes<TopicPartition, ()>> {
        async move { self.admin().reassign(moves).await }.boxed()
    }

    fn unregister(&self, id: NodeId) -> Answer<'_, ()> {
        async move { self.admin().unregister_broker(id).await }.boxed()
    }
}
