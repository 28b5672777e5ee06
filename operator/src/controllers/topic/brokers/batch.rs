//! Questions of one kind, asked as one.

use std::collections::{HashMap, HashSet};

use freshet_client::{ClientError, ConfigChange, CreatedTopic, NewTopic};
use freshet_types::ErrorKind;
use tokio::sync::oneshot;

use super::{Answers, Brokers, Seen};

/// A question about a topic, and who waits for the answer.
pub(super) struct Waiting<Q, A> {
    pub(super) topic: String,
    pub(super) question: Q,
    pub(super) reply: oneshot::Sender<Result<A, ClientError>>,
}

/// A question.
pub(super) enum Ask {
    Look(Waiting<Option<i32>, Option<Seen>>),
    Create(Waiting<NewTopic, CreatedTopic>),
    Configure(Waiting<Vec<ConfigChange>, ()>),
    Widen(Waiting<i32, ()>),
    Replicate(Waiting<i32, i32>),
    Delete(Waiting<(), ()>),
}

impl Ask {
    /// Answers with a failure.
    pub(super) fn fail(self, error: ClientError) {
        // Who asked may be gone; then nobody needs the answer.
        match self {
            Self::Look(w) => drop(w.reply.send(Err(error))),
            Self::Create(w) => drop(w.reply.send(Err(error))),
            Self::Configure(w) => drop(w.reply.send(Err(error))),
            Self::Widen(w) => drop(w.reply.send(Err(error))),
            Self::Replicate(w) => drop(w.reply.send(Err(error))),
            Self::Delete(w) => drop(w.reply.send(Err(error))),
        }
    }
}

/// Questions that are asked together.
#[derive(Default)]
pub(super) struct Batch {
    count: usize,
    look: Pile<Option<i32>, Option<Seen>>,
    create: Pile<NewTopic, CreatedTopic>,
    configure: Pile<Vec<ConfigChange>, ()>,
    widen: Pile<i32, ()>,
    replicate: Pile<i32, i32>,
    delete: Pile<(), ()>,
}

impl Batch {
    /// Takes a question in, or gives it back: a topic is named once in a request.
    pub(super) fn add(&mut self, ask: Ask) -> Option<Ask> {
        let refused = match ask {
            Ask::Look(waiting) => self.look.add(waiting).map(Ask::Look),
            Ask::Create(waiting) => self.create.add(waiting).map(Ask::Create),
            Ask::Configure(waiting) => self.configure.add(waiting).map(Ask::Configure),
            Ask::Widen(waiting) => self.widen.add(waiting).map(Ask::Widen),
            Ask::Replicate(waiting) => self.replicate.add(waiting).map(Ask::Replicate),
            Ask::Delete(waiting) => self.delete.add(waiting).map(Ask::Delete),
        };
        self.count += usize::from(refused.is_none());
        refused
    }

    /// How many questions there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Asks all of them and answers everybody; an error says that the cluster does not answer.
    pub(super) async fn ask(self, brokers: &dyn Brokers) -> Result<(), ClientError> {
        let (look, create, configure, widen, replicate, delete) = tokio::join!(
            self.look.ask(brokers, |to, asked| to.look(asked)),
            self.create.ask(brokers, |to, asked| to.create(asked)),
            self.configure.ask(brokers, |to, asked| to.configure(asked)),
            self.widen.ask(brokers, |to, asked| to.widen(asked)),
            self.replicate.ask(brokers, |to, asked| to.replicate(asked)),
            self.delete.ask(brokers, |to, asked| to.delete(asked)),
        );
        look.and(create)
            .and(configure)
            .and(widen)
            .and(replicate)
            .and(delete)
    }
}

/// How questions of one kind are asked.
type Call<Q, A> = for<'a> fn(&'a dyn Brokers, &'a [(String, Q)]) -> Answers<'a, A>;

/// Questions of one kind.
struct Pile<Q, A> {
    topics: HashSet<String>,
    waiting: Vec<Waiting<Q, A>>,
}

impl<Q, A> Default for Pile<Q, A> {
    fn default() -> Self {
        Self {
            topics: HashSet::new(),
            waiting: Vec::new(),
        }
    }
}

impl<Q: Clone, A> Pile<Q, A> {
    fn add(&mut self, waiting: Waiting<Q, A>) -> Option<Waiting<Q, A>> {
        if !self.topics.insert(waiting.topic.clone()) {
            return Some(waiting);
        }
        self.waiting.push(waiting);
        None
    }

    /// A request that is refused as a whole is asked again in halves, so that the one it was refused
    /// for is refused alone.
    async fn ask(self, brokers: &dyn Brokers, call: Call<Q, A>) -> Result<(), ClientError> {
        let mut away = Ok(());
        let mut left = vec![self.waiting];
        while let Some(mut waiting) = left.pop() {
            if waiting.is_empty() {
                continue;
            }
            let asked: Vec<_> = waiting
                .iter()
                .map(|w| (w.topic.clone(), w.question.clone()))
                .collect();
            match call(brokers, &asked).await {
                Ok(outcomes) => hand_out(waiting, outcomes.into_iter().collect()),
                Err(error) if waiting.len() > 1 && !is_about_all(&error) => {
                    let second = waiting.split_off(waiting.len() / 2);
                    left.extend([second, waiting]);
                }
                Err(error) => {
                    if is_away(&error) {
                        away = Err(error.clone());
                    }
                    for w in waiting {
                        drop(w.reply.send(Err(error.clone())));
                    }
                }
            }
        }
        away
    }
}

fn hand_out<Q, A>(
    waiting: Vec<Waiting<Q, A>>,
    mut outcomes: HashMap<String, Result<A, ClientError>>,
) {
    for w in waiting {
        let left_out = || {
            let what = format!("brokers left topic {:?} out of their answer", w.topic);
            Err(ClientError::Invalid(what))
        };
        let outcome = outcomes.remove(&w.topic).unwrap_or_else(left_out);
        drop(w.reply.send(outcome));
    }
}

/// Whether it was not one of the topics that the request failed for.
fn is_about_all(error: &ClientError) -> bool {
    error.kind() == ErrorKind::Unavailable || error.is_barred()
}

/// Whether nobody answered, or nobody let us in: whoever asks again and again locks others out too.
fn is_away(error: &ClientError) -> bool {
    let silent = matches!(
        error,
        ClientError::Unreachable { .. }
            | ClientError::Disconnected { .. }
            | ClientError::TimedOut { .. }
    );
    silent || error.is_barred()
}
