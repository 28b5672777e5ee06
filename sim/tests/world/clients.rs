//! Those for whom all this is done: idempotent producers who try again, careless ones, consumers,
//! and an administrator.

use freshet_metadata::Reply;
use freshet_types::{LeaderEpoch, Offset, ProducerId, TopicPartition};

use crate::disk::{index, offset};
use crate::groups::Member;
use crate::message::{Message, Place, Produce, Read, Refusal, Row, Told};
use crate::network::Host;
use crate::world::{Alarm, World};

/// How long a client waits for an answer, ms.
const PATIENCE_MS: u64 = 200;
/// How long a producer has its leader wait for replicas, ms: it does not always hear the end of it.
const WAIT_MS: (u64, u64) = (60, 300);
/// Batches under way at most.
const WINDOW: usize = 3;
/// For how long a sequence may be refused before it is taken for lost, ms.
const REFUSED_MS: u64 = 3_000;

/// A batch that is not acknowledged.
#[derive(Debug)]
struct Batch {
    value: u64,
    sequence: i32,
    id: u64,
    sent: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Producer {
    /// `acks=all` and idempotent; else `acks=1` and never again.
    careful: bool,
    id: Option<ProducerId>,
    /// The question for one, and when it was asked.
    asked: Option<(u64, u64)>,
    next: i32,
    open: Vec<Batch>,
    refused_since: Option<u64>,
    pub(crate) acked: Vec<(Place, u64)>,
}

impl Producer {
    pub(crate) fn is_careful(&self) -> bool {
        self.careful
    }
}

#[derive(Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) seen: Vec<Row>,
    end: Offset,
    /// The question under way, and whether it is for the end only.
    asked: Option<(u64, u64, bool)>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Producer(Producer),
    Consumer(Consumer),
    Member(Box<Member>),
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) at: TopicPartition,
    pub(crate) kind: Kind,
    pub(crate) leader: Option<Host>,
    epoch: LeaderEpoch,
    replicas: Vec<Host>,
    looking: u64,
}

impl World {
    pub(crate) fn add_clients(&mut self, all: &[TopicPartition]) {
        for at in all {
            if self.is_offsets(*at) {
                self.add_members(*at);
                continue;
            }
            let producer = |careful| {
                Kind::Producer(Producer {
                    careful,
                    ..Producer::default()
                })
            };
            let kinds = [
                producer(true),
                producer(false),
                Kind::Consumer(Consumer::default()),
            ];
            for kind in kinds {
                let host = self.add_client(*at, kind);
                self.wake_in(host, 1, Alarm::Client);
            }
        }
    }

    pub(crate) fn add_client(&mut self, at: TopicPartition, kind: Kind) -> Host {
        self.clients.push(Client {
            at,
            kind,
            leader: None,
            epoch: -1,
            replicas: Vec::new(),
            looking: 0,
        });
        self.nodes.len() + self.clients.len() - 1
    }

    pub(crate) fn client(&mut self, host: Host) -> &mut Client {
        let first = self.nodes.len();
        &mut self.clients[host - first]
    }

    pub(crate) fn client_acts(&mut self, host: Host) {
        let pause = match self.client(host).kind {
            Kind::Member(_) => self.throws.between(30, 120),
            Kind::Producer(_) | Kind::Consumer(_) => self.throws.between(20, 60),
        };
        self.wake_in(host, pause, Alarm::Client);
        let node = self.throws.index(self.nodes.len());
        let id = self.next_id();
        let client = self.client(host);
        let Some(leader) = client.leader else {
            client.looking = id;
            let at = client.at;
            return self.send(host, node, Message::WhoLeads { id, at });
        };
        match &client.kind {
            Kind::Producer(producer) if producer.careful => self.careful_acts(host, node, leader),
            Kind::Producer(_) => self.careless_acts(host, leader),
            Kind::Consumer(_) => self.consumer_acts(host, leader),
            Kind::Member(_) => self.member_acts(host, leader),
        }
    }

    fn careful_acts(&mut self, host: Host, node: Host, leader: Host) {
        let (now, id) = (self.now, self.next_id());
        let ends = self.witness.is_ending;
        let wait_ms = self.throws.between(WAIT_MS.0, WAIT_MS.1);
        let value = self.next_id();
        let client = self.client(host);
        let at = client.at;
        let Kind::Producer(producer) = &mut client.kind else {
            return;
        };
        let Some(known) = producer.id else {
            if producer
                .asked
                .is_none_or(|(_, since)| now - since > PATIENCE_MS)
            {
                producer.asked = Some((id, now));
                self.send(host, node, Message::NewProducer { id });
            }
            return;
        };
        // Nobody knows this producer before its first batch is in.
        let window = if producer.next == 1 { 1 } else { WINDOW };
        // As Java does: others go on while one waits for an answer, which may come after many of them.
        if producer.open.len() < window && !ends {
            producer.open.push(Batch {
                value,
                sequence: producer.next,
                id: 0,
                sent: None,
            });
            producer.next += 1;
        }
        let mut out = Vec::new();
        let mut fresh = value + 1;
        for batch in &mut producer.open {
            if batch.sent.is_none_or(|sent| now - sent > PATIENCE_MS) {
                batch.id = fresh;
                batch.sent = Some(now);
                out.push((fresh, batch.value, batch.sequence));
                fresh += 1;
            }
        }
        self.ids = self.ids.max(fresh);
        for (id, value, sequence) in out {
            let message = Message::Produce(Produce {
                id,
                at,
                value,
                sender: Some((known, sequence)),
                all: true,
                wait_ms,
            });
            self.send(host, leader, message);
        }
    }

    fn careless_acts(&mut self, host: Host, leader: Host) {
        let (id, value) = (self.next_id(), self.next_id());
        if self.witness.is_ending || self.throws.chance(50) {
            return;
        }
        // Now and then it waits, and takes a no for a no.
        let all = self.throws.chance(30);
        let wait_ms = self.throws.between(WAIT_MS.0, WAIT_MS.1);
        let at = self.client(host).at;
        let message = Message::Produce(Produce {
            id,
            at,
            value,
            sender: None,
            all,
            wait_ms,
        });
        self.send(host, leader, message);
    }

    fn consumer_acts(&mut self, host: Host, leader: Host) {
        let (now, id) = (self.now, self.next_id());
        let nearer = self.throws.chance(25);
        let end_only = !nearer && self.throws.chance(20);
        let place = self.throws.index(8);
        let client = self.client(host);
        let (at, epoch) = (client.at, client.epoch);
        let replicas = client.replicas.len().max(1);
        let near = client.replicas.get(place % replicas).copied();
        let to = near.filter(|_| nearer).unwrap_or(leader);
        let Kind::Consumer(consumer) = &mut client.kind else {
            return;
        };
        if consumer
            .asked
            .is_some_and(|(_, since, _)| now - since <= PATIENCE_MS)
        {
            return;
        }
        consumer.asked = Some((id, now, end_only));
        let from = i64::try_from(consumer.seen.len()).unwrap();
        let message = Message::Read(Read {
            id,
            at,
            epoch,
            from,
            end_only,
        });
        self.send(host, to, message);
    }

    pub(crate) fn client_hears(&mut self, host: Host, from: Host, message: Message) {
        match message {
            Message::Leads {
                id,
                leader,
                replicas,
            } => {
                let client = self.client(host);
                // Who finds a coordinator is not told its epoch.
                let asks_any = matches!(client.kind, Kind::Member(_));
                if client.looking == id
                    && let Some((leader, epoch)) =
                        leader.filter(|(_, e)| *e >= client.epoch || asks_any)
                {
                    client.leader = Some(leader);
                    client.epoch = epoch;
                    client.replicas = replicas;
                }
            }
            Message::NewProducerId { id, producer } => {
                if let Kind::Producer(known) = &mut self.client(host).kind
                    && known.asked.is_some_and(|(asked, _)| asked == id)
                {
                    known.asked = None;
                    known.id = producer;
                }
            }
            Message::Produced { id, outcome } => self.produced(host, id, outcome),
            Message::ReadDone { id, outcome } => self.read_done(host, (from, id), outcome),
            other => unreachable!("{other:?} is nothing for a client"),
        }
    }

    fn produced(&mut self, host: Host, id: u64, outcome: Result<Place, Refusal>) {
        let now = self.now;
        let client = self.client(host);
        let at = client.at;
        let Kind::Producer(producer) = &mut client.kind else {
            return;
        };
        let Some(place) = producer.open.iter().position(|batch| batch.id == id) else {
            return;
        };
        let batch = &mut producer.open[place];
        match outcome {
            Ok(found) => {
                producer.acked.push((found, batch.value));
                producer.open.remove(place);
                producer.refused_since = None;
            }
            Err(refusal) => {
                batch.sent = None;
                if matches!(refusal, Refusal::NotLeader | Refusal::Failed) {
                    client.leader = None;
                }
                if refusal == Refusal::OutOfOrder && place == 0 {
                    let since = *producer.refused_since.get_or_insert(now);
                    if now - since > REFUSED_MS {
                        // Its past is gone from the log: it begins anew (KIP-360).
                        producer.id = None;
                        producer.next = 0;
                        producer.open.clear();
                        producer.refused_since = None;
                        self.sequence_lost(at);
                    }
                }
            }
        }
    }

    fn read_done(
        &mut self,
        host: Host,
        (_, id): (Host, u64),
        outcome: Result<(Vec<Row>, Offset), Refusal>,
    ) {
        let client = self.client(host);
        let at = client.at;
        let Kind::Consumer(consumer) = &mut client.kind else {
            return;
        };
        let Some((_, _, end_only)) = consumer.asked.take_if(|(asked, ..)| *asked == id) else {
            return;
        };
        match outcome {
            Ok((_, end)) if end_only => {
                let before = std::mem::replace(&mut consumer.end, end);
                if end < before {
                    self.end_went_back(at, before, end);
                }
            }
            Ok((rows, _)) => consumer.seen.extend(rows),
            // It goes on with the earliest that there is.
            Err(Refusal::Deleted(start)) => {
                let start = index(start).max(consumer.seen.len());
                consumer.seen.resize(start, Row::GONE);
            }
            Err(_) => client.leader = None,
        }
    }

    pub(crate) fn admin_told(&mut self, told: Told) {
        if let Ok((Reply::CreateTopics(outcomes), _)) = &told {
            let what = format!("topics: {outcomes:?}");
            self.note(|| what);
        }
    }

    /// Whether every careful producer has an acknowledgement for all that it sent, and how many there
    /// are.
    pub(crate) fn all_acknowledged(&self) -> bool {
        self.clients.iter().all(|client| match &client.kind {
            Kind::Producer(producer) if producer.careful => producer.open.is_empty(),
            _ => true,
        })
    }

    /// The first record of a partition that its careful producer has not heard of, or its last one.
    pub(crate) fn first_needed(&self, at: TopicPartition) -> Offset {
        let careful = self.clients.iter().filter(|client| client.at == at);
        let careful = careful.filter_map(|client| match &client.kind {
            Kind::Producer(producer) if producer.careful => Some(producer),
            _ => None,
        });
        let rows = self.witness.truths.get(&at).map_or(&[][..], |t| &t.rows);
        let needed = careful.map(|producer| {
            let open = |row: &Row| producer.open.iter().any(|batch| batch.value == row.value);
            let first = rows.iter().position(open).map_or(Offset::MAX, offset);
            producer
                .acked
                .last()
                .map_or(0, |(last, _)| first.min(last.last()))
        });
        needed.min().unwrap_or(0)
    }

    pub(crate) fn acknowledged_count(&self) -> usize {
        let counts = self.clients.iter().map(|client| match &client.kind {
            Kind::Producer(producer) => producer.acked.len(),
            Kind::Consumer(_) | Kind::Member(_) => 0,
        });
        counts.sum()
    }
}
