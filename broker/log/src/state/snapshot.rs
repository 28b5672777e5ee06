//! Producer state as bytes: the body of `<offset>.producers`, and part of a stop image.

use bytes::{Buf, BufMut};
use freshet_types::{ProducerId, Timestamp};

use super::producers::{BATCHES_KEPT, Known, MOST_STORED, Producers, StoredBatch};
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRPR",
    version: 2,
};
/// The version before: it does not say what was stored before the batches that are remembered.
const OLD: Kind = Kind { version: 1, ..KIND };
/// id 8, epoch 2, seen 8, open since 8, before 4, batch count 1.
const PRODUCER_MIN_BYTES: usize = 31;
const OLD_PRODUCER_MIN_BYTES: usize = 27;

impl Producers {
    /// [`Producers::snapshot`], unless there are none.
    pub(crate) fn to_snapshot(&self) -> Option<Vec<u8>> {
        (!self.is_empty()).then(|| self.snapshot())
    }

    /// The snapshot file.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.iter().len() * (PRODUCER_MIN_BYTES + 32));
        body.put_u32(u32::try_from(self.iter().len()).expect("producers are bounded"));
        for (id, known) in self.iter() {
            body.put_i64(id);
            body.put_i16(known.epoch);
            body.put_i64(known.seen.0);
            body.put_i64(known.open_since.unwrap_or(-1));
            body.put_u32(known.before);
            body.put_u8(u8::try_from(known.batches.len()).expect("at most five are kept"));
            for batch in &known.batches {
                body.put_i32(batch.first_sequence);
                body.put_i32(batch.last_sequence);
                body.put_i64(batch.base_offset);
                body.put_i64(batch.last_offset);
                body.put_i64(batch.timestamp.0);
            }
        }
        seal(KIND, &body)
    }

    /// Reads a snapshot file, of this version or of the one before.
    pub(crate) fn from_snapshot(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (mut body, is_old) = match unseal(KIND, bytes) {
            Err(EnvelopeError::Version { found, .. }) if found == OLD.version => {
                (unseal(OLD, bytes)?, true)
            }
            body => (body?, false),
        };
        let least = match is_old {
            true => OLD_PRODUCER_MIN_BYTES,
            false => PRODUCER_MIN_BYTES,
        };
        let count = body.try_get_u32()? as usize;
        if count > body.len() / least {
            return Err(malformed("more producers than bytes"));
        }
        let mut producers = Self::default();
        for _ in 0..count {
            let (id, known) = read_known(&mut body, is_old)?;
            producers.restore(id, known);
        }
        if body.is_empty() {
            Ok(producers)
        } else {
            Err(malformed("bytes after the last producer"))
        }
    }
}

fn read_known(body: &mut &[u8], is_old: bool) -> Result<(ProducerId, Known), EnvelopeError> {
    let id = body.try_get_i64()?;
    let epoch = body.try_get_i16()?;
    let seen = Timestamp(body.try_get_i64()?);
    let open_since = Some(body.try_get_i64()?).filter(|&offset| offset >= 0);
    let mut known = Known::new(epoch, seen, open_since);
    if !is_old {
        known.before = body.try_get_u32()?;
    }
    let batches = usize::from(body.try_get_u8()?);
    if batches > BATCHES_KEPT {
        return Err(malformed("more than five batches of one producer"));
    }
    if known.before > MOST_STORED || (known.before > 0 && batches < BATCHES_KEPT) {
        return Err(malformed("more sequences than a producer can have stored"));
    }
    for _ in 0..batches {
        known.batches.push_back(StoredBatch {
            first_sequence: body.try_get_i32()?,
            last_sequence: body.try_get_i32()?,
            base_offset: body.try_get_i64()?,
            last_offset: body.try_get_i64()?,
            timestamp: Timestamp(body.try_get_i64()?),
        });
    }
    Ok((id, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn producers() -> Producers {
        let mut known = Known::new(3, Timestamp(5), Some(7));
        known.batches.push_back(StoredBatch {
            first_sequence: 0,
            last_sequence: 4,
            base_offset: 7,
            last_offset: 11,
            timestamp: Timestamp(5),
        });
        let mut producers = Producers::default();
        producers.restore(1, known);
        producers
    }

    proptest! {
        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>) {
            let _ = Producers::from_snapshot(&seal(KIND, &body));
        }

        #[test]
        fn strange_old_bodies_never_panic(body: Vec<u8>) {
            let _ = Producers::from_snapshot(&seal(OLD, &body));
        }

        #[test]
        fn changed_bodies_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let file = producers().snapshot();
            let mut body = unseal(KIND, &file).unwrap().to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = Producers::from_snapshot(&seal(KIND, &body));
            body.truncate(cut.index(body.len()));
            prop_assert!(Producers::from_snapshot(&seal(KIND, &body)).is_err());
        }
    }
}
