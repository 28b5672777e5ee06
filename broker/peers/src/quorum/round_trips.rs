//! How far it is to the other controllers, and a word of warning where that is farther than they were
//! told.
//!
//! Every voter is greeted now and then. A greeting is answered from memory, so neither a flush nor the
//! log is in the time that it takes, and it travels by a connection that is made, as heartbeats do. It
//! is the time of most greetings that counts: a process that stood still for a moment is no long line.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use freshet_metadata::MetadataMachine;
use freshet_quorum::{Peer, Raft};
use freshet_types::NodeId;
use freshet_wire::PeerRequest;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::kind;
use super::link::TcpLink;

/// Between two greetings of one voter.
const EVERY: Duration = Duration::from_secs(5);
/// A line on which an answer takes longer is not measured: no setting would reach.
const LATE: Duration = Duration::from_secs(3);
/// Greetings that count: those of the last minute.
const WINDOW: usize = 12;
/// Of these, so many may take as long as they like.
const OUTLIERS: usize = 2;
/// Greetings that are looked at before anything is said.
const ENOUGH: usize = 8;
/// Between two words about one line.
const NEWS: Duration = Duration::from_secs(60);
/// What is advised is a multiple of this, ms.
const STEP_MS: u64 = 50;
/// `freshet.quorum.round.trip.ms` is not greater.
const LONGEST_MS: u64 = 1_000;

/// What there is to say about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    TooLong(Duration),
    LongNoMore(Duration),
}

/// The line to one voter.
#[derive(Debug, Default)]
struct Way {
    /// The newest last.
    took: VecDeque<Duration>,
    is_told_long: bool,
    told: Option<Instant>,
}

impl Way {
    fn add(&mut self, took: Duration) {
        if self.took.len() == WINDOW {
            self.took.pop_front();
        }
        self.took.push_back(took);
    }

    /// How long it took at most, but for some outliers; none before enough is known.
    fn usual(&self) -> Option<Duration> {
        let mut took: Vec<_> = self.took.iter().copied().collect();
        took.sort();
        (took.len() >= ENOUGH).then(|| took[took.len() - 1 - OUTLIERS])
    }

    /// A change is told, and not too often.
    fn word(&mut self, now: Instant, limit: Duration) -> Option<Word> {
        let usual = self.usual()?;
        let is_long = usual > limit;
        let is_soon = self.told.is_some_and(|told| now < told + NEWS);
        if is_long == self.is_told_long || is_soon {
            return None;
        }
        self.is_told_long = is_long;
        self.told = Some(now);
        Some(match is_long {
            true => Word::TooLong(usual),
            false => Word::LongNoMore(usual),
        })
    }
}

/// What to set where it takes so long: half as long again.
fn advised_ms(usual: Duration) -> u64 {
    let wanted = (usual + usual / 2).as_millis();
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    wanted.div_ceil(STEP_MS).saturating_mul(STEP_MS)
}

/// See the module.
pub struct RoundTrips {
    raft: Arc<Raft<MetadataMachine>>,
    link: Arc<TcpLink>,
    limit: Duration,
    ways: Mutex<BTreeMap<NodeId, Way>>,
}

impl RoundTrips {
    /// From this node's part of the quorum to the other voters. `limit` is what
    /// `freshet.quorum.round.trip.ms` says.
    pub fn new(
        raft: &Arc<Raft<MetadataMachine>>,
        link: &Arc<TcpLink>,
        limit: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            raft: Arc::clone(raft),
            link: Arc::clone(link),
            limit,
            ways: Mutex::default(),
        })
    }

    /// What `freshet.quorum.round.trip.ms` says here.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// To whom it takes how long, there and back, at most but for outliers; those of whom enough is
    /// known.
    pub fn usual(&self) -> Vec<(NodeId, Duration)> {
        let ways = self.ways.lock();
        let known = ways.iter();
        known
            .filter_map(|(node, way)| Some((*node, way.usual()?)))
            .collect()
    }

    /// Measures until it is aborted.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.measure().await;
            sleep(EVERY).await;
        }
    }

    /// Greets every other voter once.
    pub(super) async fn measure(self: &Arc<Self>) {
        let me = self.raft.greeting().node;
        let voters = self.raft.status().voters.into_iter();
        let others: Vec<_> = voters.map(|voter| voter.peer).collect();
        let is_there = |node: &NodeId| others.iter().any(|peer| peer.id.node == *node);
        self.ways.lock().retain(|node, _| is_there(node));
        let mut greetings = JoinSet::new();
        for peer in others.into_iter().filter(|peer| peer.id.node != me) {
            let it = Arc::clone(self);
            greetings.spawn(async move { (peer.id.node, it.greet(&peer).await) });
        }
        while let Some(greeted) = greetings.join_next().await {
            // Who does not answer says nothing of the line.
            if let Ok((node, Some(took))) = greeted {
                self.took(node, took);
            }
        }
    }

    async fn greet(&self, peer: &Peer) -> Option<Duration> {
        let request = PeerRequest {
            kind: kind::LETTER,
            body: self.raft.ask_who(peer).ok()?.into(),
        };
        let deadline = Instant::now() + LATE;
        self.link.time(peer, &request, deadline).await.ok()
    }

    fn took(&self, node: NodeId, took: Duration) {
        let word = {
            let mut ways = self.ways.lock();
            let way = ways.entry(node).or_default();
            way.add(took);
            way.word(Instant::now(), self.limit)
        };
        let setting_ms = self.limit.as_millis();
        match word {
            Some(Word::TooLong(usual)) => {
                let (round_trip_ms, advised_ms) = (usual.as_millis(), advised_ms(usual));
                let what = match advised_ms {
                    ..=LONGEST_MS => {
                        "set it to advised_ms on all nodes, and broker.session.timeout.ms to ten times that"
                    }
                    _ => "no value of it reaches so far: bring the controllers closer together",
                };
                tracing::warn!(
                    peer = %node, round_trip_ms, setting_ms, advised_ms,
                    "the way to this controller and back is longer than freshet.quorum.round.trip.ms says, \
                     and controllers may elect each other in vain: {what}"
                );
            }
            Some(Word::LongNoMore(usual)) => {
                let round_trip_ms = usual.as_millis();
                tracing::info!(
                    peer = %node, round_trip_ms, setting_ms,
                    "the way to this controller and back is as short as freshet.quorum.round.trip.ms says"
                );
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What is said when greetings take so long, one every five seconds, and when.
    fn told(way: &mut Way, from: Instant, took: &[(usize, u64)]) -> Vec<(u64, Word)> {
        let (mut told, mut now) = (Vec::new(), from);
        for (times, took) in took {
            for _ in 0..*times {
                way.add(ms(*took));
                let word = way.word(now, LIMIT);
                told.extend(word.map(|word| ((now - from).as_secs(), word)));
                now += EVERY;
            }
        }
        told
    }

    #[test]
    fn a_process_that_stands_still_now_and_then_is_no_long_line() {
        let mut way = Way::default();
        let stalls = [(1, 2900), (9, 20), (1, 500), (5, 20), (1, 700), (30, 20)];
        assert_eq!(told(&mut way, Instant::now(), &stalls), []);
        assert_eq!(way.usual(), Some(ms(20)));
    }

    #[test]
    fn a_long_line_is_told_once_and_again_when_it_is_short() {
        let (mut way, from) = (Way::default(), Instant::now());
        // Not before enough is known, nor at the limit.
        assert_eq!(told(&mut way, from, &[(7, 100)]), []);
        assert_eq!(way.usual(), None);
        assert_eq!(told(&mut way, from, &[(30, 100)]), []);
        let lines = [(40, 130), (40, 90)];
        let long = (10, Word::TooLong(ms(130)));
        // Ten of twelve are short then.
        let short = (245, Word::LongNoMore(ms(90)));
        assert_eq!(told(&mut way, from, &lines), [long, short]);
    }

    #[test]
    fn a_line_that_is_now_long_and_now_short_is_told_once_a_minute() {
        let (mut way, from) = (Way::default(), Instant::now());
        let lines = [(10, 150), (10, 50)].repeat(6);
        let at: Vec<_> = told(&mut way, from, &lines).iter().map(|it| it.0).collect();
        assert!(at.len() > 5, "{at:?}");
        assert!(at.windows(2).all(|two| two[0] + 60 <= two[1]), "{at:?}");
    }

    #[test]
    fn what_is_advised_leaves_room() {
        assert_eq!(advised_ms(ms(101)), 200);
        assert_eq!(advised_ms(ms(300)), 450);
        assert!(advised_ms(ms(700)) > LONGEST_MS);
    }
}
