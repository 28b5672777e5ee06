//! Freshet with a bucket: what copying costs, how fast cold records are read, and whom that disturbs.

mod gateway;
mod replace;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use freshet_client::{Client as Kafka, ClientConfig, Consumer, ConsumerConfig, Start};
use freshet_env::Objects;
use tokio::runtime::{Builder, Runtime};

use self::gateway::Gateway;
use crate::broker::Broker;
use crate::client::{Client, Done, Job, Place, Role, work};
use crate::cpu::{self, Machine};
use crate::measure::{Numbers, Sample, distrust, foreign, memory};

/// How long copying, or freeing the disk, may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a broker is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// What the kernel writes back after a load is not the next one's.
const SETTLE: Duration = Duration::from_secs(2);

/// Threads that do nothing but read closed segments and send them, while nobody else reads.
const COPYING: [&str; 2] = ["tier-", "log-read-"];
/// So that most of a few gigabytes is closed; the second is for a tenth of them.
pub(crate) const SEGMENTS: [(&str, &str); 2] = [
    ("segment.bytes", "268435456"),
    ("segment.bytes", "16777216"),
];
const TIERS: (&str, &str) = ("remote.storage.enable", "true");
const LEAVES: (&str, &str) = ("local.retention.bytes", "1");

/// A broker with a bucket on an S3 server.
pub(crate) struct Tiers {
    // Dropped first, while its store is there.
    pub(crate) broker: Broker,
    gateway: Gateway,
    /// Processes that are ours and stand by.
    others: Vec<u32>,
}

/// What a piece of work took.
struct Took {
    done: Done,
    cpu: f64,
}

impl Tiers {
    /// Starts both, empty, the S3 server in its place, while other processes of ours stand by.
    pub(crate) fn start(scratch: &Path, store: Place, others: Vec<u32>) -> Result<Self> {
        Self::of(1, scratch, store, others)
    }

    /// Starts a cluster of three, and the S3 server.
    pub(crate) fn start_three(scratch: &Path) -> Result<Self> {
        Self::of(3, scratch, Place::Here, Vec::new())
    }

    fn of(count: usize, scratch: &Path, store: Place, others: Vec<u32>) -> Result<Self> {
        let gateway = Gateway::start(scratch, store)?;
        let set = [
            ("remote.log.storage.system.enable", "true".to_owned()),
            ("remote.log.storage.url", Gateway::url()),
            ("remote.log.manager.task.interval.ms", "500".to_owned()),
            ("log.retention.check.interval.ms", "1000".to_owned()),
        ];
        let broker = Broker::start_tiering(scratch, count, &set, &gateway.environment())?;
        Ok(Self {
            broker,
            gateway,
            others,
        })
    }

    /// A sample of what `measure` does, which takes `bytes` of the page cache.
    fn watched(
        &self,
        bytes: u64,
        measure: impl FnOnce(&mut Numbers) -> Result<()>,
    ) -> Result<Sample> {
        let own = [self.broker.ids(), vec![self.gateway.id()]].concat();
        watched(&[own, self.others.clone()].concat(), bytes, measure)
    }

    fn work(&self, job: &Job) -> Result<Took> {
        let mut client = Client::start(job)?;
        let before = self.broker.cpu()?;
        let done = client.work()?;
        let cpu = self.broker.cpu()? - before;
        client.end()?;
        Ok(Took { done, cpu })
    }

    /// The same records to a topic that stays on the disk, and to one that is copied.
    pub(crate) fn copy(&self, job: &Job) -> Result<Sample> {
        let topic = |name: &str| Job {
            topic: name.to_owned(),
            remove: false,
            ..job.clone()
        };
        let (plain, mut tiered) = (topic("plain"), topic("tiered"));
        tiered.config.extend([TIERS]);
        // Two topics, the bucket twice, and the client.
        self.watched(5 * job.records * job.size, |numbers| {
            let alone = self.work(&plain)?;
            rustix::fs::sync();
            sleep(SETTLE);
            let before = (self.broker.cpu()?, self.broker.cpu_of(&COPYING)?);
            let with = self.work(&tiered)?;
            let end = Instant::now();
            let lag = self.broker.metric("freshet_remote_copy_lag_bytes")?;
            self.until_copied()?;
            let after = end.elapsed().as_secs_f64();
            let cpu = self.broker.cpu()? - before.0;
            let copying = self.broker.cpu_of(&COPYING)? - before.1;
            let copied = self.broker.metric("freshet_remote_copy_bytes_total")? / 1e9;
            let produced = (job.records * job.size) as f64 / 1e9;
            let bare = self.upload(&plain.topic)?;
            numbers.extend([
                ("copying CPU".to_owned(), copying / copied),
                ("curl's CPU".to_owned(), bare.0),
                ("copying / curl".to_owned(), copying / copied / bare.0),
                ("curl's rate".to_owned(), bare.1),
                ("rate after".to_owned(), lag / 1e6 / after),
                ("extra CPU".to_owned(), (cpu - alone.cpu) / copied),
                ("plain CPU".to_owned(), alone.cpu / produced),
                ("copied".to_owned(), copied * 1000.0),
                (
                    "plain rate".to_owned(),
                    produced * 1000.0 / alone.done.seconds,
                ),
                (
                    "tiered rate".to_owned(),
                    produced * 1000.0 / with.done.seconds,
                ),
                ("lag at the end".to_owned(), lag / 1e6),
                ("copied after".to_owned(), after),
            ]);
            Ok(())
        })
    }

    /// CPU seconds that `curl` takes to upload a GB of a topic's segments, and its MB/s: what reading and
    /// sending cost whoever does nothing else.
    fn upload(&self, topic: &str) -> Result<(f64, f64)> {
        let (before, start, mut bytes) = (cpu::of_children()?, Instant::now(), 0);
        for segment in self.broker.segments(topic)? {
            bytes += self.gateway.upload(&segment)?;
        }
        let gigabytes = bytes as f64 / 1e9;
        let rate = gigabytes * 1e3 / start.elapsed().as_secs_f64();
        Ok(((cpu::of_children()? - before) / gigabytes, rate))
    }

    /// Waits until all closed segments are in the bucket.
    fn until_copied(&self) -> Result<()> {
        self.until("all is copied", || {
            let some = self.broker.metric("freshet_remote_copy_bytes_total")? > 0.0;
            Ok(some && self.broker.metric("freshet_remote_copy_lag_segments")? == 0.0)
        })
    }

    fn until(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !is_so()? {
            if start.elapsed() > PATIENCE {
                bail!("after {PATIENCE:?} not yet: {what}");
            }
            sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// Makes the topic of `cold` and fills it, with one segment more than is read of it, which stays open;
    /// waits until the disk has nothing else.
    pub(crate) fn fill(&self, cold: &Job) -> Result<()> {
        let segment: u64 = cold.config["segment.bytes"].parse()?;
        let room = 2 * segment;
        let mut fill = Job {
            role: Role::Produce,
            create: true,
            remove: false,
            records: cold.records + room / cold.size,
            ..cold.clone()
        };
        fill.config.extend([TIERS, LEAVES]);
        work(&fill)?;
        self.until_copied()?;
        self.until("the disk is free", || {
            Ok(self.broker.log_bytes(&cold.topic)? <= room)
        })
    }

    /// Cold records, and the bytes of their objects as they are: both read by this process. What is read
    /// by the client of all other rows is beside them; that one has enough to do with records.
    pub(crate) fn read(&self, cold: &Job) -> Result<Sample> {
        self.watched(2 * cold.records * cold.size, |numbers| {
            let bytes = (cold.records * cold.size) as f64;
            let before = self.broker.cpu()?;
            let rate = consume(cold)?;
            let cpu = self.broker.cpu()? - before;
            let raw = self.download(bytes as u64)?;
            let by_others = self.work(cold)?.done;
            numbers.extend([
                ("cold rate".to_owned(), rate),
                ("raw rate".to_owned(), raw),
                ("cold / raw".to_owned(), rate / raw),
                ("cold CPU".to_owned(), cpu / (bytes / 1e9)),
                (
                    "librdkafka cold rate".to_owned(),
                    bytes / 1e6 / by_others.seconds,
                ),
            ]);
            Ok(())
        })
    }

    /// The objects of segments: their names, and their lengths in bytes.
    fn segments(&self) -> Result<Vec<(String, u64)>> {
        let bucket = self.gateway.bucket()?;
        let listing = one_thread()?.block_on(bucket.list("", None, 10_000))?;
        let objects = listing.objects.into_iter();
        let segments = objects.filter(|(name, _)| name.contains("/segments/"));
        Ok(segments
            .map(|(name, head)| (name, head.len_bytes))
            .collect())
    }

    /// MB/s of whole objects, one after the other, by the broker's own way to the store.
    fn download(&self, bytes: u64) -> Result<f64> {
        let bucket = self.gateway.bucket()?;
        let segments = self.segments()?;
        one_thread()?.block_on(async {
            let (start, mut got) = (Instant::now(), 0);
            for (name, length) in segments {
                got += bucket.get_range(&name, 0..length).await?.len() as u64;
                if got >= bytes {
                    return Ok(got as f64 / 1e6 / start.elapsed().as_secs_f64());
                }
            }
            bail!("only {got} bytes are in the bucket")
        })
    }

    /// Records at fixed times: in peace, while cold records are read, while as many are read from the disk,
    /// and while their objects are downloaded past the broker.
    pub(crate) fn replay(&self, open: &Job, [cold, local]: [&Job; 2]) -> Result<Sample> {
        let open = Open(open);
        let objects = self.segments()?;
        let mut objects = objects.iter().cycle();
        let past = || {
            let object = objects.next().context("the bucket is empty")?;
            self.gateway.download(object, Place::Elsewhere)
        };
        // Latencies are better off without a thread that replaces memory.
        self.watched(0, |numbers| {
            let calm = work(&open.beside("calm"))?;
            let runs = vec![
                ("cold", open.while_others("cold", || elsewhere(cold))?),
                (
                    "local",
                    open.while_others("local", || from_disk(&self.broker, local))?,
                ),
                ("past", open.while_others("past", past)?),
            ];
            compare(calm, runs, numbers)
        })
    }
}

/// The same of a broker that has all on its disk, while that is read; with these processes of ours.
pub(crate) fn catch_up(broker: &Broker, ours: &[u32], [open, local]: [&Job; 2]) -> Result<Sample> {
    let open = Open(open);
    watched(ours, 0, |numbers| {
        let calm = work(&open.beside("calm"))?;
        let beside = open.while_others("local", || from_disk(broker, local))?;
        compare(calm, vec![("local", beside)], numbers)
    })
}

/// Reads all of a topic, and gives MB and seconds; the client gets the processors that nobody else wants.
fn elsewhere(reads: &Job) -> Result<(f64, f64)> {
    let done = work(&Job {
        place: Place::Elsewhere,
        ..reads.clone()
    })?;
    Ok(((done.records * reads.size) as f64 / 1e6, done.seconds))
}

/// The same where the kernel has forgotten what it had of it.
fn from_disk(broker: &Broker, reads: &Job) -> Result<(f64, f64)> {
    broker.forget(&reads.topic)?;
    elsewhere(reads)
}

/// Records at fixed times, to a topic of their own each time.
struct Open<'a>(&'a Job);

impl Open<'_> {
    fn beside(&self, name: &str) -> Job {
        Job {
            topic: format!("{}-{name}", self.0.topic),
            ..self.0.clone()
        }
    }

    /// Does the job while others `read` again and again, which gives MB and seconds; gives what was read in a
    /// second, too, in MB.
    fn while_others(
        &self,
        name: &str,
        mut read: impl FnMut() -> Result<(f64, f64)> + Send,
    ) -> Result<(Done, f64)> {
        let over = AtomicBool::new(false);
        let over = &over;
        scope(|threads| {
            let reader = threads.spawn(move || {
                let (mut megabytes, mut seconds) = (0.0, 0.0);
                while !over.load(Ordering::Relaxed) {
                    let (more, took) = read()?;
                    megabytes += more;
                    seconds += took;
                }
                Ok::<_, anyhow::Error>(megabytes / seconds)
            });
            let done = work(&self.beside(name));
            over.store(true, Ordering::Relaxed);
            let rate = reader.join().expect("a reader tells its errors")?;
            Ok((done?, rate))
        })
    }
}

/// Tells the p99 of each run, and how many times that is of the calm one's.
fn compare(calm: Done, runs: Vec<(&str, (Done, f64))>, numbers: &mut Numbers) -> Result<()> {
    let p99s = |mut done: Done| {
        distrust(&mut done.more);
        done.more.retain(|name, _| name.ends_with("p99"));
        done.more
    };
    let calm = p99s(calm);
    for (when, (done, rate)) in runs {
        numbers.insert(format!("{when} rate"), rate);
        let p99s = p99s(done);
        for what in ["ack", "end to end"] {
            let name = format!("{what} p99");
            let both = p99s.get(&name).zip(calm.get(&name));
            let (beside, calm) = both.context("no latencies")?;
            numbers.insert(format!("{name} {when}"), *beside);
            numbers.insert(format!("{name} calm"), *calm);
            numbers.insert(format!("{what} {when} / calm"), beside / calm);
        }
    }
    Ok(())
}

/// A sample of what `measure` does, which takes `bytes` of the page cache, and what others than these
/// processes did meanwhile.
fn watched(
    ours: &[u32],
    bytes: u64,
    measure: impl FnOnce(&mut Numbers) -> Result<()>,
) -> Result<Sample> {
    memory::ready(bytes, || {
        let (machine, start) = (Machine::look(ours)?, Instant::now());
        let mut numbers = Numbers::new();
        measure(&mut numbers)?;
        let foreign = foreign(&machine, &Machine::look(ours)?, start.elapsed());
        Ok(Sample { numbers, foreign })
    })
}

fn one_thread() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// MB/s of a topic's records, read from its start by our own client, with checksums compared.
fn consume(job: &Job) -> Result<f64> {
    one_thread()?.block_on(async {
        let servers = job.bootstrap.split(',').map(str::to_owned);
        let client = Kafka::connect(ClientConfig::new(servers)).await?;
        let config = ConsumerConfig {
            max_bytes: 64 << 20,
            partition_max_bytes: 8 << 20,
            max_records: 10_000,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(&client, config);
        for partition in 0..i32::try_from(job.partitions)? {
            consumer.assign((job.topic.clone(), partition), Start::Earliest);
        }
        let (start, mut count, mut bytes) = (Instant::now(), 0, 0);
        while count < job.records {
            let records = consumer.poll(PATIENCE).await?;
            if records.is_empty() {
                bail!("after {PATIENCE:?} nothing more than {count} records came");
            }
            count += records.len() as u64;
            let values = records.iter().filter_map(|record| record.value.as_ref());
            bytes += values.map(|value| value.len() as u64).sum::<u64>();
        }
        Ok(bytes as f64 / 1e6 / start.elapsed().as_secs_f64())
    })
}
