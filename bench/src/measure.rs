//! One measurement: the broker's CPU time around a piece of work, and whether others disturbed it.

pub(crate) mod memory;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::broker::Broker;
use crate::client::{Client, Job, Role};
use crate::cpu::{self, Machine};
use crate::rows::{Load, Per};

/// The part of the machine that programs not ours may take during a measurement.
const QUIET: f64 = 0.05;
/// How often a disturbed measurement is tried, and how long is waited in between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(3);
/// An achieved rate below this part of the offered one makes latencies meaningless.
const ACHIEVED: f64 = 0.99;

/// Numbers of one measurement by name; each name has its unit in [`unit`].
pub(crate) type Numbers = BTreeMap<String, f64>;

/// Numbers, and how much of the machine others took meanwhile (0 to 1).
pub(crate) struct Sample {
    pub(crate) numbers: Numbers,
    pub(crate) foreign: f64,
}

/// Whether noise is thrown away or kept.
#[derive(Clone, Copy)]
pub(crate) struct Noise {
    pub(crate) keep: bool,
}

impl Noise {
    /// Measures until nobody disturbs.
    pub(crate) fn until_quiet(
        self,
        mut measure: impl FnMut(u32) -> Result<Sample>,
    ) -> Result<Sample> {
        let mut worst: f64 = 0.0;
        for attempt in 0..TRIES {
            let sample = measure(attempt)?;
            if self.keep || sample.foreign <= QUIET {
                return Ok(sample);
            }
            worst = worst.max(sample.foreign);
            eprintln!(
                "    thrown away: others took {:.0} % of the machine",
                sample.foreign * 100.0
            );
            sleep(PAUSE);
        }
        bail!(
            "refused: others took up to {:.0} % of the machine",
            worst * 100.0
        )
    }
}

/// Runs a client's job on one broker while the other stands by.
pub(crate) fn load(broker: &Broker, other: &Broker, load: &Load, job: &Job) -> Result<Sample> {
    let mut client = Client::start(job)?;
    let mut ours = [broker.ids(), other.ids()].concat();
    ours.push(client.id());
    let (done, used, foreign) = memory::ready(memory::taken(job), || {
        let (machine, start) = (Machine::look(&ours)?, Instant::now());
        let before = broker.cpu()?;
        let done = client.work()?;
        let used = broker.cpu()? - before;
        let foreign = foreign(&machine, &Machine::look(&ours)?, start.elapsed());
        Ok((done, used, foreign))
    })?;
    client.end()?;
    if done.records != job.records {
        bail!("{} records instead of {}", done.records, job.records);
    }
    let mut numbers = done.more;
    let records = done.records as f64;
    let broker_cpu = match load.per {
        Per::Gigabyte => used / (records * job.size as f64 / 1e9),
        Per::Record => used / records * 1e6,
    };
    numbers.insert("broker CPU".into(), broker_cpu);
    if matches!(job.role, Role::Produce | Role::Consume | Role::Tail) {
        numbers.insert("throughput".into(), records / done.seconds);
        if load.replicas > 1 {
            let megabytes = records * job.size as f64 / 1e6;
            numbers.insert("rate".into(), megabytes / done.seconds);
        }
    }
    distrust(&mut numbers);
    Ok(Sample { numbers, foreign })
}

/// The same job on a topic of few partitions and on one of many.
pub(crate) fn partitions(
    broker: &Broker,
    other: &Broker,
    work: &Load,
    [few, many]: [Job; 2],
) -> Result<Sample> {
    let mut numbers = Numbers::new();
    let mut foreign: f64 = 0.0;
    for job in [&few, &many] {
        let sample = load(broker, other, work, job)?;
        foreign = foreign.max(sample.foreign);
        let named = sample.numbers.into_iter();
        numbers.extend(named.map(|(name, number)| (format!("{name} {}", job.partitions), number)));
    }
    let throughput = |job: &Job| {
        numbers
            .get(&format!("throughput {}", job.partitions))
            .copied()
    };
    if let Some((few, many)) = throughput(&few).zip(throughput(&many)) {
        numbers.insert("throughput kept".into(), many / few);
    }
    Ok(Sample { numbers, foreign })
}

/// Throws latencies away that were measured at less than the offered rate.
pub(crate) fn distrust(numbers: &mut Numbers) {
    let rates = numbers
        .get("offered")
        .copied()
        .zip(numbers.get("achieved").copied());
    if let Some((offered, achieved)) = rates
        && achieved < offered * ACHIEVED
    {
        eprintln!("    latencies thrown away: {achieved:.0} of {offered:.0} records/s achieved");
        numbers.retain(|name, _| !name.contains(" p"));
    }
}

/// CPU of a broker that nobody talks to, as a part of one core, in percent.
pub(crate) fn idle(broker: &Broker, other: &Broker, window: Duration) -> Result<Sample> {
    let ours = [broker.ids(), other.ids()].concat();
    let (machine, start) = (Machine::look(&ours)?, Instant::now());
    let before = broker.cpu()?;
    sleep(window);
    let used = broker.cpu()? - before;
    let took = start.elapsed();
    let foreign = foreign(&machine, &Machine::look(&ours)?, took);
    let percent = used / took.as_secs_f64() * 100.0;
    Ok(Sample {
        numbers: [("broker CPU".to_owned(), percent)].into(),
        foreign,
    })
}

/// The part of the machine that others took between two looks.
pub(crate) fn foreign(before: &Machine, after: &Machine, took: Duration) -> f64 {
    after.foreign_since(before) / (took.as_secs_f64() * cpu::cores()).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_measurement_is_thrown_away_or_marked() {
        let noisy = || {
            Ok(Sample {
                numbers: Numbers::new(),
                foreign: 0.5,
            })
        };
        assert!(
            Noise { keep: true }
                .until_quiet(|_| noisy())
                .is_ok_and(|s| s.foreign > 0.4)
        );
        let calm = Noise { keep: false }.until_quiet(|_| {
            Ok(Sample {
                numbers: Numbers::new(),
                foreign: 0.01,
            })
        });
        assert!(calm.is_ok());
    }

    #[test]
    fn latency_of_a_saturated_run_is_not_kept() {
        let told = |achieved: f64| {
            let numbers = [("offered", 500.0), ("achieved", achieved), ("ack p99", 1.0)];
            let mut numbers = numbers
                .map(|(name, number)| (name.to_owned(), number))
                .into();
            distrust(&mut numbers);
            numbers.contains_key("ack p99")
        };
        assert!(told(499.0));
        assert!(!told(490.0));
    }
}
