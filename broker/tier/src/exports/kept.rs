//! A deleted topic whose objects were kept, as an object in the bucket (FRKT): what its manifests do not say,
//! and no export of the cluster does any more.

use freshet_records::envelope::{EnvelopeError, Kind, seal, unseal};

use super::cluster::{ExportedTopic, put_topic, topic};
use crate::codec;

const KIND: Kind = Kind {
    magic: *b"FRKT",
    version: 1,
};

impl ExportedTopic {
    /// As it is stored of a deleted topic whose objects are kept.
    pub fn to_kept_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        put_topic(&mut body, self);
        seal(KIND, &body)
    }

    /// Reads it back. Any bytes are read without panic, and without allocating more than a small multiple of
    /// what they are.
    ///
    /// # Errors
    /// They are damaged, or a later broker wrote them.
    pub fn from_kept_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let kept = topic(&mut body)?;
        codec::done(body)?;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use freshet_types::TopicId;
    use proptest::prelude::*;

    use super::super::tests::strange;
    use super::*;

    fn kept() -> ExportedTopic {
        ExportedTopic {
            name: "t".to_owned(),
            id: TopicId([9; 16]),
            replication_factor: 1,
            leader_epochs: vec![5],
            configs: BTreeMap::from([("n".to_owned(), "v".to_owned())]),
        }
    }

    #[test]
    fn the_bytes_are_these_and_come_back() {
        let sealed = kept().to_kept_bytes();
        let mut body = b"\0\0\0\x01t".to_vec();
        body.extend([9; 16]);
        body.extend([0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1]);
        body.extend(b"\0\0\0\x01n\0\0\0\x01v");
        assert_eq!(sealed[..6], *b"FRKT\0\x01");
        assert_eq!(sealed[10..sealed.len() - 4], body);
        assert_eq!(ExportedTopic::from_kept_bytes(&sealed), Ok(kept()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let whole = kept().to_kept_bytes();
            strange(KIND, (&body, &whole), (at, byte), |bytes| drop(ExportedTopic::from_kept_bytes(bytes)));
        }
    }
}
