//! Lines that are late, thin, lossy, out of order and damaging, where the kernel has no netem: each
//! packet that a node hears from another one waits in a queue of its kernel until we say what becomes
//! of it.
//!
//! ```text
//! other node ─► eth0 ─► mangle INPUT ─► NFQUEUE ─► TCP
//!                                        │   ▲
//!                                        ▼   │ lost, late, later than its followers, or one bit flipped
//!                                       this thread
//! ```
//!
//! The queue is with who hears and not with who speaks: there, a packet that waits would count as not
//! yet sent, and its socket would send no more. The checksum of the IP header has been looked at before,
//! so that header is left alone; everything behind it is guarded by the checksum of TCP, which is looked at
//! after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::queue::{Packet, Queue, Verdict};
use crate::bits::Bits;

/// How long a line is as late as it is, before chance draws anew. Packets of one moment share a way.
const SPELL: Duration = Duration::from_millis(100);
/// By how much the followers of a packet that is held back come before it.
const HELD_BACK: Duration = Duration::from_millis(20);
/// Whether it is over is looked at so often.
const STEP: Duration = Duration::from_millis(50);

/// What all lines between nodes do to packets. Chances are of a thousand packets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// How late packets come, in each direction.
    pub delay: Duration,
    /// By how much more at most, drawn ten times a second.
    pub jitter: Duration,
    /// What a node hears in a second at most, in bytes; without one a line is as wide as it was.
    pub bytes_per_second: Option<u32>,
    /// Packets that never come.
    pub lost: u64,
    /// Packets that come after some of those that were sent after them.
    pub held_back: u64,
    /// Packets with a bit that is another one behind their IP header.
    pub flipped: u64,
}

/// How often what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// All packets that came by.
    pub packets: u64,
    /// And their bytes.
    pub bytes: u64,
    /// See [`Weather::lost`].
    pub lost: u64,
    /// Packets that came after later ones.
    pub overtaken: u64,
    /// See [`Weather::flipped`].
    pub flipped: u64,
}

/// Lines with a weather, until it is over, or nobody has it any more.
pub(super) struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Done>>>,
}

/// A trial may fail before it has ended its weather.
impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Storm {
    /// One over the packets of these queues.
    pub(super) fn start(queues: Vec<Queue>, weather: Weather, bits: Bits) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let lines = queues.into_iter().map(|queue| Line::new(queue, weather));
        let mut lines: Vec<Line> = lines.collect();
        let thread = thread::spawn(move || blow(&mut lines, bits, &told));
        let thread = Some(thread);
        Self { over, thread }
    }

    /// Ends it: what was held back comes through.
    pub(super) fn end(mut self) -> Result<Done> {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the weather is over")?;
        let done = thread.join().ok().context("the weather panicked")?;
        done.context("the weather")
    }
}

fn blow(lines: &mut [Line], mut bits: Bits, over: &AtomicBool) -> Result<Done> {
    let mut done = Done::default();
    while !over.load(Ordering::Relaxed) {
        let due = lines.iter().filter_map(Line::due).min();
        let left = due.map_or(STEP, |due| due.saturating_duration_since(Instant::now()));
        let left = Timespec::try_from(left.min(STEP))?;
        let mut polled: Vec<PollFd<'_>> = lines
            .iter()
            .map(|line| PollFd::new(&line.queue, PollFlags::IN))
            .collect();
        poll(&mut polled, Some(&left))?;
        for line in &mut *lines {
            line.hear(&mut bits, &mut done)?;
            line.deliver(Instant::now(), &mut done)?;
        }
    }
    for line in lines {
        line.hear(&mut bits, &mut done)?;
        while let Some(due) = line.due() {
            line.deliver(due, &mut done)?;
        }
    }
    Ok(done)
}

/// The line at which one node hears all others.
struct Line {
    queue: Queue,
    way: Way,
    /// What is on its way, by when it arrives and in which order it came.
    under_way: BTreeMap<(Instant, u64), Arrival>,
    arrivals: u64,
    /// The latest arrival that was let through.
    newest: u64,
}

struct Arrival {
    id: u32,
    changed: Option<Vec<u8>>,
}

impl Line {
    fn new(queue: Queue, weather: Weather) -> Self {
        Self {
            queue,
            way: Way::new(weather, Instant::now()),
            under_way: BTreeMap::new(),
            arrivals: 0,
            newest: 0,
        }
    }

    fn due(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(due, _)| *due)
    }

    /// Takes in all that has come.
    fn hear(&mut self, bits: &mut Bits, done: &mut Done) -> Result<()> {
        while let Some(packet) = self.queue.next()? {
            done.packets += 1;
            done.bytes += packet.bytes.len() as u64;
            self.take(packet, bits, done)?;
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet, bits: &mut Bits, done: &mut Done) -> Result<()> {
        let weather = self.way.weather;
        let Packet { id, mut bytes } = packet;
        if bits.below(1000) < weather.lost {
            done.lost += 1;
            return self.queue.decide(id, Verdict::Drop, None);
        }
        let mut due = self.way.arrival(Instant::now(), bytes.len(), bits);
        if bits.below(1000) < weather.held_back {
            due += HELD_BACK;
        }
        let flips = bits.below(1000) < weather.flipped && flip(&mut bytes, bits);
        done.flipped += u64::from(flips);
        let changed = flips.then_some(bytes);
        self.arrivals += 1;
        self.under_way
            .insert((due, self.arrivals), Arrival { id, changed });
        Ok(())
    }

    /// Lets everything through that is due.
    fn deliver(&mut self, now: Instant, done: &mut Done) -> Result<()> {
        while let Some(entry) = self.under_way.first_entry() {
            let (due, number) = *entry.key();
            if due > now {
                break;
            }
            done.overtaken += u64::from(number < self.newest);
            self.newest = self.newest.max(number);
            let Arrival { id, changed } = entry.remove();
            self.queue.decide(id, Verdict::Accept, changed.as_deref())?;
        }
        Ok(())
    }
}

/// How long packets take that keep their order.
struct Way {
    weather: Weather,
    /// When the line has taken in all that came so far.
    free: Instant,
    /// When the last one arrives.
    last: Instant,
    /// How late the line is just now, and until when.
    late: Duration,
    spell: Instant,
}

impl Way {
    fn new(weather: Weather, now: Instant) -> Self {
        Self {
            weather,
            free: now,
            last: now,
            late: weather.delay,
            spell: now,
        }
    }

    /// When so many bytes that come now are through, after all that came before.
    fn arrival(&mut self, now: Instant, bytes: usize, bits: &mut Bits) -> Instant {
        let Weather { delay, jitter, .. } = self.weather;
        if self.spell <= now {
            let most = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
            self.late = delay + Duration::from_micros(bits.below(most));
            self.spell = now + SPELL;
        }
        let per_second = self.weather.bytes_per_second;
        let takes = per_second.map(|rate| Duration::from_secs(bytes as u64) / rate);
        self.free = self.free.max(now) + takes.unwrap_or_default();
        self.last = self.last.max(self.free + self.late);
        self.last
    }
}

/// Makes one bit behind the IP header another one, if there are any.
fn flip(packet: &mut [u8], bits: &mut Bits) -> bool {
    let header = packet
        .first()
        .map_or(0, |first| usize::from(first & 15) * 4);
    let Some(guarded) = packet.get_mut(header..).filter(|rest| !rest.is_empty()) else {
        return false;
    };
    let bit = bits.below(guarded.len() as u64 * 8);
    guarded[(bit / 8) as usize] ^= 1 << (bit % 8);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn packets_are_late_and_keep_their_order() {
        let weather = Weather {
            delay: 100 * MS,
            jitter: 50 * MS,
            ..Weather::default()
        };
        let (mut bits, start) = (Bits::new(7), Instant::now());
        let mut way = Way::new(weather, start);
        let mut last = start;
        let mut late = Vec::new();
        for step in 0..1000 {
            let now = start + step * MS;
            let due = way.arrival(now, 1500, &mut bits);
            assert!(due >= last);
            last = due;
            late.push(due - now);
        }
        assert!(late.iter().all(|late| *late >= 100 * MS));
        assert!(late.iter().all(|late| *late < 150 * MS));
        assert!(late.iter().max() > late.iter().min().map(|least| *least + 10 * MS).as_ref());
    }

    #[test]
    fn on_a_thin_line_packets_wait_for_those_before() {
        let weather = Weather {
            bytes_per_second: Some(125_000),
            ..Weather::default()
        };
        let (mut bits, now) = (Bits::new(7), Instant::now());
        let mut way = Way::new(weather, now);
        for packet in 1..=100 {
            assert_eq!(way.arrival(now, 1250, &mut bits), now + packet * 10 * MS);
        }
    }

    #[test]
    fn one_bit_is_flipped_and_none_of_the_ip_header() {
        let mut bits = Bits::new(7);
        for _ in 0..1000 {
            let whole = [&[0x45][..], &[0; 59]].concat();
            let mut packet = whole.clone();
            assert!(flip(&mut packet, &mut bits));
            let others = |(is, was): (&u8, &u8)| (is ^ was).count_ones();
            let flipped: u32 = packet.iter().zip(&whole).map(others).sum();
            assert_eq!((&packet[..20], flipped), (&whole[..20], 1));
        }
        assert!(!flip(&mut [0x45; 20], &mut bits));
    }
}
