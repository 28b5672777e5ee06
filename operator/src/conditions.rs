//! Conditions: what is the case with an object, as every kind tells it.

use freshet_api::ConditionType;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The conditions of an object that is being looked at.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    before: Vec<Condition>,
    after: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Conditions {
    /// Begins with those there were; what is not said again is gone.
    pub(crate) fn new(before: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self {
            before: before.to_vec(),
            after: Vec::new(),
            generation,
            now,
        }
    }

    /// Says what is the case. `reason` is one word in CamelCase, `message` a sentence.
    pub(crate) fn say(
        &mut self,
        kind: ConditionType,
        holds: bool,
        reason: &str,
        message: impl Into<String>,
    ) {
        let status = if holds { "True" } else { "False" };
        let same = |c: &&Condition| c.type_ == kind.name() && c.status == status;
        let since = self
            .before
            .iter()
            .find(same)
            .map(|c| c.last_transition_time.clone());
        self.after.retain(|c| c.type_ != kind.name());
        self.after.push(Condition {
            type_: kind.name().to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            observed_generation: self.generation,
            last_transition_time: since.unwrap_or(Time(self.now)),
        });
    }

    /// All that was said, in the order of their names.
    pub(crate) fn finish(mut self) -> Vec<Condition> {
        self.after.sort_by(|a, b| a.type_.cmp(&b.type_));
        self.after
    }
}

/// Whether a condition is there and true.
pub(crate) fn holds(conditions: &[Condition], kind: ConditionType) -> bool {
    conditions
        .iter()
        .any(|c| c.type_ == kind.name() && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_is_the_same() {
        let mut first = Conditions::new(&[], Some(1), at(10));
        first.say(ConditionType::Ready, false, "Starting", "no broker yet");
        let first = first.finish();
        let mut second = Conditions::new(&first, Some(2), at(20));
        second.say(ConditionType::Ready, false, "Starting", "1 of 3");
        let second = second.finish();
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!(second[0].message, "1 of 3");
        assert_eq!(second[0].observed_generation, Some(2));
        let mut third = Conditions::new(&second, Some(2), at(30));
        third.say(ConditionType::Ready, true, "Serving", "");
        assert_eq!(third.finish()[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn what_is_not_said_again_is_gone() {
        let mut first = Conditions::new(&[], None, at(1));
        first.say(ConditionType::Warning, true, "DiskFull", "");
        let first = first.finish();
        assert!(Conditions::new(&first, None, at(2)).finish().is_empty());
    }
}
