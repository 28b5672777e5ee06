//! Where records wait: queues by topic and partition, and one budget of memory for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use freshet_records::NewRecord;
use freshet_types::PartitionId;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::batch::{Fate, Session};
use super::partitioner::{Sticky, partition_for_key};
use super::queue::Queue;
use super::{ProducerConfig, ProducerRecord, Receipt};
use crate::cluster::random_bits;
use crate::{Client, ClientError, ClusterView};

/// Bytes a record takes besides its key, value and headers, at most.
const RECORD_OVERHEAD_BYTES: usize = 32;
const HEADER_OVERHEAD_BYTES: usize = 10;

#[derive(Debug)]
pub(super) struct Accumulator {
    client: Client,
    pub(super) config: ProducerConfig,
    topics: RwLock<HashMap<String, Arc<Topic>>>,
    /// Partitions that have something to send or under way.
    active: Mutex<Vec<Arc<Slot>>>,
    session: Mutex<Option<Session>>,
    memory: Arc<Semaphore>,
    /// Asks the dispatcher to look.
    pub(super) wake: Notify,
    closed: AtomicBool,
}

/// A partition's queue and its name.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) topic: Arc<str>,
    pub(super) partition: PartitionId,
    queue: Mutex<Queue>,
    is_active: AtomicBool,
}

impl Slot {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A topic as of one view of the cluster.
#[derive(Debug)]
struct Topic {
    /// The view's number.
    view: u64,
    slots: Vec<Arc<Slot>>,
    /// Partitions with a leader, or all when none has one.
    available: Vec<PartitionId>,
    sticky: Mutex<(Sticky, usize)>,
}

impl Topic {
    /// The partition for a record of this size.
    fn choose(&self, record: &ProducerRecord, bytes: usize, batch_bytes: usize) -> PartitionId {
        if let Some(partition) = record.partition {
            return partition;
        }
        if let Some(key) = &record.key {
            return partition_for_key(key, self.slots.len() as u32);
        }
        let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = sticky.0.current(&self.available);
        sticky.1 += bytes;
        if sticky.1 >= batch_bytes {
            sticky.0.advance();
            sticky.1 = 0;
        }
        chosen
    }
}

impl Accumulator {
    pub(super) fn new(client: &Client, config: ProducerConfig) -> Self {
        let memory = Arc::new(Semaphore::new(config.buffer_bytes.min(u32::MAX as usize)));
        Self {
            client: client.clone(),
            config,
            topics: RwLock::default(),
            active: Mutex::default(),
            session: Mutex::default(),
            memory,
            wake: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn session(&self) -> Option<Session> {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_session(&self, session: Session) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    pub(super) async fn append(&self, record: ProducerRecord) -> Result<Receipt, ClientError> {
        let bytes = record_bytes(&record);
        self.check_size(bytes)?;
        let topic = self.topic(&record.topic).await?;
        let partition = topic.choose(&record, bytes, self.config.batch_bytes);
        let slot = usize::try_from(partition)
            .ok()
            .and_then(|p| topic.slots.get(p));
        let slot = slot.ok_or_else(|| {
            let (name, count) = (&record.topic, topic.slots.len());
            ClientError::Invalid(format!(
                "topic {name:?} has no partition {partition}; it has {count}"
            ))
        })?;
        let permits = bytes.min(self.config.buffer_bytes) as u32;
        let closed = || ClientError::Closed("the producer");
        let permit = Arc::clone(&self.memory)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| closed())?;
        let new = NewRecord {
            timestamp: record
                .timestamp
                .unwrap_or_else(|| self.client.config().clock.now()),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let pushed = slot.queue().push(&new, (bytes, permit), Instant::now());
        let (index, fate, look) = pushed.map_err(|source| {
            let what = format!("a record for topic {:?} cannot be written", record.topic);
            ClientError::Records { what, source }
        })?;
        self.activate(slot);
        // Checked after the push: either this sees the close, or the close sees the record.
        if self.is_closed() {
            return Err(closed());
        }
        if look {
            self.wake.notify_one();
        }
        Ok(Receipt { fate, index })
    }

    fn check_size(&self, bytes: usize) -> Result<(), ClientError> {
        let limit = self.config.max_request_bytes;
        if bytes > limit {
            return Err(ClientError::Invalid(format!(
                "a record of {bytes} bytes is larger than a request may be ({limit} bytes)"
            )));
        }
        Ok(())
    }

    /// Closes every open batch, and answers what has no outcome yet.
    pub(super) fn seal_all(&self) -> Vec<Arc<Fate>> {
        let mut fates = Vec::new();
        for slot in self.active().iter() {
            let mut queue = slot.queue();
            queue.seal();
            fates.extend(queue.fates());
        }
        self.wake.notify_one();
        fates
    }

    /// Partitions that have something to do, as of now.
    pub(super) fn active_slots(&self) -> Vec<Arc<Slot>> {
        self.active().clone()
    }

    /// A partition that was found idle; it comes back with its next record.
    pub(super) fn retire(&self, slot: &Arc<Slot>) {
        let mut active = self.active();
        slot.is_active.store(false, Ordering::SeqCst);
        // A record that came since it was found idle has seen it active.
        if !slot.queue().is_idle() && !slot.is_active.swap(true, Ordering::SeqCst) {
            return;
        }
        active.retain(|other| !Arc::ptr_eq(other, slot));
    }

    fn activate(&self, slot: &Arc<Slot>) {
        if !slot.is_active.swap(true, Ordering::SeqCst) {
            self.active().push(Arc::clone(slot));
            self.wake.notify_one();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the dispatcher; what has no outcome by then fails.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.memory.close();
        self.wake.notify_one();
    }

    fn active(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn topic(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        let view = self.client.view();
        let known = self
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        if let Some(topic) = known.filter(|topic| topic.view == view.number) {
            return Ok(topic);
        }
        let view = self.client.topics(&[name.to_owned()]).await?;
        Ok(self.renew(name, &view))
    }

    /// A topic as this view has it; its queues stay.
    fn renew(&self, name: &str, view: &ClusterView) -> Arc<Topic> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let before = topics.get(name).cloned();
        let partitions = view.topic(name).map_or(&[][..], |t| &t.partitions);
        let mut slots = before.as_ref().map(|t| t.slots.clone()).unwrap_or_default();
        let shared_name: Arc<str> = name.into();
        while slots.len() < partitions.len() {
            slots.push(Arc::new(Slot {
                topic: Arc::clone(&shared_name),
                partition: slots.len() as PartitionId,
                queue: Mutex::new(Queue::new(&self.config, self.session())),
                is_active: AtomicBool::new(false),
            }));
        }
        let mut available: Vec<_> = partitions
            .iter()
            .filter(|p| p.leader.is_some())
            .map(|p| p.index)
            .collect();
        if available.is_empty() {
            available = (0..slots.len() as PartitionId).collect();
        }
        let sticky = match before {
            Some(before) => before
                .sticky
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            None => (Sticky::new(random_bits()), 0),
        };
        let topic = Arc::new(Topic {
            view: view.number,
            slots,
            available,
            sticky: Mutex::new(sticky),
        });
        topics.insert(name.to_owned(), Arc::clone(&topic));
        topic
    }
}

/// An upper bound of a record's size in a batch.
fn record_bytes(record: &ProducerRecord) -> usize {
    let part = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|h| h.name.len() + part(&h.value) + HEADER_OVERHEAD_BYTES)
        .sum();
    RECORD_OVERHEAD_BYTES + part(&record.key) + part(&record.value) + headers
}
