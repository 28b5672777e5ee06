//! How long a broker takes from the start of its process to its first answer.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::args::Side;
use crate::broker::Broker;
use crate::client::{Job, work};
use crate::cpu::{self, Machine};
use crate::measure::{Numbers, Sample, foreign};

/// CPU time is told in ticks of ten milliseconds; what others do in less than this cannot be told.
const WINDOW: Duration = Duration::from_secs(1);

/// A first start with an empty folder.
pub(crate) fn first(side: Side, scratch: &Path) -> Result<Sample> {
    let watch = Watch::begin()?;
    let mut broker = Broker::start(side, scratch)?;
    let foreign = watch.end(&broker)?;
    let numbers = [("start".to_owned(), millis(&broker))].into();
    broker.stop()?;
    Ok(Sample { numbers, foreign })
}

/// A broker of its own that is stopped and killed.
pub(crate) struct Restarts {
    pub(crate) broker: Broker,
    pub(crate) partitions: u32,
    /// Resident memory before there was any partition, in MiB.
    pub(crate) empty_mib: f64,
    /// What is produced after each start, so that the next one has something to find.
    pub(crate) refill: Job,
}

impl Restarts {
    /// One clean stop and one kill, each with a start after it.
    pub(crate) fn round(&mut self) -> Result<Sample> {
        let begin = Instant::now();
        self.broker.stop()?;
        let stop = begin.elapsed().as_secs_f64() * 1000.0;
        let clean = self.start_again()?;
        let grown_kib = (clean.resident_mib - self.empty_mib) * 1024.0;
        self.broker.kill()?;
        let killed = self.start_again()?;
        let numbers = [
            ("stop", stop),
            ("after clean stop", clean.millis),
            ("after kill -9", killed.millis),
            (
                "memory per partition",
                grown_kib / f64::from(self.partitions),
            ),
        ];
        let numbers: Numbers = numbers
            .map(|(name, number)| (name.to_owned(), number))
            .into();
        Ok(Sample {
            numbers,
            foreign: clean.foreign.max(killed.foreign),
        })
    }

    fn start_again(&mut self) -> Result<Started> {
        let watch = Watch::begin()?;
        self.broker.start_again()?;
        let foreign = watch.end(&self.broker)?;
        let resident_mib = self.broker.resident()?.0;
        work(&self.refill)?;
        Ok(Started {
            millis: millis(&self.broker),
            resident_mib,
            foreign,
        })
    }
}

/// What one start took.
struct Started {
    millis: f64,
    /// Before anybody talks to it.
    resident_mib: f64,
    /// The part of the machine that others took meanwhile.
    foreign: f64,
}

fn millis(broker: &Broker) -> f64 {
    broker.took.as_secs_f64() * 1000.0
}

/// Sees what others do while a process starts that is not there yet.
struct Watch {
    machine: Machine,
    start: Instant,
}

impl Watch {
    fn begin() -> Result<Self> {
        Ok(Self {
            machine: Machine::look(&[])?,
            start: Instant::now(),
        })
    }

    fn end(&self, broker: &Broker) -> Result<f64> {
        sleep(WINDOW.saturating_sub(self.start.elapsed()));
        let took = self.start.elapsed();
        let all = foreign(&self.machine, &Machine::look(&[])?, took);
        let own = broker.cpu()? / (took.as_secs_f64() * cpu::cores());
        Ok((all - own).max(0.0))
    }
}
