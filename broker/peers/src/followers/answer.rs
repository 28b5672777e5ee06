//! What a leader's answer for one partition means.

use bytes::Bytes;
use freshet_partition::replication::{Answer, Divergence};
use freshet_wire::ErrorCode;
use freshet_wire::fetch::PartitionData;

/// What was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All that is needed, with the records.
    Answer(Answer, Bytes),
    /// The leader's log does not have the offset: it has to be asked what it has.
    OutOfRange,
}

/// Reads an answer. Records stay slices of the frame if they came in one piece.
pub(super) fn read(data: PartitionData) -> Told {
    let diverging = &data.diverging_epoch;
    let answer = match ErrorCode::from_code(data.error_code) {
        Some(ErrorCode::None) if diverging.end_offset >= 0 => Answer::Diverged(Divergence {
            epoch: diverging.epoch,
            end: diverging.end_offset,
        }),
        Some(ErrorCode::None) => {
            let records = data.records.into_bytes();
            let answer = Answer::Records {
                any: !records.is_empty(),
                high_watermark: data.high_watermark,
                log_start: data.log_start_offset,
            };
            return Told::Answer(answer, records);
        }
        Some(ErrorCode::OffsetOutOfRange) => return Told::OutOfRange,
        code => failure(code),
    };
    Told::Answer(answer, Bytes::new())
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

    fn answer(data: PartitionData) -> Answer {
        match read(data) {
            Told::Answer(answer, records) if records.is_empty() => answer,
            told => panic!("{told:?}"),
        }
    }

    #[test]
    fn each_code_has_one_meaning() {
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
        let records = Bytes::from_static(b"records");
        let full = PartitionData {
            records: records.clone().into(),
            ..ok.clone()
        };
        assert_eq!(read(full), Told::Answer(answered(true), records));
        assert_eq!(answer(ok.clone()), answered(false));
        let ends_at = |end_offset| PartitionData {
            diverging_epoch: EpochEndOffset {
                epoch: 4,
                end_offset,
            },
            ..ok.clone()
        };
        let cut = Answer::Diverged(Divergence { epoch: 4, end: 0 });
        assert_eq!(answer(ends_at(0)), cut);
        let failed = |code: i16| PartitionData {
            error_code: code,
            ..PartitionData::default()
        };
        let out = ErrorCode::OffsetOutOfRange.code();
        assert_eq!(read(failed(out)), Told::OutOfRange);
        let table = [
            (ErrorCode::FencedLeaderEpoch.code(), Answer::Fenced),
            (ErrorCode::UnknownLeaderEpoch.code(), Answer::NotLeader),
            (ErrorCode::NotLeaderOrFollower.code(), Answer::NotLeader),
            (ErrorCode::UnknownTopicId.code(), Answer::NotLeader),
            (ErrorCode::KafkaStorageError.code(), Answer::Failed),
            (i16::MAX, Answer::Failed),
        ];
        for (code, expected) in table {
            assert_eq!(answer(failed(code)), expected, "{code}");
        }
    }
}
