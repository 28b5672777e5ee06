//! The clean-shutdown proof of a log directory: one file with the last checkpoint of every log.
//!
//! It is written last, after everything else is durable. The next start renames it before it
//! writes anything, so a proof is used once; renamed, its rows still serve as checkpoints.

use std::collections::HashMap;

use bytes::{Buf, BufMut};

use super::checkpoint::Checkpoint;
use crate::LogName;
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRSI",
    version: 1,
};
/// name length 2, clean 1, checkpoint at least 65, snapshot length 4.
const ROW_MIN_BYTES: usize = 72;

/// How a row says whether its log is clean.
const NOT_CLEAN: u8 = 0;
const CLEAN: u8 = 1;
/// Followed by where the zeros end.
const CLEAN_BUT_ZEROS: u8 = 2;

/// What a stopping broker knew about one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopRow {
    /// The log ends exactly at the checkpoint; else it is only known good up to there.
    pub(crate) clean: bool,
    /// Where the zeros end that lie behind the checkpoint in a clean log's file; 0 for none.
    pub(crate) zeroed: u64,
    pub(crate) checkpoint: Checkpoint,
    /// The producer snapshot at `checkpoint.durable_end`; empty when there are none.
    pub(crate) producers: Vec<u8>,
}

/// All rows of a directory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct StopImage {
    pub(crate) rows: HashMap<LogName, StopRow>,
}

impl StopImage {
    /// The file; rows sorted by name, so that equal images are equal files.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.rows.len() * 128);
        body.put_u32(u32::try_from(self.rows.len()).expect("logs are counted in thousands"));
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(name, _)| *name);
        for (name, row) in rows {
            let name = name.to_string();
            body.put_u16(u16::try_from(name.len()).expect("topic names are short"));
            body.put_slice(name.as_bytes());
            match (row.clean, row.zeroed) {
                (false, _) => body.put_u8(NOT_CLEAN),
                (true, 0) => body.put_u8(CLEAN),
                (true, zeroed) => {
                    body.put_u8(CLEAN_BUT_ZEROS);
                    body.put_u64(zeroed);
                }
            }
            row.checkpoint.encode(&mut body);
            body.put_u32(u32::try_from(row.producers.len()).expect("producers are bounded"));
            body.put_slice(&row.producers);
        }
        seal(KIND, &body)
    }

    /// Reads the file.
    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let count = body.try_get_u32()? as usize;
        if count > body.len() / ROW_MIN_BYTES {
            return Err(malformed("more rows than bytes"));
        }
        let mut rows = HashMap::with_capacity(count);
        for _ in 0..count {
            let length = usize::from(body.try_get_u16()?);
            let name = take(&mut body, length)?;
            let name = std::str::from_utf8(name).ok().and_then(LogName::parse);
            let name = name.ok_or(malformed("a row without a log's name"))?;
            let (clean, zeroed) = match body.try_get_u8()? {
                NOT_CLEAN => (false, 0),
                CLEAN => (true, 0),
                CLEAN_BUT_ZEROS => (true, body.try_get_u64()?),
                _ => return Err(malformed("a row of an unknown kind")),
            };
            let checkpoint = Checkpoint::decode(&mut body)?;
            let length = body.try_get_u32()? as usize;
            let producers = take(&mut body, length)?.to_vec();
            rows.insert(
                name,
                StopRow {
                    clean,
                    zeroed,
                    checkpoint,
                    producers,
                },
            );
        }
        if body.is_empty() {
            Ok(Self { rows })
        } else {
            Err(malformed("bytes after the last row"))
        }
    }
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8], EnvelopeError> {
    let taken = from
        .split_off(..length)
        .ok_or(malformed("it ends inside a field"))?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image() -> StopImage {
        let row = StopRow {
            clean: true,
            zeroed: 4096,
            checkpoint: Checkpoint::fresh(freshet_types::TopicId::ZERO),
            producers: vec![7; 20],
        };
        let name = LogName::parse("t-0").unwrap();
        StopImage {
            rows: HashMap::from([(name, row)]),
        }
    }

    #[test]
    fn rows_round_trip() {
        let mut image = image();
        let row = image.rows.values().next().unwrap().clone();
        for (i, (clean, zeroed)) in [(false, 0), (true, 0), (true, 8192)]
            .into_iter()
            .enumerate()
        {
            let row = StopRow {
                clean,
                zeroed,
                ..row.clone()
            };
            let name = LogName::parse(&format!("u-{i}")).unwrap();
            image.rows.insert(name, row);
        }
        assert_eq!(StopImage::from_file(&image.to_file()), Ok(image));
    }

    proptest! {
        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>) {
            let _ = StopImage::from_file(&seal(KIND, &body));
        }

        #[test]
        fn changed_bodies_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let file = image().to_file();
            let mut body = unseal(KIND, &file).unwrap().to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = StopImage::from_file(&seal(KIND, &body));
            body.truncate(cut.index(body.len()));
            prop_assert!(StopImage::from_file(&seal(KIND, &body)).is_err());
        }
    }
}
