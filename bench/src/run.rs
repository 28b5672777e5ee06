//! The order of a run: rows in turn, and in each row the two brokers in turn.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::args::{Args, Output, Side, target};
use crate::broker::{self, Broker};
use crate::client::{Job, Place, Role, work};
use crate::measure::{self, Noise, Numbers, Sample};
use crate::report::{self, Measured, Report};
use crate::rows::{COLD, Kind, Load, ROWS, Row, Tier, WARM_UP, WARM_UP_THREE};
use crate::starts::{self, Restarts};
use crate::threes::{self, Many, Moves};
use crate::tiers::{self, Tiers};

/// What a started broker does at first is not its idle state.
const SETTLE: Duration = Duration::from_secs(3);
/// Opening a thousand partitions keeps a broker busy for longer.
const SETTLE_MANY: Duration = Duration::from_secs(20);
const IDLE_WINDOW: Duration = Duration::from_secs(10);

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for row in ROWS {
            println!("{:24}{}", row.name, row.about);
        }
        return Ok(());
    }
    let rows = choose(&args.rows)?;
    let scratch = args.scratch.clone().unwrap_or_else(target);
    std::fs::create_dir_all(&scratch).context("cannot create the scratch folder")?;
    let scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(scratch)?;
    let mut stand = Stand {
        args,
        sides: args.pair()?,
        scratch,
        brokers: None,
        threes: None,
    };
    let mut report = Report::new(args)?;
    for (at, row) in rows.iter().enumerate() {
        let start = Instant::now();
        eprintln!(
            "==> bench {}/{}: {}, {}",
            at + 1,
            rows.len(),
            row.name,
            row.about
        );
        report.rows.push(stand.row(row)?);
        eprintln!("    {:.0} s", start.elapsed().as_secs_f64());
    }
    stand.stop()?;
    match args.output {
        Output::Table => report::table(&report),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Row>> {
    // `tier` means all of `tier-read`, `tier-copy`, …
    let is_of = |row: &Row, name: &str| {
        let rest = row.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for name in names {
        if !ROWS.iter().any(|row| is_of(row, name)) {
            let all: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            bail!("no row is called `{name}`; there are {}", all.join(", "));
        }
    }
    Ok(ROWS
        .iter()
        .filter(|row| names.is_empty() || names.iter().any(|name| is_of(row, name)))
        .collect())
}

/// The two brokers and where they live.
struct Stand<'a> {
    args: &'a Args,
    sides: [Side; 2],
    scratch: TempDir,
    brokers: Option<Brokers>,
    /// Three brokers of each side, for the rows with copies.
    threes: Option<Brokers>,
}

/// Both running brokers.
struct Brokers {
    both: [Broker; 2],
    /// Resident memory of each after its start, in MiB.
    idle: [f64; 2],
    warm: bool,
}

impl Stand<'_> {
    /// Measures one row. A row that others disturb too often is refused and the run goes on.
    fn row(&mut self, row: &Row) -> Result<Measured> {
        let mut measured = Measured::new(row, self.sides);
        let result = match row.kind {
            Kind::Start => self.turns(&mut measured, |at, _| {
                starts::first(self.sides[at], self.scratch.path())
            }),
            Kind::Idle { partitions } => self.idle(row, partitions, &mut measured),
            Kind::Load(load) => self.load(row, &load, &mut measured),
            Kind::ThreeIdle { partitions } => self.three_idle(row, partitions, &mut measured),
            Kind::Three(load) => self.three(row, &load, &mut measured),
            Kind::ThreeMany { partitions } => self.three_many(row, partitions, &mut measured),
            Kind::ThreeMoves { load, rate } => self.three_moves(row, &load, rate, &mut measured),
            Kind::ThreeRoll(load) => self.three_roll(row, &load, &mut measured),
            Kind::Partitions { few, load } => self.partitions(row, few, &load, &mut measured),
            Kind::Restart { partitions } => self.restart(row, partitions, &mut measured),
            Kind::Tier(Tier::Copy, load) => self.tier_copy(&load, &mut measured),
            Kind::Tier(Tier::Read, load) => self.tier_read(row, &load, &mut measured),
            Kind::Tier(Tier::Replay, load) => self.tier_replay(row, &load, &mut measured),
            Kind::Tier(Tier::Replace, load) => self.tier_replace(&load, &mut measured),
            Kind::Binary => self.binary(&mut measured),
            Kind::Memory => self.memory(&mut measured),
        };
        if let Err(error) = result {
            eprintln!("    {error:#}");
            measured.refused = Some(format!("{error:#}"));
        }
        Ok(measured)
    }

    /// Runs `measure` for each side in turn, as often as the arguments say.
    fn turns(
        &self,
        measured: &mut Measured,
        measure: impl FnMut(usize, &str) -> Result<Sample>,
    ) -> Result<()> {
        let all: Vec<_> = (0..self.sides.len()).collect();
        self.turns_of(&all, measured, measure)
    }

    /// The same for some sides.
    fn turns_of(
        &self,
        sides: &[usize],
        measured: &mut Measured,
        mut measure: impl FnMut(usize, &str) -> Result<Sample>,
    ) -> Result<()> {
        let noise = Noise {
            keep: self.args.noisy,
        };
        for round in 0..self.args.rounds() {
            for &at in sides {
                // What one side left in the page cache is not written at the other's expense.
                rustix::fs::sync();
                let sample =
                    noise.until_quiet(|attempt| measure(at, &format!("{round}-{attempt}")))?;
                measured.add(at, sample);
            }
        }
        Ok(())
    }

    fn idle(&mut self, row: &Row, partitions: u32, measured: &mut Measured) -> Result<()> {
        let window = IDLE_WINDOW / u32::try_from(self.args.divisor())?;
        self.brokers()?;
        let both = &self.running()?.both;
        let load = Load {
            partitions,
            records: 0,
            ..WARM_UP[0]
        };
        for (at, broker) in both.iter().enumerate().filter(|_| partitions > 0) {
            let before = broker.resident()?.0;
            have_topic(broker, &load, row.name, true)?;
            sleep(SETTLE);
            let grown = (broker.resident()?.0 - before) * 1024.0 / f64::from(partitions);
            let numbers = [("memory per partition".to_owned(), grown)].into();
            measured.add(
                at,
                Sample {
                    numbers,
                    foreign: 0.0,
                },
            );
        }
        sleep(if partitions > 0 { SETTLE_MANY } else { SETTLE });
        let result = self.turns(measured, |at, _| {
            measure::idle(&both[at], &both[1 - at], window)
        });
        for broker in both.iter().filter(|_| partitions > 0) {
            have_topic(broker, &load, row.name, false)?;
        }
        result
    }

    fn load(&mut self, row: &Row, load: &Load, measured: &mut Measured) -> Result<()> {
        self.brokers()?;
        self.warm_up()?;
        let both = &self.running()?.both;
        let reads = load.role == Role::Consume;
        if reads {
            for broker in both {
                self.fill(broker, load, row.name)?;
            }
        }
        let result = self.turns(measured, |at, turn| {
            let (broker, other) = (&both[at], &both[1 - at]);
            let topic = if reads {
                row.name.to_owned()
            } else {
                format!("{}-{turn}", row.name)
            };
            let mut job = load.job(broker.side, broker.bootstrap(), topic, self.args.divisor());
            (job.create, job.remove) = (!reads, !reads);
            measure::load(broker, other, load, &job)
        });
        if reads {
            for broker in both {
                self.empty(broker, load, row.name)?;
            }
        }
        result
    }

    /// Puts the records of a reading row into its topic.
    fn fill(&self, broker: &Broker, load: &Load, topic: &str) -> Result<()> {
        let load = Load {
            role: Role::Produce,
            ..*load
        };
        let bootstrap = broker.bootstrap();
        let mut job = load.job(broker.side, bootstrap, topic.into(), self.args.divisor());
        job.remove = false;
        work(&job).map(drop)
    }

    /// Removes the topic of a reading row.
    fn empty(&self, broker: &Broker, load: &Load, topic: &str) -> Result<()> {
        let bootstrap = broker.bootstrap();
        let mut job = load.job(broker.side, bootstrap, topic.into(), self.args.divisor());
        (job.create, job.records) = (false, 0);
        work(&job).map(drop)
    }

    /// Clusters of three that nobody talks to.
    fn three_idle(&mut self, row: &Row, partitions: u32, measured: &mut Measured) -> Result<()> {
        let window = IDLE_WINDOW / u32::try_from(self.args.divisor())?;
        self.threes()?;
        let both = &self.threes.as_ref().context("they do not run")?.both;
        let load = Load {
            partitions,
            records: 0,
            ..WARM_UP_THREE[0]
        };
        for broker in both.iter().filter(|_| partitions > 0) {
            have_topic(broker, &load, row.name, true)?;
        }
        sleep(SETTLE_MANY);
        let result = self.turns(measured, |at, _| {
            measure::idle(&both[at], &both[1 - at], window)
        });
        for broker in both.iter().filter(|_| partitions > 0) {
            have_topic(broker, &load, row.name, false)?;
        }
        result
    }

    /// A client's work on a topic with three copies.
    fn three(&mut self, row: &Row, load: &Load, measured: &mut Measured) -> Result<()> {
        self.warm_threes()?;
        let both = &self.threes.as_ref().context("they do not run")?.both;
        self.turns(measured, |at, turn| {
            let (broker, other) = (&both[at], &both[1 - at]);
            let topic = format!("{}-{turn}", row.name);
            let job = load.job(broker.side, broker.bootstrap(), topic, self.args.divisor());
            measure::load(broker, other, load, &job)
        })
    }

    /// Each side's brokers restart under a flow of records.
    fn three_roll(&mut self, row: &Row, load: &Load, measured: &mut Measured) -> Result<()> {
        self.warm_threes()?;
        let Brokers { mut both, .. } = self.threes.take().context("they do not run")?;
        self.turns(measured, |at, turn| {
            let [first, second] = &mut both;
            let (broker, other) = match at {
                0 => (first, &*second),
                _ => (second, &*first),
            };
            let topic = format!("{}-{turn}", row.name);
            let job = load.job(broker.side, broker.bootstrap(), topic, 1);
            threes::roll(broker, other, &job)
        })
    }

    /// A flow of records on Freshet, without and with a move of replicas.
    fn three_moves(
        &mut self,
        row: &Row,
        load: &Load,
        rate: u64,
        measured: &mut Measured,
    ) -> Result<()> {
        self.alone();
        for at in self.freshets() {
            let broker = Broker::start_three(self.sides[at], self.scratch.path())?;
            let fill = Load {
                records: self.args.gigabytes * 1_000_000_000 / WARM_UP_THREE[0].size,
                replicas: 1,
                ..WARM_UP_THREE[0]
            };
            let topic = format!("{}-moved", row.name);
            let job = fill.job(broker.side, broker.bootstrap(), topic, self.args.divisor());
            let moves = Moves {
                fill: Job {
                    create: false,
                    remove: false,
                    ..job
                },
                rate,
            };
            moves.prepare(&broker)?;
            for round in 0..self.args.rounds() {
                let topic = format!("{}-{round}", row.name);
                let job = load.job(broker.side, broker.bootstrap(), topic, 1);
                measured.add(at, moves.round(&broker, &job)?);
            }
        }
        Ok(())
    }

    /// A cluster of Freshet's with many partitions, a new one for each round.
    fn three_many(&mut self, row: &Row, partitions: u32, measured: &mut Measured) -> Result<()> {
        self.alone();
        let partitions = partitions / u32::try_from(self.args.divisor())?;
        for at in self.freshets() {
            for _ in 0..self.args.rounds() {
                let mut many = Many {
                    broker: Broker::start_three(self.sides[at], self.scratch.path())?,
                    topic: row.name.to_owned(),
                    partitions,
                };
                measured.add(at, many.live()?);
            }
        }
        Ok(())
    }

    /// Ends all that runs: it would only take part of the machine.
    fn alone(&mut self) {
        (self.brokers, self.threes) = (None, None);
    }

    /// The sides that are Freshet's.
    fn freshets(&self) -> impl Iterator<Item = usize> + use<> {
        let sides = self.sides;
        (0..sides.len()).filter(move |at| sides[*at] == Side::Freshet)
    }

    /// Three of each side, after the work that nobody measures.
    fn warm_threes(&mut self) -> Result<()> {
        self.threes()?;
        let threes = self.threes.as_mut().context("they do not run")?;
        if !threes.warm {
            for broker in &threes.both {
                eprintln!("    warming up three of {}", broker.side.name());
                for (at, load) in WARM_UP_THREE.iter().enumerate() {
                    let topic = format!("warm-up-{at}");
                    let divisor = self.args.divisor();
                    work(&load.job(broker.side, broker.bootstrap(), topic, divisor))?;
                }
            }
            threes.warm = true;
        }
        Ok(())
    }

    /// Starts three of each side. The single brokers end first: they would only take part of the
    /// machine.
    fn threes(&mut self) -> Result<()> {
        if self.threes.is_some() {
            return Ok(());
        }
        self.brokers = None;
        let start = |side| Broker::start_three(side, self.scratch.path());
        let both = [start(self.sides[0])?, start(self.sides[1])?];
        sleep(SETTLE);
        let idle = [both[0].resident()?.0, both[1].resident()?.0];
        self.threes = Some(Brokers {
            both,
            idle,
            warm: false,
        });
        Ok(())
    }

    fn partitions(
        &mut self,
        row: &Row,
        few: u32,
        load: &Load,
        measured: &mut Measured,
    ) -> Result<()> {
        self.brokers()?;
        self.warm_up()?;
        let both = &self.running()?.both;
        self.turns(measured, |at, turn| {
            let (broker, other) = (&both[at], &both[1 - at]);
            let job = |partitions: u32| Job {
                partitions,
                ..load.job(
                    broker.side,
                    broker.bootstrap(),
                    format!("{}-{partitions}-{turn}", row.name),
                    self.args.divisor(),
                )
            };
            let jobs = [job(few), job(load.partitions)];
            for job in &jobs {
                work(&Job {
                    records: 0,
                    remove: false,
                    ..job.clone()
                })?;
            }
            // Kafka makes the files of a topic after it has said that the topic is there.
            sleep(SETTLE_MANY);
            let jobs = jobs.map(|job| Job {
                create: false,
                ..job
            });
            measure::partitions(broker, other, load, jobs)
        })
    }

    /// The job of a load with as many records as the rows `tier-…` shall have.
    fn sized(&self, load: &Load, broker: &Broker, topic: &str) -> Job {
        let load = Load {
            records: self.args.gigabytes * 1_000_000_000 / load.size,
            ..*load
        };
        let (bootstrap, divisor) = (broker.bootstrap(), self.args.divisor());
        let mut job = load.job(broker.side, bootstrap, topic.into(), divisor);
        job.config
            .extend([tiers::SEGMENTS[usize::from(self.args.quick)]]);
        job
    }

    /// A new broker and a new bucket each time, so that a disk has room for many pairs.
    fn tier_copy(&mut self, load: &Load, measured: &mut Measured) -> Result<()> {
        self.alone();
        let own: Vec<_> = self.freshets().collect();
        self.turns_of(&own, measured, |_, _| {
            let tiers = Tiers::start(self.scratch.path(), Place::Here, Vec::new())?;
            tiers.copy(&self.sized(load, &tiers.broker, "copy"))
        })
    }

    /// Cold records on one broker of its own; the same records on the disks of the two.
    fn tier_read(&mut self, row: &Row, load: &Load, measured: &mut Measured) -> Result<()> {
        self.brokers()?;
        self.warm_up()?;
        let both = &self.running()?.both;
        let job = |broker: &Broker| Job {
            create: false,
            remove: false,
            ..self.sized(load, broker, row.name)
        };
        let ids = both.iter().flat_map(Broker::ids).collect();
        let tiers = Tiers::start(self.scratch.path(), Place::Here, ids)?;
        let cold = job(&tiers.broker);
        tiers.fill(&cold)?;
        for broker in both {
            work(&Job {
                role: Role::Produce,
                create: true,
                ..job(broker)
            })?;
        }
        let result = self.turns(measured, |at, _| {
            let (broker, other) = (&both[at], &both[1 - at]);
            broker.evict(row.name)?;
            let local = measure::load(broker, other, load, &job(broker))?;
            let number = |name: &str| local.numbers.get(name).copied().context("no number");
            let mut sample = match broker.side {
                Side::Freshet => tiers.read(&cold)?,
                Side::Kafka => Sample {
                    numbers: Numbers::new(),
                    foreign: 0.0,
                },
            };
            let rate = number("throughput")? * load.size as f64 / 1e6;
            let told = [("local rate", rate), ("local CPU", number("broker CPU")?)];
            let told = told.map(|(name, number)| (name.to_owned(), number));
            sample.numbers.extend(told);
            sample.foreign = sample.foreign.max(local.foreign);
            Ok(sample)
        });
        for broker in both {
            self.empty(broker, load, row.name)?;
        }
        result
    }

    /// Freshet with a bucket beside a replay; the other side beside one from its disk.
    fn tier_replay(&mut self, row: &Row, load: &Load, measured: &mut Measured) -> Result<()> {
        self.brokers()?;
        self.warm_up()?;
        let both = &self.running()?.both;
        let ids: Vec<u32> = both.iter().flat_map(Broker::ids).collect();
        let tiers = Tiers::start(self.scratch.path(), Place::Elsewhere, ids.clone())?;
        let read = |broker, topic| Job {
            create: false,
            remove: false,
            ..self.sized(&COLD, broker, topic)
        };
        let (cold, local) = (read(&tiers.broker, "cold"), read(&tiers.broker, "local"));
        let others = both.iter().map(|broker| read(broker, "local"));
        let others: Vec<Job> = others.collect();
        tiers.fill(&cold)?;
        let kafkas = both.iter().zip(&others);
        let kafkas = kafkas.filter(|(broker, _)| broker.side == Side::Kafka);
        for job in [&local].into_iter().chain(kafkas.map(|(_, job)| job)) {
            work(&Job {
                role: Role::Produce,
                create: true,
                ..job.clone()
            })?;
        }
        let result = self.turns(measured, |at, turn| {
            let topic = format!("{}-{at}-{turn}", row.name);
            let side = both[at].side;
            let open = |broker: &Broker| {
                load.job(side, broker.bootstrap(), topic.clone(), self.args.divisor())
            };
            match side {
                Side::Freshet => tiers.replay(&open(&tiers.broker), [&cold, &local]),
                Side::Kafka => tiers::catch_up(&both[at], &ids, [&open(&both[at]), &others[at]]),
            }
        });
        for broker in both.iter().filter(|broker| broker.side == Side::Kafka) {
            self.empty(broker, &COLD, "local")?;
        }
        result
    }

    /// A new cluster and a new bucket each time.
    fn tier_replace(&mut self, load: &Load, measured: &mut Measured) -> Result<()> {
        self.alone();
        let own: Vec<_> = self.freshets().collect();
        self.turns_of(&own, measured, |_, _| {
            let tiers = Tiers::start_three(self.scratch.path())?;
            let fill = self.sized(load, &tiers.broker, "replace");
            tiers.replace(&fill, self.args.divisor())
        })
    }

    fn binary(&self, measured: &mut Measured) -> Result<()> {
        for (at, side) in self.sides.iter().enumerate() {
            let numbers = [("size".to_owned(), broker::installed_megabytes(*side)?)].into();
            measured.add(
                at,
                Sample {
                    numbers,
                    foreign: 0.0,
                },
            );
        }
        Ok(())
    }

    fn restart(&self, row: &Row, partitions: u32, measured: &mut Measured) -> Result<()> {
        let load = Load {
            partitions,
            records: 200_000,
            ..WARM_UP[0]
        };
        for (at, side) in self
            .sides
            .iter()
            .enumerate()
            .filter(|(_, s)| **s == Side::Freshet)
        {
            let broker = Broker::start(*side, self.scratch.path())?;
            let empty_mib = broker.resident()?.0;
            let bootstrap = broker.bootstrap();
            let job = Job {
                remove: false,
                ..load.job(*side, bootstrap, row.name.into(), 1)
            };
            work(&job)?;
            let mut restarts = Restarts {
                broker,
                partitions,
                empty_mib,
                refill: Job {
                    create: false,
                    ..job
                },
            };
            for _ in 0..self.args.rounds() {
                measured.add(at, restarts.round()?);
            }
        }
        Ok(())
    }

    fn memory(&mut self, measured: &mut Measured) -> Result<()> {
        self.brokers()?;
        let running = self.running()?;
        for (at, broker) in running.both.iter().enumerate() {
            let (now, highest) = broker.resident()?;
            let numbers = [
                ("idle", running.idle[at]),
                ("after load", now),
                ("highest", highest),
            ];
            let numbers = numbers
                .map(|(name, number)| (name.to_owned(), number))
                .into();
            measured.add(
                at,
                Sample {
                    numbers,
                    foreign: 0.0,
                },
            );
        }
        Ok(())
    }

    /// Starts both brokers if they do not run yet.
    fn brokers(&mut self) -> Result<()> {
        if self.brokers.is_none() {
            let start = |side| Broker::start(side, self.scratch.path());
            let both = [start(self.sides[0])?, start(self.sides[1])?];
            sleep(SETTLE);
            let idle = [both[0].resident()?.0, both[1].resident()?.0];
            self.brokers = Some(Brokers {
                both,
                idle,
                warm: false,
            });
        }
        Ok(())
    }

    fn running(&self) -> Result<&Brokers> {
        self.brokers.as_ref().context("the brokers do not run")
    }

    /// Lets both brokers do the same work before anything counts: produced, and read again.
    fn warm_up(&mut self) -> Result<()> {
        let running = self.running()?;
        if running.warm {
            return Ok(());
        }
        for broker in &running.both {
            for (at, load) in WARM_UP.iter().enumerate() {
                eprintln!(
                    "    warming up {}: {}/{}",
                    broker.side.name(),
                    at + 1,
                    WARM_UP.len()
                );
                let topic = format!("warm-up-{at}");
                let bootstrap = broker.bootstrap();
                let mut job = load.job(broker.side, bootstrap, topic, self.args.divisor());
                job.remove = job.role == Role::One;
                work(&job)?;
                if !job.remove {
                    (job.role, job.create, job.remove) = (Role::Consume, false, true);
                    work(&job)?;
                }
            }
        }
        if let Some(brokers) = &mut self.brokers {
            brokers.warm = true;
        }
        Ok(())
    }

    fn stop(self) -> Result<()> {
        let running = self.brokers.into_iter().chain(self.threes);
        for mut broker in running.flat_map(|brokers| brokers.both) {
            broker.stop()?;
        }
        Ok(())
    }
}

/// Makes a topic without records, or removes it.
fn have_topic(broker: &Broker, load: &Load, name: &str, wanted: bool) -> Result<()> {
    let job = load.job(broker.side, broker.bootstrap(), name.into(), 1);
    let job = Job {
        create: wanted,
        remove: !wanted,
        ..job
    };
    work(&job).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name() {
        assert_eq!(choose(&[]).expect("all rows").len(), ROWS.len());
        assert_eq!(choose(&["one".into()]).expect("a row")[0].name, "one");
        assert!(choose(&["none".into()]).is_err());
    }
}
