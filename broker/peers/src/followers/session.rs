//! A fetch session (KIP-227) as the follower keeps it: both sides remember the partitions, and a
//! request names only what has changed.

use std::collections::{BTreeSet, HashMap};

use freshet_partition::FetchPoint;
use freshet_types::TopicPartition;
use freshet_wire::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use freshet_wire::{ErrorCode, FetchResponse};

/// Asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// Does without a session.
const NO_SESSION_EPOCH: i32 = -1;

/// What a request says of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agenda {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) topics: Vec<FetchTopic>,
    pub(super) forgotten: Vec<ForgottenTopic>,
}

impl Agenda {
    /// Asks for these partitions once, beside any session.
    pub(super) fn once(
        points: impl IntoIterator<Item = (TopicPartition, FetchPoint)>,
        partition_bytes: i32,
    ) -> Self {
        Self {
            session_id: 0,
            session_epoch: NO_SESSION_EPOCH,
            topics: topics(points, partition_bytes),
            forgotten: Vec::new(),
        }
    }
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SessionError {
    /// The leader has another session in mind. The next request starts a new one.
    #[error("the leader does not have the fetch session: {}", .0.name())]
    Lost(ErrorCode),
    /// Something else.
    #[error("the leader refused the fetch: {}", .0.name())]
    Refused(ErrorCode),
}

/// A partition in the session.
#[derive(Debug, Clone, Copy)]
struct Wish {
    point: FetchPoint,
    /// The leader has heard of it.
    told: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    wishes: HashMap<TopicPartition, Wish>,
    /// Wishes that the leader does not know as they are.
    news: BTreeSet<TopicPartition>,
    /// What the leader knows and shall forget.
    gone: BTreeSet<TopicPartition>,
}

impl Session {
    /// From now on requests ask for it from there.
    pub(super) fn want(&mut self, at: TopicPartition, point: FetchPoint) {
        let told = match self.wishes.get(&at) {
            Some(wish) if wish.told && wish.point == point => return,
            Some(wish) => wish.told,
            None => self.gone.remove(&at),
        };
        self.wishes.insert(at, Wish { point, told });
        self.news.insert(at);
    }

    /// From now on requests do not ask for it.
    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.news.remove(&at);
        if self.wishes.remove(&at).is_some_and(|wish| wish.told) {
            self.gone.insert(at);
        }
    }

    /// Whether there is nothing to ask for.
    pub(super) fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    /// Where the last request asked for a partition from.
    pub(super) fn asked(&self, at: TopicPartition) -> Option<FetchPoint> {
        let wish = self.wishes.get(&at).filter(|wish| wish.told)?;
        Some(wish.point)
    }

    /// The next request. It must be answered before there is another.
    pub(super) fn next(&mut self, partition_bytes: i32) -> Agenda {
        if self.epoch == INITIAL_EPOCH {
            self.id = 0;
            self.gone.clear();
            self.news = self.wishes.keys().copied().collect();
        }
        let (wishes, news) = (&mut self.wishes, &self.news);
        let points = news.iter().filter_map(|at| {
            let wish = wishes.get_mut(at)?;
            wish.told = true;
            Some((*at, wish.point))
        });
        let agenda = Agenda {
            session_id: self.id,
            session_epoch: self.epoch,
            topics: topics(points, partition_bytes),
            forgotten: forgotten(&self.gone),
        };
        self.news.clear();
        self.gone.clear();
        agenda
    }

    /// Takes note of the answer to it.
    pub(super) fn answered(&mut self, answer: &FetchResponse) -> Result<(), SessionError> {
        let code = ErrorCode::from_code(answer.error_code);
        let code = code.unwrap_or(ErrorCode::UnknownServerError);
        match code {
            ErrorCode::None => {}
            ErrorCode::FetchSessionIdNotFound
            | ErrorCode::InvalidFetchSessionEpoch
            | ErrorCode::FetchSessionTopicIdError
            | ErrorCode::InconsistentTopicId
            | ErrorCode::UnknownTopicId => {
                self.lose();
                return Err(SessionError::Lost(code));
            }
            _ => {
                self.lose();
                return Err(SessionError::Refused(code));
            }
        }
        // A leader without room for sessions is told everything each time.
        self.epoch = match answer.session_id {
            0 => INITIAL_EPOCH,
            _ if self.epoch == i32::MAX => 1,
            _ => self.epoch + 1,
        };
        self.id = answer.session_id;
        Ok(())
    }

    /// The leader may know nothing any more: the next request tells everything.
    pub(super) fn lose(&mut self) {
        self.epoch = INITIAL_EPOCH;
    }
}

fn topics(
    points: impl IntoIterator<Item = (TopicPartition, FetchPoint)>,
    partition_bytes: i32,
) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (at, point) in points {
        if topics.last().is_none_or(|last| last.topic_id != at.topic) {
            topics.push(FetchTopic {
                topic_id: at.topic,
                ..FetchTopic::default()
            });
        }
        let last = topics.last_mut().expect("one was pushed if there was none");
        last.partitions.push(FetchPartition {
            partition: at.partition,
            current_leader_epoch: point.leader_epoch,
            fetch_offset: point.fetch_offset,
            last_fetched_epoch: point.last_epoch,
            log_start_offset: point.log_start,
            partition_max_bytes: partition_bytes,
            ..FetchPartition::default()
        });
    }
    topics
}

fn forgotten(gone: &BTreeSet<TopicPartition>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for at in gone {
        if topics.last().is_none_or(|last| last.topic_id != at.topic) {
            topics.push(ForgottenTopic {
                topic_id: at.topic,
                ..ForgottenTopic::default()
            });
        }
        let last = topics.last_mut().expect("one was pushed if there was none");
        last.partitions.push(at.partition);
    }
    topics
}

#[cfg(test)]
mod tests {
    use freshet_types::TopicId;

    use super::*;

    const BYTES: i32 = 1024;

    fn at(topic: u8, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicId([topic; 16]),
            partition,
        }
    }

    fn from(fetch_offset: i64) -> FetchPoint {
        FetchPoint {
            leader_epoch: 3,
            fetch_offset,
            last_epoch: 2,
            log_start: 0,
        }
    }

    fn answer(session_id: i32, code: ErrorCode) -> FetchResponse {
        FetchResponse {
            session_id,
            error_code: code.code(),
            ..FetchResponse::default()
        }
    }

    /// Session, its epoch, what is named and what is forgotten.
    type Said = (i32, i32, Vec<(u8, i32, i64)>, Vec<(u8, i32)>);

    fn next(session: &mut Session) -> Said {
        let agenda = session.next(BYTES);
        let named = agenda.topics.iter().flat_map(|topic| {
            let of = topic.topic_id.0[0];
            let partitions = topic.partitions.iter();
            partitions.map(move |p| (of, p.partition, p.fetch_offset))
        });
        let forgotten = agenda.forgotten.iter().flat_map(|topic| {
            let of = topic.topic_id.0[0];
            topic.partitions.iter().map(move |p| (of, *p))
        });
        (
            agenda.session_id,
            agenda.session_epoch,
            named.collect(),
            forgotten.collect(),
        )
    }

    #[test]
    fn a_request_names_what_has_changed() {
        let mut session = Session::default();
        assert!(session.is_empty());
        for partition in 0..3 {
            session.want(at(1, partition), from(0));
        }
        session.want(at(2, 0), from(9));
        let all = vec![(1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 0, 9)];
        assert_eq!(next(&mut session), (0, 0, all, vec![]));
        session
            .answered(&answer(77, ErrorCode::None))
            .expect("taken");
        session.want(at(1, 1), from(10));
        session.want(at(1, 2), from(0));
        session.forget(at(2, 0));
        assert_eq!(session.asked(at(2, 0)), None);
        let said = (77, 1, vec![(1, 1, 10)], vec![(2, 0)]);
        assert_eq!(next(&mut session), said);
        assert_eq!(session.asked(at(1, 1)), Some(from(10)));
        session
            .answered(&answer(77, ErrorCode::None))
            .expect("taken");
        assert_eq!(next(&mut session), (77, 2, vec![], vec![]));
    }

    #[test]
    fn what_is_forgotten_and_wanted_again_is_named_only() {
        let mut session = Session::default();
        session.want(at(1, 0), from(0));
        session.want(at(1, 1), from(0));
        next(&mut session);
        session
            .answered(&answer(5, ErrorCode::None))
            .expect("taken");
        session.forget(at(1, 0));
        session.want(at(1, 0), from(0));
        session.want(at(1, 2), from(0));
        session.forget(at(1, 2));
        assert_eq!(next(&mut session), (5, 1, vec![(1, 0, 0)], vec![]));
    }

    #[test]
    fn a_session_that_is_lost_starts_anew() {
        let mut session = Session::default();
        session.want(at(1, 0), from(0));
        next(&mut session);
        session
            .answered(&answer(5, ErrorCode::None))
            .expect("taken");
        session.want(at(1, 1), from(7));
        session.forget(at(1, 0));
        next(&mut session);
        let lost = ErrorCode::FetchSessionIdNotFound;
        let refusal = session.answered(&answer(5, lost));
        assert_eq!(refusal, Err(SessionError::Lost(lost)));
        assert_eq!(next(&mut session), (0, 0, vec![(1, 1, 7)], vec![]));
    }

    #[test]
    fn without_a_session_everything_is_said_each_time() {
        let mut session = Session::default();
        session.want(at(1, 0), from(0));
        for _ in 0..2 {
            assert_eq!(next(&mut session), (0, 0, vec![(1, 0, 0)], vec![]));
            session
                .answered(&answer(0, ErrorCode::None))
                .expect("taken");
        }
    }

    #[test]
    fn epochs_of_a_session_go_round() {
        let mut session = Session {
            id: 1,
            epoch: i32::MAX,
            ..Session::default()
        };
        session
            .answered(&answer(1, ErrorCode::None))
            .expect("taken");
        assert_eq!(session.epoch, 1);
    }
}
