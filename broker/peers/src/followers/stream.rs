//! One stream of records from one leader.
//!
//! A round is one fetch with all that follows from it:
//!
//! ```text
//! Roster: who is due ──▶ Session: what is new to the leader ──▶ fetch ──▶ follow, all at a time ──┐
//!   ▲                                                                                            │
//!   └──────────────────────── next offset, a pause, or nothing until the image says more ◀────────┘
//! ```
//!
//! The fetch is a long poll: while the leader has nothing new it does not answer for half a second.
//! Whoever is due meanwhile, because a leader has just failed and this one took over, must not wait
//! for that: producers wait for it. It is asked for *beside* the poll, on a second connection without
//! a session, in short polls, and joins the session with the next round. That costs what has changed.
//! Rejected: to break the poll off by closing its connection (the next request would have to name
//! all partitions again, at each topic that is created), and short polls always (an idle cluster
//! would not be idle).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_client::{ClientConfig, ClientError, Connection};
use freshet_partition::replication::Answer;
use freshet_partition::{FetchPoint, Follow, Partition};
use freshet_types::{NodeId, TopicPartition};
use freshet_wire::ErrorCode;
use freshet_wire::fetch::{PartitionData, ReplicaState};
use freshet_wire::{FetchRequest, FetchResponse};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::Surroundings;
use super::answer::{Told, read};
use super::inbox::Inbox;
use super::roster::{Roster, pause};
use super::session::{Agenda, Session, SessionError};
use super::span::span;

/// Versions that name the follower with its registration, and topics by id.
const VERSIONS: std::ops::RangeInclusive<i16> = 15..=17;
/// A poll that is about to be answered saves the second connection.
const GRACE: Duration = Duration::from_millis(3);
/// Longest wait of a poll beside the long one: others that become due wait for it.
const WAIT_BESIDE: Duration = Duration::from_millis(20);
/// Longest time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Failures after which a human should know: with the usual pauses that is ten seconds, and a leader
/// that is gone has been replaced long before.
const MANY: u32 = 15;
/// So much may be on its way to the disk aside; more is waited for.
const ASIDE_MAX_BYTES: usize = 16 << 20;
/// Space in an answer's frame beside records.
const FRAME_BYTES: usize = 64 << 20;

/// Why a round ended without an answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the leader is reached elsewhere now")]
    Moved,
    #[error("the leader speaks version {version} of Fetch, and {} is needed", VERSIONS.start())]
    TooOld { version: i16 },
}

/// What was asked for, and the answer.
struct Reply {
    at: TopicPartition,
    point: FetchPoint,
    data: PartitionData,
}

/// What became of an answer, and how many bytes of records it had.
type Followed = (TopicPartition, Follow, usize);

/// See the module.
pub(super) struct Stream {
    around: Arc<Surroundings>,
    leader: NodeId,
    number: usize,
    inbox: Arc<Inbox>,
    roster: Roster<Arc<Partition>>,
    session: Session,
    /// The registration that the leader knows us by.
    told_epoch: i64,
    line: Option<Connection>,
    /// Records of replicas that are not in sync, on their way to the disk: nobody waits for those,
    /// so who is in sync does not wait for them either.
    aside: JoinSet<Followed>,
    aside_bytes: usize,
}

impl Stream {
    pub(super) fn new(
        around: &Arc<Surroundings>,
        leader: NodeId,
        number: usize,
        inbox: &Arc<Inbox>,
    ) -> Self {
        let backoff = Duration::from_millis(around.settings.fetch_backoff_ms);
        Self {
            around: Arc::clone(around),
            leader,
            number,
            inbox: Arc::clone(inbox),
            roster: Roster::new(backoff),
            session: Session::default(),
            told_epoch: -1,
            line: None,
            aside: JoinSet::new(),
            aside_bytes: 0,
        }
    }

    /// Copies until it is aborted.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.round().await {
                Ok(()) if failures > 0 => {
                    tracing::info!(leader = %self.leader, "copies from the leader again");
                    failures = 0;
                }
                Ok(()) => {}
                Err(trouble) => {
                    self.recover(&trouble, failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// Makes ready for another attempt, and waits until it is time for that.
    async fn recover(&mut self, trouble: &Trouble, failures: u32) {
        self.session.lose();
        let leader = self.leader;
        match failures {
            0 => tracing::info!(%leader, %trouble, "the leader does not answer: trying again"),
            MANY => tracing::warn!(%leader, %trouble, "the leader still does not answer"),
            _ => tracing::debug!(%leader, %trouble, failures, "the leader does not answer"),
        }
        if matches!(trouble, Trouble::Session(SessionError::Lost(_))) && failures == 0 {
            return;
        }
        let line = self.line.take();
        let longest = Duration::from_millis(self.around.settings.fetch_backoff_ms);
        let moved = async {
            match &line {
                Some(line) => self.around.moved(leader, line.address()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(pause(failures, longest)) => {}
            () = moved => {}
        }
    }

    async fn round(&mut self) -> Result<(), Trouble> {
        self.look_around();
        for (at, point) in self.due() {
            self.session.want(at, point);
        }
        if self.session.is_empty() {
            self.until_due().await;
            return Ok(());
        }
        let line = self.line().await?;
        self.introduce().await;
        let agenda = self.session.next(self.around.settings.fetch_max_bytes);
        let longest = Duration::from_millis(self.around.settings.fetch_wait_max_ms);
        let max_bytes = self.around.settings.fetch_response_max_bytes;
        let request = self.request(agenda, self.longest_wait(longest), max_bytes);
        let response = self.poll(&line, request).await?;
        self.session.answered(&response)?;
        let replies = replies(response, |at| self.session.asked(at));
        self.take(&line, replies).await;
        Ok(())
    }

    /// Takes in what was told, and wakes who has rested.
    fn look_around(&mut self) {
        for (at, change) in self.inbox.read() {
            match change {
                Some(partition) => self.roster.assign(at, partition),
                None => {
                    self.roster.remove(at);
                    self.session.forget(at);
                }
            }
        }
        while let Some(ended) = self.aside.try_join_next() {
            self.aside_ended(ended);
        }
        self.roster.wake(Instant::now());
    }

    /// Waits until something is due.
    async fn until_due(&mut self) {
        loop {
            self.look_around();
            if self.roster.has_due() {
                return;
            }
            let earliest = self.roster.earliest();
            let rested = async {
                match earliest {
                    Some(then) => sleep_until(then).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.inbox.told() => {}
                Some(ended) = self.aside.join_next() => self.aside_ended(ended),
                () = rested => {}
            }
        }
    }

    /// What is due, with the places to go on from. It counts as asked for.
    fn due(&mut self) -> Vec<(TopicPartition, FetchPoint)> {
        let mut due = Vec::new();
        let taken = self.roster.take_due();
        if taken.is_empty() {
            return due;
        }
        let image = Arc::clone(&self.around.image.borrow());
        self.around.brakes.renew(&image);
        for at in taken {
            if let Some(then) = self.around.brakes.held(at, &image) {
                self.roster.rest_until(at, then);
                self.session.forget(at);
                continue;
            }
            match self.roster.get(at).and_then(|p| p.fetch_point()) {
                Some(point) => due.push((at, point)),
                // Its place changes, or something is not flushed yet.
                None => self.pause(at),
            }
        }
        due
    }

    fn pause(&mut self, at: TopicPartition) {
        self.roster.pause(at, Instant::now());
        self.session.forget(at);
    }

    /// Those who rest until then can be named then.
    fn longest_wait(&self, longest: Duration) -> Duration {
        let now = Instant::now();
        let rests = self.roster.earliest().map(|then| then - now);
        rests.map_or(longest, |rests| rests.min(longest))
    }

    fn request(&self, agenda: Agenda, wait: Duration, max_bytes: i32) -> FetchRequest {
        // Rounded up: a poll that ends just too early makes another one.
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX - 1) + 1;
        FetchRequest {
            replica_state: ReplicaState {
                replica_id: self.around.node.0,
                replica_epoch: self.told_epoch,
            },
            max_wait_ms: wait_ms,
            min_bytes: self.around.settings.fetch_min_bytes,
            max_bytes,
            session_id: agenda.session_id,
            session_epoch: agenda.session_epoch,
            topics: agenda.topics,
            forgotten_topics_data: agenda.forgotten,
            replica_id: -1,
            ..FetchRequest::default()
        }
    }

    /// After another registration the leader must hear it of each partition: it takes in sync whom
    /// it knows by the present one.
    async fn introduce(&mut self) {
        let epoch = self.around.registered().await;
        if epoch != self.told_epoch {
            self.told_epoch = epoch;
            self.session.lose();
        }
    }

    /// The stream's own connection.
    async fn line(&mut self) -> Result<Connection, Trouble> {
        if let Some(line) = self.line.clone().filter(|line| !line.is_closed()) {
            return Ok(line);
        }
        self.session.lose();
        let line = self.connect().await?;
        self.line = Some(line.clone());
        Ok(line)
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        let settings = &self.around.settings;
        let address = self.around.address_of(self.leader).await;
        let timeout = Duration::from_millis(settings.socket_timeout_ms);
        let most_bytes = usize::try_from(settings.fetch_response_max_bytes).unwrap_or(0);
        let config = ClientConfig {
            client_id: format!("broker-{}-fetcher-{}", self.around.node, self.number),
            connect_timeout: timeout.min(CONNECT_TIMEOUT),
            request_timeout: timeout,
            max_frame_bytes: most_bytes.saturating_add(FRAME_BYTES),
            ..ClientConfig::new([] as [&str; 0])
        };
        let line = Connection::open(&address, &config).await?;
        let version = line.version::<FetchRequest>(*VERSIONS.end())?;
        if version < *VERSIONS.start() {
            return Err(Trouble::TooOld { version });
        }
        Ok(line)
    }

    /// Waits for the answer to a long poll, and asks beside it for what is due meanwhile.
    async fn poll(
        &mut self,
        line: &Connection,
        request: FetchRequest,
    ) -> Result<FetchResponse, Trouble> {
        let (around, leader) = (Arc::clone(&self.around), self.leader);
        let answered = async {
            tokio::select! {
                answer = fetch(line, &request) => answer,
                () = around.moved(leader, line.address()) => Err(Trouble::Moved),
            }
        };
        tokio::pin!(answered);
        let mut second = None;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer,
                () = self.until_due() => {}
            }
            if second.is_none() {
                tokio::select! {
                    biased;
                    answer = &mut answered => return answer,
                    () = sleep(GRACE) => self.look_around(),
                }
            }
            let due = self.due();
            let beside = self.beside(&mut second, &due);
            let response = tokio::select! {
                biased;
                answer = &mut answered => {
                    self.ask_again(&due);
                    return answer;
                }
                response = beside => response,
            };
            self.answered_beside(response, &mut second, &due).await;
        }
    }

    fn ask_again(&mut self, due: &[(TopicPartition, FetchPoint)]) {
        for (at, _) in due {
            self.roster.ask_again(*at);
        }
    }

    /// One short poll on the second connection.
    async fn beside(
        &self,
        second: &mut Option<Connection>,
        due: &[(TopicPartition, FetchPoint)],
    ) -> Result<FetchResponse, Trouble> {
        if due.is_empty() {
            return Ok(FetchResponse::default());
        }
        let line = match second {
            Some(line) => line,
            None => second.insert(self.connect().await?),
        };
        let bytes = self.around.settings.fetch_max_bytes;
        let agenda = Agenda::once(due.iter().copied(), bytes);
        let request = self.request(agenda, self.longest_wait(WAIT_BESIDE), bytes);
        fetch(line, &request).await
    }

    async fn answered_beside(
        &mut self,
        response: Result<FetchResponse, Trouble>,
        second: &mut Option<Connection>,
        due: &[(TopicPartition, FetchPoint)],
    ) {
        match response {
            Ok(response) => {
                // In the order in which they were due.
                let asked = |at| {
                    let found = due.binary_search_by_key(&at, |(asked, _)| *asked);
                    found.ok().map(|index| due[index].1)
                };
                if let Some(line) = second.clone() {
                    self.take(&line, replies(response, asked)).await;
                }
                self.ask_again(due);
            }
            Err(trouble) => {
                tracing::debug!(leader = %self.leader, %trouble, "cannot ask beside the long poll");
                *second = None;
                for (at, _) in due {
                    self.pause(*at);
                }
            }
        }
    }

    /// Has partitions follow what was answered, all at a time; ends when all have.
    async fn take(&mut self, line: &Connection, replies: Vec<Reply>) {
        let mut under_way = JoinSet::new();
        let image = Arc::clone(&self.around.image.borrow());
        let alone = replies.len() == 1;
        for Reply { at, point, data } in replies {
            self.around.brakes.copied(at, data.records.len(), &image);
            let Some(partition) = self.roster.get(at) else {
                continue;
            };
            if !partition.goes_on_at(point) {
                // It has taken another place since, or was asked for beside.
                self.roster.ask_again(at);
                continue;
            }
            let (partition, line) = (Arc::clone(partition), line.clone());
            let (me, bytes) = (self.around.node, data.records.len());
            // Where it begins anew the bucket may be asked.
            let needs_a_while = data.error_code == ErrorCode::OffsetOutOfRange.code();
            let is_in_sync = || image.partition(at).is_some_and(|p| p.isr.contains(&me));
            let follow = async move {
                let follow = follow((&line, me), &partition, (point, data), alone).await;
                (at, follow, bytes)
            };
            if (bytes == 0 && !needs_a_while) || is_in_sync() {
                under_way.spawn(follow);
            } else {
                self.roster.store(at);
                self.session.forget(at);
                self.aside_bytes += bytes;
                self.aside.spawn(follow);
            }
        }
        while let Some(ended) = under_way.join_next().await {
            if let Some((at, follow, _)) = outcome(ended) {
                self.followed(at, follow);
            }
        }
        while self.aside_bytes > ASIDE_MAX_BYTES
            && let Some(ended) = self.aside.join_next().await
        {
            self.aside_ended(ended);
        }
    }

    fn aside_ended(&mut self, ended: Result<Followed, JoinError>) {
        let Some((at, follow, bytes)) = outcome(ended) else {
            return;
        };
        self.aside_bytes -= bytes;
        if self.roster.stored(at) {
            self.followed(at, follow);
        }
    }

    fn followed(&mut self, at: TopicPartition, follow: Follow) {
        match follow {
            Follow::Fetch => self.roster.go_on(at),
            Follow::Pause => self.pause(at),
            Follow::AwaitLeader => {
                self.roster.wait(at);
                self.session.forget(at);
            }
        }
    }
}

fn outcome(ended: Result<Followed, JoinError>) -> Option<Followed> {
    let panicked = |error: &_| tracing::error!(%error, "a partition's copying panicked");
    ended.inspect_err(panicked).ok()
}

async fn fetch(line: &Connection, request: &FetchRequest) -> Result<FetchResponse, Trouble> {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    Ok(line.call(request, *VERSIONS.end(), wait).await?)
}

/// What was answered to what was asked.
fn replies(
    response: FetchResponse,
    asked: impl Fn(TopicPartition) -> Option<FetchPoint>,
) -> Vec<Reply> {
    let topics = response.responses.into_iter();
    let all = topics.flat_map(|topic| {
        let id = topic.topic_id;
        topic.partitions.into_iter().map(move |data| (id, data))
    });
    let replies = all.filter_map(|(topic, data)| {
        let partition = data.partition_index;
        let at = TopicPartition { topic, partition };
        let point = asked(at)?;
        Some(Reply { at, point, data })
    });
    replies.collect()
}

async fn follow(
    (line, me): (&Connection, NodeId),
    partition: &Partition,
    (point, data): (FetchPoint, PartitionData),
    alone: bool,
) -> Follow {
    let (answer, records) = match read(data) {
        Told::Answer(answer, records) => (answer, records),
        Told::OutOfRange => (span(line, me, partition, point).await, Bytes::new()),
    };
    let follow = partition.follow(point.leader_epoch, answer, records, alone);
    let follow = follow.await;
    let stuck = !matches!(answer, Answer::Records { .. }) && partition.goes_on_at(point);
    match follow {
        // The leader would say the same again at once.
        Follow::Fetch if stuck => Follow::Pause,
        follow => follow,
    }
}
