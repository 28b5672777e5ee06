//! The acting part of a lifecycle: asks the controller, writes epochs, sleeps.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::{Clock, tasks};
use freshet_log::{LastLife, LogDir, LogName};
use freshet_metadata::{
    Ask, BrokerListener, BrokerState, DirectoryId, FeatureRange, Heartbeat, MetadataImage,
    MetadataMachine, PastLife, RegisterBroker,
};
use freshet_quorum::Quorum;
use freshet_settings::{Layers, StaticSettings};
use freshet_types::{Millis, NodeId};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::course::{Beat, Course, End, Heard, LifeState, Pace, RETRY_MS, Shown, Step, Unheard};
use super::error::LifeError;
use super::health::Health;
use super::past::past_life;

/// How often a broker that leaves says what it waits for.
const NEWS_MS: u64 = 2_000;
/// No controller answers for so long while another one is elected; nor for so many ways between
/// controllers and back.
const SILENT_MS: u64 = 3_000;
const SILENT_TRIPS: u64 = 30;

/// How the broker presents itself to the controller.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its number.
    pub node: NodeId,
    /// Random bits of this process.
    pub incarnation: [u8; 16],
    /// Where clients reach it.
    pub listeners: Vec<BrokerListener>,
    /// Where it stands.
    pub rack: Option<String>,
    /// Feature levels that it can work with.
    pub features: Vec<FeatureRange>,
}

/// What a lifecycle works with.
pub struct LifecycleParts {
    /// Who it is.
    pub registration: Registration,
    /// Its log directories with their ids.
    pub directories: Vec<(DirectoryId, Arc<LogDir>)>,
    /// The way to the controller, and the image.
    pub quorum: Arc<dyn Quorum<MetadataMachine>>,
    /// For deadlines.
    pub clock: Arc<dyn Clock>,
    /// File and command line.
    pub statics: Arc<StaticSettings>,
}

/// Tells [`MetadataImage::version`] of the image that the broker's partitions follow already.
pub type Applied = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What the rest of the broker wants of its lifecycle.
#[derive(Clone, Default)]
struct Orders {
    ready: Option<Applied>,
    leave_by: Option<Millis>,
}

/// A broker's life in its cluster: one task, until [`Lifecycle::leave`] or the drop of this handle.
pub struct Lifecycle {
    orders: watch::Sender<Orders>,
    epoch: watch::Receiver<i64>,
    state: watch::Receiver<LifeState>,
    end: watch::Receiver<Option<End>>,
    image: watch::Receiver<Arc<MetadataImage>>,
    node: NodeId,
    clock: Arc<dyn Clock>,
    controlled_shutdown: bool,
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("epoch", &*self.epoch.borrow())
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Lifecycle {
    /// Starts to register, on the present runtime. Blocks for a moment on the devices of directories
    /// that are new.
    pub fn start(parts: LifecycleParts) -> Self {
        for (_, dir) in &parts.directories {
            // The directory is offline then, and says so itself.
            let _ = dir.keep_new();
        }
        let (orders, told) = watch::channel(Orders::default());
        let (tell_epoch, epoch) = watch::channel(-1);
        let (tell_state, state) = watch::channel(LifeState::Registering);
        let (tell_end, end) = watch::channel(None);
        let clock = Arc::clone(&parts.clock);
        let layers = Layers::of(Arc::clone(&parts.statics));
        let settings = layers.lifecycle();
        let controlled_shutdown = settings.controlled_shutdown;
        let health = Health::start(&settings, &parts.directories);
        let pace = Pace::of(&settings);
        let (node, image) = (parts.registration.node, parts.quorum.watch());
        let body = Body {
            course: Course::new(node, pace, clock.monotonic()),
            image: image.clone(),
            orders: told,
            epoch: tell_epoch,
            state: tell_state,
            end: tell_end,
            applied: None,
            news: None,
            trouble: None,
            silence: Silence::among(layers.metadata().round_trip_ms),
            told: BTreeSet::new(),
            health,
            parts,
        };
        tokio::spawn(body.run());
        Self {
            orders,
            epoch,
            state,
            end,
            image,
            node,
            clock,
            controlled_shutdown,
        }
    }

    /// Waits until the controller knows this broker, its epoch is on all disks, and the image here
    /// shows it; gives the epoch.
    ///
    /// An older image may still name this broker as leader, in an epoch in which the process before
    /// it led, with a log that may have been longer: nobody may act on that.
    pub async fn registered(&self) -> Result<i64, LifeError> {
        tokio::select! {
            biased;
            error = self.failed() => Err(error),
            Some(epoch) = self.shown() => Ok(epoch),
        }
    }

    async fn shown(&self) -> Option<i64> {
        let (mut epoch, mut image) = (self.epoch.clone(), self.image.clone());
        let epoch = *epoch.wait_for(|epoch| *epoch >= 0).await.ok()?;
        let known = |image: &Arc<MetadataImage>| {
            let broker = image.broker(self.node);
            broker.is_some_and(|broker| broker.epoch >= epoch)
        };
        image.wait_for(known).await.ok()?;
        Some(epoch)
    }

    /// The log directories are recovered and an image is applied: from now on the broker may serve.
    /// `applied` tells how far the image is applied.
    pub fn ready(&self, applied: Applied) {
        self.orders
            .send_modify(|orders| orders.ready = Some(applied));
    }

    /// The broker epoch, now and whenever it changes; -1 before the first one is on all disks, and
    /// while this process is not registered.
    pub fn broker_epoch(&self) -> watch::Receiver<i64> {
        self.epoch.clone()
    }

    /// Where the broker is in its life, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<LifeState> {
        self.state.clone()
    }

    /// A check for `/readyz`: what is in the way of serving, if something is.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let state = self.state.clone();
        move || {
            let problem = match *state.borrow() {
                LifeState::Serving => return None,
                LifeState::Registering => "not registered with the controller",
                LifeState::Fenced => "fenced by the controller, or not caught up with it yet",
                LifeState::Leaving => "leaving the cluster",
                LifeState::Gone => "has left the cluster",
            };
            Some(problem.to_owned())
        }
    }

    /// Waits for what makes it impossible to go on: the process has to end then.
    pub async fn failed(&self) -> LifeError {
        let mut end = self.end.clone();
        let failed = end.wait_for(|end| matches!(end, Some(End::Failed(_))));
        match failed.await.as_deref() {
            Ok(Some(End::Failed(error))) => error.clone(),
            // It ended in another way: it will never fail any more.
            _ => std::future::pending().await,
        }
    }

    /// Has the controller move away what this broker leads, for as long as that takes but no longer
    /// than `patience`; with `controlled.shutdown.enable` off, only ends the heartbeats. Whether the
    /// controller let it go. Clients and followers must be served until this is over.
    pub async fn leave(&self, patience: Duration) -> bool {
        let patience = if self.controlled_shutdown {
            u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)
        } else {
            0
        };
        let by = self.clock.monotonic() + patience;
        self.orders.send_modify(|orders| orders.leave_by = Some(by));
        let mut end = self.end.clone();
        let end = end.wait_for(Option::is_some).await;
        matches!(end.as_deref(), Ok(Some(End::Left { orderly: true })))
    }
}

struct Body {
    course: Course,
    image: watch::Receiver<Arc<MetadataImage>>,
    orders: watch::Receiver<Orders>,
    epoch: watch::Sender<i64>,
    state: watch::Sender<LifeState>,
    end: watch::Sender<Option<End>>,
    applied: Option<Applied>,
    /// When to say next what a leaving broker waits for.
    news: Option<Millis>,
    /// Why the controller does not answer, if it was said already.
    trouble: Option<String>,
    silence: Silence,
    /// Failed directories that the controller knows of.
    told: BTreeSet<DirectoryId>,
    health: Health,
    parts: LifecycleParts,
}

/// How long no controller has answered.
struct Silence {
    /// A longer one is no election.
    long_ms: u64,
    since: Option<Millis>,
    /// Whether it was said what to do.
    advised: bool,
}

impl Silence {
    /// There is none yet, among controllers that are so far from each other.
    fn among(round_trip_ms: u64) -> Self {
        Self {
            long_ms: SILENT_MS.max(round_trip_ms * SILENT_TRIPS),
            since: None,
            advised: false,
        }
    }

    fn ends(&mut self) {
        self.since = None;
        self.advised = false;
    }

    /// It lasts. Gives whether it has just become a long one.
    fn lasts(&mut self, now: Millis) -> bool {
        let since = *self.since.get_or_insert(now);
        let is_news = now - since >= self.long_ms && !self.advised;
        self.advised |= is_news;
        is_news
    }

    /// It lasts. Says what to do about a long one, once.
    fn goes_on(&mut self, now: Millis) {
        if !self.lasts(now) {
            return;
        }
        tracing::warn!(
            "no controller answers: start those that are down, and see that they reach each other within \
             freshet.quorum.round.trip.ms, until they are a majority (`freshet quorum describe`); leaders \
             go on as they are meanwhile, but nothing can be changed, and who fails is not replaced"
        );
    }
}

impl Body {
    async fn run(mut self) {
        loop {
            if self.orders.has_changed().is_err() {
                return;
            }
            let now = self.now();
            self.look(now);
            let step = self.course.step(now);
            self.tell(now);
            match step {
                Step::Register { held, wait_ms } => self.register(held, wait_ms).await,
                Step::Record { epoch } => match self.record(epoch).await {
                    Ok(()) => self.course.recorded(self.now()),
                    Err(reason) => {
                        tracing::error!(epoch, reason, "cannot write the epoch: trying again");
                        self.wait(RETRY_MS).await;
                    }
                },
                Step::Beat(beat) => self.beat(beat).await,
                Step::Wait { until } => self.wait(until - now).await,
                Step::End(end) => return self.finish(end),
            }
        }
    }

    fn now(&self) -> Millis {
        self.parts.clock.monotonic()
    }

    /// Takes in what was ordered, and the newest image.
    fn look(&mut self, now: Millis) {
        let orders = self.orders.borrow_and_update().clone();
        if let Some(applied) = orders.ready {
            self.applied = Some(applied);
            self.course.ready(now);
        }
        if let Some(by) = orders.leave_by {
            self.course.leave(now, by);
        }
        let shown = Shown::of(
            &self.image.borrow_and_update(),
            self.parts.registration.node,
        );
        self.course.saw(now, shown);
        self.course.failed(now, self.has_untold());
    }

    /// Whether a failed directory that has replicas is not known to the controller.
    fn has_untold(&self) -> bool {
        let mut failed = self.failed();
        failed.any(|(id, dir)| !self.told.contains(&id) && dir.log_count() > 0)
    }

    /// Directories that are offline.
    fn failed(&self) -> impl Iterator<Item = (DirectoryId, &Arc<LogDir>)> {
        let all = self.parts.directories.iter();
        let failed = all.filter(|(_, dir)| dir.failure().is_some());
        failed.map(|(id, dir)| (*id, dir))
    }

    /// Tells the others where the broker is now.
    fn tell(&mut self, now: Millis) {
        let epoch = self.course.epoch().unwrap_or(-1);
        self.epoch
            .send_if_modified(|known| std::mem::replace(known, epoch) != epoch);
        let state = self.course.state();
        let changed = self
            .state
            .send_if_modified(|known| std::mem::replace(known, state) != state);
        if changed {
            tracing::info!(?state, epoch, "the broker in its cluster");
        }
        if state == LifeState::Leaving && self.news.is_none_or(|due| now >= due) {
            self.news = Some(now + NEWS_MS);
            let (leads, epoch) = (self.leads(), epoch);
            tracing::info!(leads, epoch, "leaving: others take over what is led here");
        }
    }

    /// How many partitions this broker leads.
    fn leads(&self) -> usize {
        let node = Some(self.parts.registration.node);
        let image = Arc::clone(&self.image.borrow());
        let topics = image.topics();
        let led = topics.map(|topic| topic.iter().filter(|(_, p)| p.leader == node).count());
        led.sum()
    }

    async fn register(&mut self, held: Option<i64>, wait_ms: u64) {
        let wait = Duration::from_millis(wait_ms);
        let mut orders = self.orders.clone();
        let failed: BTreeSet<_> = self.failed().map(|(id, _)| id).collect();
        let heard = tokio::select! {
            biased;
            heard = timeout(wait, self.ask_in(held)) => {
                heard.unwrap_or(Err(Unheard::Late))
            }
            // A stop must not wait for a controller that is away.
            _ = orders.wait_for(|orders| orders.leave_by.is_some()) => return,
        };
        match &heard {
            Ok(Ok(epoch)) => {
                self.trouble = None;
                self.silence.ends();
                // It was registered without them.
                self.told = failed;
                tracing::info!(epoch, "registered");
            }
            Ok(Err(error)) => {
                self.complain_of(error.to_string());
                self.silence.ends();
            }
            Err(_) => self.complain(&heard),
        }
        self.course.registered(self.now(), heard);
    }

    async fn ask_in(&self, held: Option<i64>) -> Heard<i64> {
        let past = match held {
            // This process has lost nothing.
            Some(epoch) => PastLife::Clean(epoch),
            None => self.past().await?,
        };
        let registration = self.parts.registration.clone();
        let online = self.parts.directories.iter();
        let online = online.filter(|(_, dir)| dir.failure().is_none());
        let request = RegisterBroker {
            node: registration.node,
            incarnation: registration.incarnation,
            listeners: registration.listeners,
            rack: registration.rack,
            directories: online.map(|(id, _)| *id).collect(),
            features: registration.features,
            past,
        };
        let reply = self.parts.quorum.propose(request.into()).await;
        Ok(RegisterBroker::answer(reply.map_err(Unheard::Quorum)?))
    }

    /// What the disks say of the last life.
    async fn past(&self) -> Result<PastLife, Unheard> {
        // One that could not be read says nothing; what was in it is out of reach in any case.
        let dirs = self.parts.directories.iter();
        let read = dirs.filter(|(_, dir)| !dir.is_unread());
        let lives: Vec<LastLife> = read.map(|(_, dir)| dir.last_life()).collect();
        let new = lives.iter().filter(|life| **life == LastLife::New).count();
        if new == 0 || new == lives.len() {
            return Ok(past_life(&lives, false));
        }
        // A disk was added, or one was lost and replaced. Only an image that knows all that was
        // decided tells which copies were on it.
        let barrier = self.parts.quorum.barrier().await;
        barrier.map_err(Unheard::Quorum)?;
        let image = Arc::clone(&self.image.borrow());
        Ok(past_life(&lives, self.lost_copies(&image)))
    }

    /// Whether a copy that counts is in none of the directories.
    fn lost_copies(&self, image: &MetadataImage) -> bool {
        let node = self.parts.registration.node;
        let here = |name: &LogName| {
            self.parts
                .directories
                .iter()
                .any(|(_, dir)| dir.holds(name))
        };
        image.topics().any(|topic| {
            topic.iter().any(|(partition, state)| {
                let mut counts = state
                    .clean()
                    .chain(state.last_known_eligible.iter().copied());
                counts.any(|clean| clean == node)
                    && !here(&LogName::new(topic.name.clone(), partition))
            })
        })
    }

    /// Writes the epoch to every directory that is online. One that fails goes offline, and the next
    /// heartbeat says so. An error means that not all were tried: a broker that served with an epoch
    /// which no disk knows would be taken for crashed after a clean stop.
    async fn record(&self, epoch: i64) -> Result<(), String> {
        let dirs = self.parts.directories.iter();
        let dirs: Vec<_> = dirs.map(|(_, dir)| Arc::clone(dir)).collect();
        if dirs.is_empty() {
            return Ok(());
        }
        let (done, written) = oneshot::channel();
        let write = move || {
            for dir in dirs {
                // The directory has told why it is offline now.
                let _ = dir.begin_life(epoch);
            }
            // Nobody waits when the broker stops meanwhile.
            let _ = done.send(());
        };
        let started = tasks::spawn_thread("life", write);
        started.map_err(|error| format!("its thread does not start: {error}"))?;
        let ended = written.await;
        ended.map_err(|_| "its thread panicked".to_owned())
    }

    async fn beat(&mut self, beat: Beat) {
        let mut orders = self.orders.clone();
        let failed: BTreeSet<_> = self.failed().map(|(id, _)| id).collect();
        let now = self.now();
        self.health.look(now, &self.parts.directories);
        let heard = tokio::select! {
            biased;
            heard = self.say(beat, &failed) => heard,
            // A stop does not wait for an answer to what was said before it.
            _ = orders.wait_for(|orders| orders.leave_by.is_some()), if !beat.wants_shutdown => {
                return;
            }
        };
        if matches!(heard, Ok(Ok(_))) {
            self.told.extend(failed);
        }
        self.complain(&heard);
        self.course.beaten(self.now(), heard);
    }

    async fn say(&self, beat: Beat, failed: &BTreeSet<DirectoryId>) -> Heard<BrokerState> {
        let request = Heartbeat {
            node: self.parts.registration.node,
            epoch: beat.epoch,
            version: self.applied.as_ref().map_or(0, |applied| applied()),
            wants_fence: beat.wants_fence,
            wants_shutdown: beat.wants_shutdown,
            offline_directories: failed.iter().copied().collect(),
            cordoned_directories: self.cordoned(),
            slow_directories: self.health.slow(),
            full_directories: self.health.full(),
        };
        let wait = Duration::from_millis(beat.wait_ms);
        match timeout(wait, self.parts.quorum.propose(request.into())).await {
            Ok(Ok(reply)) => Ok(Heartbeat::answer(reply)),
            Ok(Err(error)) => Err(Unheard::Quorum(error)),
            Err(_) => Err(Unheard::Late),
        }
    }

    /// Directories that take no new replicas, by the settings as they are now.
    fn cordoned(&self) -> Vec<DirectoryId> {
        let node = self.parts.registration.node;
        let image = Arc::clone(&self.image.borrow());
        let layers = image.layers(&self.parts.statics, node);
        let cordoned = layers.cordoned_dirs();
        let dirs = self.parts.directories.iter();
        let covered = dirs.filter(|(_, dir)| cordoned.covers(dir.path()));
        covered.map(|(id, _)| *id).collect()
    }

    /// Says once what is wrong with the controller, and once when it is over.
    fn complain<T>(&mut self, heard: &Heard<T>) {
        match heard {
            Err(unheard) => {
                self.complain_of(unheard.words());
                return self.silence.goes_on(self.now());
            }
            Ok(Err(refused)) => {
                tracing::warn!(%refused, "the controller does not know this process: registering");
            }
            Ok(Ok(_)) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the controller answers again");
                }
            }
        }
        self.silence.ends();
    }

    fn complain_of(&mut self, words: String) {
        if self.trouble.as_ref() != Some(&words) {
            tracing::warn!(reason = %words, "no answer from the controller: trying again");
            self.trouble = Some(words);
        }
    }

    /// Until time has passed, or there are orders or another image; or until the quorum speaks anyway
    /// and a heartbeat is due soon: two that wake the processors together cost half.
    async fn wait(&mut self, ms: u64) {
        let spoken = async {
            loop {
                self.parts.quorum.pulse().await;
                if self.course.pulse(self.parts.clock.monotonic()) {
                    return;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            // An error is seen by the caller.
            _ = self.orders.changed() => {}
            Ok(()) = self.image.changed() => {}
            () = spoken => {}
        }
    }

    fn finish(self, end: End) {
        match &end {
            End::Left { orderly: true } => tracing::info!("left the cluster in order"),
            End::Left { orderly: false } => {
                let leads = self.leads();
                tracing::warn!(leads, "leaving without the controller's consent");
            }
            End::Failed(error) => tracing::error!(%error, "the broker cannot live in its cluster"),
            End::Stopped => {}
        }
        self.end.send_replace(Some(end));
    }
}

#[cfg(test)]
mod tests;
