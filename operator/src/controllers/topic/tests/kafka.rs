//! A cluster of Kafka's protocol, as the desk sees it: topics, and what was asked.

use std::collections::BTreeMap;

use freshet_client::{
    ClientError, ConfigChange, ConfigOperation, CreatedTopic, ErrorCode, NewTopic,
};
use freshet_types::TopicId;
use futures_util::FutureExt;
use parking_lot::Mutex;

use super::super::brokers::{Answers, Brokers, Copies, Seen};

#[derive(Default)]
pub(super) struct State {
    pub(super) topics: BTreeMap<String, Seen>,
    /// What is refused, and how.
    pub(super) refused: Option<ErrorCode>,
    pub(super) is_away: bool,
    looks: usize,
    writes: Vec<String>,
}

/// A cluster.
#[derive(Default)]
pub(super) struct Kafka(pub(super) Mutex<State>);

impl Kafka {
    /// What was changed since this was asked last.
    pub(super) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().writes)
    }

    /// Requests for looks since this was asked last.
    pub(super) fn looks(&self) -> usize {
        std::mem::take(&mut self.0.lock().looks)
    }

    fn answer<Q, A: Send + 'static>(
        &self,
        word: Option<&str>,
        topics: &[(String, Q)],
        act: impl Fn(&mut State, &str, &Q) -> A,
    ) -> Answers<'static, A> {
        let mut state = self.0.lock();
        if state.is_away {
            let (address, cause) = ("main:9092".to_owned(), "refused".to_owned());
            let away = Err(ClientError::Unreachable { address, cause });
            return std::future::ready(away).boxed();
        }
        state.looks += usize::from(word.is_none());
        let outcomes = topics.iter().map(|(name, question)| {
            let outcome = match (word, state.refused) {
                (Some(word), Some(code)) => Err(ClientError::Refused {
                    what: format!("{word} {name}"),
                    code,
                    message: Some("the broker's own words".to_owned()),
                }),
                _ => Ok(act(&mut state, name, question)),
            };
            if let (Some(word), Ok(_)) = (word, &outcome) {
                state.writes.push(format!("{word} {name}"));
            }
            (name.clone(), outcome)
        });
        let outcomes = outcomes.collect();
        std::future::ready(Ok(outcomes)).boxed()
    }
}

fn seen(state: &mut State, name: &str) -> Seen {
    state.topics.get(name).cloned().expect("the topic is there")
}

fn copies(partitions: i32, count: i32) -> Vec<Copies> {
    let one = Copies {
        count,
        moving: false,
    };
    vec![one; usize::try_from(partitions).expect("a count")]
}

impl Brokers for Kafka {
    fn look<'a>(&'a self, topics: &'a [(String, Option<i32>)]) -> Answers<'a, Option<Seen>> {
        self.answer(None, topics, |state, name, _| {
            state.topics.get(name).cloned()
        })
    }

    fn create<'a>(&'a self, topics: &'a [(String, NewTopic)]) -> Answers<'a, CreatedTopic> {
        self.answer(Some("create"), topics, |state, name, new| {
            let id = TopicId([u8::try_from(state.topics.len() % 250).expect("small") + 1; 16]);
            let (partitions, replication) =
                (new.partitions.unwrap_or(1), new.replication.unwrap_or(1));
            let topic = Seen {
                id: Some(id.to_string()),
                partitions: copies(partitions, replication.into()),
                overrides: new.configs.iter().cloned().collect(),
            };
            state.topics.insert(name.to_owned(), topic);
            CreatedTopic {
                id,
                partitions,
                replication,
            }
        })
    }

    fn configure<'a>(&'a self, topics: &'a [(String, Vec<ConfigChange>)]) -> Answers<'a, ()> {
        self.answer(Some("configure"), topics, |state, name, changes| {
            let mut topic = seen(state, name);
            for change in changes {
                match &change.operation {
                    ConfigOperation::Set(value) => {
                        topic.overrides.insert(change.name.clone(), value.clone());
                    }
                    _ => drop(topic.overrides.remove(&change.name)),
                }
            }
            state.topics.insert(name.to_owned(), topic);
        })
    }

    fn widen<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, ()> {
        self.answer(Some("widen"), topics, |state, name, count| {
            let mut topic = seen(state, name);
            topic.partitions = copies(*count, topic.copies().unwrap_or(1));
            state.topics.insert(name.to_owned(), topic);
        })
    }

    fn replicate<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, i32> {
        self.answer(Some("replicate"), topics, |state, name, count| {
            let mut topic = seen(state, name);
            for partition in &mut topic.partitions {
                *partition = Copies {
                    count: *count,
                    moving: true,
                };
            }
            let moving = topic.moving();
            state.topics.insert(name.to_owned(), topic);
            moving
        })
    }

    fn delete<'a>(&'a self, topics: &'a [(String, ())]) -> Answers<'a, ()> {
        self.answer(Some("delete"), topics, |state, name, ()| {
            state.topics.remove(name);
        })
    }

    fn rest(&self) {}
}
