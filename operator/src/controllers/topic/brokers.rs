//! What reconciles ask of brokers, gathered: one request for hundreds of topics.
//!
//! ```text
//! reconcile ─┐                      ┌─ one Metadata, one DescribeConfigs
//! reconcile ─┼─► queue ─► actor ────┼─ one CreateTopics                   ─► each its own outcome
//! reconcile ─┘  (bounded) (linger)  └─ one IncrementalAlterConfigs, …
//! ```
//!
//! There is one actor for each cluster that somebody asks about, and for each Secret by which it is reached. It takes what comes within a few
//! milliseconds, or has come while it was at work, and a topic that brokers refuse is refused alone. A
//! cluster that does not answer costs one patience and not one for each topic. An actor that nobody
//! asks anything goes away, and its connections with it.
//!
//! The rejected way is a reconcile of whole batches, as other operators have it: it would give up what
//! the runtime offers for single objects (order, backoff, no two reconciles of one object at a time).

mod actor;
mod batch;
mod real;
mod seen;

use std::collections::HashMap;
use std::sync::Arc;

use freshet_client::{ClientError, ConfigChange, CreatedTopic, NewTopic, Outcomes};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::clusters::Way;
use crate::context::Context;
use actor::Actor;
use batch::{Ask, Waiting};

pub(super) use real::Real;
#[cfg(test)]
pub(super) use seen::Copies;
pub(super) use seen::Seen;

/// Questions that may wait for one actor; who comes then waits to be let in.
const QUEUE: usize = 1_000;

/// One request about many topics, and an outcome for each.
pub(super) type Answers<'a, T> = BoxFuture<'a, Result<Outcomes<String, T>, ClientError>>;

/// The door to the brokers of one cluster: each call is one request, or a fixed number of them.
pub(super) trait Brokers: Send + Sync + 'static {
    /// What there is of topics, each with the copies that its partitions shall have, if that is known:
    /// moves are asked about where there are others. `None` for a topic that does not exist.
    fn look<'a>(&'a self, topics: &'a [(String, Option<i32>)]) -> Answers<'a, Option<Seen>>;
    /// Creates topics.
    fn create<'a>(&'a self, topics: &'a [(String, NewTopic)]) -> Answers<'a, CreatedTopic>;
    /// Changes settings of topics.
    fn configure<'a>(&'a self, topics: &'a [(String, Vec<ConfigChange>)]) -> Answers<'a, ()>;
    /// Gives topics so many partitions.
    fn widen<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, ()>;
    /// Gives every partition of topics so many copies; says how many partitions that moves.
    fn replicate<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, i32>;
    /// Deletes topics.
    fn delete<'a>(&'a self, topics: &'a [(String, ())]) -> Answers<'a, ()>;
    /// Nobody has asked anything for long.
    fn rest(&self);
}

/// Makes the door to a cluster.
type Door = Box<dyn Fn(&Way) -> Arc<dyn Brokers> + Send + Sync>;

/// The actors that are there, by the ways to their clusters.
type Actors = Arc<Mutex<HashMap<Way, mpsc::Sender<Ask>>>>;

/// All clusters.
pub(super) struct Desk {
    door: Door,
    actors: Actors,
}

impl Desk {
    pub(super) fn new(door: Door) -> Self {
        Self {
            door,
            actors: Actors::default(),
        }
    }

    /// A desk before real clusters.
    pub(super) fn real(context: &Arc<Context>) -> Self {
        let context = Arc::clone(context);
        Self::new(Box::new(move |way| {
            Arc::new(Real::new(Arc::clone(&context), way.clone()))
        }))
    }

    /// The cluster that one comes to this way.
    pub(super) fn at<'a>(&'a self, way: &'a Way) -> Counter<'a> {
        Counter { desk: self, way }
    }

    fn actor(&self, way: &Way) -> mpsc::Sender<Ask> {
        let mut actors = self.actors.lock();
        if let Some(queue) = actors.get(way) {
            return queue.clone();
        }
        let (sender, queue) = mpsc::channel(QUEUE);
        actors.insert(way.clone(), sender.clone());
        let actor = Actor {
            brokers: (self.door)(way),
            way: way.clone(),
            actors: Arc::clone(&self.actors),
            queue,
        };
        tokio::spawn(actor.run());
        sender
    }
}

/// Where one cluster is asked, topic by topic.
#[derive(Clone, Copy)]
pub(super) struct Counter<'a> {
    desk: &'a Desk,
    way: &'a Way,
}

impl Counter<'_> {
    /// What there is of a topic.
    pub(super) async fn look(
        &self,
        topic: &str,
        copies: Option<i32>,
    ) -> Result<Option<Seen>, ClientError> {
        self.ask(topic, copies, Ask::Look).await
    }

    /// Creates a topic.
    pub(super) async fn create(&self, topic: NewTopic) -> Result<CreatedTopic, ClientError> {
        let name = topic.name.clone();
        self.ask(&name, topic, Ask::Create).await
    }

    /// Changes settings of a topic.
    pub(super) async fn configure(
        &self,
        topic: &str,
        changes: Vec<ConfigChange>,
    ) -> Result<(), ClientError> {
        self.ask(topic, changes, Ask::Configure).await
    }

    /// Gives a topic so many partitions.
    pub(super) async fn widen(&self, topic: &str, partitions: i32) -> Result<(), ClientError> {
        self.ask(topic, partitions, Ask::Widen).await
    }

    /// Gives every partition of a topic so many copies; says how many partitions that moves.
    pub(super) async fn replicate(&self, topic: &str, copies: i32) -> Result<i32, ClientError> {
        self.ask(topic, copies, Ask::Replicate).await
    }

    /// Deletes a topic.
    pub(super) async fn delete(&self, topic: &str) -> Result<(), ClientError> {
        self.ask(topic, (), Ask::Delete).await
    }

    async fn ask<Q, A>(
        &self,
        topic: &str,
        question: Q,
        kind: fn(Waiting<Q, A>) -> Ask,
    ) -> Result<A, ClientError> {
        let (reply, answer) = oneshot::channel();
        let mut ask = kind(Waiting {
            topic: topic.to_owned(),
            question,
            reply,
        });
        // An actor may go away just now; the next one takes the question.
        while let Err(unasked) = self.desk.actor(self.way).send(ask).await {
            ask = unasked.0;
            tokio::task::yield_now().await;
        }
        answer
            .await
            .unwrap_or(Err(ClientError::Closed("the queue of a cluster")))
    }
}

#[cfg(test)]
mod tests;
