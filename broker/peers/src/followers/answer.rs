//! What a leader's answer for one partition means.

use bytes::Bytes;
use freshet_partition::replication::{Answer, Divergence};
use freshet_wire::ErrorCode;
use freshet_wire::fetch::PartitionData;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All that is needed is known.
    Answer(Answer, Bytes),
    /// The leader's log does not have the offset; it has to be asked what it has.
    OutOfRange,
}

impl Told {
    fn without_records(answer: Answer) -> Self {
        Self::Answer(answer, Bytes::new())
    }
}

/// Reads an answer. The records stay slices of the frame if they came in one piece.
pub(super) fn read(data: PartitionData) -> Told {
    let diverging = &data.diverging_epoch;
    match ErrorCode::from_code(data.error_code) {
        Some(ErrorCode::None) if diverging.end_offset >= 0 => {
            Told::without_records(Answer::Diverged(Divergence {
                epoch: diverging.epoch,
                end: diverging.end_offset,
            }))
        }
        Some(ErrorCode::None) => {
            let records = data.records.into_bytes();
            let answer = Answer::Records {
                any: !records.is_empty(),
                high_watermark: data.high_watermark,
                log_start: data.log_start_offset,
            };
            Told::Answer(answer, records)
        }
        Some(ErrorCode::OffsetOutOfRange) => Told::OutOfRange,
        code => Told::without_records(failure(code)),
    }
}

/// What an error means to a follower.
pub(super) fn failure(code: Option<ErrorCode>) -> Answer {
    match code {
        Some(ErrorCode::FencedLeaderEpoch) => Answer::Fenced,
        Some(
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::ReplicaNotAvailable,
        ) => Answer::NotLeader,
        _ => Answer::Failed,
    }
}

#[cfg(test)]
mod tests {
    use freshet_wire::fetch::EpochEndOffset;

    use super::*;

    #[test]
    fn each_code_has_one_meaning() {
        let records = Bytes::from_static(b"records");
        let ok = PartitionData {
            high_watermark: 7,
            log_start_offset: 3,
            ..PartitionData::default()
        };
        let answered = |any| Answer::Records {
            any,
            high_watermark: 7,
            log_start: 3,
        };
        let full = PartitionData {
            records: records.clone().into(),
            ..ok.clone()
        };
        let diverged = PartitionData {
            diverging_epoch: EpochEndOffset {
                epoch: 4,
                end_offset: 0,
            },
            ..ok.clone()
        };
        let cut = Answer::Diverged(Divergence { epoch: 4, end: 0 });
        assert_eq!(read(full), Told::Answer(answered(true), records));
        assert_eq!(read(ok), Told::without_records(answered(false)));
        assert_eq!(read(diverged), Told::without_records(cut));
        let failed = |code: i16| {
            read(PartitionData {
                error_code: code,
                ..PartitionData::default()
            })
        };
        let out = ErrorCode::OffsetOutOfRange.code();
        assert_eq!(failed(out), Told::OutOfRange);
        let table = [
            (ErrorCode::FencedLeaderEpoch.code(), Answer::Fenced),
            (ErrorCode::UnknownLeaderEpoch.code(), Answer::NotLeader),
            (ErrorCode::NotLeaderOrFollower.code(), Answer::NotLeader),
            (ErrorCode::UnknownTopicId.code(), Answer::NotLeader),
            (ErrorCode::KafkaStorageError.code(), Answer::Failed),
            (i16::MAX, Answer::Failed),
        ];
        for (code, answer) in table {
            assert_eq!(failed(code), Told::without_records(answer), "{code}");
        }
    }
}
