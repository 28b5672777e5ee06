//! A manifest as an object in the bucket (FRTM, docs/formats/tier.md): what a cluster that has lost
//! its disks begins with. It holds what readers need and nothing of what is under way, so one version
//! has one sequence of bytes, whoever writes it.

use bytes::{Buf, BufMut};
use freshet_types::{Offset, TopicPartition};

use super::Manifest;
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

use crate::codec;

const KIND: Kind = Kind {
    magic: *b"FRTM",
    version: 1,
};

/// A manifest that is to be put into the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedManifest {
    /// A part of its name.
    pub version: u64,
    /// Once it is stored, all below can be restored from the bucket alone.
    pub remote_end: Offset,
    /// What to store.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The bytes of its present version.
    pub fn export(&self, partition: TopicPartition) -> ExportedManifest {
        let mut body = Vec::with_capacity(64 + self.segments().len() * codec::SEGMENT_BYTES);
        codec::put_partition(&mut body, partition);
        body.put_u64(self.version);
        body.put_i32(self.leader_epoch);
        body.put_i64(self.log_start);
        body.put_u8(u8::from(self.deleted));
        codec::put_count(&mut body, self.segments().len());
        for segment in self.segments() {
            codec::put_segment(&mut body, segment);
        }
        ExportedManifest {
            version: self.version,
            remote_end: self.remote_end(),
            bytes: seal(KIND, &body),
        }
    }

    /// Reads an exported manifest. Any bytes are read without panic, and without allocating more
    /// than a small multiple of what they are.
    ///
    /// # Errors
    /// They are damaged, contradict themselves, or a later broker wrote them.
    pub fn restore(bytes: &[u8]) -> Result<(TopicPartition, Self), EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let from = &mut body;
        let partition = codec::partition(from)?;
        let version = codec::version(from)?;
        let leader_epoch = from.try_get_i32()?;
        let mut manifest = Self::new(leader_epoch, codec::offset(from)?);
        manifest.version = version;
        manifest.exported = version;
        manifest.deleted = codec::flag(from)?;
        for segment in codec::list(from, codec::SEGMENT_BYTES, codec::segment)? {
            if manifest
                .segments
                .end()
                .is_some_and(|end| end != segment.start)
            {
                return Err(malformed("segments that do not follow one another"));
            }
            manifest.segments.insert(segment);
        }
        codec::done(from)?;
        Ok((partition, manifest))
    }
}
