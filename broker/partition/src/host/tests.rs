use std::sync::Mutex;

use bytes::Bytes;
use freshet_env::SystemClock;
use freshet_types::{Millis, Timer, Timestamp};

use super::*;

/// Adds numbers up; a timer adds one hundred.
#[derive(Default)]
struct Adder {
    sum: i64,
}

enum Ask {
    Add(i64),
    Read,
    AddHundredSoon,
}

impl Machine for Adder {
    type Request = Ask;
    type Reply = i64;
    type Record = i64;
    type TimerKey = ();

    fn decide(&mut self, now: Now, ticket: Ticket, request: Ask) -> Decision<Self> {
        match request {
            Ask::Add(n) => Decision {
                records: vec![n],
                replies: vec![(ticket, self.sum + n)],
                timers: Vec::new(),
            },
            Ask::Read => Decision::reply(ticket, self.sum),
            Ask::AddHundredSoon => Decision {
                timers: vec![Timer {
                    key: (),
                    at: Some(Millis(now.monotonic.0 + 5)),
                }],
                ..Decision::reply(ticket, 0)
            },
        }
    }

    fn fire(&mut self, _now: Now, (): ()) -> Decision<Self> {
        Decision {
            records: vec![100],
            ..Decision::default()
        }
    }

    fn apply(&mut self, record: &i64) {
        self.sum += record;
    }

    fn loaded(&mut self, _now: Now) -> Decision<Self> {
        Decision::default()
    }

    fn snapshot(&self) -> Vec<i64> {
        vec![self.sum]
    }
}

impl Journaled for Adder {
    fn encode(record: &i64) -> Entry {
        let value = Some(Bytes::copy_from_slice(&record.to_be_bytes()));
        Entry {
            key: Bytes::from_static(b"n"),
            value,
            timestamp: Timestamp(0),
        }
    }

    fn decode(_key: &[u8], value: Option<&[u8]>) -> Result<Option<i64>, String> {
        let Some(value) = value else { return Ok(None) };
        let bytes = value.try_into().map_err(|_| "no number".to_owned())?;
        Ok(Some(i64::from_be_bytes(bytes)))
    }

    fn may_write(request: &Ask) -> bool {
        matches!(request, Ask::Add(_))
    }
}

#[derive(Default)]
struct Shelf {
    entries: Vec<Entry>,
    start: usize,
    /// Appends are held back while this is set.
    gate: Option<tokio::sync::watch::Receiver<bool>>,
    /// The append after so many others fails.
    fail_after: Option<usize>,
    /// Failures are told only once this is set.
    told: Option<tokio::sync::watch::Receiver<bool>>,
    is_full: bool,
}

#[derive(Clone, Default)]
struct FakeJournal(Arc<Mutex<Shelf>>);

impl Journal for FakeJournal {
    async fn replay(&self, each: journal::Replayed<'_>) -> Result<(), JournalError> {
        let shelf = self.0.lock().expect("no panics");
        for entry in &shelf.entries[shelf.start..] {
            each(&entry.key, entry.value.as_deref());
        }
        Ok(())
    }

    fn room(&self) -> Result<(), JournalError> {
        match self.0.lock().expect("no panics").is_full {
            true => Err(JournalError {
                doing: "appending to",
                why: "test".into(),
                kind: ErrorKind::Busy,
            }),
            false => Ok(()),
        }
    }

    fn append(&self, entries: Vec<Entry>) -> AppendWait {
        let mut shelf = self.0.lock().expect("no panics");
        let left = shelf.fail_after;
        shelf.fail_after = left.and_then(|left| left.checked_sub(1));
        if left == Some(0) {
            let kind = ErrorKind::Unavailable;
            let told = shelf.told.clone();
            return Box::pin(async move {
                opened(told).await;
                Err(JournalError {
                    doing: "appending to",
                    why: "test".into(),
                    kind,
                })
            });
        }
        // It goes on whether somebody waits for it or not.
        let (gate, this) = (shelf.gate.clone(), self.clone());
        let committed = tokio::spawn(async move {
            opened(gate).await;
            let mut shelf = this.0.lock().expect("no panics");
            let base = shelf.entries.len() as Offset;
            shelf.entries.extend(entries);
            base
        });
        Box::pin(async move { Ok(committed.await.expect("no panic")) })
    }

    fn trim(&self, offset: Offset) {
        self.0.lock().expect("no panics").start = usize::try_from(offset).expect("not negative");
    }
}

async fn opened(gate: Option<tokio::sync::watch::Receiver<bool>>) {
    if let Some(mut gate) = gate {
        let _ = gate.wait_for(|open| *open).await;
    }
}

async fn start(journal: &FakeJournal) -> Hosted<Adder> {
    let hosted = host(
        "adder",
        (journal.clone(), std::future::pending::<()>()),
        Arc::new(SystemClock::new()),
        Adder::default,
    );
    ready(&hosted).await;
    hosted
}

async fn ready(hosted: &Hosted<Adder>) {
    while hosted.state.load(Ordering::Acquire) != READY {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn state_survives_the_host() {
    let journal = FakeJournal::default();
    let first = start(&journal).await;
    assert_eq!(first.ask(Ask::Add(2)).await, Ok(2));
    assert_eq!(first.ask(Ask::Add(3)).await, Ok(5));
    drop(first);
    let second = start(&journal).await;
    assert_eq!(second.ask(Ask::Read).await, Ok(5));
}

/// As a coordinator that leads no more while a member waits in it.
#[tokio::test]
async fn who_waits_for_a_machine_that_ends_is_told() {
    let journal = FakeJournal::default();
    let (_open, gate) = tokio::sync::watch::channel(false);
    journal.0.lock().expect("no panics").gate = Some(gate);
    let (ends, end) = oneshot::channel::<()>();
    let clock = Arc::new(SystemClock::new());
    let hosted = host("adder", (journal, end), clock, Adder::default);
    ready(&hosted).await;
    let waits = tokio::spawn({
        let hosted = hosted.clone();
        async move { hosted.ask(Ask::Add(7)).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waits.is_finished());
    drop(ends);
    let told = waits.await.expect("no panic");
    assert_eq!(told, Err(HostError::NotHere("adder".into())));
    let later = hosted.ask(Ask::Read).await;
    assert_eq!(later, Err(HostError::NotHere("adder".into())));
}

#[tokio::test]
async fn no_reply_before_all_decided_before_it_is_committed() {
    let journal = FakeJournal::default();
    let (open, gate) = tokio::sync::watch::channel(false);
    journal.0.lock().expect("no panics").gate = Some(gate);
    let hosted = start(&journal).await;
    let add = tokio::spawn({
        let hosted = hosted.clone();
        async move { hosted.ask(Ask::Add(7)).await }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let read = tokio::spawn(async move { hosted.ask(Ask::Read).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!add.is_finished(), "the add is not committed");
    assert!(!read.is_finished(), "the read would show what may be lost");
    open.send(true).expect("the journal listens");
    assert_eq!(add.await.expect("no panic"), Ok(7));
    assert_eq!(read.await.expect("no panic"), Ok(7));
}

#[tokio::test]
async fn a_failed_append_is_answered_and_the_state_read_again() {
    let journal = FakeJournal::default();
    let hosted = start(&journal).await;
    assert_eq!(hosted.ask(Ask::Add(1)).await, Ok(1));
    journal.0.lock().expect("no panics").fail_after = Some(0);
    assert!(matches!(
        hosted.ask(Ask::Add(50)).await,
        Err(HostError::Storage(_))
    ));
    ready(&hosted).await;
    assert_eq!(
        hosted.ask(Ask::Read).await,
        Ok(1),
        "what failed is not in the state"
    );
}

#[tokio::test]
async fn what_was_appended_behind_a_failure_is_in_the_state_that_is_read_again() {
    let journal = FakeJournal::default();
    let hosted = start(&journal).await;
    assert_eq!(hosted.ask(Ask::Add(1)).await, Ok(1));
    let (commit, gate) = tokio::sync::watch::channel(false);
    let (tell, told) = tokio::sync::watch::channel(false);
    {
        let mut shelf = journal.0.lock().expect("no panics");
        (shelf.gate, shelf.told) = (Some(gate), Some(told));
        shelf.fail_after = Some(0);
    }
    let mut adds = Vec::new();
    for n in [50, 100] {
        let hosted = hosted.clone();
        adds.push(tokio::spawn(async move { hosted.ask(Ask::Add(n)).await }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tell.send(true).expect("the journal listens");
    for add in adds {
        let failed = add.await.expect("no panic");
        assert!(matches!(failed, Err(HostError::Storage(_))), "{failed:?}");
    }
    tokio::time::sleep(RELOAD_PAUSE + Duration::from_millis(200)).await;
    let early = hosted.ask(Ask::Read).await;
    assert!(matches!(early, Err(HostError::Storage(_))), "{early:?}");
    commit.send(true).expect("the journal listens");
    ready(&hosted).await;
    assert_eq!(hosted.ask(Ask::Read).await, Ok(101), "as the log has it");
}

#[tokio::test]
async fn a_full_journal_refuses_changes_and_costs_no_state() {
    let journal = FakeJournal::default();
    let set_full = |is_full| journal.0.lock().expect("no panics").is_full = is_full;
    let hosted = start(&journal).await;
    assert_eq!(hosted.ask(Ask::Add(1)).await, Ok(1));
    assert_eq!(hosted.ask(Ask::AddHundredSoon).await, Ok(0));
    set_full(true);
    for _ in 0..3 {
        let refused = hosted.ask(Ask::Add(50)).await;
        assert!(matches!(refused, Err(HostError::Busy(_))), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(hosted.ask(Ask::Read).await, Ok(1), "readers are answered");
    set_full(false);
    assert_eq!(hosted.ask(Ask::Add(2)).await, Ok(3));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(hosted.ask(Ask::Read).await, Ok(103), "the timer has waited");
}

#[tokio::test]
async fn timers_fire_and_their_records_are_journaled() {
    let journal = FakeJournal::default();
    let hosted = start(&journal).await;
    assert_eq!(hosted.ask(Ask::AddHundredSoon).await, Ok(0));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(hosted.ask(Ask::Read).await, Ok(100));
    assert_eq!(journal.0.lock().expect("no panics").entries.len(), 1);
}

#[tokio::test]
async fn a_grown_journal_is_replaced_by_a_snapshot() {
    let journal = FakeJournal::default();
    let hosted = start(&journal).await;
    let per_entry = Adder::encode(&1).size_bytes();
    let journal_entries = SNAPSHOT_AFTER_BYTES / per_entry + 10;
    {
        let mut shelf = journal.0.lock().expect("no panics");
        shelf.entries = (0..journal_entries).map(|_| Adder::encode(&1)).collect();
    }
    drop(hosted);
    let hosted = start(&journal).await;
    let sum = i64::try_from(journal_entries).expect("small");
    assert_eq!(hosted.ask(Ask::Add(1)).await, Ok(sum + 1));
    assert_eq!(hosted.ask(Ask::Read).await, Ok(sum + 1));
    let start_offset = journal.0.lock().expect("no panics").start as u64;
    assert_eq!(
        start_offset,
        journal_entries + 1,
        "all but the snapshot is trimmed"
    );
    drop(hosted);
    assert_eq!(start(&journal).await.ask(Ask::Read).await, Ok(sum + 1));
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_costs_no_state() {
    let journal = FakeJournal::default();
    let count = SNAPSHOT_AFTER_BYTES / Adder::encode(&1).size_bytes() + 10;
    journal.0.lock().expect("no panics").entries = (0..count).map(|_| Adder::encode(&1)).collect();
    let hosted = start(&journal).await;
    let sum = i64::try_from(count).expect("small");
    // The change is written, the snapshot behind it is not.
    journal.0.lock().expect("no panics").fail_after = Some(1);
    assert_eq!(hosted.ask(Ask::Add(1)).await, Ok(sum + 1));
    assert_eq!(hosted.ask(Ask::Read).await, Ok(sum + 1));
    assert_eq!(hosted.ask(Ask::Add(1)).await, Ok(sum + 2));
    let shelf = journal.0.lock().expect("no panics");
    assert_eq!(shelf.fail_after, None, "it has failed");
    assert_eq!(shelf.start, 0, "nothing is trimmed");
    assert_eq!(shelf.entries.len() as u64, count + 2);
}

#[tokio::test]
async fn a_record_that_may_not_be_left_out_is_no_state_to_decide_by() {
    let journal = FakeJournal::default();
    {
        let mut shelf = journal.0.lock().expect("no panics");
        let good = Adder::encode(&5);
        let strange = Entry {
            value: Some(Bytes::from_static(b"of a later broker")),
            ..good.clone()
        };
        shelf.entries = vec![good.clone(), strange, good];
    }
    let adder = host(
        "adder",
        (journal.clone(), std::future::pending::<()>()),
        Arc::new(SystemClock::new()),
        Adder::default,
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = adder.ask(Ask::Read).await.expect_err("not loaded");
    assert!(
        matches!(refused, HostError::Storage(_) | HostError::Loading(_)),
        "{refused}"
    );
    // Another broker has put that right.
    journal.0.lock().expect("no panics").entries.remove(1);
    for _ in 0..500 {
        if let Ok(sum) = adder.ask(Ask::Read).await {
            assert_eq!(sum, 10);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never loaded again");
}
