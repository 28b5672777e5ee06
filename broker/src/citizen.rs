//! A broker among others: its life in the cluster, what it copies, and whom it takes in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use freshet_log::LogDir;
use freshet_metadata::{DirectoryId, FEATURES, Feature, MetadataMachine};
use freshet_partition::{Directory, Neighbour};
use freshet_peers::followers::{Followers, FollowersParts, IsrProposals, IsrProposalsParts};
use freshet_peers::lifecycle::{LifeError, LifeState, Lifecycle, LifecycleParts, Registration};
use freshet_peers::places::{Places, PlacesParts};
use freshet_quorum::Quorum;
use freshet_quorum::identity::Identity;
use freshet_server::Readiness;
use freshet_types::NodeId;
use tokio::task::JoinHandle;

use crate::agreement::Wanted;
use crate::bound::Bound;
use crate::doors::Doors;

/// Log directories with their ids.
type Directories = Vec<(DirectoryId, Arc<LogDir>)>;

/// What a broker has that is not alone.
pub(crate) struct Citizen {
    node: NodeId,
    quorum: Arc<dyn Quorum<MetadataMachine>>,
    life: Lifecycle,
    followers: Arc<Followers>,
    pub(crate) proposals: Arc<IsrProposals>,
    places: Arc<Places>,
    /// What speaks to the controller, from [`Citizen::settle`] on.
    sending: Vec<JoinHandle<()>>,
}

impl Citizen {
    /// Registers, and waits until the controller knows this broker.
    pub(crate) async fn register(
        doors: &Doors,
        wanted: &Wanted,
        bound: &Bound,
        identity: &Identity,
        (directories, quorum): (Directories, Arc<dyn Quorum<MetadataMachine>>),
    ) -> Result<Self> {
        let node = identity.node_id;
        let life = Lifecycle::start(LifecycleParts {
            registration: Registration {
                node,
                incarnation: doors.rng.id(),
                listeners: bound.registered.clone(),
                rack: wanted.node.rack.clone(),
                features: FEATURES.iter().map(Feature::range).collect(),
            },
            directories: directories.clone(),
            quorum: Arc::clone(&quorum),
            clock: Arc::clone(&doors.clock),
            statics: Arc::clone(&wanted.statics),
        });
        life.registered().await?;
        let followers = Followers::new(FollowersParts {
            node,
            listener: wanted
                .quorum
                .inter_broker_listener
                .clone()
                .unwrap_or_default(),
            statics: Arc::clone(&wanted.statics),
            image: quorum.watch(),
            broker_epoch: life.broker_epoch(),
        })?;
        let places = Places::new(PlacesParts {
            node,
            directories,
            quorum: Arc::clone(&quorum),
            broker_epoch: life.broker_epoch(),
        });
        Ok(Self {
            node,
            quorum,
            life,
            followers,
            proposals: IsrProposals::new(),
            places,
            sending: Vec::new(),
        })
    }

    /// Who wants to hear of partitions.
    pub(crate) fn neighbours(&self) -> [Arc<dyn Neighbour>; 2] {
        [
            Arc::clone(&self.followers) as _,
            Arc::clone(&self.places) as _,
        ]
    }

    /// The partitions follow the image from now on.
    pub(crate) fn settle(&mut self, directory: &Arc<Directory>) {
        let sending = Arc::clone(&self.proposals).run(IsrProposalsParts {
            node: self.node,
            broker_epoch: self.life.broker_epoch(),
            quorum: Arc::clone(&self.quorum),
            directory: Arc::clone(directory),
        });
        self.sending.push(tokio::spawn(sending));
        self.sending
            .push(tokio::spawn(Arc::clone(&self.places).run()));
        let directory = Arc::clone(directory);
        self.life
            .ready(Arc::new(move || directory.applied_image().version()));
    }

    /// Waits until the controller lets this broker serve.
    pub(crate) async fn serving(&self) {
        let mut state = self.life.state();
        let serving = state.wait_for(|state| *state == LifeState::Serving);
        if serving.await.is_err() {
            // It lives no more, and never will serve.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for what makes it impossible to go on.
    pub(crate) async fn failed(&self) -> LifeError {
        self.life.failed().await
    }

    pub(crate) fn readiness(&self) -> Readiness {
        Readiness {
            name: "controller",
            problem: Box::new(self.life.readiness()),
        }
    }

    /// Has what it leads moved away, while clients and followers are still served.
    pub(crate) async fn leave(&self, patience: Duration) {
        if !self.life.leave(patience).await {
            tracing::warn!("left without the controller's word: others notice by silence");
        }
    }

    /// Copies nothing and proposes nothing any more.
    pub(crate) async fn end(self) {
        self.followers.stop().await;
        self.sending.iter().for_each(JoinHandle::abort);
    }
}
