//! Fetch (1): reads from many partitions at once, waiting for data if asked to.
//!
//! One round looks at all partitions that are due, in order, until the byte budget is used. If that
//! is not enough, the fetch watches its partitions and looks at those that move, until `min_bytes`
//! are there or `max_wait_ms` is over.

pub(in crate::kafka) mod brakes;
pub(in crate::kafka) mod budget;
mod collect;
mod look;

use std::sync::Arc;
use std::time::Duration;

use freshet_partition::Isolation;
use freshet_types::NodeId;
use freshet_wire::fetch::{FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData};
use freshet_wire::{ErrorCode, FetchRequest, FetchResponse};

use self::budget::ResponseBudget;
use self::collect::{Found, collect};
use self::look::Outcome;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::context::leaders::{Endpoint, Leaders};
use crate::kafka::errors::Coded;
use crate::kafka::sessions::{Agenda, Asked, Fetching, Item, Named, Opening, Position};

/// First version that names topics by id.
const BY_ID_SINCE: i16 = 13;
/// First version whose clients tell their rack, and know that followers can be read from (KIP-392).
const FOLLOWERS_SINCE: i16 = 11;
/// First version that names leaders to turn to (KIP-951).
const LEADERS_SINCE: i16 = 16;
/// First version with sessions.
const SESSIONS_SINCE: i16 = 7;
/// No client waits longer than this, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Who fetches.
#[derive(Debug, Clone, Copy)]
enum Reader<'a> {
    /// A client, that sees what is committed.
    Consumer {
        /// Whether it knows that others than leaders can be read from.
        reads_followers: bool,
        /// Where it stands, if that is asked for.
        rack: Option<&'a str>,
        /// The same for all fetches of a connection: what is in object storage is read ahead for it.
        client: u64,
    },
    /// A broker that copies; with its registration, -1 if it does not tell.
    Replica { node: NodeId, broker_epoch: i64 },
}

impl<'a> Reader<'a> {
    fn of(call: &Call, request: &FetchRequest, rack: Option<&'a str>) -> Self {
        // The one that is not in the request's version is -1.
        let state = &request.replica_state;
        match request.replica_id.max(state.replica_id) {
            ..0 => Self::Consumer {
                reads_followers: call.version >= FOLLOWERS_SINCE,
                rack,
                client: call.origin.client(),
            },
            node => Self::Replica {
                node: NodeId(node),
                broker_epoch: state.replica_epoch,
            },
        }
    }

    fn is_replica(self) -> bool {
        self.replica().is_some()
    }

    /// Who copies; none where a client reads.
    fn replica(self) -> Option<NodeId> {
        match self {
            Self::Replica { node, .. } => Some(node),
            Self::Consumer { .. } => None,
        }
    }

    fn isolation(self, level: i8) -> Isolation {
        match self {
            Self::Consumer { .. } => isolation(level),
            Self::Replica { .. } => Isolation::LogEnd,
        }
    }

    /// What holds the records until they are sent. Consumers that take their time must not keep
    /// replicas from copying, so these have a budget of their own.
    fn budget(self, context: &Context) -> &ResponseBudget {
        match self {
            Self::Consumer { .. } => &context.response_budget,
            Self::Replica { .. } => &context.replica_budget,
        }
    }
}

/// The limits of one fetch.
#[derive(Debug, Clone, Copy)]
struct Limits<'a> {
    reader: Reader<'a>,
    isolation: Isolation,
    max_bytes: usize,
    min_bytes: usize,
    max_wait: Duration,
}

/// Serves a fetch.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    mut request: FetchRequest,
) -> FetchResponse {
    let rack = std::mem::take(&mut request.rack_id);
    let rack = (context.limits.replicas_by_rack && !rack.is_empty()).then_some(rack);
    let reader = Reader::of(call, &request, rack.as_deref());
    let limits = limits(context, &request, reader);
    let session_id = request.session_id;
    let mut fetching = match context.open_session(opening(call, request, limits.isolation)) {
        Ok(fetching) => fetching,
        Err(error) => {
            context.metrics.error(error.code());
            return FetchResponse {
                error_code: error.code().code(),
                session_id: if call.version >= SESSIONS_SINCE {
                    session_id
                } else {
                    0
                },
                ..FetchResponse::default()
            };
        }
    };
    let found = collect(context, &call.origin.alarm, fetching.agenda(), limits).await;
    let response = respond(context, call, limits.reader, &mut fetching, found);
    if let Some(session) = fetching.into_session() {
        context.give_back_session(session);
    }
    response
}

fn limits<'a>(context: &Context, request: &FetchRequest, reader: Reader<'a>) -> Limits<'a> {
    let share = i32::try_from(reader.budget(context).share_bytes()).unwrap_or(i32::MAX);
    let max_bytes = request.max_bytes.min(context.limits.fetch_max_bytes);
    let max_bytes = max_bytes.min(share);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    Limits {
        reader,
        isolation: reader.isolation(request.isolation_level),
        max_bytes: usize::try_from(max_bytes).unwrap_or(0),
        min_bytes: usize::try_from(request.min_bytes.min(max_bytes)).unwrap_or(0),
        max_wait: max_wait.min(MAX_WAIT),
    }
}

/// Reads an isolation level as requests carry it.
pub(crate) fn isolation(level: i8) -> Isolation {
    if level == 1 {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    }
}

fn opening(call: &Call, request: FetchRequest, isolation: Isolation) -> Opening {
    let by_id = call.version >= BY_ID_SINCE;
    let named = |id, name| {
        if by_id {
            Named::Id(id)
        } else {
            Named::Name(name)
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let position = Position {
                current_leader_epoch: asked.current_leader_epoch,
                fetch_offset: asked.fetch_offset,
                last_fetched_epoch: asked.last_fetched_epoch,
                log_start: asked.log_start_offset,
                max_bytes: asked.partition_max_bytes,
            };
            (asked.partition, position)
        });
        Asked {
            partitions: partitions.collect(),
            named: named(topic.topic_id, topic.topic),
        }
    });
    let forgotten = request.forgotten_topics_data.into_iter();
    let forgotten = forgotten.map(|topic| (named(topic.topic_id, topic.topic), topic.partitions));
    Opening {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        by_id,
        isolation,
        topics: topics.collect(),
        forgotten: forgotten.collect(),
    }
}

fn respond(
    context: &Context,
    call: &Call,
    reader: Reader<'_>,
    fetching: &mut Fetching,
    mut found: Found,
) -> FetchResponse {
    let session_id = fetching.id();
    let only_news = matches!(fetching, Fetching::Incremental(_));
    let is_session = session_id != 0;
    let agenda = fetching.agenda();
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut leaders = Leaders::new(context, &call.origin.listener);
    for (slot, mut outcome) in found.outcomes.into_values() {
        if outcome.error != ErrorCode::None {
            context.metrics.error(outcome.error);
        }
        let bytes = outcome.records.len();
        context.metrics.fetched(bytes, reader.is_replica());
        if let Some(traffic) = outcome.traffic.take().filter(|_| !reader.is_replica()) {
            traffic.fetched(bytes as u64);
        }
        let is_news = is_session && settle(agenda, slot, &outcome);
        if let Some(item) = agenda.item(slot)
            && (is_news || !only_news)
        {
            outcome.records = found.held.hand_over(outcome.records);
            let mut told = partition_data(item, outcome);
            if call.version >= LEADERS_SINCE && is_elsewhere(told.error_code) {
                told.current_leader = current_leader(&mut leaders, item);
            }
            let topic = topic_of(&mut responses, &item.named);
            topic.partitions.push(told);
        }
    }
    FetchResponse {
        session_id,
        responses,
        node_endpoints: leaders.endpoints().map(node_endpoint).collect(),
        ..FetchResponse::default()
    }
}

/// Errors after which a client should turn to somebody else, or to a newer epoch.
fn is_elsewhere(code: i16) -> bool {
    code == ErrorCode::NotLeaderOrFollower.code() || code == ErrorCode::FencedLeaderEpoch.code()
}

fn current_leader(leaders: &mut Leaders<'_>, item: &Item) -> LeaderIdAndEpoch {
    let leader = leaders.of(&item.named, item.partition);
    leader.map_or_else(LeaderIdAndEpoch::default, |leader| LeaderIdAndEpoch {
        leader_id: leader.id,
        leader_epoch: leader.epoch,
    })
}

fn node_endpoint(endpoint: Endpoint) -> NodeEndpoint {
    NodeEndpoint {
        node_id: endpoint.node_id,
        host: endpoint.host,
        port: endpoint.port,
        rack: endpoint.rack,
    }
}

/// Notes what a session's client is told, and when the partition is looked at again: by the next
/// fetch, or only once it moves. Says whether the client does not know all of it yet.
fn settle(agenda: &mut Agenda, slot: usize, outcome: &Outcome) -> bool {
    let told = outcome.told();
    let has_data = !outcome.records.is_empty();
    let Some(item) = agenda.item_mut(slot) else {
        return false;
    };
    let is_news = has_data || outcome.is_urgent() || told != item.told;
    item.told = told;
    if has_data {
        agenda.move_to_back(slot);
    }
    let may_sleep = match &outcome.seen {
        Some((partition, seen)) if outcome.caught_up => agenda.watch(slot, partition, *seen),
        _ => false,
    };
    if !may_sleep {
        agenda.make_due(slot);
    }
    is_news
}

/// Partitions of one topic that follow each other share an entry.
fn topic_of<'a>(
    responses: &'a mut Vec<FetchableTopicResponse>,
    named: &Named,
) -> &'a mut FetchableTopicResponse {
    let same = |last: &FetchableTopicResponse| match named {
        Named::Id(id) => last.topic_id == *id,
        Named::Name(name) => last.topic == *name,
    };
    if !responses.last().is_some_and(same) {
        let mut response = FetchableTopicResponse::default();
        match named {
            Named::Id(id) => response.topic_id = *id,
            Named::Name(name) => response.topic.clone_from(name),
        }
        responses.push(response);
    }
    responses
        .last_mut()
        .expect("one was pushed if there was none")
}

fn partition_data(item: &Item, outcome: Outcome) -> PartitionData {
    let ends = outcome.ends;
    PartitionData {
        partition_index: item.partition,
        error_code: outcome.error.code(),
        high_watermark: ends.map_or(-1, |ends| ends.high_watermark),
        last_stable_offset: ends.map_or(-1, |ends| ends.last_stable),
        log_start_offset: ends.map_or(-1, |ends| ends.log_start),
        diverging_epoch: outcome.diverging.unwrap_or_default(),
        records: outcome.records,
        preferred_read_replica: outcome.nearer.map_or(-1, |node| node.0),
        ..PartitionData::default()
    }
}
