//! The world: hosts, what happens when, and who is told.

use std::collections::BTreeMap;

use freshet_metadata::{Request, SessionOptions};
use freshet_sim::Throws;
use freshet_types::{LeaderEpoch, Millis, NodeId, TopicPartition};

use crate::agreed::Agreed;
use crate::broker::Process;
use crate::clients::Client;
use crate::clock::Clock;
use crate::council::Seat;
use crate::disk::Disk;
use crate::faults::{Climate, Plan};
use crate::groups::Written;
use crate::invariants::Witness;
use crate::message::{Fetch, Message};
use crate::network::{Host, Network};
use crate::rules::{Duty, Rule};
use crate::told;

/// What a host is woken for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Alarm {
    /// Elections, heartbeats between controllers, timers of the machine.
    Council,
    /// The broker's course.
    Heart,
    /// An answer from the controller is overdue.
    AskAgain(u64),
    /// A whole question is.
    AskGone(u64),
    /// An answer waited long enough for the image.
    Held,
    /// Logs are recovered.
    Open,
    /// The directory takes in the newest image.
    Apply,
    /// A flush that began is done.
    Flushed(TopicPartition, u64),
    Fetch(TopicPartition),
    /// No answer to a fetch.
    Unfetched(TopicPartition, u64),
    Laggards,
    Proposals,
    /// The time of a producer that waits is over.
    Overdue(TopicPartition, u64),
    /// A client does something.
    Client,
    /// A coordinator reads its log.
    Load(TopicPartition, LeaderEpoch),
    /// A timer of groups.
    Groups(TopicPartition),
}

#[derive(Debug)]
enum Event {
    Deliver {
        from: Host,
        to: Host,
        message: Message,
    },
    Alarm {
        host: Host,
        life: u64,
        alarm: Alarm,
    },
}

/// A machine with its disks; processes come and go on it.
pub(crate) struct Node {
    /// Counts processes.
    pub(crate) life: u64,
    /// It stands still until then.
    pub(crate) stalled_until: u64,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    /// What the disk was like some time ago.
    pub(crate) saved: Option<Disk>,
    /// Its part in the quorum: on a disk of its own that is never lost.
    pub(crate) seat: Seat,
    pub(crate) process: Option<Process>,
    /// What it asked leaders last.
    pub(crate) fetched: BTreeMap<TopicPartition, (Host, Fetch)>,
    /// What it had asked when it lost its disk.
    pub(crate) ghost: BTreeMap<TopicPartition, (Host, Fetch)>,
    /// When it is started again.
    pub(crate) returns_at: Option<u64>,
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    count: u64,
    pub(crate) throws: Throws,
    pub(crate) network: Network,
    pub(crate) climate: Climate,
    pub(crate) without: Option<Rule>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) agreed: Agreed,
    pub(crate) clients: Vec<Client>,
    pub(crate) witness: Witness,
    pub(crate) trace: Trace,
    pub(crate) ids: u64,
    /// Blows that belong together.
    pub(crate) plans: Vec<(u64, Plan)>,
    pub(crate) trap: Option<Trap>,
    /// Nothing goes wrong any more.
    pub(crate) is_calm: bool,
    /// What coordinators wrote, by the values of its rows.
    pub(crate) journal: BTreeMap<u64, Written>,
}

/// Takes messages out of the lines.
pub(crate) struct Trap {
    pub(crate) takes: fn(Host, Host, &Message) -> bool,
    pub(crate) taken: Vec<(Host, Host, Message)>,
}

/// What happened, in lines that a seed repeats.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) lines: Option<Vec<String>>,
}

/// Sessions are as long as by default; partitions get their preferred leader back more often.
pub(crate) const SESSIONS: SessionOptions = SessionOptions {
    timeout_ms: 1_000,
    balance_every_ms: Some(2_000),
    balance_at_once: 10,
};

/// Whether a second copy may come long after its sender is gone. Not a registration, which is staged:
/// if no controller had heard of a dead process when its successor registered, nobody could tell it
/// from the successor's successor.
fn may_haunt(message: &Message) -> bool {
    match message {
        Message::Fetch(_) => true,
        Message::Ask { request, .. } => !matches!(request, Request::RegisterBroker(_)),
        _ => false,
    }
}

pub(crate) fn node_id(host: Host) -> NodeId {
    NodeId(i32::try_from(host).unwrap() + 1)
}

pub(crate) fn host_of(node: NodeId) -> Host {
    usize::try_from(node.0 - 1).unwrap()
}

impl World {
    pub(crate) fn new(seed: u64, without: Option<Rule>, traced: bool) -> Self {
        let mut throws = Throws::new(seed);
        let climate = Climate::of(&mut throws);
        Self::of(seed, (throws, climate), without, traced)
    }

    pub(crate) fn of(
        seed: u64,
        (throws, climate): (Throws, Climate),
        without: Option<Rule>,
        traced: bool,
    ) -> Self {
        let mut world = Self {
            seed,
            now: 0,
            queue: BTreeMap::new(),
            count: 0,
            network: Network::new(),
            without,
            nodes: Vec::new(),
            agreed: Agreed::new(),
            clients: Vec::new(),
            witness: Witness::default(),
            trace: Trace {
                lines: traced.then(Vec::new),
            },
            ids: 0,
            plans: Vec::new(),
            trap: None,
            is_calm: false,
            journal: BTreeMap::new(),
            throws,
            climate,
        };
        for host in 0..world.climate.nodes {
            let start = world.throws.between(1, 100_000);
            let disk = world.new_disk();
            world.nodes.push(Node {
                life: 0,
                stalled_until: 0,
                clock: Clock::new(start),
                disk,
                saved: None,
                seat: Seat::new(host < 3),
                process: None,
                fetched: BTreeMap::new(),
                ghost: BTreeMap::new(),
                returns_at: None,
            });
        }
        world
    }

    pub(crate) fn has(&self, duty: Duty) -> bool {
        self.without != Some(Rule::Body(duty))
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace.lines {
            lines.push(format!("{:>6} {}", self.now, what()));
        }
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn put(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.queue.insert((at, self.count), event);
    }

    pub(crate) fn send(&mut self, from: Host, to: Host, message: Message) {
        if matches!(message, Message::Append(_)) && self.network.deaf.contains(&to) {
            return;
        }
        if let (Message::Fetch(fetch), Some(node)) = (&message, self.nodes.get_mut(from)) {
            node.fetched.insert(fetch.at, (to, *fetch));
        }
        if let Some(trap) = &mut self.trap
            && (trap.takes)(from, to, &message)
        {
            return trap.taken.push((from, to, message));
        }
        let mut delays = self.network.delays(self.now, (from, to), &mut self.throws);
        if let Message::Produce(produce) = &message {
            self.on_the_way(produce.value, delays.len());
        }
        let Some(last) = delays.pop() else {
            return;
        };
        if self.climate.ghosts > 0 && may_haunt(&message) {
            // A copy that some queue held for very long.
            if self.throws.chance(self.climate.ghosts) {
                delays.push(self.throws.between(200, 3_000));
            }
        }
        for delay in delays {
            let message = message.clone();
            self.put(self.now + delay, Event::Deliver { from, to, message });
        }
        self.put(self.now + last, Event::Deliver { from, to, message });
    }

    /// Delivers a message once more, later.
    pub(crate) fn replay(&mut self, from: Host, to: Host, ms: u64, message: Message) {
        self.put(self.now + ms, Event::Deliver { from, to, message });
    }

    fn life(&self, host: Host) -> u64 {
        self.nodes.get(host).map_or(0, |node| node.life)
    }

    /// Wakes a host after some of the world's milliseconds, if the same process still lives.
    pub(crate) fn wake_in(&mut self, host: Host, ms: u64, alarm: Alarm) {
        let life = self.life(host);
        self.put(self.now + ms, Event::Alarm { host, life, alarm });
    }

    /// The same by the host's own clock.
    pub(crate) fn wake_at(&mut self, host: Host, at: Millis, alarm: Alarm) {
        let when = self.nodes[host].clock.when(self.now, at);
        self.wake_in(host, when - self.now, alarm);
    }

    pub(crate) fn local(&self, host: Host) -> Millis {
        self.nodes[host].clock.read(self.now)
    }

    pub(crate) fn is_up(&self, host: Host) -> bool {
        self.nodes.get(host).is_none_or(|n| n.process.is_some())
    }

    pub(crate) fn is_stalled(&self, host: Host) -> bool {
        self.nodes
            .get(host)
            .is_some_and(|node| node.stalled_until > self.now)
    }

    /// Lives until then. An error is a broken promise.
    pub(crate) fn live_until(&mut self, end: u64) -> Result<(), String> {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > end {
                break;
            }
            let ((at, _), event) = next.remove_entry();
            self.now = at;
            self.happen(event);
            self.witness.verdict()?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        let host = match &event {
            Event::Deliver { to, .. } => *to,
            Event::Alarm { host, .. } => *host,
        };
        if self.is_stalled(host) && self.is_up(host) {
            let until = self.nodes[host].stalled_until;
            return self.put(until, event);
        }
        match event {
            Event::Deliver { from, to, message } => {
                if !self.is_up(to) {
                    return;
                }
                if self.trace.lines.is_some() {
                    let what = format!("{from} > {to}: {}", told::message(&message));
                    self.note(|| what);
                }
                self.deliver(from, to, message);
            }
            Event::Alarm { host, life, alarm } => {
                if self.life(host) == life && self.is_up(host) {
                    self.ring(host, alarm);
                }
            }
        }
    }

    fn deliver(&mut self, from: Host, to: Host, message: Message) {
        match message {
            Message::Stand { term, last } => self.stand(to, from, term, last),
            Message::Voted { term, granted } => self.voted(to, from, term, granted),
            Message::Append(append) => self.append(to, from, append),
            Message::Appended {
                term,
                fits,
                matched,
                beat,
            } => self.appended(to, from, (term, fits), (matched, beat)),
            Message::Ask { id, request } => self.asked(to, from, id, request),
            Message::Told { id, told } => self.told(to, id, told),
            Message::Fetch(fetch) => self.fetched(to, from, fetch),
            Message::Fetched(fetched) => self.follow(to, fetched),
            Message::Produce(produce) => self.produce(to, from, produce),
            Message::Read(read) => self.read(to, from, read),
            Message::WhoLeads { id, at } => self.who_leads(to, (from, id), at),
            Message::NewProducer { id } => self.new_producer(to, (from, id)),
            Message::Group(ask) => self.group_asked(to, from, ask),
            Message::GroupTold { id, outcome } => self.member_hears(to, id, outcome),
            Message::Produced { .. }
            | Message::ReadDone { .. }
            | Message::Leads { .. }
            | Message::NewProducerId { .. } => self.client_hears(to, from, message),
        }
    }

    fn ring(&mut self, host: Host, alarm: Alarm) {
        match alarm {
            Alarm::Council => self.council_tick(host),
            Alarm::Heart => self.heart(host),
            Alarm::AskAgain(id) => self.ask_again(host, id),
            Alarm::AskGone(id) => self.ask_gone(host, id),
            Alarm::Held => self.release_held(host),
            Alarm::Open => self.open(host),
            Alarm::Apply => self.apply_image(host),
            Alarm::Flushed(at, token) => self.flushed(host, at, token),
            Alarm::Fetch(at) => self.fetch(host, at),
            Alarm::Unfetched(at, id) => self.unfetched(host, at, id),
            Alarm::Laggards => self.look_for_laggards(host),
            Alarm::Proposals => self.send_proposals(host),
            Alarm::Overdue(at, ticket) => self.overdue(host, at, ticket),
            Alarm::Client => self.client_acts(host),
            Alarm::Load(at, epoch) => self.load(host, at, epoch),
            Alarm::Groups(at) => self.fire_groups(host, at),
        }
    }
}
