//! How far a long run is, on stderr.

use std::time::Duration;

use tokio::time::Instant;

use crate::text;

const EVERY: Duration = Duration::from_secs(2);

pub(super) struct Progress {
    quiet: bool,
    start: Instant,
    next_word: Instant,
    records: u64,
    written: u64,
    bytes: u64,
}

impl Progress {
    pub(super) fn start(quiet: bool) -> Self {
        let start = Instant::now();
        Self {
            quiet,
            start,
            next_word: start + EVERY,
            records: 0,
            written: 0,
            bytes: 0,
        }
    }

    /// A record was sent.
    pub(super) fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
        // The clock is not asked for every record.
        if self.quiet || !self.records.is_multiple_of(64) {
            return;
        }
        let now = Instant::now();
        if now >= self.next_word {
            self.next_word = now + EVERY;
            eprintln!("{}", self.sentence(now, "sent"));
        }
    }

    /// A record has its outcome.
    pub(super) fn written(&mut self) {
        self.written += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.written
    }

    pub(super) fn summary(&self, topic: &str) {
        eprintln!(
            "{}",
            self.sentence(Instant::now(), &format!("written to {topic}"))
        );
    }

    fn sentence(&self, now: Instant, verb: &str) -> String {
        let seconds = (now - self.start).as_secs_f64().max(0.001);
        let rate = (self.records as f64 / seconds) as u64;
        let records = text::count(self.records, "record");
        let bytes = text::bytes(self.bytes);
        if seconds < 1.0 {
            return format!("{records} ({bytes}) {verb}");
        }
        format!("{records} ({bytes}) {verb} in {seconds:.1} s, {rate} records/s")
    }
}
