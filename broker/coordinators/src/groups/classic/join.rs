//! The first half of a rebalance, seen from one member: who may come in, under which id.

use std::sync::Arc;

use bytes::Bytes;
use freshet_types::Ticket;

use super::roster::NewMember;
use super::{Classic, Gathering, Phase};
use crate::groups::api::{GroupError, Join};
use crate::groups::records::subscribed_topics;
use crate::groups::turn::Turn;

/// What a member id keeps of the client's name, so that the id fits wherever a string fits.
const ID_PREFIX_BYTES_MAX: usize = 1024;

impl Classic {
    pub(crate) fn join(&mut self, turn: &mut Turn, ticket: Ticket, request: Join) {
        let result = match self.check_room(turn, &request.member_id) {
            Err(error) => {
                self.turn_away(turn, &request.member_id);
                Err((error, "".into()))
            }
            Ok(()) if !self.speaks(&request) => Err((
                GroupError::InconsistentProtocol,
                Arc::clone(&request.member_id),
            )),
            Ok(()) if request.member_id.is_empty() => self.join_new(turn, ticket, request),
            Ok(()) => self.join_known(turn, ticket, request),
        };
        if let Err((error, member_id)) = result {
            turn.join_refused(ticket, error, &member_id);
        }
    }

    /// Whether one more may be in. In a rebalance those who come first may stay, which also brings
    /// a group down to a limit that was lowered.
    fn check_room(&self, turn: &Turn, member_id: &str) -> Result<(), GroupError> {
        let limit = turn.limits.members;
        let (is_in, count) = match self.phase {
            Phase::Empty => return Ok(()),
            Phase::Preparing(_) => {
                let member = self.roster.get(member_id);
                (
                    member.is_some_and(|member| member.is_joining()),
                    self.roster.joining(),
                )
            }
            Phase::Completing | Phase::Stable => {
                (self.roster.contains(member_id), self.roster.len())
            }
        };
        if is_in || count < limit {
            Ok(())
        } else {
            Err(GroupError::MaxSizeReached)
        }
    }

    /// A member for which there is no room any more goes, and is not waited for.
    fn turn_away(&mut self, turn: &mut Turn, member_id: &str) {
        self.roster.remove_pending(member_id);
        self.dismiss(turn, member_id);
        self.complete_if_all_joined(turn);
    }

    fn speaks(&self, request: &Join) -> bool {
        if self.phase == Phase::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && self.roster.understands(&request.protocols)
    }

    fn join_new(&mut self, turn: &mut Turn, ticket: Ticket, request: Join) -> Refusable {
        let id = new_member_id(&request);
        if let Some(instance_id) = &request.instance_id {
            if let Some(holder) = self.roster.static_id(instance_id).cloned() {
                let takeover = Takeover {
                    from: holder,
                    to: id,
                };
                self.replace_static(turn, ticket, request, &takeover);
            } else {
                self.add(turn, ticket, request, id);
            }
        } else if !request.needs_known_id {
            self.add(turn, ticket, request, id);
        } else if self.roster.pending() >= turn.limits.pending_members {
            return Err((GroupError::Busy, "".into()));
        } else {
            let timeout_ms = request.session_timeout_ms.max(0).unsigned_abs();
            turn.fire_in(self.session_timer(&id), timeout_ms.into());
            self.roster.add_pending(Arc::clone(&id));
            return Err((GroupError::MemberIdRequired, id));
        }
        Ok(())
    }

    fn join_known(&mut self, turn: &mut Turn, ticket: Ticket, request: Join) -> Refusable {
        let id = Arc::clone(&request.member_id);
        if self.roster.is_pending(&id) && request.instance_id.is_none() {
            self.add(turn, ticket, request, id);
            return Ok(());
        }
        self.roster
            .check(&id, request.instance_id.as_deref())
            .map_err(|error| (error, Arc::clone(&id)))?;
        let same = self
            .roster
            .get(&id)
            .is_some_and(|m| m.protocols() == request.protocols);
        let leads = self.is_leader(&id);
        match self.phase {
            // It missed the answer to its join.
            Phase::Completing if same => turn.joined(ticket, self.joined(&id, leads)),
            // Only the leader may ask for a rebalance without a change of its own: it sees changes
            // of topics.
            Phase::Stable if same && !leads => turn.joined(ticket, self.joined(&id, false)),
            Phase::Preparing(_) | Phase::Completing | Phase::Stable => {
                self.update(turn, ticket, request, &id);
                self.changed(turn);
            }
            Phase::Empty => return Err((GroupError::UnknownMember, id)),
        }
        Ok(())
    }

    fn add(&mut self, turn: &mut Turn, ticket: Ticket, request: Join, id: Arc<str>) {
        if self.roster.is_empty() {
            self.protocol_type = Some(Arc::clone(&request.protocol_type));
        }
        if let Phase::Preparing(Gathering::First { newcomer, .. }) = &mut self.phase {
            *newcomer = true;
        }
        let rebalance_timeout_ms = rebalance_timeout_ms(&request);
        self.roster.add(NewMember {
            id: Arc::clone(&id),
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
        });
        if let Some(member) = self.roster.get_mut(&id) {
            member.is_new = true;
        }
        self.leader.get_or_insert_with(|| Arc::clone(&id));
        self.park_join(turn, &id, ticket);
        turn.fire_in(
            self.session_timer(&id),
            turn.limits.new_member_join_timeout_ms,
        );
        self.changed(turn);
    }

    /// Takes over what a member says of itself now, and parks its join.
    fn update(&mut self, turn: &mut Turn, ticket: Ticket, request: Join, id: &Arc<str>) {
        if let Some(member) = self.roster.get_mut(id) {
            member.rebalance_timeout_ms = rebalance_timeout_ms(&request);
            member.session_timeout_ms = request.session_timeout_ms;
        }
        self.roster.set_protocols(id, request.protocols);
        self.park_join(turn, id, ticket);
    }

    /// A static member is back under a new id (KIP-345). Its place and assignment are kept, and
    /// whoever still uses the old id is fenced. No rebalance, if nothing changed for the others.
    fn replace_static(
        &mut self,
        turn: &mut Turn,
        ticket: Ticket,
        request: Join,
        takeover: &Takeover,
    ) {
        let id = &takeover.to;
        let old_leader = self.leader.clone();
        let may_skip_assignment = request.may_skip_assignment;
        self.move_member(turn, takeover);
        let topics_before = self.topics_of(id);
        self.update(turn, ticket, request, id);
        match self.phase {
            Phase::Stable => {
                let same_protocol = self.roster.elect_protocol() == self.protocol;
                let same_topics = self.topics_of(id) == topics_before;
                if !same_protocol || !same_topics || self.stored_bytes() > turn.limits.group_bytes {
                    return self.prepare(turn);
                }
                let Some(ticket) = self.roster.take_join(id) else {
                    return;
                };
                turn.record(self.record(turn.now.wall));
                self.extend_session(turn, id);
                let leads = self.is_leader(id) && may_skip_assignment;
                let mut joined = self.joined(id, leads);
                joined.skip_assignment = leads;
                if !may_skip_assignment {
                    // A client that does not know the flag would assign anew if it saw that it
                    // leads; naming the old id makes it a follower.
                    joined.leader = old_leader.unwrap_or_default();
                }
                turn.joined(ticket, joined);
            }
            // The leader may be assigning to the old id at this moment.
            Phase::Completing => self.prepare(turn),
            Phase::Preparing(_) | Phase::Empty => self.complete_if_all_joined(turn),
        }
    }

    /// Gives a member another id. The old one's waiting requests are fenced.
    fn move_member(&mut self, turn: &mut Turn, takeover: &Takeover) {
        let Takeover {
            from: old_id,
            to: id,
        } = takeover;
        let Some((old, joining)) = self.roster.remove(old_id) else {
            return;
        };
        turn.cancel(self.session_timer(old_id));
        if let Some(ticket) = joining {
            turn.join_refused(ticket, GroupError::FencedInstance, old_id);
        }
        if let Some(ticket) = old.syncing {
            turn.synced(ticket, Err(GroupError::FencedInstance));
        }
        let protocols = old.protocols().to_vec();
        self.roster.add(NewMember {
            id: Arc::clone(id),
            instance_id: old.instance_id,
            client_id: old.client_id,
            client_host: old.client_host,
            rebalance_timeout_ms: old.rebalance_timeout_ms,
            session_timeout_ms: old.session_timeout_ms,
            protocols,
            assignment: old.assignment,
        });
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(id));
        }
        self.extend_session(turn, id);
    }

    /// Topics a consumer subscribes to; `None` for everything else.
    fn topics_of(&self, id: &str) -> Option<std::collections::BTreeSet<Arc<str>>> {
        let member = self.roster.get(id).filter(|_| self.is_consumer())?;
        subscribed_topics(&member.metadata(self.protocol.as_deref()))
    }
}

/// A static member's place goes from one member id to another.
struct Takeover {
    from: Arc<str>,
    to: Arc<str>,
}

/// Not waiting: the error, and the member id to go with it.
type Refusable = Result<(), (GroupError, Arc<str>)>;

fn rebalance_timeout_ms(request: &Join) -> i32 {
    match request.rebalance_timeout_ms {
        timeout if timeout < 0 => request.session_timeout_ms,
        timeout => timeout,
    }
}

/// The client's or the static member's name, and a random UUID.
fn new_member_id(request: &Join) -> Arc<str> {
    let name = request.instance_id.as_ref().unwrap_or(&request.client_id);
    let end = (0..=name.len().min(ID_PREFIX_BYTES_MAX))
        .rev()
        .find(|&end| name.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}-{}", &name[..end], uuid(request.random)).into()
}

/// RFC 9562 version 4.
fn uuid(random: [u8; 16]) -> String {
    let version = 0x4000 << 64;
    let variant = 0x8000 << 48;
    let bits = u128::from_be_bytes(random);
    let bits = bits & !(0xf000 << 64) & !(0xc000 << 48) | version | variant;
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}
