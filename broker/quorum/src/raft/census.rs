//! How controllers that were given each other's addresses become a quorum, once.
//!
//! Each is started with the same list, and none knows the others' disks. So they greet one another:
//!
//! 1. *Which cluster?* Whoever has formatted disks says so. When all have answered and nobody has,
//!    the one with the lowest node id makes a cluster id, and the others take it over.
//! 2. *Who votes?* When all are there, of one cluster, and none belongs to a quorum, the lowest forms
//!    one of exactly the disks that greeted it. Whoever finds a quorum formed asks to be taken in.
//!
//! *All* must answer, a majority is not enough: the one that is silent could be the last that
//! remembers a quorum which the others' lost disks belonged to.

use std::time::Duration;

use bytes::Bytes;
use freshet_codec::Message;
use freshet_types::{ClusterId, ErrorKind, NodeId, TopicId};

use super::footing::types::PeerKey;
use super::peer::{Endpoint, Peer, PeerId};
use super::post::message::{self, Kind, Letter, MessageError, Verdict};
use super::{PeerLink, Raft};
use crate::Agreeable;

/// What a controller says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Its node.
    pub node: NodeId,
    /// Its metadata directory; none while it is not formatted.
    pub directory: Option<TopicId>,
    /// Its cluster; none while it is not formatted.
    pub cluster: Option<ClusterId>,
    /// Whether it belongs to a quorum.
    pub is_formed: bool,
}

/// The controllers do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("controller {node} belongs to cluster {theirs}, not {ours}: is its address another's?")]
pub struct ForeignController {
    /// Who.
    pub node: NodeId,
    /// Where it belongs.
    pub theirs: ClusterId,
    /// Where this one belongs, or one that answered before.
    pub ours: ClusterId,
}

impl ForeignController {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Conflict
    }
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct GreetingPart {
    peer: PeerKey,
    has_directory: bool,
    cluster: Option<String>,
    is_formed: bool,
}

impl Greeting {
    /// Answers a greeting before there is a [`Raft`] to receive it; none if the bytes ask for
    /// something else, which only a quorum can answer.
    pub fn answer(&self, request: Bytes) -> Result<Option<Bytes>, MessageError> {
        let letter = Letter::from_bytes(request)?;
        (letter.kind == Kind::Hello)
            .then(|| self.to_answer())
            .transpose()
    }

    pub(super) fn to_answer(&self) -> Result<Bytes, MessageError> {
        let directory = self.directory.unwrap_or_default();
        let body = message::to_bytes(&GreetingPart {
            peer: PeerId {
                node: self.node,
                directory,
            }
            .into(),
            has_directory: self.directory.is_some(),
            cluster: self.cluster.as_ref().map(ToString::to_string),
            is_formed: self.is_formed,
        })?;
        message::answer(Verdict::Done, body)
    }

    fn of(answer: Bytes) -> Result<Self, MessageError> {
        let (_, body) = message::read_answer(answer)?;
        let part: GreetingPart = message::from_bytes(body)?;
        let PeerId { node, directory } = part.peer.into();
        Ok(Self {
            node,
            directory: Some(directory).filter(|_| part.has_directory),
            cluster: part.cluster.map(|id| ClusterId(id.into())),
            is_formed: part.is_formed,
        })
    }
}

/// The controllers that were named at the start.
#[derive(Debug, Clone)]
pub struct Census {
    /// This node.
    pub me: NodeId,
    /// All voters, this one among them, and where they listen.
    pub voters: Vec<(NodeId, Vec<Endpoint>)>,
    /// Between two rounds of greetings.
    pub pause: Duration,
}

/// What the greetings say should be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Not enough is known.
    Wait,
    /// Nobody has a cluster, and it is this node's turn to make one.
    Begin,
    /// The cluster of the others.
    Adopt(ClusterId),
    /// It is this node's turn to form a quorum of these.
    Form(Vec<PeerId>),
    /// There is a quorum.
    Join,
}

/// The rule. `greetings` are those that answered, this node's own among them.
fn decide(
    me: NodeId,
    voters: &[NodeId],
    greetings: &[Greeting],
) -> Result<Step, ForeignController> {
    let mut clusters = greetings
        .iter()
        .filter_map(|g| Some((g.node, g.cluster.as_ref()?)));
    let first = clusters.next().map(|(_, cluster)| cluster);
    if let (Some(ours), Some((node, theirs))) =
        (first, clusters.find(|(_, cluster)| Some(*cluster) != first))
    {
        let (ours, theirs) = (ours.clone(), theirs.clone());
        return Err(ForeignController { node, theirs, ours });
    }
    let mine = greetings.iter().find(|greeting| greeting.node == me);
    if let (None, Some(cluster)) = (mine.and_then(|mine| mine.cluster.as_ref()), first) {
        return Ok(Step::Adopt(cluster.clone()));
    }
    if greetings.iter().any(|greeting| greeting.is_formed) {
        return Ok(Step::Join);
    }
    let greets = |voter: &NodeId| greetings.iter().any(|greeting| greeting.node == *voter);
    if !voters.iter().all(greets) || voters.iter().min() != Some(&me) {
        return Ok(Step::Wait);
    }
    if first.is_none() {
        return Ok(Step::Begin);
    }
    let peers: Option<Vec<_>> = greetings
        .iter()
        .filter(|greeting| voters.contains(&greeting.node))
        .map(|g| {
            Some(PeerId {
                node: g.node,
                directory: g.directory?,
            })
        })
        .collect();
    let same = greetings.iter().all(|greeting| greeting.cluster.is_some());
    Ok(peers.filter(|_| same).map_or(Step::Wait, Step::Form))
}

impl Census {
    fn ids(&self) -> Vec<NodeId> {
        self.voters.iter().map(|(node, _)| *node).collect()
    }

    async fn greet(&self, link: &dyn PeerLink, mine: &Greeting) -> Vec<Greeting> {
        let mut greetings = vec![mine.clone()];
        for (node, endpoints) in self.voters.iter().filter(|(node, _)| *node != self.me) {
            let directory = TopicId::default();
            let id = PeerId {
                node: *node,
                directory,
            };
            let to = Peer {
                id,
                endpoints: endpoints.clone(),
            };
            let letter = Letter {
                cluster: mine.cluster.clone().unwrap_or_else(|| ClusterId("".into())),
                from: PeerId {
                    node: self.me,
                    directory: mine.directory.unwrap_or_default(),
                },
                to: id,
                kind: Kind::Hello,
                body: Bytes::new(),
            };
            let Ok(request) = letter.to_bytes() else {
                continue;
            };
            let asked = tokio::time::timeout(self.pause, link.ask(&to, request, self.pause));
            if let Ok(Ok(answer)) = asked.await
                && let Ok(greeting) = Greeting::of(answer)
                && greeting.node == *node
            {
                greetings.push(greeting);
            }
        }
        greetings
    }

    /// Finds the cluster that this node's empty directories belong to, or makes one up with `make`.
    /// Meanwhile the others must be answered with [`Greeting::answer`]. Waits as long as it takes.
    ///
    /// # Errors
    /// Two of those that answered belong to different clusters.
    pub async fn find_cluster(
        &self,
        link: &dyn PeerLink,
        make: impl FnOnce() -> ClusterId,
    ) -> Result<ClusterId, ForeignController> {
        let (node, directory, cluster) = (self.me, None, None);
        let mine = Greeting {
            node,
            directory,
            cluster,
            is_formed: false,
        };
        loop {
            let greetings = self.greet(link, &mine).await;
            match decide(self.me, &self.ids(), &greetings)? {
                Step::Adopt(cluster) => return Ok(cluster),
                Step::Begin => return Ok(make()),
                Step::Wait | Step::Form(_) | Step::Join => tokio::time::sleep(self.pause).await,
            }
        }
    }

    /// Sees to it that this node belongs to a quorum: forms it, waits for the one whose turn it is,
    /// or asks to be taken in. Waits as long as it takes.
    ///
    /// # Errors
    /// One of those that answered belongs to another cluster.
    pub async fn settle<M: Agreeable>(&self, raft: &Raft<M>) -> Result<(), ForeignController> {
        while !raft.is_formed() {
            let greetings = self.greet(raft.link(), &raft.greeting()).await;
            match decide(self.me, &self.ids(), &greetings)? {
                Step::Form(peers) => {
                    let voters: Vec<_> = peers.into_iter().map(|id| self.peer(id)).collect();
                    if let Err(error) = raft.form(&voters).await {
                        tracing::warn!(%error, "a quorum could not be formed");
                    }
                }
                Step::Join => self.ask_in(raft, &greetings).await,
                Step::Wait | Step::Begin | Step::Adopt(_) => {}
            }
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }

    /// Whoever leads will hear it.
    async fn ask_in<M: Agreeable>(&self, raft: &Raft<M>, greetings: &[Greeting]) {
        let as_voter = self.voters.iter().any(|(node, _)| *node == self.me);
        for greeting in greetings.iter().filter(|greeting| greeting.is_formed) {
            if let Some(directory) = greeting.directory
                && raft
                    .join(
                        &self.peer(PeerId {
                            node: greeting.node,
                            directory,
                        }),
                        as_voter,
                    )
                    .await
                    .is_ok()
            {
                return;
            }
        }
    }

    fn peer(&self, id: PeerId) -> Peer {
        let known = self.voters.iter().find(|(node, _)| *node == id.node);
        let endpoints = known
            .map(|(_, endpoints)| endpoints.clone())
            .unwrap_or_default();
        Peer { id, endpoints }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(node: i32, cluster: Option<&str>, is_formed: bool) -> Greeting {
        Greeting {
            node: NodeId(node),
            directory: cluster.map(|_| TopicId([u8::try_from(node).expect("small"); 16])),
            cluster: cluster.map(|id| ClusterId(id.into())),
            is_formed,
        }
    }

    fn step(me: i32, greetings: &[Greeting]) -> Result<Step, ForeignController> {
        decide(NodeId(me), &[1, 2, 3].map(NodeId), greetings)
    }

    #[test]
    fn the_lowest_begins_when_all_are_there_and_empty() {
        let all: Vec<_> = [1, 2, 3].map(|node| greeting(node, None, false)).into();
        assert_eq!(step(1, &all), Ok(Step::Begin));
        assert_eq!(step(2, &all), Ok(Step::Wait));
        assert_eq!(step(1, &all[..2]), Ok(Step::Wait), "the third may remember");
    }

    #[test]
    fn an_empty_one_takes_over_the_cluster_of_the_others() {
        let some = [greeting(1, None, false), greeting(3, Some("c"), true)];
        assert_eq!(step(1, &some), Ok(Step::Adopt(ClusterId("c".into()))));
    }

    #[test]
    fn a_quorum_is_formed_once() {
        let mut all: Vec<_> = [1, 2, 3]
            .map(|node| greeting(node, Some("c"), false))
            .into();
        assert!(matches!(step(1, &all), Ok(Step::Form(peers)) if peers.len() == 3));
        assert_eq!(step(3, &all), Ok(Step::Wait));
        assert_eq!(step(1, &all[..2]), Ok(Step::Wait));
        all[2].is_formed = true;
        assert_eq!(step(1, &all), Ok(Step::Join));
        all[1] = greeting(2, None, false);
        all[2].is_formed = false;
        assert_eq!(step(1, &all), Ok(Step::Wait), "2 is not formatted yet");
    }

    #[test]
    fn who_was_not_named_forms_nothing() {
        let all: Vec<_> = [0, 1, 2, 3].map(|node| greeting(node, None, false)).into();
        assert_eq!(step(0, &all), Ok(Step::Wait));
        assert_eq!(step(1, &all), Ok(Step::Begin));
    }

    #[test]
    fn two_clusters_do_not_mix() {
        let both = [greeting(1, Some("a"), false), greeting(2, Some("b"), false)];
        assert_eq!(
            step(1, &both).map_err(|foreign| foreign.node),
            Err(NodeId(2))
        );
    }
}
