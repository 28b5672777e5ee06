//! Memory that is there when a load wants it.
//!
//! A virtual machine may give memory that was free for some seconds back to its host (the kernel's free page
//! reporting). Whoever takes it next pays for a fault in the host with each page, and that is billed to the
//! program: a gigabyte written into the page cache takes 2.7 CPU seconds instead of 0.2. Then a number
//! tells less of the broker than of what the other side freed before it, and when.

use std::fs;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::{Job, Role};

/// Memory is held in pieces of this size, which the allocator hands back to the kernel at once.
const PIECE: usize = 64 << 20;
/// This much was touched just now and is free: what a load takes in a second or two.
const READY: u64 = 1 << 30;
/// How often the free memory is looked at; a few megabytes are taken meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a job takes of free memory at most, in bytes: in the page cache for each copy, and once more in the
/// client.
pub(crate) fn taken(job: &Job) -> u64 {
    let records = job.records * job.size * 5 / 4;
    match job.role {
        Role::Produce | Role::Tail => records * u64::from(1 + job.replicas),
        Role::Consume => records * 2,
        // Too little to matter, and latencies are better off without a thread beside them.
        Role::One | Role::Open | Role::Flow => 0,
    }
}

/// Does `work` while what it takes of free memory, up to `bytes`, is replaced by memory that was touched
/// before it began.
pub(crate) fn ready<T>(bytes: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if bytes == 0 {
        return work();
    }
    let pieces = (bytes + READY).div_ceil(PIECE as u64);
    let touched = (0..pieces).map(|_| black_box(vec![1_u8; PIECE]));
    let mut held: Vec<_> = touched.collect();
    let enough = free()? + READY;
    let over = AtomicBool::new(false);
    scope(|threads| {
        let replacer = threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                hand_out(&mut held, enough, free)?;
                sleep(LOOK_EVERY);
            }
            Ok::<_, anyhow::Error>(())
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        replacer.join().expect("it tells its errors")?;
        result
    })
}

/// Lets go of what is held, piece by piece, until enough is free.
fn hand_out<T>(held: &mut Vec<T>, enough: u64, free: impl Fn() -> Result<u64>) -> Result<()> {
    while free()? < enough && held.pop().is_some() {}
    Ok(())
}

/// Bytes that nothing uses, not even the page cache.
fn free() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("/proc/meminfo does not tell MemFree")? << 10)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn as_much_is_handed_out_as_is_missing() {
        let free = Cell::new(7);
        let piece_more = || Ok(free.replace(free.get() + 1));
        let mut held = vec![(); 5];
        hand_out(&mut held, 10, piece_more).expect("enough");
        assert_eq!(held.len(), 2);
        hand_out(&mut held, 10, piece_more).expect("nothing is missing");
        assert_eq!(held.len(), 2);
        hand_out(&mut held, 100, piece_more).expect("all there is");
        assert!(held.is_empty());
    }

    #[test]
    fn work_is_done_with_and_without_memory() {
        assert!(free().is_ok_and(|bytes| bytes > 0));
        assert!(ready(0, || Ok(1)).is_ok_and(|done| done == 1));
        assert!(ready(1, || Ok(2)).is_ok_and(|done| done == 2));
    }
}
