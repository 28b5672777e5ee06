//! What a Topic's status says. Pure.

use freshet_api::{ConditionType, READY, ReplicasChange, TopicStatus};
use k8s_openapi::jiff::Timestamp;

use super::validate::Objection;
use crate::conditions::Conditions;

/// What there is of the topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) partitions: Option<i32>,
    pub(super) replicas: Option<i32>,
    /// A change of the number of copies that is under way.
    pub(super) change: Option<ReplicasChange>,
    /// Partitions of which copies are on the move.
    pub(super) moving: i32,
}

/// All that a look has brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// `None` where nobody could look: what was seen last stays.
    pub(super) facts: Option<Facts>,
    /// Why it is not as asked.
    pub(super) objection: Option<Objection>,
    /// The operator was told to change nothing.
    pub(super) paused: bool,
    /// What a person should look at all the same.
    pub(super) warning: Option<(&'static str, String)>,
}

/// The status after a look.
pub(super) fn status(
    before: &TopicStatus,
    generation: Option<i64>,
    now: Timestamp,
    report: &Report,
) -> TopicStatus {
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    let objection = report.objection.as_ref();
    match objection {
        Some(o) if o.spec => {
            conditions.say(ConditionType::Valid, false, o.reason, o.message.clone());
        }
        _ => conditions.say(ConditionType::Valid, true, "Accepted", ""),
    }
    match objection {
        Some(o) => conditions.say(ConditionType::Ready, false, o.reason, o.message.clone()),
        None => conditions.say(ConditionType::Ready, true, "Serving", ""),
    }
    if report.paused {
        let message = "spec.paused is true: the operator looks, and changes nothing";
        conditions.say(ConditionType::Paused, true, "Asked", message);
    }
    if let Some((reason, message)) = &report.warning {
        conditions.say(ConditionType::Warning, true, reason, message.clone());
    }
    let moving = report.facts.as_ref().map_or(0, |f| f.moving);
    if moving > 0 {
        let partitions = if moving == 1 {
            "partition"
        } else {
            "partitions"
        };
        let message = format!("{moving} {partitions} with copies on the move");
        conditions.say(ConditionType::Progressing, true, "ReplicasMoving", message);
    }
    let conditions = conditions.finish();
    match report.facts.clone() {
        None => TopicStatus {
            observed_generation: generation,
            conditions,
            ..before.clone()
        },
        Some(facts) => TopicStatus {
            observed_generation: generation,
            conditions,
            topic_name: Some(facts.name),
            topic_id: facts.id,
            partitions: facts.partitions,
            replicas: facts.replicas,
            replicas_change: facts.change,
        },
    }
}

/// Whether a status says that all is as the spec of this generation asks.
pub(super) fn is_settled(status: &TopicStatus, generation: Option<i64>) -> bool {
    let ready = status.conditions.iter().find(|c| c.type_ == READY);
    generation.is_some()
        && status.observed_generation == generation
        && ready.is_some_and(|c| c.status == "True")
}

/// Whether an objection is told for the first time.
pub(super) fn is_news(before: &TopicStatus, objection: &Objection) -> bool {
    let ready = before.conditions.iter().find(|c| c.type_ == READY);
    !ready.is_some_and(|c| c.status == "False" && c.reason == objection.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn facts() -> Facts {
        Facts {
            name: "orders".to_owned(),
            id: Some("id".to_owned()),
            partitions: Some(3),
            replicas: Some(1),
            ..Facts::default()
        }
    }

    fn word(status: &TopicStatus, kind: &str) -> Option<(String, String)> {
        let found = status.conditions.iter().find(|c| c.type_ == kind)?;
        Some((found.status.clone(), found.reason.clone()))
    }

    fn pair(status: &str, reason: &str) -> Option<(String, String)> {
        Some((status.to_owned(), reason.to_owned()))
    }

    #[test]
    fn the_same_report_gives_the_same_status() {
        let report = Report {
            facts: Some(facts()),
            ..Report::default()
        };
        let first = status(&TopicStatus::default(), Some(1), at(10), &report);
        assert_eq!(word(&first, "Ready"), pair("True", "Serving"));
        assert_eq!(word(&first, "Valid"), pair("True", "Accepted"));
        assert_eq!(first.topic_id.as_deref(), Some("id"));
        assert!(is_settled(&first, Some(1)));
        assert!(!is_settled(&first, Some(2)));
        assert_eq!(status(&first, Some(1), at(20), &report), first);
    }

    #[test]
    fn what_was_seen_last_stays_while_nobody_can_look() {
        let seen = Report {
            facts: Some(facts()),
            ..Report::default()
        };
        let first = status(&TopicStatus::default(), Some(1), at(10), &seen);
        let objection = Objection::wait("ClusterUnreachable", "nobody answers");
        assert!(is_news(&first, &objection));
        let blind = Report {
            objection: Some(objection.clone()),
            ..Report::default()
        };
        let second = status(&first, Some(1), at(20), &blind);
        assert_eq!(second.topic_id, first.topic_id);
        assert_eq!(word(&second, "Ready"), pair("False", "ClusterUnreachable"));
        assert_eq!(word(&second, "Valid"), pair("True", "Accepted"));
        assert!(!is_settled(&second, Some(1)));
        assert!(!is_news(&second, &objection));
    }

    #[test]
    fn a_wrong_spec_is_neither_valid_nor_ready() {
        let report = Report {
            objection: Some(Objection::spec("InvalidConfig", "no such setting")),
            ..Report::default()
        };
        let told = status(&TopicStatus::default(), Some(1), at(10), &report);
        assert_eq!(word(&told, "Valid"), pair("False", "InvalidConfig"));
        assert_eq!(word(&told, "Ready"), pair("False", "InvalidConfig"));
    }

    #[test]
    fn moves_are_progress_and_the_topic_serves_meanwhile() {
        let change = ReplicasChange {
            target_replicas: 3,
            partitions_left: 2,
        };
        let report = Report {
            facts: Some(Facts {
                moving: 2,
                change: Some(change.clone()),
                ..facts()
            }),
            ..Report::default()
        };
        let moving = status(&TopicStatus::default(), Some(1), at(10), &report);
        assert_eq!(word(&moving, "Ready"), pair("True", "Serving"));
        assert_eq!(
            word(&moving, ConditionType::Progressing.name()),
            pair("True", "ReplicasMoving")
        );
        assert_eq!(moving.replicas_change, Some(change));
        let done = Report {
            facts: Some(facts()),
            ..Report::default()
        };
        let done = status(&moving, Some(1), at(20), &done);
        assert_eq!(word(&done, ConditionType::Progressing.name()), None);
        assert_eq!(done.replicas_change, None);
    }

    #[test]
    fn paused_and_warning_are_said_beside_the_rest() {
        let report = Report {
            facts: Some(facts()),
            paused: true,
            warning: Some(("TieringStays", "look".to_owned())),
            ..Report::default()
        };
        let told = status(&TopicStatus::default(), Some(1), at(10), &report);
        assert_eq!(word(&told, "Paused"), pair("True", "Asked"));
        assert_eq!(word(&told, "Warning"), pair("True", "TieringStays"));
        assert_eq!(word(&told, "Ready"), pair("True", "Serving"));
    }
}
