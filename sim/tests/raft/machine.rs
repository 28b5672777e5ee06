//! A counter whose history can be checked: a list of numbers, each at most once.

use std::sync::Arc;

use freshet_types::{
    Decision, Machine, NodeId, Now, Position, Predecessor, Published, StoredRecord,
    StoredRecordError, Ticket,
};

#[derive(Debug, Default, Clone)]
pub(crate) struct Numbers(Vec<u64>, Option<Succeeded>);

/// Whom this one succeeded, and how long that was silent, ms. In no record.
type Succeeded = (NodeId, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Puts a number at the end, unless it is there. Replies with its index.
    Add(u64),
    /// Replies with the length.
    Count,
    /// Replies with how long the leader before this one was silent, ms, if it was this.
    Silence(NodeId),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(u64);

impl Machine for Numbers {
    type Request = Ask;
    type Reply = usize;
    type Record = Number;
    type TimerKey = ();

    fn decide(&mut self, _now: Now, ticket: Ticket, ask: Ask) -> Decision<Self> {
        let known = |number| self.0.iter().position(|&other| other == number);
        let (records, reply) = match ask {
            Ask::Count => (Vec::new(), self.0.len()),
            Ask::Silence(node) => {
                let silent = self.1.filter(|(before, _)| *before == node);
                let ms = silent.map_or(0, |(_, ms)| usize::try_from(ms).unwrap());
                (Vec::new(), ms)
            }
            Ask::Add(number) => match known(number) {
                Some(at) => (Vec::new(), at),
                None => (vec![Number(number)], self.0.len()),
            },
        };
        Decision {
            records,
            replies: vec![(ticket, reply)],
            timers: Vec::new(),
        }
    }

    fn fire(&mut self, _now: Now, (): ()) -> Decision<Self> {
        Decision::default()
    }

    fn apply(&mut self, number: &Number) {
        self.0.push(number.0);
    }

    fn loaded(&mut self, _now: Now) -> Decision<Self> {
        Decision::default()
    }

    fn succeeds(&mut self, now: Now, before: Predecessor) -> Decision<Self> {
        self.1 = Some((before.node, now.monotonic - before.heard));
        Decision::default()
    }

    fn snapshot(&self) -> Vec<Number> {
        self.0.iter().copied().map(Number).collect()
    }
}

/// The list, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) numbers: Vec<u64>,
    pub(crate) position: Position,
}

impl Published for Numbers {
    type Image = Image;

    fn publish(&self, position: Position) -> Arc<Image> {
        Arc::new(Image {
            numbers: self.0.clone(),
            position,
        })
    }
}

impl StoredRecord for Number {
    fn to_bytes(&self) -> Vec<u8> {
        // Some padding, so that logs grow.
        [self.0.to_be_bytes().as_slice(), &[7; 24]].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError> {
        let number = bytes.first_chunk().ok_or_else(|| StoredRecordError {
            what: "short".to_owned(),
        })?;
        Ok(Self(u64::from_be_bytes(*number)))
    }
}
