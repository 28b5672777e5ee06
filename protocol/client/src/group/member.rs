//! One member of a group: join, sync, commit, leave.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::Writer;
use freshet_wire::join_group::JoinGroupRequestProtocol;
use freshet_wire::leave_group::MemberIdentity;
use freshet_wire::{
    ErrorCode, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use tokio::sync::watch;

use super::GroupConfig;
use super::assignor::Assignor;
use super::embedded::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, PROTOCOL_TYPE, by_topic, flat,
};
use super::heartbeat::{Beating, Heartbeat, Signal};
use super::leader::{self, SharedOut};
use crate::admin::{Committer, commit, millis};
use crate::cluster::{Attempts, Call, Lane, Route};
use crate::{Client, ClientError, NewGroupOffset, TopicPartition};

/// Heartbeats in one session timeout.
const BEATS: u32 = 3;
const LONGEST_BEAT: Duration = Duration::from_secs(3);
/// Added to the time the coordinator may take, for the way there and back.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Member {
    client: Client,
    config: GroupConfig,
    /// The coordinator parks JoinGroup: nothing else may wait behind it.
    lane: Arc<Lane>,
    /// Given by the coordinator; empty before.
    pub(super) id: String,
    /// -1 outside of any.
    pub(super) generation: i32,
    signal: (watch::Sender<Signal>, watch::Receiver<Signal>),
    heartbeat: Option<Heartbeat>,
    /// The group's topics, and the partitions that this member has shared out as its leader.
    shared_out: Option<SharedOut>,
}

impl Member {
    pub(super) fn new(client: &Client, config: &GroupConfig) -> Self {
        Self {
            client: client.clone(),
            config: config.clone(),
            lane: Arc::new(client.lane()),
            id: String::new(),
            generation: -1,
            signal: watch::channel(Signal::Rejoin),
            heartbeat: None,
            shared_out: None,
        }
    }

    /// What there is to do.
    pub(super) fn signal(&self) -> Signal {
        self.signal.1.borrow().clone()
    }

    /// Waits until there is something to do.
    pub(super) async fn disturbed(&mut self) {
        let is_disturbed = |signal: &Signal| !matches!(signal, Signal::Stable);
        // The sender lives as long as this member.
        let _ = self.signal.1.wait_for(is_disturbed).await;
    }

    /// Asks for another generation.
    pub(super) fn join_again(&self) {
        let _ = self.signal.0.send(Signal::Rejoin);
    }

    /// The leader watches the group's topics: a new partition needs a reader.
    pub(super) async fn look_for_new_partitions(&self) {
        let Some((topics, before)) = &self.shared_out else {
            return;
        };
        let view = self.client.recent_view().await;
        if leader::counts(&view, topics) != *before {
            self.join_again();
        }
    }

    /// Enters the next generation and answers this member's share. `owned` is what it still reads.
    pub(super) async fn join(
        &mut self,
        owned: Vec<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, ClientError> {
        self.heartbeat = None;
        if matches!(self.signal(), Signal::Lost) {
            self.forget();
        }
        let mut attempts = Attempts::new(self.client.config(), "joining the group")
            .longer(self.config.rebalance_timeout);
        loop {
            match self.try_join(&owned).await {
                Ok(share) => {
                    // Before the heartbeats: what they tell must not be overwritten.
                    let _ = self.signal.0.send(Signal::Stable);
                    self.heartbeat = Some(self.start_heartbeat());
                    return Ok(share);
                }
                Err(error) => match error.code() {
                    // The id is known now; ask again at once (KIP-394).
                    Some(ErrorCode::MemberIdRequired) => {}
                    Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                        self.forget();
                    }
                    Some(ErrorCode::RebalanceInProgress) => {}
                    _ => attempts.pause(error).await?,
                },
            }
        }
    }

    async fn try_join(
        &mut self,
        owned: &[TopicPartition],
    ) -> Result<Vec<TopicPartition>, ClientError> {
        let joined = self.ask_to_join(owned).await?;
        let protocol = joined.protocol_name.clone().unwrap_or_default();
        let assignor = Assignor::from_name(&protocol).ok_or_else(|| {
            ClientError::Invalid(format!(
                "the group chose the assignor {protocol:?}, unknown here"
            ))
        })?;
        self.shared_out = None;
        let mut assignments = Vec::new();
        if joined.leader == self.id && !joined.skip_assignment {
            let (shares, shared_out) =
                leader::share_out(&self.client, assignor, joined.members).await?;
            assignments = shares;
            self.shared_out = Some(shared_out);
        }
        let request = SyncGroupRequest {
            group_id: self.config.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(protocol),
            assignments,
        };
        let refused = |r: &SyncGroupResponse| r.error_code;
        let response = self
            .client
            .call_group(self.route(), &request, refused)
            .await?;
        ClientError::check(response.error_code, None, || {
            self.what("was not synchronised")
        })?;
        let share = ConsumerProtocolAssignment::from_bytes(response.assignment)?;
        Ok(flat(share.assigned_partitions).collect())
    }

    async fn ask_to_join(
        &mut self,
        owned: &[TopicPartition],
    ) -> Result<JoinGroupResponse, ClientError> {
        let request = JoinGroupRequest {
            group_id: self.config.group.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: self.protocols(owned)?,
            reason: None,
        };
        let refused = |r: &JoinGroupResponse| r.error_code;
        let response = self
            .client
            .call_group(self.route(), &request, refused)
            .await?;
        if !response.member_id.is_empty() {
            self.id.clone_from(&response.member_id);
        }
        ClientError::check(response.error_code, None, || self.what("was not joined"))?;
        self.generation = response.generation_id;
        Ok(response)
    }

    fn protocols(
        &self,
        owned: &[TopicPartition],
    ) -> Result<Vec<JoinGroupRequestProtocol>, ClientError> {
        let mut said = ConsumerProtocolSubscription {
            topics: self.config.topics.clone(),
            owned_partitions: by_topic(owned.iter().cloned()),
            generation_id: self.generation,
            ..ConsumerProtocolSubscription::default()
        };
        let protocol = |assignor: &Assignor| {
            said.user_data = match assignor {
                Assignor::Range => None,
                Assignor::CooperativeSticky => Some(generation_bytes(self.generation)),
            };
            let name = assignor.name().to_owned();
            Ok(JoinGroupRequestProtocol {
                name,
                metadata: said.to_bytes()?,
            })
        };
        self.config.assignors.iter().map(protocol).collect()
    }

    /// Stores positions as a member of this generation.
    pub(super) async fn commit(&self, offsets: &[NewGroupOffset]) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let committer = Committer {
            generation: self.generation,
            member_id: self.id.clone(),
            instance_id: self.config.instance_id.clone(),
        };
        let outcomes = commit(&self.client, self.route(), &committer, offsets).await?;
        for (_, outcome) in outcomes {
            let Err(error) = outcome else { continue };
            if let Some(signal) = Signal::of(&error) {
                let _ = self.signal.0.send(signal);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Leaves the group. A static member stays: it is expected back.
    pub(super) async fn leave(&mut self) -> Result<(), ClientError> {
        self.heartbeat = None;
        if self.id.is_empty() || self.config.instance_id.is_some() {
            return Ok(());
        }
        let member = MemberIdentity {
            member_id: self.id.clone(),
            reason: Some("the consumer was closed".to_owned()),
            ..MemberIdentity::default()
        };
        let request = LeaveGroupRequest {
            group_id: self.config.group.clone(),
            members: vec![member],
            ..LeaveGroupRequest::default()
        };
        let refused = |r: &LeaveGroupResponse| r.error_code;
        let response = self
            .client
            .call_group(self.route(), &request, refused)
            .await?;
        let first = response.members.first().map_or(0, |m| m.error_code);
        let code = if response.error_code == 0 {
            first
        } else {
            response.error_code
        };
        self.forget();
        match ClientError::check(code, None, || self.what("was not left")) {
            // It is out, whoever was faster.
            Err(error) if error.code() == Some(ErrorCode::UnknownMemberId) => Ok(()),
            outcome => outcome,
        }
    }

    fn forget(&mut self) {
        self.id.clear();
        self.generation = -1;
        self.shared_out = None;
    }

    fn start_heartbeat(&self) -> Heartbeat {
        Heartbeat::start(Beating {
            client: self.client.clone(),
            lane: Arc::clone(&self.lane),
            request: HeartbeatRequest {
                group_id: self.config.group.clone(),
                generation_id: self.generation,
                member_id: self.id.clone(),
                group_instance_id: self.config.instance_id.clone(),
            },
            every: (self.config.session_timeout / BEATS).min(LONGEST_BEAT),
            signal: self.signal.0.clone(),
        })
    }

    fn route(&self) -> Route<'_> {
        let extra = self.config.rebalance_timeout + GRACE;
        Route {
            lane: &self.lane,
            group: &self.config.group,
            call: Call {
                extra,
                ..Call::default()
            },
        }
    }

    fn what(&self, verb: &str) -> String {
        format!("group {:?} {verb}", self.config.group)
    }
}

/// What Java's cooperative-sticky assignor keeps in its own note: the generation.
fn generation_bytes(generation: i32) -> Bytes {
    let mut writer = Writer::new();
    writer.i32(generation);
    writer.finish().into_bytes()
}
