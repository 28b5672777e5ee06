//! What happens to a cluster of three: it restarts, loses a broker, moves replicas.

pub(crate) mod asker;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use freshet_client::{ConfigChange, PartitionView, Resource};
use freshet_types::NodeId;

use self::asker::Asker;
use crate::broker::Broker;
use crate::client::{Client, Done, Job, work};
use crate::cpu::Machine;
use crate::measure::{Numbers, Sample, distrust, foreign, memory};

/// How many partitions are produced to, to see that all go on.
const SAMPLE: usize = 30;
/// What a cluster does at first with many partitions is not its idle state.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE_WINDOW: Duration = Duration::from_secs(10);
/// How long a flow runs before anything happens, and after it.
const CALM: Duration = Duration::from_secs(3);
/// How long a stopped broker of a rolling restart is away.
const AWAY: Duration = Duration::from_secs(1);
/// The part of a move, and as long without one, for which produce is measured; the rest is for a client to start.
const MEASURED: f64 = 0.8;

/// Three brokers with many partitions, each on all of them.
pub(crate) struct Many {
    pub(crate) broker: Broker,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
}

impl Many {
    /// Makes the topic, rests, restarts all, loses one, gets it back.
    pub(crate) fn live(&mut self) -> Result<Sample> {
        let ours = self.broker.ids();
        let (machine, start) = (Machine::look(&ours)?, Instant::now());
        let mut numbers = Numbers::new();
        self.make(&mut numbers)?;
        self.restart(&mut numbers)?;
        self.lose_one(&mut numbers)?;
        let foreign = foreign(
            &machine,
            &Machine::look(&self.broker.ids())?,
            start.elapsed(),
        );
        Ok(Sample { numbers, foreign })
    }

    fn make(&self, numbers: &mut Numbers) -> Result<()> {
        let asker = Asker::new(&self.broker.bootstrap())?;
        asker.await_brokers(self.broker.count())?;
        let empty = self.broker.resident()?.0;
        let start = Instant::now();
        asker.create(&self.topic, self.partitions, 3)?;
        asker.until_whole(&self.topic)?;
        let sample = asker.sample(&self.topic, self.some(|_| true, &asker)?)?;
        asker.accepted(&sample)?;
        tell(numbers, "create", start);
        self.rest(numbers)?;
        let replicas = f64::from(self.partitions) * self.broker.count() as f64;
        let grown = (self.broker.resident()?.0 - empty) * 1024.0 / replicas;
        numbers.insert("memory per replica".into(), grown);
        Ok(())
    }

    fn rest(&self, numbers: &mut Numbers) -> Result<()> {
        sleep(SETTLE);
        let (start, before) = (Instant::now(), self.broker.cpu()?);
        sleep(IDLE_WINDOW);
        let used = self.broker.cpu()? - before;
        let percent = used / start.elapsed().as_secs_f64() * 100.0;
        numbers.insert("idle CPU".into(), percent);
        Ok(())
    }

    fn restart(&mut self, numbers: &mut Numbers) -> Result<()> {
        let start = Instant::now();
        self.broker.stop()?;
        tell(numbers, "stop all", start);
        let start = Instant::now();
        self.broker.start_again()?;
        tell(numbers, "start all, first answers", start);
        let asker = Asker::new(&self.broker.bootstrap())?;
        asker.until_whole(&self.topic)?;
        tell(numbers, "start all, in sync", start);
        Ok(())
    }

    fn lose_one(&mut self, numbers: &mut Numbers) -> Result<()> {
        let asker = Asker::new(&self.broker.bootstrap())?;
        // After a restart whoever came first leads all.
        asker.elect_preferred(&self.topic)?;
        // Not the one that is asked first.
        let lost = self.broker.count() - 1;
        let node = NodeId(i32::try_from(lost)? + 1);
        let led = self.some(|p| p.leader == Some(node), &asker)?;
        let sample = asker.sample(&self.topic, led)?;
        asker.accepted(&sample)?;
        let start = Instant::now();
        self.broker.kill_node(lost)?;
        asker.accepted(&sample)?;
        tell(numbers, "failover, sample accepted", start);
        asker.until(&self.topic, |p| p.leader.is_some_and(|l| l != node))?;
        tell(numbers, "failover, all led", start);
        sleep(CALM);
        let start = Instant::now();
        self.broker.start_node(lost)?;
        asker.until_whole(&self.topic)?;
        tell(numbers, "back in sync", start);
        Ok(())
    }

    /// Some partitions, spread over all that are `fit`.
    fn some(&self, fit: impl Fn(&PartitionView) -> bool, asker: &Asker) -> Result<Vec<i32>> {
        let topic = asker.topic(&self.topic)?;
        let fit: Vec<i32> = topic
            .partitions
            .iter()
            .filter(|p| fit(p))
            .map(|p| p.index)
            .collect();
        if fit.is_empty() {
            bail!("no partition of {} is fit", self.topic);
        }
        Ok(fit
            .iter()
            .copied()
            .step_by(fit.len().div_ceil(SAMPLE))
            .collect())
    }
}

/// Restarts one broker after the other while records are produced at fixed times.
pub(crate) fn roll(broker: &mut Broker, other: &Broker, job: &Job) -> Result<Sample> {
    let mut client = Client::start(job)?;
    let asker = Asker::new(&broker.bootstrap())?;
    asker.until_whole(&job.topic)?;
    let others = [other.ids(), vec![client.id()]].concat();
    let ours = |broker: &Broker| [broker.ids(), others.clone()].concat();
    let (machine, start) = (Machine::look(&ours(broker))?, Instant::now());
    client.begin()?;
    sleep(CALM);
    for at in 0..broker.count() {
        broker.stop_node(at)?;
        sleep(AWAY);
        broker.start_node(at)?;
        asker.until_whole(&job.topic)?;
        sleep(CALM);
    }
    let done = client.stop()?;
    let foreign = foreign(&machine, &Machine::look(&ours(broker))?, start.elapsed());
    client.end()?;
    let mut numbers = done.more;
    numbers.insert("restarts take".into(), done.seconds * 1000.0);
    distrust(&mut numbers);
    Ok(Sample { numbers, foreign })
}

/// Produce while replicas of another topic are moved.
pub(crate) struct Moves {
    /// Fills the topic that is moved.
    pub(crate) fill: Job,
    /// Bytes per second that each broker sends and takes at most for the move.
    pub(crate) rate: u64,
}

impl Moves {
    /// Makes and fills the topic that is moved: kept by brokers 1 and 2.
    pub(crate) fn prepare(&self, broker: &Broker) -> Result<()> {
        let asker = Asker::new(&broker.bootstrap())?;
        asker.await_brokers(broker.count())?;
        let topic = &self.fill.topic;
        asker.create(topic, self.fill.partitions, 2)?;
        asker.reassign(topic, &self.places(2)?)?;
        asker.until_settled()?;
        work(&self.fill)?;
        asker.until_whole(topic)
    }

    /// Measures without the move and with it, then moves all back.
    pub(crate) fn round(&self, broker: &Broker, job: &Job) -> Result<Sample> {
        let moved = self.fill.records * self.fill.size * 5 / 4;
        memory::ready(moved, || self.move_and_back(broker, job))
    }

    fn move_and_back(&self, broker: &Broker, job: &Job) -> Result<Sample> {
        let asker = Asker::new(&broker.bootstrap())?;
        let (machine, start) = (Machine::look(&broker.ids())?, Instant::now());
        let bytes = (self.fill.records * self.fill.size) as f64;
        let window = Duration::from_secs_f64(bytes / self.rate as f64 * MEASURED);
        let calm = flow(job, &asker, window)?;
        self.throttle(&asker, Some(self.rate))?;
        let begin = Instant::now();
        asker.reassign(&self.fill.topic, &self.places(3)?)?;
        let moved = flow(job, &asker, window)?;
        if asker.moves()? == 0 {
            bail!("the move was over before the measurement was");
        }
        asker.until_settled()?;
        let took = begin.elapsed().as_secs_f64();
        self.throttle(&asker, None)?;
        asker.reassign(&self.fill.topic, &self.places(2)?)?;
        asker.until_settled()?;
        let foreign = foreign(&machine, &Machine::look(&broker.ids())?, start.elapsed());
        let mut numbers = Numbers::new();
        numbers.insert("rate".into(), bytes / 1e6 / took);
        for (when, done) in [("calm", &calm), ("moving", &moved)] {
            let kept = done.more.iter().filter(|(name, _)| name.contains("ack p"));
            numbers.extend(kept.map(|(name, number)| (format!("{when} {name}"), *number)));
        }
        let p99 = |done: &Done| done.more.get("ack p99").copied();
        let both = p99(&moved).zip(p99(&calm)).context("no latencies")?;
        numbers.insert("p99 moving / calm".into(), both.0 / both.1);
        Ok(Sample { numbers, foreign })
    }

    /// All partitions on broker 1 and another one.
    fn places(&self, second: i32) -> Result<Vec<(i32, Vec<NodeId>)>> {
        let partitions = 0..i32::try_from(self.fill.partitions)?;
        Ok(partitions
            .map(|partition| (partition, vec![NodeId(1), NodeId(second)]))
            .collect())
    }

    /// Sets what `kafka-reassign-partitions --throttle` sets, or takes it back.
    fn throttle(&self, asker: &Asker, rate: Option<u64>) -> Result<()> {
        let change = |name: &str, value: Option<String>| match value {
            Some(value) => ConfigChange::set(name, value),
            None => ConfigChange::unset(name),
        };
        let sides = ["leader", "follower"];
        let replicas = sides.map(|side| {
            let name = format!("{side}.replication.throttled.replicas");
            change(&name, rate.map(|_| "*".into()))
        });
        asker.configure(&Resource::Topic(self.fill.topic.clone()), &replicas)?;
        let rates = sides.map(|side| {
            let name = format!("{side}.replication.throttled.rate");
            change(&name, rate.map(|rate| rate.to_string()))
        });
        for node in 1..=3 {
            asker.configure(&Resource::Broker(NodeId(node)), &rates)?;
        }
        Ok(())
    }
}

/// Produces at fixed times for a while.
fn flow(job: &Job, asker: &Asker, window: Duration) -> Result<Done> {
    let mut client = Client::start(job)?;
    asker.until_whole(&job.topic)?;
    client.begin()?;
    sleep(window);
    let mut done = client.stop()?;
    client.end()?;
    if done.more.get("failed").is_some_and(|failed| *failed > 0.0) {
        bail!("records failed: {:?}", done.more);
    }
    distrust(&mut done.more);
    Ok(done)
}

fn tell(numbers: &mut Numbers, name: &str, since: Instant) {
    numbers.insert(name.to_owned(), since.elapsed().as_secs_f64() * 1000.0);
}
