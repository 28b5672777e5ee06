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
    /// What is produced after each start, so that the next one has something to find.
    pub(crate) refill: Job,
}

impl Restarts {
    /// One clean stop and one kill, each with a start after it.
    pub(crate) fn round(&mut self) -> Result<Sample> {
        self.broker.stop()?;
        let clean = self.start_again()?;
        self.broker.kill()?;
        let killed = self.start_again()?;
        let numbers: Numbers = [
            ("clean stop".to_owned(), clean.0),
            ("kill -9".to_owned(), killed.0),
        ]
        .into();
        Ok(Sample {
            numbers,
            foreign: clean.1.max(killed.1),
        })
    }

    /// The time in milliseconds, and the part of the machine that others took meanwhile.
    fn start_again(&mut self) -> Result<(f64, f64)> {
        let watch = Watch::begin()?;
        self.broker.start_again()?;
        let foreign = watch.end(&self.broker)?;
        work(&self.refill)?;
        Ok((millis(&self.broker), foreign))
    }
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
        let own = cpu::of(broker.id())? / (took.as_secs_f64() * cpu::cores());
        Ok((all - own).max(0.0))
    }
}
