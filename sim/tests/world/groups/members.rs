//! Clients of groups: two members of one group, one of them static, of whom the one that its leader
//! says commits ever higher offsets, one at a time; and one that commits without being a member of anything.
//!
//! Now and then a member falls silent for longer than its session, and goes on as if nothing had been.

use std::sync::Arc;

use bytes::Bytes;
use freshet_coordinators::groups::api::{
    Assignment, Commit, CommitTopic, Fetch, FetchTopic, GroupError, Heartbeat, Join, JoinRefused,
    PartitionCommit, Protocol, Reply, Request, Sync,
};
use freshet_types::{Offset, TopicId, TopicPartition};

use super::{Ask, Outcome, Unheard, history, told};
use crate::clients::Kind;
use crate::message::Message;
use crate::network::Host;
use crate::world::{Alarm, World};

pub(super) const SESSION_MS: u64 = 800;
const REBALANCE_MS: i32 = 500;
/// How long an answer is waited for, and one that waits for other members, ms.
const PATIENCE_MS: u64 = 200;
const LONG_PATIENCE_MS: u64 = 700;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Out,
    /// It knows its generation, and not what to do in it.
    Joined,
    In {
        commits: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Member {
    group: Arc<str>,
    id: Arc<str>,
    generation: i32,
    /// The name of a static member (KIP-345): its place is kept while others go on without it.
    instance: Option<Arc<str>>,
    session_ms: u64,
    stage: Stage,
    /// It has asked what to do in this generation.
    has_synced: bool,
    /// Whom it has to tell what to do, as the leader.
    others: Vec<Arc<str>>,
    /// How far the group is, as far as it knows.
    position: Option<Offset>,
    asked: Option<(u64, u64)>,
    silent_until: u64,
    /// The last offset that was acknowledged to it.
    pub(super) acked: Offset,
    pub(crate) commits: usize,
}

impl Member {
    fn of(group: &str) -> Self {
        Self {
            group: group.into(),
            id: "".into(),
            generation: -1,
            instance: None,
            session_ms: SESSION_MS,
            stage: Stage::Out,
            has_synced: false,
            others: Vec::new(),
            position: None,
            asked: None,
            silent_until: 0,
            acked: 0,
            commits: 0,
        }
    }

    fn joins() -> Self {
        Self::of("g")
    }

    fn stays() -> Self {
        Self {
            instance: Some("static".into()),
            session_ms: 3 * SESSION_MS,
            ..Self::of("g")
        }
    }

    fn alone() -> Self {
        Self {
            stage: Stage::In { commits: true },
            ..Self::of("alone")
        }
    }

    /// Who uses a shard.
    pub(crate) fn all() -> [Self; 3] {
        [Self::joins(), Self::stays(), Self::alone()]
    }

    fn leave(&mut self) {
        if self.generation >= 0 {
            self.stage = Stage::Out;
        }
    }

    fn join(&self, random: u64) -> Request {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&random.to_be_bytes());
        Request::Join(Join {
            group: Arc::clone(&self.group),
            member_id: Arc::clone(&self.id),
            instance_id: self.instance.clone(),
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout_ms: i32::try_from(self.session_ms).unwrap(),
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol {
                name: "range".into(),
                metadata: Bytes::new(),
            }],
            needs_known_id: true,
            may_skip_assignment: false,
            random: bits,
        })
    }

    /// The leader gives all to one, and in each generation to another.
    fn sync(&self) -> Request {
        let count = self.others.len().max(1);
        let chosen = usize::try_from(self.generation).unwrap() % count;
        let chosen = self.others.get(chosen).map(|member| Assignment {
            member_id: Arc::clone(member),
            assignment: Bytes::from_static(b"all"),
        });
        Request::Sync(Sync {
            group: Arc::clone(&self.group),
            member_id: Arc::clone(&self.id),
            instance_id: self.instance.clone(),
            generation: self.generation,
            protocol_type: None,
            protocol: None,
            assignments: chosen.into_iter().collect(),
        })
    }

    fn fetch(&self) -> Request {
        Request::Fetch(Fetch {
            group: Arc::clone(&self.group),
            topics: Some(vec![FetchTopic {
                topic: "t".into(),
                topic_id: TopicId::ZERO,
                partitions: vec![0],
            }]),
        })
    }

    fn commit(&self, offset: Offset) -> Request {
        Request::Commit(Commit {
            group: Arc::clone(&self.group),
            member_id: Arc::clone(&self.id),
            instance_id: self.instance.clone(),
            generation: self.generation,
            expires_at: None,
            topics: vec![CommitTopic {
                topic: "t".into(),
                topic_id: TopicId::ZERO,
                partitions: vec![PartitionCommit {
                    partition: 0,
                    offset,
                    leader_epoch: -1,
                    metadata: "".into(),
                }],
            }],
        })
    }

    fn heartbeat(&self) -> Request {
        Request::Heartbeat(Heartbeat {
            group: Arc::clone(&self.group),
            member_id: Arc::clone(&self.id),
            instance_id: self.instance.clone(),
            generation: self.generation,
        })
    }

    /// What it asks next; one draw of a hundred chooses where there is a choice.
    fn next(&self, id: u64, draw: u64, is_ending: bool) -> Request {
        let is_member = self.generation >= 0;
        let leads = !self.others.is_empty() && !is_ending;
        match (self.stage, self.position) {
            (Stage::Out, _) => self.join(id),
            // A clumsy leader commits before it has said who does what.
            (Stage::Joined, Some(position)) if draw < 15 && leads && !self.has_synced => {
                self.commit(position + 1)
            }
            (Stage::Joined, _) => self.sync(),
            (Stage::In { commits: false }, _) => self.heartbeat(),
            (Stage::In { .. }, _) if is_member && draw < 10 => self.heartbeat(),
            (Stage::In { .. }, Some(position)) if draw < 75 && !is_ending => {
                self.commit(position + 1)
            }
            (Stage::In { .. }, _) if is_member && draw < 90 => self.heartbeat(),
            (Stage::In { .. }, _) => self.fetch(),
        }
    }

    fn hears(&mut self, reply: Reply) {
        match &reply {
            Reply::Join(Ok(joined)) => {
                self.id = Arc::clone(&joined.member_id);
                self.generation = joined.generation;
                self.stage = Stage::Joined;
                self.has_synced = false;
                let members = joined.members.iter();
                self.others = members.map(|m| Arc::clone(&m.member_id)).collect();
            }
            Reply::Join(Err(JoinRefused { error, member_id })) => match error {
                GroupError::MemberIdRequired => self.id = Arc::clone(member_id),
                GroupError::UnknownMember => self.id = "".into(),
                _ => {}
            },
            Reply::Sync(Ok(synced)) => {
                self.position = None;
                self.stage = Stage::In {
                    commits: !synced.assignment.is_empty(),
                };
            }
            Reply::Commit(Ok(_)) => {
                let offset = self.position.unwrap() + 1;
                self.position = Some(offset);
                self.acked = offset;
                self.commits += 1;
            }
            Reply::Fetch(topics) => self.position = Some(told(topics)),
            other => {
                if let Some(error) = history::error(other) {
                    if error == GroupError::UnknownMember {
                        self.id = "".into();
                    }
                    self.leave();
                }
            }
        }
    }
}

impl World {
    pub(crate) fn member(&self, host: Host) -> Option<&Member> {
        let client = self.clients.get(host.checked_sub(self.nodes.len())?)?;
        match &client.kind {
            Kind::Member(member) => Some(member),
            Kind::Producer(_) | Kind::Consumer(_) => None,
        }
    }

    pub(crate) fn member_acts(&mut self, host: Host, coordinator: Host) {
        let (now, id) = (self.now, self.next_id());
        let ends = self.witness.is_ending;
        let (draw, falls_silent) = (self.throws.below(100), self.throws.below(300) == 0);
        let silence = self.throws.between(SESSION_MS, 2 * SESSION_MS);
        let calm = self.is_calm;
        let client = self.client(host);
        let at = client.at;
        let Kind::Member(member) = &mut client.kind else {
            return;
        };
        if let Some((_, until)) = member.asked {
            if until > now {
                return;
            }
            // Whoever it asked may be gone.
            member.asked = None;
            client.leader = None;
            return;
        }
        if falls_silent && !calm && !ends && member.generation >= 0 {
            member.silent_until = now + silence;
        }
        if member.silent_until > now && !calm {
            return;
        }
        let request = member.next(id, draw, ends);
        member.has_synced |= matches!(request, Request::Sync(_));
        let patience = match &request {
            Request::Join(_) | Request::Sync(_) => LONG_PATIENCE_MS,
            _ => PATIENCE_MS,
        };
        member.asked = Some((id, now + patience));
        let known = self.witness.truths.get(&at).map_or(0, |t| t.rows.len());
        let ask = Ask {
            id,
            at,
            known,
            request,
        };
        self.send(host, coordinator, Message::Group(ask));
    }

    pub(crate) fn member_hears(&mut self, host: Host, id: u64, outcome: Outcome) {
        let client = self.client(host);
        let Kind::Member(member) = &mut client.kind else {
            return;
        };
        if member.asked.take_if(|(asked, _)| *asked == id).is_none() {
            return;
        }
        match outcome {
            Ok(reply) => member.hears(reply),
            Err(Unheard::Loading) => {}
            Err(Unheard::NotCoordinator | Unheard::NotAvailable) => client.leader = None,
        }
    }

    pub(crate) fn add_members(&mut self, at: TopicPartition) {
        for member in Member::all() {
            let host = self.add_client(at, Kind::Member(Box::new(member)));
            self.wake_in(host, 1, Alarm::Client);
        }
    }

    /// How often each group was told that its offset is stored.
    pub(crate) fn group_commits(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for group in ["g", "alone"] {
            let hosts = self.nodes.len()..self.nodes.len() + self.clients.len();
            let members = hosts.filter_map(|host| self.member(host));
            let of_group: Vec<_> = members.filter(|member| &*member.group == group).collect();
            if !of_group.is_empty() {
                counts.push(of_group.iter().map(|member| member.commits).sum());
            }
        }
        counts
    }
}
