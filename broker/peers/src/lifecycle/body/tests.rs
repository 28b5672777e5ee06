//! Lives beside a real controller brain, in time that costs nothing; and one on real disks.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use freshet_env::disk::{DiskLock, Entry, OpenMode, Space};
use freshet_env::{Disk, DiskFile, SystemClock, SystemDisk};
use freshet_log::{Writers, WritersOptions};
use freshet_metadata::{
    AlterConfigs, AlterResource, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget, CreateTopics,
    MetadataOptions, MetadataTimer, NewTopic, Request, SessionOptions, UnregisterBroker,
};
use freshet_quorum::{Agreed, Leadership, Solo, SoloOptions};
use freshet_settings::{SecurityProtocol, StaticSettings, StaticSettingsBuilder};
use freshet_types::{
    Decision, Machine, PartitionId, Position, Published, Ticket, Timer, Timestamp, TopicId,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::*;

/// Tokio's clock, which tests move.
#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn micros(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// A controller in this process, without a disk.
struct Controller {
    clock: Arc<TokioClock>,
    state: Mutex<(MetadataMachine, BTreeMap<MetadataTimer, Millis>)>,
    image: watch::Sender<Arc<MetadataImage>>,
    /// It hears nothing and says nothing.
    away: AtomicBool,
    /// What it decides reaches nobody as an image.
    dim: AtomicBool,
    /// How long its answers take, ms.
    delay_ms: AtomicU64,
}

impl Controller {
    fn start() -> Arc<Self> {
        let statics = Arc::new(StaticSettings::default());
        let options = MetadataOptions::of_cluster(statics, SessionOptions::default());
        let controller = Arc::new(Self {
            clock: Arc::new(TokioClock(Instant::now())),
            state: Mutex::new((MetadataMachine::new(options), BTreeMap::new())),
            image: watch::Sender::default(),
            away: AtomicBool::new(false),
            dim: AtomicBool::new(false),
            delay_ms: AtomicU64::new(1),
        });
        let timers = Arc::clone(&controller);
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(1)).await;
                timers.fire();
            }
        });
        controller
    }

    fn decide(&self, request: Request) -> freshet_metadata::Reply {
        let mut state = self.state.lock();
        let decision = state.0.decide(self.clock.now(), Ticket(0), request);
        self.absorb(&mut state, decision).unwrap()
    }

    fn fire(&self) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let due = state.1.iter().find(|(_, at)| **at <= now.monotonic);
        if let Some((key, _)) = due.map(|(key, at)| (*key, *at)) {
            state.1.remove(&key);
            let decision = state.0.fire(now, key);
            self.absorb(&mut state, decision);
        }
    }

    fn absorb(
        &self,
        (machine, timers): &mut (MetadataMachine, BTreeMap<MetadataTimer, Millis>),
        decision: Decision<MetadataMachine>,
    ) -> Option<freshet_metadata::Reply> {
        decision.records.iter().for_each(|r| machine.apply(r));
        for Timer { key, at } in decision.timers {
            timers.remove(&key);
            timers.extend(at.map(|at| (key, at)));
        }
        if !decision.records.is_empty() && !self.dim.load(Ordering::SeqCst) {
            self.image.send_replace(machine.publish(Position::START));
        }
        let mut replies = decision.replies.into_iter();
        replies.next().map(|(_, reply)| reply)
    }

    /// Images reach everybody again.
    fn show(&self) {
        self.dim.store(false, Ordering::SeqCst);
        let image = self.state.lock().0.publish(Position::START);
        self.image.send_replace(image);
    }

    fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.borrow())
    }

    fn broker(&self, node: i32) -> freshet_metadata::Broker {
        let image = self.image();
        freshet_metadata::Broker::clone(image.broker(NodeId(node)).unwrap())
    }

    /// A broker that follows the image without delay.
    fn applied(self: &Arc<Self>) -> Applied {
        let controller = Arc::clone(self);
        Arc::new(move || controller.image().version())
    }

    /// One topic with one partition on these brokers, led by the first.
    fn create(&self, replicas: &[i32]) {
        let replicas = replicas.iter().map(|node| NodeId(*node)).collect();
        let topic = NewTopic {
            name: "t".to_owned(),
            id: TopicId([1; 16]),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, replicas)],
            configs: Vec::new(),
        };
        let request = CreateTopics {
            topics: vec![topic],
            validate_only: false,
        };
        let answer = CreateTopics::answer(self.decide(request.into()));
        answer.into_iter().next().unwrap().unwrap();
    }

    fn leader(&self, partition: PartitionId) -> Option<i32> {
        let image = self.image();
        let leader = image
            .topic("t")
            .unwrap()
            .partition(partition)
            .unwrap()
            .leader;
        leader.map(|leader| leader.0)
    }
}

impl Quorum<MetadataMachine> for Controller {
    fn propose(&self, request: Request) -> Agreed<'_, freshet_metadata::Reply> {
        Box::pin(async move {
            if self.away.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            let reply = self.decide(request);
            sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))).await;
            Ok(reply)
        })
    }

    fn barrier(&self) -> Agreed<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn watch(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.image.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        watch::channel(Leadership::ALONE).1
    }
}

fn settings(set: &[(&str, &str)]) -> Arc<StaticSettings> {
    let mut builder = StaticSettingsBuilder::default();
    let fast = [("initial.broker.registration.timeout.ms", "5000")];
    for (name, value) in fast.iter().chain(set) {
        builder = builder.set(&format!("{name}={value}")).unwrap();
    }
    Arc::new(builder.finish().unwrap().0)
}

fn registration(node: i32, incarnation: u8) -> Registration {
    let listener = BrokerListener {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port: 9092,
        protocol: SecurityProtocol::Plaintext,
    };
    Registration {
        node: NodeId(node),
        incarnation: [incarnation; 16],
        listeners: vec![listener],
        rack: None,
        features: Vec::new(),
    }
}

fn parts(controller: &Arc<Controller>, node: i32, incarnation: u8) -> LifecycleParts {
    LifecycleParts {
        registration: registration(node, incarnation),
        directories: Vec::new(),
        quorum: Arc::clone(controller) as Arc<dyn Quorum<MetadataMachine>>,
        clock: Arc::clone(&controller.clock) as Arc<dyn Clock>,
        statics: settings(&[]),
    }
}

/// A broker that is let in.
async fn serving(controller: &Arc<Controller>, node: i32, incarnation: u8) -> Lifecycle {
    let life = Lifecycle::start(parts(controller, node, incarnation));
    life.ready(controller.applied());
    reaches(&life, LifeState::Serving).await;
    life
}

async fn reaches(life: &Lifecycle, state: LifeState) {
    let mut states = life.state();
    let reached = states.wait_for(|now| *now == state);
    let reached = timeout(Duration::from_secs(600), reached).await;
    reached.expect("in time").expect("while it lives");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn nobody_acts_on_an_image_older_than_its_registration() {
    let controller = Controller::start();
    let earlier = serving(&controller, 1, 1).await;
    controller.create(&[1]);
    // It dies; its successor is registered, and still sees its predecessor lead.
    drop(earlier);
    sleep(ms(2_000)).await;
    controller.dim.store(true, Ordering::SeqCst);
    let life = Lifecycle::start(parts(&controller, 1, 2));
    let early = timeout(ms(10_000), life.registered()).await;
    assert!(early.is_err(), "{early:?}");
    assert!(
        *life.broker_epoch().borrow() >= 0,
        "the controller knows it"
    );
    controller.show();
    let epoch = timeout(ms(100), life.registered()).await;
    let epoch = epoch.expect("at once").expect("registered");
    assert_eq!(controller.broker(1).epoch, epoch);
}

#[tokio::test(start_paused = true)]
async fn a_broker_is_fenced_until_it_is_ready_and_has_caught_up() {
    let controller = Controller::start();
    let life = Lifecycle::start(parts(&controller, 1, 1));
    let check = life.readiness();
    assert_eq!(check().unwrap(), "not registered with the controller");
    let epoch = life.registered().await.unwrap();
    assert_eq!(*life.broker_epoch().borrow(), epoch);
    sleep(ms(5_000)).await;
    assert!(controller.broker(1).fenced);
    assert!(check().unwrap().starts_with("fenced"));
    let behind = Arc::new(AtomicU64::new(0));
    let applied = Arc::clone(&behind);
    life.ready(Arc::new(move || applied.load(Ordering::SeqCst)));
    sleep(ms(5_000)).await;
    assert!(controller.broker(1).fenced);
    behind.store(controller.image().version(), Ordering::SeqCst);
    let before = Instant::now();
    reaches(&life, LifeState::Serving).await;
    assert!(before.elapsed() < ms(60));
    assert!(controller.broker(1).is_active());
    assert_eq!(check(), None);
}

#[tokio::test(start_paused = true)]
async fn it_keeps_its_session_for_as_long_as_it_lives() {
    let controller = Controller::start();
    let life = serving(&controller, 1, 1).await;
    let version = controller.image().version();
    sleep(ms(60_000)).await;
    assert_eq!(controller.image().version(), version, "nothing was decided");
    drop(life);
    sleep(ms(1_002)).await;
    assert!(controller.broker(1).fenced);
}

#[tokio::test(start_paused = true)]
async fn slow_answers_do_not_cost_the_session() {
    let controller = Controller::start();
    let life = serving(&controller, 1, 1).await;
    let version = controller.image().version();
    for delay in [200, 400, 700, 2_000] {
        controller.delay_ms.store(delay, Ordering::SeqCst);
        sleep(ms(20_000)).await;
        assert_eq!(controller.image().version(), version, "{delay} ms");
    }
    assert_eq!(*life.state().borrow(), LifeState::Serving);
}

#[tokio::test(start_paused = true)]
async fn it_comes_back_when_the_controller_does() {
    let controller = Controller::start();
    let life = serving(&controller, 1, 1).await;
    let epoch = *life.broker_epoch().borrow();
    controller.away.store(true, Ordering::SeqCst);
    reaches(&life, LifeState::Fenced).await;
    sleep(ms(90_000)).await;
    controller.away.store(false, Ordering::SeqCst);
    reaches(&life, LifeState::Serving).await;
    assert_eq!(*life.broker_epoch().borrow(), epoch, "the same life");
}

/// Serves with two directories; the first has a log and then fails.
async fn with_failed_directory(
    controller: &Arc<Controller>,
    folder: &tempfile::TempDir,
    away: bool,
) -> Lifecycle {
    let open = |id: u8| {
        let path = folder.path().join(id.to_string());
        SystemDisk.create_dir_all(&path.join("t-0")).unwrap();
        let dir = LogDir::open(Arc::new(SystemDisk), &path).unwrap();
        (DirectoryId([id; 16]), dir)
    };
    let directories = vec![open(1), open(2)];
    let failing = Arc::clone(&directories[0].1);
    let life = Lifecycle::start(LifecycleParts {
        directories,
        ..parts(controller, 1, 1)
    });
    life.ready(controller.applied());
    reaches(&life, LifeState::Serving).await;
    controller.away.store(away, Ordering::SeqCst);
    SystemDisk.remove_dir_all(failing.path()).unwrap();
    failing.begin_life(99).unwrap_err();
    life
}

#[tokio::test(start_paused = true)]
async fn a_failed_directory_that_no_controller_hears_of_ends_the_life() {
    let (controller, folder) = (Controller::start(), tempfile::tempdir().unwrap());
    let life = with_failed_directory(&controller, &folder, true).await;
    let begin = Instant::now();
    let failed = timeout(ms(600_000), life.failed()).await.expect("it ends");
    assert_eq!(failed, LifeError::UntoldFailure { waited_ms: 30_000 });
    let took = begin.elapsed();
    assert!((ms(29_000)..ms(32_000)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_directory_that_the_controller_heard_of_ends_nothing() {
    let (controller, folder) = (Controller::start(), tempfile::tempdir().unwrap());
    let life = with_failed_directory(&controller, &folder, false).await;
    sleep(ms(2_000)).await;
    assert_eq!(controller.broker(1).directories, [DirectoryId([2; 16])]);
    controller.away.store(true, Ordering::SeqCst);
    assert!(timeout(ms(90_000), life.failed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_was_struck_off_registers_again() {
    let controller = Controller::start();
    let life = serving(&controller, 1, 1).await;
    let epoch = *life.broker_epoch().borrow();
    controller.away.store(true, Ordering::SeqCst);
    reaches(&life, LifeState::Fenced).await;
    let gone = UnregisterBroker { node: NodeId(1) };
    UnregisterBroker::answer(controller.decide(gone.into())).unwrap();
    controller.away.store(false, Ordering::SeqCst);
    reaches(&life, LifeState::Serving).await;
    assert!(*life.broker_epoch().borrow() > epoch);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_of_a_number_is_told_so_and_the_first_one_goes_on() {
    let controller = Controller::start();
    let first = serving(&controller, 1, 1).await;
    let version = controller.image().version();
    let second = Lifecycle::start(parts(&controller, 1, 2));
    let error = second.registered().await.unwrap_err();
    assert_eq!(error, LifeError::AnotherProcess { node: NodeId(1) });
    assert_eq!(second.failed().await, error);
    assert_eq!(controller.image().version(), version);
    assert_eq!(*first.state().borrow(), LifeState::Serving);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_follows_a_crash_waits_for_the_old_session() {
    let controller = Controller::start();
    let first = serving(&controller, 1, 1).await;
    drop(first);
    let before = Instant::now();
    serving(&controller, 1, 2).await;
    assert!((750..1_200).contains(&before.elapsed().as_millis()));
}

#[tokio::test(start_paused = true)]
async fn without_a_controller_a_start_ends_with_advice() {
    let controller = Controller::start();
    controller.away.store(true, Ordering::SeqCst);
    let life = Lifecycle::start(parts(&controller, 1, 1));
    let error = life.registered().await.unwrap_err();
    assert!(matches!(error, LifeError::NotRegistered { .. }), "{error}");
    assert_eq!(life.clock.monotonic(), Millis(5_000));
}

#[tokio::test(start_paused = true)]
async fn what_it_leads_moves_before_it_leaves() {
    let controller = Controller::start();
    let first = serving(&controller, 1, 1).await;
    let _second = serving(&controller, 2, 1).await;
    controller.create(&[1, 2]);
    assert_eq!(controller.leader(0), Some(1));
    let before = Instant::now();
    assert!(first.leave(ms(5_000)).await);
    assert!(before.elapsed() < ms(400), "{:?}", before.elapsed());
    assert_eq!(controller.leader(0), Some(2));
    assert_eq!(*first.state().borrow(), LifeState::Gone);
    // The next process need not wait for a session to end.
    let before = Instant::now();
    serving(&controller, 1, 2).await;
    assert!(before.elapsed() < ms(100), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_never_waits_longer_than_it_may() {
    for (node, incarnation) in [(1, 1), (2, 2)] {
        let controller = Controller::start();
        let life = serving(&controller, node, incarnation).await;
        controller.away.store(true, Ordering::SeqCst);
        let before = Instant::now();
        assert!(!life.leave(ms(3_000)).await);
        assert_eq!(before.elapsed().as_millis(), 3_000);
    }
    let controller = Controller::start();
    controller.away.store(true, Ordering::SeqCst);
    let life = Lifecycle::start(parts(&controller, 1, 1));
    sleep(ms(100)).await;
    let before = Instant::now();
    assert!(life.leave(ms(3_000)).await, "it was never let in");
    assert!(before.elapsed() < ms(5));
}

/// Serves, and will stop without asking.
async fn uncontrolled(controller: &Arc<Controller>) -> Lifecycle {
    let mut parts = parts(controller, 1, 1);
    parts.statics = settings(&[("controlled.shutdown.enable", "false")]);
    let life = Lifecycle::start(parts);
    life.ready(controller.applied());
    reaches(&life, LifeState::Serving).await;
    life
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_not_controlled_only_ends_the_heartbeats() {
    let controller = Controller::start();
    let life = uncontrolled(&controller).await;
    let before = Instant::now();
    assert!(!life.leave(ms(3_000)).await);
    assert!(before.elapsed() < ms(5));
    assert!(!controller.broker(1).stopping);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_an_answer_to_what_was_said_before_it() {
    let controller = Controller::start();
    let life = uncontrolled(&controller).await;
    controller.away.store(true, Ordering::SeqCst);
    // Longer than from one heartbeat to the next: one is under way.
    sleep(ms(260)).await;
    let before = Instant::now();
    assert!(!life.leave(ms(3_000)).await);
    assert!(before.elapsed() < ms(5), "{:?}", before.elapsed());
}

/// The real disk; the thread that gives the next file its name panics, if it is told to.
#[derive(Debug, Default)]
struct PanickyDisk {
    panics: AtomicBool,
    named: AtomicU64,
}

impl Disk for PanickyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        SystemDisk.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemDisk.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        SystemDisk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "as it was told");
        self.named.fetch_add(1, Ordering::SeqCst);
        SystemDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        SystemDisk.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        SystemDisk.lock(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        SystemDisk.exists(path)
    }
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_nobody_wrote_is_written_again_before_it_is_told() {
    let (controller, folder) = (Controller::start(), tempfile::tempdir().unwrap());
    let disk = Arc::new(PanickyDisk::default());
    let dir = LogDir::open(Arc::<PanickyDisk>::clone(&disk), folder.path()).unwrap();
    let life = Lifecycle::start(LifecycleParts {
        directories: vec![(DirectoryId([1; 16]), dir)],
        ..parts(&controller, 1, 1)
    });
    let before = disk.named.load(Ordering::SeqCst);
    disk.panics.store(true, Ordering::SeqCst);
    life.registered().await.unwrap();
    assert!(!disk.panics.load(Ordering::SeqCst), "it was tried");
    assert_eq!(disk.named.load(Ordering::SeqCst), before + 1);
}

/// A process with disks: its directories, its log threads, its life.
struct Process {
    writers: Arc<Writers>,
    dirs: Vec<(DirectoryId, Arc<LogDir>)>,
    life: Lifecycle,
}

impl Process {
    /// Lets go of the disks as a process does that ends, cleanly or not.
    async fn end(self, cleanly: bool) {
        if cleanly {
            assert!(self.life.leave(ms(5_000)).await);
            self.writers.stop().unwrap();
        }
        let Self {
            writers,
            dirs,
            life,
        } = self;
        let dirs: Vec<_> = dirs.into_iter().map(|(_, dir)| dir).collect();
        drop((writers, life));
        let weak: Vec<_> = dirs.iter().map(Arc::downgrade).collect();
        drop(dirs);
        while weak.iter().any(|dir| dir.strong_count() > 0) {
            sleep(ms(1)).await;
        }
    }
}

/// A cluster of one whose sessions are watched, on a real disk.
struct Home {
    folder: tempfile::TempDir,
    quorum: Arc<Solo<MetadataMachine>>,
    clock: Arc<SystemClock>,
    starts: u8,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let sessions = SessionOptions {
            timeout_ms: 300,
            ..SessionOptions::default()
        };
        let options = MetadataOptions::of_cluster(Arc::new(StaticSettings::default()), sessions);
        let quorum = Solo::start(
            Arc::new(SystemDisk),
            &folder.path().join("metadata"),
            Arc::<SystemClock>::clone(&clock),
            MetadataMachine::new(options),
            SoloOptions::default(),
        );
        Self {
            folder,
            quorum: Arc::new(quorum.unwrap()),
            clock,
            starts: 0,
        }
    }

    async fn start(&mut self, dirs: &[u8]) -> Process {
        self.start_with(dirs, "0").await
    }

    /// With so many bytes that producers may not use.
    async fn start_with(&mut self, dirs: &[u8], reserve_bytes: &str) -> Process {
        self.starts += 1;
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let open = |id: &u8| {
            let path = self.folder.path().join(format!("logs-{id}"));
            let dir = LogDir::open(Arc::clone(&disk), &path).unwrap();
            (DirectoryId([*id; 16]), dir)
        };
        let dirs: Vec<_> = dirs.iter().map(open).collect();
        let writers = Writers::start(
            dirs.iter().map(|(_, dir)| Arc::clone(dir)).collect(),
            Arc::<SystemClock>::clone(&self.clock),
            WritersOptions::default(),
        );
        let life = Lifecycle::start(LifecycleParts {
            registration: registration(1, self.starts),
            directories: dirs.clone(),
            quorum: Arc::clone(&self.quorum) as Arc<dyn Quorum<MetadataMachine>>,
            clock: Arc::<SystemClock>::clone(&self.clock),
            statics: settings(&[
                ("broker.heartbeat.interval.ms", "50"),
                ("broker.session.timeout.ms", "300"),
                ("freshet.disk.reserve.bytes", reserve_bytes),
            ]),
        });
        let image = self.quorum.watch();
        life.ready(Arc::new(move || image.borrow().version()));
        reaches(&life, LifeState::Serving).await;
        Process {
            writers: writers.unwrap(),
            dirs,
            life,
        }
    }
}

#[tokio::test]
async fn the_disks_know_the_epoch_before_the_controller_hears_it() {
    let mut home = Home::new();
    let process = home.start(&[1, 2]).await;
    let first = *process.life.broker_epoch().borrow();
    process.end(false).await;
    let process = home.start(&[1, 2]).await;
    let second = *process.life.broker_epoch().borrow();
    for (_, dir) in &process.dirs {
        assert_eq!(dir.last_life(), LastLife::Crashed(first));
    }
    assert!(second > first);
    process.end(true).await;
    let process = home.start(&[1, 2, 3]).await;
    let lives: Vec<_> = process
        .dirs
        .iter()
        .map(|(_, dir)| dir.last_life())
        .collect();
    let clean = LastLife::Clean(second);
    assert_eq!(lives, [clean, clean, LastLife::New]);
    process.end(true).await;
}

#[tokio::test]
async fn a_directory_that_fails_is_told_to_the_controller() {
    let mut home = Home::new();
    let process = home.start(&[1, 2]).await;
    // Its epoch cannot be written any more.
    let path = process.dirs[0].1.path().to_owned();
    SystemDisk.remove_dir_all(&path).unwrap();
    process.dirs[0].1.begin_life(99).unwrap_err();
    let mut image = home.quorum.watch();
    let told = image.wait_for(|image| {
        let broker = image.broker(NodeId(1)).expect("it is registered");
        broker.directories == [DirectoryId([2; 16])]
    });
    timeout(ms(10_000), told).await.expect("in time").unwrap();
    assert_eq!(*process.life.state().borrow(), LifeState::Serving);
}

#[tokio::test]
async fn cordoned_directories_are_told_to_the_controller() {
    let mut home = Home::new();
    let process = home.start(&[1, 2]).await;
    let path = process.dirs[1].1.path().display().to_string();
    let edit = ConfigEdit {
        name: "cordoned.log.dirs".to_owned(),
        op: ConfigOp::Set,
        value: Some(path),
    };
    let request = AlterConfigs {
        resources: vec![AlterResource {
            target: ConfigTarget::Broker(NodeId(1)),
            change: ConfigChange::Edit(vec![edit]),
        }],
        validate_only: false,
    };
    let reply = home.quorum.propose(request.into()).await.unwrap();
    AlterConfigs::answer(reply).remove(0).unwrap();
    let mut image = home.quorum.watch();
    let told = image.wait_for(|image| {
        let broker = image.broker(NodeId(1)).expect("it is registered");
        broker.cordoned_directories == [DirectoryId([2; 16])] && broker.is_active()
    });
    timeout(ms(10_000), told).await.expect("in time").unwrap();
}

#[tokio::test]
async fn a_disk_without_room_is_told_to_the_controller() {
    let mut home = Home::new();
    let full = async |home: &Home, expected: &[DirectoryId]| {
        let mut image = home.quorum.watch();
        let told = image.wait_for(|image| {
            let broker = image.broker(NodeId(1)).expect("it is registered");
            broker.full_directories == expected && broker.is_active()
        });
        timeout(ms(10_000), told).await.expect("in time").unwrap();
    };
    let process = home.start_with(&[1, 2], "9223372036854775807").await;
    full(&home, &[DirectoryId([1; 16]), DirectoryId([2; 16])]).await;
    process.end(true).await;
    let process = home.start(&[1, 2]).await;
    full(&home, &[]).await;
    process.end(true).await;
}

/// When a broker that no controller answers says what to do, ms; asked so often.
fn advised_after(round_trip_ms: u64) -> Vec<u64> {
    let mut silence = Silence::among(round_trip_ms);
    let mut advised = Vec::new();
    for at_ms in (0..60_000).step_by(500) {
        if at_ms == 40_000 {
            silence.ends();
        }
        if silence.lasts(Millis(at_ms)) {
            advised.push(at_ms);
        }
    }
    advised
}

#[test]
fn an_election_over_long_lines_is_no_long_silence() {
    assert_eq!(advised_after(100), [3_000, 43_000]);
    assert_eq!(advised_after(500), [15_000, 55_000]);
}
