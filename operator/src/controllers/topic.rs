//! `Topic`: topics of clusters, kept as their objects ask.
//!
//! ```text
//! watch ─► fetch ─► validate ─► brokers.look ─► plan ─► write.hold ─► apply ─► write.show
//!          Cluster,  (pure)      (batched)      (pure)   finalizer     (batched)  status
//!          elders
//! ```
//!
//! `docs/operator.md` tells the states and what happens when something fails.

mod apply;
mod brokers;
mod farewell;
mod fetch;
mod index;
mod plan;
mod refusal;
#[cfg(test)]
mod samples;
mod status;
mod validate;
mod values;
mod watch;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_api::{Topic, TopicStatus};
use freshet_client::{ClientError, ErrorCode};
use futures_util::future::join_all;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::context::{Context, Word};
use crate::controllers::{self, RESYNC};
use crate::failure::Failure;
use apply::Applied;
use brokers::{Desk, Seen};
use fetch::{Home, Labels, Passes};
use plan::{Before, Changes, Plan, plan};
use status::{Report, is_settled};
use validate::{Objection, Wanted, validate};
use watch::Watched;

pub(crate) use farewell::release;

/// A Topic, or why it cannot be read.
type Guarded = DeserializeGuard<Topic>;

/// Writes to the API server at the same time: each has a connection of its own.
const PENS: usize = 32;
/// How often a change of the number of copies is looked at.
const MOVING: Duration = Duration::from_secs(3);
/// When brokers are asked again for what they have refused, and a Secret is looked at that cannot be used.
const REFUSED: Duration = Duration::from_secs(30);
/// Objects that are due at about one time are looked at together: their brokers are asked once.
const TICK_MS: u64 = 4_000;

/// What every reconcile of a Topic has at hand.
pub(crate) struct Topics {
    context: Arc<Context>,
    desk: Desk,
    watched: Arc<Watched>,
    /// Who may write to the API server now.
    pens: Semaphore,
    /// Labels of namespaces, and when they were read.
    labels: Mutex<HashMap<String, (Instant, Labels)>>,
    /// Secrets as they were last read.
    passes: Passes,
}

/// Looks after the Topics of these namespaces (`None` is all), until nothing is watched any more.
pub(crate) async fn run(context: &Arc<Context>, namespaces: &[Option<String>]) {
    let (watched, writers) = Watched::new(namespaces);
    let topics = Arc::new(Topics {
        context: Arc::clone(context),
        desk: Desk::real(context),
        watched: Arc::new(watched),
        pens: Semaphore::new(PENS),
        labels: Mutex::default(),
        passes: Passes::default(),
    });
    let scopes = writers.into_iter().enumerate();
    let works = scopes.map(|(number, writers)| {
        let topics = Arc::clone(&topics);
        watch::look_after(topics, number, writers)
    });
    join_all(works).await;
}

async fn reconcile(guard: Arc<Guarded>, topics: Arc<Topics>) -> Result<Action, Failure> {
    let context = Arc::clone(&topics.context);
    controllers::reconcile(&context, &guard, |_, topic| tend(topics, topic)).await
}

fn again(guard: Arc<Guarded>, failure: &Failure, topics: Arc<Topics>) -> Action {
    controllers::again(guard, failure, Arc::clone(&topics.context))
}

async fn tend(topics: Arc<Topics>, topic: Topic) -> Result<Action, Failure> {
    topics.watched.listed().await;
    let home = topics.home(&topic).await?;
    let rival = match home {
        Home::Here(_) => topics.rival(&topic).await?,
        _ => None,
    };
    if topic.metadata.deletion_timestamp.is_some() {
        return farewell::part(&topics, &topic, &home, rival.as_ref()).await;
    }
    match validate(&topic, &home, rival.as_ref()) {
        Ok(wanted) => topics.converge(&topic, &wanted).await,
        Err(objection) => {
            if matches!(home, Home::Barred(_)) {
                // Nobody tells when a Secret changes.
                topics.object(&topic, None, objection).await?;
                return Ok(Action::requeue(REFUSED));
            }
            if rival.is_some() {
                // The topic is another one's: nothing of it hangs on this object.
                topics.hold(&topic, false).await?;
            }
            topics.object(&topic, None, objection).await
        }
    }
}

impl Topics {
    /// Makes the topic what is wanted.
    async fn converge(&self, topic: &Topic, wanted: &Wanted) -> Result<Action, Failure> {
        let counter = self.desk.at(&wanted.way);
        let seen = match counter.look(&wanted.name, wanted.replicas).await {
            Ok(seen) => seen,
            Err(error) => return self.refused(topic, None, error).await,
        };
        let status = topic.status.clone().unwrap_or_default();
        let before = before(topic, &status);
        let plan = plan(wanted, seen.as_ref(), before);
        if let Plan::Object(objection) = plan {
            return self
                .object(topic, seen.map(|s| (wanted, s)), objection)
                .await;
        }
        if wanted.paused {
            let report = paused(wanted, seen.as_ref(), &plan);
            self.show(topic, &report).await?;
            return Ok(self.resync(topic));
        }
        self.hold(topic, wanted.deletes).await?;
        let (applied, changes) = match (plan, &seen) {
            (Plan::Change(changes), Some(seen)) => {
                let applied = apply::change(counter, wanted, seen, &changes).await;
                (applied, changes)
            }
            (Plan::Create(new), _) => {
                let applied = apply::create(counter, wanted, new).await;
                (applied, Changes::default())
            }
            // A change is planned for what was seen, and an objection has returned above.
            _ => unreachable!("plan and look belong together"),
        };
        match applied {
            Ok(applied) => {
                self.told(topic, before, &applied, &changes).await;
                self.done(topic, applied, changes).await
            }
            // Somebody else was faster: the next look sees what there is.
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                Ok(Action::requeue(Duration::from_millis(500)))
            }
            Err(error) => self.refused(topic, seen.map(|s| (wanted, s)), error).await,
        }
    }

    /// All is done, or under way.
    async fn done(
        &self,
        topic: &Topic,
        applied: Applied,
        changes: Changes,
    ) -> Result<Action, Failure> {
        let moving = applied.facts.moving > 0;
        let internal = validate::is_internal(&applied.facts.name)
            && topic.spec.deletion_policy == freshet_api::DeletionPolicy::Delete;
        let keeps = internal.then(|| {
            let note = "the topic belongs to the brokers: deleting this object leaves it as it is";
            ("InternalTopic", note.to_owned())
        });
        let report = Report {
            facts: Some(applied.facts),
            warning: changes.left.map(|why| ("TieringStays", why)).or(keeps),
            ..Report::default()
        };
        self.show(topic, &report).await?;
        Ok(if moving {
            Action::requeue(MOVING)
        } else {
            self.resync(topic)
        })
    }

    /// Counts what was done, and tells people what they did not ask for.
    async fn told(&self, topic: &Topic, before: Before<'_>, applied: &Applied, changes: &Changes) {
        for change in &applied.done {
            self.context.metrics.topic_changed(*change);
        }
        if !applied.done.is_empty() {
            tracing::info!(
                namespace = topic.namespace(), topic = applied.facts.name,
                done = ?applied.done, changed = changes.words(), "a topic was changed"
            );
        }
        let created = applied.done.contains(&crate::metrics::TopicChange::Created);
        let word = if created && before.id.is_some() {
            Word {
                warning: true,
                reason: "TopicRecreated",
                action: "Create",
                note: "the topic was gone and is there again, without its records".to_owned(),
            }
        } else if !changes.drift.is_empty() {
            self.context.metrics.drift_reverted();
            Word {
                warning: false,
                reason: "DriftReverted",
                action: "Revert",
                note: format!(
                    "changed by somebody else, and set back: {}",
                    changes.drift.join(", ")
                ),
            }
        } else {
            return;
        };
        self.tell(topic, word).await;
    }

    /// Shows why nothing is done.
    async fn object(
        &self,
        topic: &Topic,
        seen: Option<(&Wanted, Seen)>,
        objection: Objection,
    ) -> Result<Action, Failure> {
        let report = Report {
            facts: seen.map(|(wanted, seen)| apply::facts(wanted, &seen)),
            objection: Some(objection),
            ..Report::default()
        };
        self.show(topic, &report).await?;
        Ok(self.resync(topic))
    }

    /// Shows what brokers have refused. Those who are away are asked again by the failure's own pauses.
    async fn refused(
        &self,
        topic: &Topic,
        seen: Option<(&Wanted, Seen)>,
        error: ClientError,
    ) -> Result<Action, Failure> {
        self.object(topic, seen, refusal::objection(&error)).await?;
        if refusal::passes(&error) {
            return Err(Failure::brokers("the topic")(error));
        }
        Ok(Action::requeue(REFUSED))
    }

    fn resync(&self, topic: &Topic) -> Action {
        let now = self.context.now().as_millisecond();
        let pause = resync(
            u64::try_from(now).unwrap_or(0),
            &topic.uid().unwrap_or_default(),
        );
        Action::requeue(pause)
    }
}

/// When to look again, without having heard anything: a tenth sooner or later, each object in its own
/// way, and at a tick that it shares with others.
fn resync(now_ms: u64, uid: &str) -> Duration {
    let sum = uid.bytes().fold(7u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let base = u64::try_from(RESYNC.as_millis()).unwrap_or(u64::MAX);
    let spread = base / 5;
    let due = now_ms + base - base / 10 + sum % spread.max(1);
    Duration::from_millis(due.next_multiple_of(TICK_MS) - now_ms)
}

fn before<'a>(topic: &Topic, status: &'a TopicStatus) -> Before<'a> {
    Before {
        settled: is_settled(status, topic.metadata.generation),
        id: status.topic_id.as_deref(),
        moving: status.replicas_change.is_some(),
    }
}

/// What is told of a topic that is not to be changed.
fn paused(wanted: &Wanted, seen: Option<&Seen>, plan: &Plan) -> Report {
    let differs = match plan {
        Plan::Change(changes) if changes.is_empty() => None,
        Plan::Change(changes) => Some(format!("not as asked, and paused: {}", changes.words())),
        Plan::Create(_) | Plan::Object(_) => Some("there is no topic, and it is paused".to_owned()),
    };
    Report {
        facts: seen.map(|seen| apply::facts(wanted, seen)),
        objection: differs.map(|why| Objection::wait("Paused", why)),
        paused: true,
        warning: None,
    }
}

#[cfg(test)]
mod tests;
