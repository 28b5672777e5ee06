//! A Topic that is being deleted: what becomes of the topic, and when the object may go.
//!
//! The finalizer must not hold an object for ever, since that holds its namespace: where nobody can be
//! asked, or brokers refuse, it goes after [`LIMIT`] with a word about what is left behind.

mod release;

use std::sync::Arc;
use std::time::Duration;

use freshet_api::{DeletionPolicy, Topic};
use freshet_client::{ClientError, ErrorCode};
use kube::runtime::controller::Action;

use super::fetch::Home;
use super::index::{self, Id};
use super::status::Report;
use super::validate::{Objection, is_internal};
use super::{Topics, refusal};
use crate::clusters::Way;
use crate::context::Word;
use crate::failure::Failure;
use crate::metrics::TopicChange;

pub(crate) use release::release;

/// How long deleting is tried.
const LIMIT: Duration = Duration::from_secs(600);

/// What is said when the object goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parting {
    warning: bool,
    reason: &'static str,
    note: String,
}

/// What to do for an object that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Farewell {
    /// Let it go; the topic stays, if there is one.
    LetGo(Option<Parting>),
    /// Delete the topic of this cluster.
    Delete(Way),
    /// Wait.
    Wait(Objection),
}

fn stays(reason: &'static str, note: impl Into<String>) -> Farewell {
    Farewell::LetGo(Some(Parting {
        warning: reason == GIVEN_UP,
        reason,
        note: note.into(),
    }))
}

const KEPT: &str = "TopicKept";
const GIVEN_UP: &str = "TopicLeftBehind";

/// What to do, `elapsed` after somebody asked for the deletion.
fn decide(topic: &Topic, home: &Home, rival: Option<&Id>, elapsed: Duration) -> Farewell {
    let name = index::name(topic);
    let keeps = topic.spec.deletion_policy == DeletionPolicy::Retain || is_internal(&name);
    if keeps || rival.is_some() {
        return Farewell::LetGo(None);
    }
    if topic.spec.paused {
        let note = format!(
            "the topic {name:?} stays: the object was paused when it was deleted, and so nothing is changed"
        );
        return stays(KEPT, note);
    }
    let place = match home {
        Home::NotFound((namespace, cluster)) => {
            let note = format!("there is no Cluster {namespace}/{cluster} any more: nobody to ask");
            return stays("ClusterGone", note);
        }
        Home::NotAllowed(why) => return stays(KEPT, format!("the topic {name:?} stays: {why}")),
        Home::Here(place) if place.leaving => {
            return stays(
                "ClusterGone",
                "the Cluster is being deleted, and its topics with it",
            );
        }
        Home::Here(place) => {
            let nowhere = || not_ready("the Cluster has no address");
            place.way.clone().ok_or_else(nowhere)
        }
        Home::Unreadable(why) => Err(not_ready(why)),
        Home::Barred(fault) => Err(Objection::place(fault.reason(), fault.message())),
    };
    match place {
        Ok(way) => Farewell::Delete(way),
        Err(why) if elapsed >= LIMIT => stays(GIVEN_UP, given_up(&name, &why.message)),
        Err(why) => Farewell::Wait(why),
    }
}

/// What to do after brokers were asked to delete the topic.
fn after(name: &str, outcome: &Result<(), ClientError>, elapsed: Duration) -> Farewell {
    let error = match outcome {
        Ok(()) => return Farewell::LetGo(None),
        Err(error) if is_gone(error) => return Farewell::LetGo(None),
        Err(error) => error,
    };
    if elapsed >= LIMIT {
        return stays(GIVEN_UP, given_up(name, &error.to_string()));
    }
    Farewell::Wait(refusal::objection(error))
}

fn not_ready(why: &str) -> Objection {
    Objection::wait("ClusterNotReady", why)
}

fn is_gone(error: &ClientError) -> bool {
    let code = error.code();
    code == Some(ErrorCode::UnknownTopicOrPartition)
}

fn given_up(name: &str, why: &str) -> String {
    format!(
        "the topic {name:?} could not be deleted within {} minutes and may still be there: {why}",
        LIMIT.as_secs() / 60
    )
}

/// When to try again: sooner at first.
fn pause(elapsed: Duration) -> Duration {
    (elapsed / 4).clamp(Duration::from_secs(2), Duration::from_secs(60))
}

/// Deletes the topic if it shall be, and lets the object go.
pub(super) async fn part(
    topics: &Arc<Topics>,
    topic: &Topic,
    home: &Home,
    rival: Option<&Id>,
) -> Result<Action, Failure> {
    if !super::write::is_held(topic) {
        // Others hold it, and it is no more to us.
        return Ok(Action::await_change());
    }
    let asked = topic.metadata.deletion_timestamp.as_ref();
    let elapsed = asked.map(|at| topics.context.now().duration_since(at.0));
    let elapsed = elapsed
        .and_then(|e| Duration::try_from(e).ok())
        .unwrap_or_default();
    let mut farewell = decide(topic, home, rival, elapsed);
    if let Farewell::Delete(way) = &farewell {
        let name = index::name(topic);
        let outcome = topics.desk.at(way).delete(&name).await;
        if outcome.is_ok() {
            topics.context.metrics.topic_changed(TopicChange::Deleted);
            tracing::info!(topic = name, "a topic was deleted");
        }
        farewell = after(&name, &outcome, elapsed);
    }
    match farewell {
        Farewell::LetGo(parting) => {
            if let Some(said) = parting {
                let word = Word {
                    warning: said.warning,
                    reason: said.reason,
                    action: "Delete",
                    note: said.note,
                };
                topics.tell(topic, word).await;
            }
            topics.hold(topic, false).await?;
            Ok(Action::await_change())
        }
        Farewell::Wait(objection) => {
            let report = Report {
                objection: Some(objection),
                ..Report::default()
            };
            topics.show(topic, &report).await?;
            Ok(Action::requeue(pause(elapsed)))
        }
        Farewell::Delete(_) => {
            unreachable!("the brokers were asked, and what follows is no question")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetch::Place;
    use super::super::samples::{place, topic};
    use super::*;

    const SOON: Duration = Duration::from_secs(3);

    fn reason(farewell: &Farewell) -> (bool, &'static str) {
        match farewell {
            Farewell::LetGo(None) => (false, "LetGo"),
            Farewell::LetGo(Some(said)) => (said.warning, said.reason),
            Farewell::Delete(_) => (false, "Delete"),
            Farewell::Wait(objection) => (objection.tell, objection.reason),
        }
    }

    #[test]
    fn what_becomes_of_the_topic() {
        let here = || Home::Here(place());
        let with = |change: fn(&mut Place)| {
            let mut place = place();
            change(&mut place);
            Home::Here(place)
        };
        let of = |change: fn(&mut Topic)| {
            let mut topic = topic("orders");
            change(&mut topic);
            topic
        };
        let missing = Home::NotFound(("shop".into(), "main".into()));
        let plain = || of(|_| ());
        for (topic, home, elapsed, expected) in [
            (plain(), here(), SOON, (false, "Delete")),
            (plain(), here(), 2 * LIMIT, (false, "Delete")),
            (
                of(|t| t.spec.deletion_policy = DeletionPolicy::Retain),
                here(),
                SOON,
                (false, "LetGo"),
            ),
            (
                of(|t| t.spec.topic_name = Some("__x".into())),
                here(),
                SOON,
                (false, "LetGo"),
            ),
            (of(|t| t.spec.paused = true), here(), SOON, (false, KEPT)),
            (plain(), missing, SOON, (false, "ClusterGone")),
            (plain(), Home::NotAllowed("no".into()), SOON, (false, KEPT)),
            (
                plain(),
                with(|p| p.leaving = true),
                SOON,
                (false, "ClusterGone"),
            ),
            (
                plain(),
                with(|p| p.way = None),
                SOON,
                (false, "ClusterNotReady"),
            ),
            (plain(), with(|p| p.way = None), LIMIT, (true, GIVEN_UP)),
            (
                plain(),
                Home::Unreadable("?".into()),
                SOON,
                (false, "ClusterNotReady"),
            ),
            (
                plain(),
                Home::Unreadable("?".into()),
                LIMIT,
                (true, GIVEN_UP),
            ),
        ] {
            let farewell = decide(&topic, &home, None, elapsed);
            assert_eq!(reason(&farewell), expected, "{home:?} after {elapsed:?}");
        }
        let rival = ("shop".to_owned(), "older".to_owned());
        let loser = decide(&plain(), &here(), Some(&rival), SOON);
        assert_eq!(loser, Farewell::LetGo(None), "it is another one's topic");
    }

    #[test]
    fn a_refusal_is_told_and_does_not_hold_the_object_for_ever() {
        let refused = |code| {
            Err(ClientError::Refused {
                what: "topic \"orders\" was not deleted".into(),
                code,
                message: Some("never".into()),
            })
        };
        let away = Err(ClientError::Unreachable {
            address: "a:1".into(),
            cause: "refused".into(),
        });
        for (outcome, elapsed, expected) in [
            (Ok(()), SOON, (false, "LetGo")),
            (
                refused(ErrorCode::UnknownTopicOrPartition),
                SOON,
                (false, "LetGo"),
            ),
            (
                refused(ErrorCode::PolicyViolation),
                SOON,
                (true, "PolicyViolation"),
            ),
            (
                refused(ErrorCode::TopicDeletionDisabled),
                SOON,
                (true, "DeletionDisabled"),
            ),
            (
                refused(ErrorCode::TopicDeletionDisabled),
                LIMIT,
                (true, GIVEN_UP),
            ),
            (away.clone(), SOON, (false, "ClusterUnreachable")),
            (away, LIMIT, (true, GIVEN_UP)),
        ] {
            let farewell = after("orders", &outcome, elapsed);
            assert_eq!(reason(&farewell), expected, "{outcome:?} after {elapsed:?}");
        }
    }

    #[test]
    fn tries_come_later_and_later() {
        let at = |second| pause(Duration::from_secs(second)).as_secs();
        assert_eq!([at(0), at(12), at(100), at(590)], [2, 3, 25, 60]);
    }
}
