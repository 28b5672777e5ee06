//! One partition's batches: pure, told what happened and when.

use std::collections::VecDeque;
use std::sync::Arc;

use freshet_records::{BatchBuilder, BatchError, Compression, NewRecord};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::batch::{Fate, OpenBatch, SealedBatch, Session, advance};
use super::{Delivery, ProducerConfig};
use crate::ClientError;

/// Batches of one partition, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    compression: Compression,
    batch_bytes: usize,
    max_in_flight: usize,
    open: Option<OpenBatch>,
    ready: VecDeque<SealedBatch>,
    /// The batches under way, oldest first.
    in_flight: Vec<InFlight>,
    session: Option<Session>,
    next_sequence: i32,
    /// Something came back to be sent again: nothing new goes out before all has come back.
    settling: bool,
    /// A sequence number is lost: a new session must come before the next batch goes out.
    broken: bool,
    /// Not before this moment.
    pause_until: Option<Instant>,
}

/// What is known of a batch under way.
#[derive(Debug)]
struct InFlight {
    sequence: i32,
    fate: Arc<Fate>,
    retried: bool,
}

/// What the queue wants.
#[derive(Debug)]
pub(super) enum Next {
    /// To be sent now.
    Send(Box<SealedBatch>),
    /// To be asked again at this moment, or after something has come back.
    Wait(Option<Instant>),
    /// A new session.
    Session,
    /// Nothing is there.
    Idle,
}

/// What became of a sent batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Written.
    Written(Delivery),
    /// Send it again after a pause.
    Again {
        /// Whether its records may be in the log all the same.
        perhaps_written: bool,
        /// When.
        at: Instant,
        /// Why.
        error: ClientError,
    },
    /// Certainly not written, because its session or its number is not what the broker expects.
    OutOfStep {
        /// Whether the session itself is unknown to the broker.
        lost_session: bool,
        /// When to go on.
        at: Instant,
        /// Why.
        error: ClientError,
    },
    /// Given up.
    Failed(ClientError),
}

impl Queue {
    pub(super) fn new(config: &ProducerConfig, session: Option<Session>) -> Self {
        // Without sequence numbers, order is kept by having one batch under way.
        let max_in_flight = if session.is_some() {
            config.max_in_flight.min(5)
        } else {
            1
        };
        Self {
            compression: config.compression,
            batch_bytes: config.batch_bytes,
            max_in_flight,
            open: None,
            ready: VecDeque::new(),
            in_flight: Vec::new(),
            session,
            next_sequence: 0,
            settling: false,
            broken: false,
            pause_until: None,
        }
    }

    /// Adds a record that takes about `bytes`. Answers its place in its batch, the batch's fate, and
    /// whether the dispatcher should look now.
    pub(super) fn push(
        &mut self,
        record: &NewRecord<'_>,
        (bytes, permit): (usize, OwnedSemaphorePermit),
        now: Instant,
    ) -> Result<(i64, Arc<Fate>, bool), BatchError> {
        let was_empty = self.open.is_none();
        let full = |open: &OpenBatch| open.builder.size_bytes() + bytes > self.batch_bytes;
        let sealed_first = self.open.as_ref().is_some_and(full);
        if sealed_first {
            self.seal();
        }
        let mut open = match self.open.take() {
            Some(mut open) => {
                open.charge(permit);
                open
            }
            None => OpenBatch::new(BatchBuilder::new(self.compression), permit, now),
        };
        let pushed = open.push(record);
        let index = i64::from(open.builder.record_count()) - 1;
        let fate = Arc::clone(&open.fate);
        let is_full = open.builder.size_bytes() >= self.batch_bytes;
        if open.builder.record_count() > 0 {
            self.open = Some(open);
        }
        pushed?;
        if is_full {
            self.seal();
        }
        Ok((index, fate, was_empty || sealed_first || is_full))
    }

    /// Closes the open batch.
    pub(super) fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        if let Ok(sealed) = open.seal(self.session, self.next_sequence) {
            self.next_sequence = advance(self.next_sequence, sealed.count);
            self.ready.push_back(sealed);
        }
    }

    /// Everything that has no outcome yet.
    pub(super) fn fates(&self) -> impl Iterator<Item = Arc<Fate>> {
        let sent = self.in_flight.iter().map(|sent| Arc::clone(&sent.fate));
        sent.chain(self.ready.iter().map(|b| Arc::clone(&b.fate)))
            .chain(self.open.iter().map(|b| Arc::clone(&b.fate)))
    }

    /// What to do at `now`.
    pub(super) fn next(&mut self, now: Instant, config: &ProducerConfig) -> Next {
        self.expire(now, config);
        if self.settling || self.broken {
            if !self.in_flight.is_empty() {
                return Next::Wait(None);
            }
            if self.broken {
                return Next::Session;
            }
            self.settling = false;
        }
        if let Some(until) = self
            .pause_until
            .take_if(|until| *until <= now)
            .or(self.pause_until)
            && until > now
        {
            return Next::Wait(Some(until));
        }
        if self.ready.is_empty() {
            match &self.open {
                None if self.in_flight.is_empty() => return Next::Idle,
                None => return Next::Wait(None),
                Some(open) if open.since + config.linger > now => {
                    return Next::Wait(Some(open.since + config.linger));
                }
                // While others are under way a batch may grow.
                Some(_) if self.is_full() => return Next::Wait(None),
                Some(_) => self.seal(),
            }
        }
        if self.is_full() {
            return Next::Wait(None);
        }
        match self.ready.pop_front() {
            None => Next::Idle,
            Some(batch) => {
                self.in_flight.push(InFlight {
                    sequence: batch.base_sequence(),
                    fate: Arc::clone(&batch.fate),
                    retried: batch.retried,
                });
                Next::Send(Box::new(batch))
            }
        }
    }

    /// Whether the next batch must wait for one that is under way.
    ///
    /// A batch that is sent again goes alone. Brokers know a duplicate only among the last five
    /// batches: if later ones went along, and were written while the broker put this one off again,
    /// it would be forgotten there, and refused as out of order.
    fn is_full(&self) -> bool {
        let retried = self.in_flight.iter().any(|sent| sent.retried)
            || self.ready.front().is_some_and(|batch| batch.retried);
        let limit = if retried { 1 } else { self.max_in_flight };
        self.in_flight.len() >= limit
    }

    /// A batch that was taken could not be sent now: it goes back to the front.
    pub(super) fn put_back(&mut self, batch: SealedBatch, until: Option<Instant>) {
        self.forget_sent(&batch);
        self.pause_until = until;
        self.requeue(batch);
    }

    /// A sent batch has come back.
    pub(super) fn done(&mut self, mut batch: SealedBatch, outcome: Outcome) {
        let is_oldest = self.is_oldest(&batch);
        self.forget_sent(&batch);
        match outcome {
            Outcome::Written(delivery) => batch.fate.decide(Ok(delivery)),
            Outcome::Again {
                perhaps_written,
                at,
                error,
            } => {
                tracing::debug!(%error, "a batch is sent again");
                batch.perhaps_written |= perhaps_written;
                batch.last = Some(Box::new(error));
                self.again(batch, at);
            }
            // An older batch is missing at the broker, or will be for ever; this one follows it
            // again, or goes out in the next session.
            Outcome::OutOfStep {
                lost_session: false,
                at,
                error,
            } if !is_oldest || self.broken => {
                batch.last = Some(Box::new(error));
                self.again(batch, at);
            }
            Outcome::OutOfStep {
                lost_session: true,
                at,
                error,
            } if !batch.perhaps_written => {
                batch.last = Some(Box::new(error));
                self.broken = true;
                self.again(batch, at);
            }
            Outcome::OutOfStep { error, .. } | Outcome::Failed(error) => {
                batch.fate.decide(Err(error));
                self.broken = self.session.is_some();
            }
        }
    }

    /// Goes on in a new session. What may have been written under the old one cannot be sent again
    /// without the risk of a duplicate, so it fails.
    pub(super) fn rebase(&mut self, session: Session) {
        self.session = Some(session);
        self.next_sequence = 0;
        self.broken = false;
        self.settling = false;
        for mut batch in std::mem::take(&mut self.ready) {
            if batch.perhaps_written {
                batch.fate.decide(Err(ClientError::Invalid(
                    "it is not known whether the records were written: the broker did not answer, \
                     and a batch before them failed"
                        .to_owned(),
                )));
                continue;
            }
            match batch.restamp(session, self.next_sequence) {
                Ok(()) => {
                    self.next_sequence = advance(self.next_sequence, batch.count);
                    self.ready.push_back(batch);
                }
                Err(source) => {
                    let what = "a batch cannot be written".to_owned();
                    batch
                        .fate
                        .decide(Err(ClientError::Records { what, source }));
                }
            }
        }
    }

    /// The session that its batches are numbered in.
    pub(super) fn session(&self) -> Option<Session> {
        self.session
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.ready.is_empty() && self.in_flight.is_empty()
    }

    /// Gives everything up.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        for fate in self.fates().collect::<Vec<_>>() {
            fate.decide(Err(error.clone()));
        }
        self.open = None;
        self.ready.clear();
    }

    fn again(&mut self, mut batch: SealedBatch, at: Instant) {
        batch.retried = true;
        self.settling = true;
        self.pause_until = Some(at);
        self.requeue(batch);
    }

    /// Back to its place: batches come back in any order.
    fn requeue(&mut self, batch: SealedBatch) {
        let after = |other: &SealedBatch| follows(other.base_sequence(), batch.base_sequence());
        let numbered = self.session.is_some();
        let at = if numbered {
            self.ready.iter().position(after)
        } else {
            Some(0)
        };
        self.ready.insert(at.unwrap_or(self.ready.len()), batch);
    }

    fn is_oldest(&self, batch: &SealedBatch) -> bool {
        let older = |sequence: i32| follows(batch.base_sequence(), sequence);
        !self.in_flight.iter().any(|sent| older(sent.sequence))
            && !self.ready.iter().any(|other| older(other.base_sequence()))
    }

    fn forget_sent(&mut self, batch: &SealedBatch) {
        self.in_flight
            .retain(|sent| !Arc::ptr_eq(&sent.fate, &batch.fate));
    }

    /// Fails what has waited too long.
    fn expire(&mut self, now: Instant, config: &ProducerConfig) {
        let is_old = |batch: &mut SealedBatch| batch.since + config.delivery_timeout <= now;
        while let Some(mut old) = self.ready.pop_front_if(is_old) {
            old.fate.decide(Err(ClientError::TimedOut {
                what: "writing a batch".to_owned(),
                limit: config.delivery_timeout,
                last: old.last.take(),
            }));
            self.broken = self.session.is_some();
        }
    }
}

/// Whether sequence `a` comes after `b`; the two are never 2^30 apart.
fn follows(a: i32, b: i32) -> bool {
    a != b && (a.wrapping_sub(b) & i32::MAX) < 1 << 30
}

#[cfg(test)]
mod tests;
