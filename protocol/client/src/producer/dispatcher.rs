//! The task that decides what goes out when.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use freshet_types::{NodeId, Timestamp};
use freshet_wire::{ErrorCode, InitProducerIdRequest};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Delivery;
use super::accumulator::{Accumulator, Slot};
use super::batch::Session;
use super::node::{Answer, Job, Worker};
use super::queue::{Next, Outcome};
use super::request::{Answers, Plan, outcome_of_failure};
use crate::cluster::{Attempts, Lane};
use crate::{Client, ClientError, ClusterView};

/// Answers that may wait for the dispatcher.
const ANSWERS: usize = 64;

/// Asks for a session of its own.
pub(super) async fn new_session(client: &Client) -> Result<Session, ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    let mut attempts = Attempts::new(client.config(), "InitProducerId");
    loop {
        let response = client.call_any(&request).await?;
        let what = || "a producer session".to_owned();
        match ClientError::check(response.error_code, None, what) {
            Ok(()) => {
                return Ok(Session {
                    id: response.producer_id,
                    epoch: response.producer_epoch,
                });
            }
            Err(error) => attempts.pause(error).await?,
        }
    }
}

/// Starts the dispatcher; it ends when the accumulator is closed.
pub(super) fn spawn(client: &Client, accumulator: &Arc<Accumulator>) {
    let (answers_to, answers) = mpsc::channel(ANSWERS);
    let dispatcher = Dispatcher {
        client: client.clone(),
        accumulator: Arc::clone(accumulator),
        lane: Arc::new(client.lane()),
        nodes: HashMap::new(),
        answers,
        answers_to,
        errands: JoinSet::new(),
        refreshing: false,
        renewing: false,
    };
    tokio::spawn(dispatcher.run());
}

struct Dispatcher {
    client: Client,
    accumulator: Arc<Accumulator>,
    lane: Arc<Lane>,
    nodes: HashMap<NodeId, Node>,
    answers: mpsc::Receiver<Answer>,
    answers_to: mpsc::Sender<Answer>,
    errands: JoinSet<Errand>,
    /// An errand of this kind is under way.
    refreshing: bool,
    renewing: bool,
}

/// A broker's worker.
struct Node {
    jobs: mpsc::Sender<Job>,
    in_flight: usize,
}

/// Something done on the side.
enum Errand {
    Refreshed,
    Renewed(Result<Session, ClientError>),
}

/// Why a batch cannot even be sent.
fn no_leader(slot: &Slot) -> ClientError {
    ClientError::Refused {
        what: format!("partition {}-{}", slot.topic, slot.partition),
        code: ErrorCode::LeaderNotAvailable,
        message: None,
    }
}

impl Dispatcher {
    async fn run(mut self) {
        while !self.accumulator.is_closed() {
            let look_again = self.dispatch();
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                () = self.accumulator.wake.notified() => {}
                Some(answer) = self.answers.recv() => self.settle(answer),
                Some(Ok(errand)) = self.errands.join_next() => self.back(errand),
                () = sleep_until(look_again.unwrap_or(far)) => {}
            }
        }
        for slot in self.accumulator.active_slots() {
            slot.queue().fail_all(&ClientError::Closed("the producer"));
        }
    }

    /// Sends all that is due; answers when something else will be.
    fn dispatch(&mut self) -> Option<Instant> {
        loop {
            let view = self.client.view();
            let (plans, look_again) = self.plan(&view, Instant::now());
            if plans.is_empty() {
                return look_again;
            }
            for (node, plan) in plans {
                self.send(node, plan);
            }
        }
    }

    /// One batch from each partition that has one due and whose broker can take it.
    fn plan(
        &mut self,
        view: &ClusterView,
        now: Instant,
    ) -> (HashMap<NodeId, Plan>, Option<Instant>) {
        let mut plans = HashMap::<NodeId, Plan>::new();
        let mut look_again: Option<Instant> = None;
        let mut at = |moment: Instant| {
            look_again = Some(look_again.map_or(moment, |before| before.min(moment)));
        };
        for slot in self.accumulator.active_slots() {
            let topic = view.topic(&slot.topic);
            let leader = topic.and_then(|t| t.partition(slot.partition)?.leader);
            if leader.is_some_and(|leader| !self.has_room(leader)) {
                continue;
            }
            let next = slot.queue().next(now, &self.accumulator.config);
            match (next, leader) {
                (Next::Idle, _) => self.accumulator.retire(&slot),
                (Next::Wait(until), _) => until.into_iter().for_each(&mut at),
                (Next::Session, _) => {
                    if !self.give_session(&slot) {
                        at(now + self.client.config().backoff_max);
                    }
                }
                (Next::Send(mut batch), None) => {
                    batch.last.get_or_insert_with(|| Box::new(no_leader(&slot)));
                    let until = now + self.client.config().backoff_min * 2;
                    slot.queue().put_back(*batch, Some(until));
                    at(until);
                    self.refresh();
                }
                (Next::Send(batch), Some(leader)) => {
                    let plan = plans.entry(leader).or_default();
                    if plan.has_room(batch.size_bytes(), &self.accumulator.config) {
                        plan.push(slot, *batch, view);
                    } else {
                        slot.queue().put_back(*batch, None);
                    }
                }
            }
        }
        (plans, look_again)
    }

    fn has_room(&self, node: NodeId) -> bool {
        let max = self.accumulator.config.max_in_flight;
        self.nodes
            .get(&node)
            .is_none_or(|node| node.in_flight < max)
    }

    fn send(&mut self, id: NodeId, plan: Plan) {
        let timeout = self.client.config().request_timeout;
        let request = plan.request(&self.accumulator.config, timeout);
        let job = Job {
            request,
            cap: plan.cap(),
            sent: plan.sent,
        };
        let node = self.node(id);
        match node.jobs.try_send(job) {
            Ok(()) => node.in_flight += 1,
            // The worker's queue has room for all that may be in flight.
            Err(refused) => {
                let job = match refused {
                    mpsc::error::TrySendError::Full(job) => job,
                    mpsc::error::TrySendError::Closed(job) => job,
                };
                for sent in job.sent {
                    sent.slot.queue().put_back(sent.batch, None);
                }
            }
        }
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        match self.nodes.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let (jobs, waiting) = mpsc::channel(self.accumulator.config.max_in_flight);
                let worker = Worker {
                    client: self.client.clone(),
                    lane: Arc::clone(&self.lane),
                    node: id,
                    acks: self.accumulator.config.acks,
                    answers: self.answers_to.clone(),
                };
                tokio::spawn(worker.run(waiting));
                vacant.insert(Node { jobs, in_flight: 0 })
            }
        }
    }

    fn settle(&mut self, answer: Answer) {
        if let Some(node) = self.nodes.get_mut(&answer.node) {
            node.in_flight -= 1;
        }
        let again_at = Instant::now() + self.client.config().backoff_min;
        let mut answers = None;
        let mut stale = false;
        let failure = match answer.response {
            Ok(response) => {
                answers = response.map(Answers::new);
                None
            }
            Err(error) => Some(error),
        };
        for sent in answer.sent {
            let outcome = match (&mut answers, &failure) {
                (_, Some(error)) => outcome_of_failure(error, again_at),
                (Some(answers), None) => answers.outcome(&sent, again_at),
                (None, None) => Outcome::Written(Delivery {
                    partition: sent.slot.partition,
                    offset: -1,
                    log_append_time: Timestamp::NONE,
                }),
            };
            stale |= matches!(&outcome, Outcome::Again { error, .. } if error.blames_metadata());
            sent.slot.queue().done(sent.batch, outcome);
        }
        if stale {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        if std::mem::replace(&mut self.refreshing, true) {
            return;
        }
        let client = self.client.clone();
        self.errands.spawn(async move {
            client.refresh_quietly(&client.view()).await;
            Errand::Refreshed
        });
    }

    /// Gives a partition the present session, unless that is the one it has to leave; then a new one
    /// is asked for.
    fn give_session(&mut self, slot: &Slot) -> bool {
        let mut queue = slot.queue();
        if let Some(session) = self.accumulator.session()
            && queue.session() != Some(session)
        {
            queue.rebase(session);
            self.accumulator.wake.notify_one();
            return true;
        }
        if !std::mem::replace(&mut self.renewing, true) {
            let client = self.client.clone();
            self.errands
                .spawn(async move { Errand::Renewed(new_session(&client).await) });
        }
        false
    }

    fn back(&mut self, errand: Errand) {
        match errand {
            Errand::Refreshed => self.refreshing = false,
            Errand::Renewed(renewed) => {
                self.renewing = false;
                match renewed {
                    Ok(session) => self.accumulator.set_session(session),
                    Err(error) => tracing::warn!(%error, "no new producer session"),
                }
            }
        }
    }
}
