//! How controllers that were given each other's addresses become a quorum, once.
//!
//! Each is started with the same list, of voters or only of addresses, and none knows the others'
//! disks. So they greet one another:
//!
//! 1. *Which cluster?* Whoever has formatted disks says so. When all have answered and nobody has,
//!    the one with the lowest node id makes a cluster id, and the others take it over.
//! 2. *Who votes?* When all are there, of one cluster, and none belongs to a quorum, the lowest forms
//!    one of exactly the disks that greeted it. Whoever finds a quorum formed asks to be taken in.
//!
//! *All* must answer, a majority is not enough: the one that is silent could be the last that
//! remembers a quorum which the others' lost disks belonged to. Where only addresses are named, those
//! who answer there are the voters.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::Message;
use freshet_types::{ClusterId, ErrorKind, NodeId, TopicId};

use tokio::time::Instant;

use super::footing::types::PeerKey;
use super::peer::{Endpoint, Peer, PeerId};
use super::post::message::{self, Kind, Letter, MessageError, Verdict};
use super::{PeerLink, Raft, VotersError};
use crate::Agreeable;
use crate::guard::{Guard, holds};

/// Stands for a node that is known by its address only.
const UNKNOWN: NodeId = NodeId(-1);
/// A wait that is longer is told.
const FIRST_NEWS: Duration = Duration::from_secs(2);
/// And again so often.
const MORE_NEWS: Duration = Duration::from_secs(10);

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

    /// Asks another one for its greeting, which it gives at once and from memory.
    pub(super) fn ask_who(&self, to: PeerId) -> Result<Bytes, MessageError> {
        let letter = Letter {
            cluster: self.cluster.clone().unwrap_or_else(|| ClusterId("".into())),
            from: PeerId {
                node: self.node,
                directory: self.directory.unwrap_or_default(),
            },
            to,
            kind: Kind::Hello,
            body: Bytes::new(),
            lease: Duration::ZERO,
        };
        letter.to_bytes()
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

/// The controllers that were named at the start. All nodes must be given the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// All voters, and where they listen.
    Voters(Vec<(NodeId, Vec<Endpoint>)>),
    /// Where controllers listen; who they are, they say themselves.
    Addresses {
        /// The addresses.
        at: Vec<Endpoint>,
        /// Whether this node wants to vote in a quorum that it finds formed.
        wants_vote: bool,
    },
}

/// How a node finds its quorum.
#[derive(Debug, Clone)]
pub struct Census {
    /// This node.
    pub me: NodeId,
    /// Where others reach it.
    pub endpoints: Vec<Endpoint>,
    /// Whom it asks.
    pub named: Named,
    /// Between two rounds of greetings.
    pub pause: Duration,
    /// How long an answer is waited for, a connection included: longer than two ways there and back.
    pub patience: Duration,
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

/// What one round of greetings brought.
#[derive(Debug, Default)]
struct Heard {
    /// Those that answered, and where; this node's own is among them.
    greetings: Vec<Greeting>,
    /// Where those that answered are.
    places: Vec<(NodeId, Vec<Endpoint>)>,
    /// Who would form a quorum.
    voters: Vec<NodeId>,
    /// Named ones that did not answer.
    missing: Vec<String>,
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
    if (!voters.iter().all(greets) && holds(Guard::AllAnswer)) || voters.iter().min() != Some(&me) {
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

impl Heard {
    fn decide(&self, me: NodeId) -> Result<Step, ForeignController> {
        let step = decide(me, &self.voters, &self.greetings)?;
        Ok(match step {
            // Who is silent may be the one that remembers.
            Step::Begin | Step::Form(_) if !self.missing.is_empty() && holds(Guard::AllAnswer) => {
                Step::Wait
            }
            step => step,
        })
    }

    fn endpoints(&self, node: NodeId) -> Vec<Endpoint> {
        let known = self.places.iter().find(|(other, _)| *other == node);
        known.map(|(_, at)| at.clone()).unwrap_or_default()
    }
}

/// A name that leads to all controllers, now to one and now to another, would have each of them form
/// a quorum of its own.
fn only_me(place: &Endpoint) -> String {
    let Endpoint { host, port, .. } = place;
    format!(
        "{host}:{port}: only this node answers there, and it is not its own address; name the \
         address of each controller, or only its own if it shall decide alone"
    )
}

/// Says who is waited for, to the person at the terminal: not at once, and not all the time.
#[derive(Debug)]
struct News {
    since: Instant,
    told: Option<Instant>,
    /// Why this node is not taken in, as it was told last.
    refusal: Option<VotersError>,
}

impl News {
    fn new() -> Self {
        let since = Instant::now();
        Self {
            since,
            told: None,
            refusal: None,
        }
    }

    /// Another process with this node's number: a person has to choose, and waiting does not help.
    fn refused(&mut self, refusal: Option<VotersError>) {
        if let Some(why @ VotersError::Taken(_)) = &refusal
            && self.refusal.as_ref() != Some(why)
        {
            tracing::error!(%why, "not taken into the quorum");
        }
        self.refusal = refusal;
    }

    fn tell(&mut self, heard: &Heard) {
        let is_due = self
            .told
            .map_or(self.since.elapsed() >= FIRST_NEWS, |told| {
                told.elapsed() >= MORE_NEWS
            });
        if !is_due {
            return;
        }
        self.told = Some(Instant::now());
        let seconds = self.since.elapsed().as_secs();
        if let Some(why) = &self.refusal {
            tracing::warn!(seconds, %why, "waiting to be taken into the quorum");
        } else if heard.missing.is_empty() {
            let answered: Vec<_> = heard.greetings.iter().map(|g| g.node.0).collect();
            tracing::info!(seconds, ?answered, "waiting for the controllers to agree");
        } else {
            let missing = heard.missing.join("; ");
            tracing::warn!(
                seconds,
                missing,
                "waiting for controllers that do not answer"
            );
        }
    }
}

/// Whether a node need not ask for anything. To be found among those who listen is not enough for
/// one that shall vote: its leader, or itself, may have been gone before it was given its vote.
fn is_settled<M: Agreeable>(raft: &Raft<M>, wants_vote: bool) -> bool {
    let votes = raft.is_voter() || !wants_vote || !holds(Guard::AsksUntilVoting);
    let replaced = !raft.is_replacing() || !holds(Guard::AsksUntilReplaced);
    raft.is_formed() && raft.is_found() && votes && replaced
}

impl Census {
    /// Whether the settings say that this node votes; else somebody has to add it.
    fn wants_vote(&self) -> bool {
        match &self.named {
            Named::Voters(voters) => voters.iter().any(|(node, _)| *node == self.me),
            Named::Addresses { wants_vote, .. } => *wants_vote,
        }
    }

    /// Greets everybody who is named, and says of itself what `mine` does.
    async fn greet(&self, link: &dyn PeerLink, mine: &Greeting) -> Heard {
        let mut heard = Heard {
            greetings: vec![mine.clone()],
            ..Heard::default()
        };
        match &self.named {
            Named::Voters(voters) => {
                heard.voters = voters.iter().map(|(node, _)| *node).collect();
                heard.places.clone_from(voters);
                for (node, at) in voters.iter().filter(|(node, _)| *node != self.me) {
                    match self.ask(link, mine, (Some(*node), at)).await {
                        Ok(greeting) => heard.greetings.push(greeting),
                        Err(why) => heard.missing.push(format!("{node}: {why}")),
                    }
                }
            }
            Named::Addresses { at, .. } => {
                for endpoint in at {
                    let place = std::slice::from_ref(endpoint);
                    let answered = self.ask(link, mine, (None, place)).await;
                    let taken = answered.and_then(|greeting| heard.place(greeting, endpoint));
                    if let Err(why) = taken {
                        let Endpoint { host, port, .. } = endpoint;
                        heard.missing.push(format!("{host}:{port}: {why}"));
                    }
                }
                if heard.voters == [self.me] {
                    let others = at.iter().filter(|place| !self.is_mine(place));
                    heard.missing.extend(others.map(only_me));
                }
            }
        }
        heard
    }

    /// Whether an address is this node's own, and leads to nobody else.
    fn is_mine(&self, place: &Endpoint) -> bool {
        let is_loopback = |host: &str| {
            let address = host.parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        let same_host = |own: &str| own == place.host || is_loopback(&place.host);
        let mut own = self.endpoints.iter();
        own.any(|own| own.port == place.port && same_host(&own.host))
    }

    async fn ask(
        &self,
        link: &dyn PeerLink,
        mine: &Greeting,
        (node, at): (Option<NodeId>, &[Endpoint]),
    ) -> Result<Greeting, String> {
        let id = PeerId {
            node: node.unwrap_or(UNKNOWN),
            directory: TopicId::default(),
        };
        let endpoints = at.to_vec();
        let request = mine.ask_who(id).map_err(|error| error.to_string())?;
        let to = Peer { id, endpoints };
        let asked = tokio::time::timeout(self.patience, link.ask(&to, request, self.patience));
        let answer = asked.await.unwrap_or(Err(super::LinkError::TimedOut));
        let answer = answer.map_err(|error| error.to_string())?;
        let greeting = Greeting::of(answer).map_err(|error| error.to_string())?;
        match node {
            Some(node) if greeting.node != node => Err(format!("{} answers there", greeting.node)),
            _ => Ok(greeting),
        }
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
        let mut news = News::new();
        loop {
            let heard = self.greet(link, &mine).await;
            match heard.decide(self.me)? {
                Step::Adopt(cluster) => return Ok(cluster),
                Step::Begin => return Ok(make()),
                Step::Wait | Step::Form(_) | Step::Join => {}
            }
            news.tell(&heard);
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Sees to it that this node belongs to a quorum: forms it, waits for the one whose turn it is,
    /// or asks to be taken in; also if it has moved since, or was removed. Waits as long as it
    /// takes.
    ///
    /// # Errors
    /// One of those that answered belongs to another cluster.
    pub async fn settle<M: Agreeable>(&self, raft: &Raft<M>) -> Result<(), ForeignController> {
        let mut news = News::new();
        let wants_vote = self.wants_vote();
        while !is_settled(raft, wants_vote) {
            let heard = self.greet(raft.link(), &raft.greeting()).await;
            match heard.decide(self.me)? {
                Step::Form(peers) => {
                    let voters = peers.into_iter().map(|id| Peer {
                        id,
                        endpoints: heard.endpoints(id.node),
                    });
                    match raft.form(&voters.collect::<Vec<_>>()).await {
                        // It was this node, a moment ago.
                        Ok(()) | Err(super::RaftError::Formed) => {}
                        Err(error) => tracing::warn!(%error, "a quorum could not be formed"),
                    }
                }
                Step::Join => {
                    news.refused(match self.ask_in(raft, &heard).await {
                        Ok(()) => None,
                        Err(VotersError::NotLeader { .. }) => self.another_there(raft).await,
                        Err(why) => Some(why),
                    });
                }
                Step::Wait | Step::Begin | Step::Adopt(_) => {}
            }
            news.tell(&heard);
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }

    /// Greets everybody once, before anything is done with what lies in this node's directories.
    ///
    /// # Errors
    /// One of those that answered belongs to another cluster than `mine`.
    pub async fn meet(
        &self,
        link: &dyn PeerLink,
        mine: &Greeting,
    ) -> Result<(), ForeignController> {
        let heard = self.greet(link, mine).await;
        heard.decide(self.me).map(drop)
    }

    /// Who of those that were named does not answer, and why: for a node that waits.
    ///
    /// # Errors
    /// One of those that answered belongs to another cluster.
    pub async fn missing<M: Agreeable>(
        &self,
        raft: &Raft<M>,
    ) -> Result<Vec<String>, ForeignController> {
        let heard = self.greet(raft.link(), &raft.greeting()).await;
        heard.decide(self.me)?;
        Ok(heard.missing)
    }

    /// Whether somebody else answers with this node's number where this node should be: it may be the
    /// leader, who then is asked by nobody.
    async fn another_there<M: Agreeable>(&self, raft: &Raft<M>) -> Option<VotersError> {
        let Named::Voters(voters) = &self.named else {
            return None;
        };
        let (_, at) = voters.iter().find(|(node, _)| *node == self.me)?;
        let mine = raft.greeting();
        let there = self.ask(raft.link(), &mine, (Some(self.me), at)).await;
        let other = there
            .ok()?
            .directory
            .filter(|id| Some(*id) != mine.directory);
        other.map(|_| VotersError::Taken(self.me))
    }

    /// Whoever leads will hear it; the error says why it did not take this node in.
    async fn ask_in<M: Agreeable>(&self, raft: &Raft<M>, heard: &Heard) -> Result<(), VotersError> {
        for greeting in heard.greetings.iter().filter(|greeting| greeting.is_formed) {
            let Some(directory) = greeting.directory else {
                continue;
            };
            let node = greeting.node;
            let leader = Peer {
                id: PeerId { node, directory },
                endpoints: heard.endpoints(node),
            };
            match raft.join(&leader, self.wants_vote()).await {
                Err(VotersError::NotLeader { .. }) => {}
                answered => return answered,
            }
        }
        Err(VotersError::NotLeader { leader: None })
    }
}

impl Heard {
    /// Takes in who answered at an address. Where several addresses lead to one node, it has them all.
    fn place(&mut self, greeting: Greeting, at: &Endpoint) -> Result<(), String> {
        let node = greeting.node;
        if let Some(known) = self.greetings.iter().find(|other| other.node == node) {
            // This node may have learned more of itself since it was asked.
            let is_other = known.directory.is_some()
                && greeting.directory.is_some()
                && known.directory != greeting.directory;
            if is_other {
                return Err(format!("another node there is {node} as well"));
            }
        } else {
            self.greetings.push(greeting);
        }
        match self.places.iter_mut().find(|(other, _)| *other == node) {
            Some((_, places)) => places.push(at.clone()),
            None => {
                self.places.push((node, vec![at.clone()]));
                self.voters.push(node);
            }
        }
        Ok(())
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

    fn at(port: u16) -> Endpoint {
        let (name, host) = ("C".to_owned(), "h".to_owned());
        Endpoint { name, host, port }
    }

    /// What a node hears that knows addresses only: 1 at two of them, 2, and nobody at the last.
    fn heard(mine: Greeting, others: &[(u16, Greeting)], missing: &[&str]) -> Heard {
        let mut heard = Heard {
            greetings: vec![mine],
            missing: missing.iter().map(ToString::to_string).collect(),
            ..Heard::default()
        };
        for (port, greeting) in others {
            heard
                .place(greeting.clone(), &at(*port))
                .expect("one of each");
        }
        heard
    }

    #[test]
    fn those_who_answer_at_the_addresses_form_the_quorum_when_all_do() {
        let of = |node| greeting(node, Some("c"), false);
        let all = [(1, of(1)), (2, of(2)), (3, of(2))];
        let full = heard(of(1), &all, &[]);
        assert!(matches!(full.decide(NodeId(1)), Ok(Step::Form(peers)) if peers.len() == 2));
        assert_eq!(full.endpoints(NodeId(2)), [at(2), at(3)]);
        assert_eq!(heard(of(2), &all, &[]).decide(NodeId(2)), Ok(Step::Wait));
        let partial = heard(of(1), &all, &["h:4: away"]);
        assert_eq!(partial.decide(NodeId(1)), Ok(Step::Wait));
        let empty = |node| greeting(node, None, false);
        let unknown = [(1, empty(1)), (2, empty(2))];
        let begins = heard(empty(1), &unknown, &[]);
        assert_eq!(begins.decide(NodeId(1)), Ok(Step::Begin));
        let waits = heard(empty(1), &unknown, &["h:4: away"]);
        assert_eq!(waits.decide(NodeId(1)), Ok(Step::Wait));
        let outside = heard(empty(0), &unknown, &[]);
        assert_eq!(outside.decide(NodeId(0)), Ok(Step::Wait), "it is not named");
    }

    #[test]
    fn a_node_number_that_two_claim_is_told() {
        let mut heard = heard(greeting(1, Some("c"), false), &[], &[]);
        let mut other = greeting(1, Some("c"), false);
        other.directory = Some(TopicId([9; 16]));
        assert!(heard.place(other, &at(2)).is_err());
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
