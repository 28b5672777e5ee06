use std::path::Path;

use freshet_env::SystemClock;
use freshet_env::disk::SystemDisk;
use freshet_types::{Machine, Now, Offset, Published, StoredRecordError};

use super::*;

/// A list of words, each at most once.
#[derive(Default)]
struct Words(Vec<Word>);

#[derive(Clone, PartialEq)]
struct Word(String);

impl Machine for Words {
    type Request = String;
    type Reply = Result<usize, &'static str>;
    type Record = Word;
    type TimerKey = ();

    fn decide(&mut self, now: Now, ticket: Ticket, word: String) -> Decision<Self> {
        if word == "later" {
            let at = Some(now.monotonic + 20);
            let mut decision = Decision::reply(ticket, Ok(0));
            decision.timers.push(Timer { key: (), at });
            return decision;
        }
        let word = Word(word);
        if self.0.contains(&word) {
            return Decision::reply(ticket, Err("known"));
        }
        let replies = vec![(ticket, Ok(self.0.len() + 1))];
        Decision {
            records: vec![word],
            replies,
            timers: Vec::new(),
        }
    }

    fn fire(&mut self, _now: Now, (): ()) -> Decision<Self> {
        Decision {
            records: vec![Word("fired".to_owned())],
            ..Decision::default()
        }
    }

    fn apply(&mut self, word: &Word) {
        self.0.push(word.clone());
    }

    fn loaded(&mut self, _now: Now) -> Decision<Self> {
        Decision::default()
    }

    fn snapshot(&self) -> Vec<Word> {
        self.0.clone()
    }
}

impl Published for Words {
    type Image = (Offset, Vec<String>);

    fn publish(&self, position: Position) -> Arc<Self::Image> {
        Arc::new((
            position.offset + 1,
            self.0.iter().map(|word| word.0.clone()).collect(),
        ))
    }
}

impl StoredRecord for Word {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError> {
        String::from_utf8(bytes.to_vec())
            .map(Self)
            .map_err(|error| StoredRecordError {
                what: error.to_string(),
            })
    }
}

fn start(dir: &Path, snapshot_after_bytes: u64) -> Solo<Words> {
    let options = SoloOptions {
        snapshot_after_bytes,
        ..SoloOptions::default()
    };
    let clock = Arc::new(SystemClock::new());
    Solo::start(Arc::new(SystemDisk), dir, clock, Words::default(), options).expect("started")
}

#[tokio::test]
async fn replies_come_after_the_image_shows_the_change() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let solo = start(home.path(), u64::MAX);
    let image = solo.watch();
    assert_eq!(solo.propose("a".into()).await, Ok(Ok(1)));
    assert_eq!(**image.borrow(), (1, vec!["a".to_owned()]));
    assert_eq!(solo.propose("a".into()).await, Ok(Err("known")));
    assert_eq!(solo.barrier().await, Ok(()));
}

#[tokio::test]
async fn timers_fire_without_a_request() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let solo = start(home.path(), u64::MAX);
    let mut image = solo.watch();
    assert_eq!(solo.propose("later".into()).await, Ok(Ok(0)));
    let fired = image.wait_for(|image| image.1 == ["fired"]).await;
    assert_eq!(fired.map(|image| image.0).ok(), Some(1));
}

#[tokio::test]
async fn state_survives_a_restart_with_and_without_snapshots() {
    for snapshot_after_bytes in [1, 200, u64::MAX] {
        let home = tempfile::tempdir().expect("a temporary directory");
        for word in ["a", "b", "c"] {
            let solo = start(home.path(), snapshot_after_bytes);
            assert!(solo.propose(word.into()).await.expect("agreed").is_ok());
            assert!(
                solo.propose(format!("{word}{word}"))
                    .await
                    .expect("agreed")
                    .is_ok()
            );
            solo.stop();
        }
        let solo = start(home.path(), snapshot_after_bytes);
        let (end, words) = (**solo.watch().borrow()).clone();
        assert_eq!(
            (end, words),
            (
                6,
                ["a", "aa", "b", "bb", "c", "cc"].map(str::to_owned).into()
            )
        );
    }
}

#[tokio::test]
async fn a_stopped_quorum_says_so() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let solo = start(home.path(), u64::MAX);
    solo.stop();
    assert_eq!(solo.propose("a".into()).await, Err(QuorumError::Stopped));
}
