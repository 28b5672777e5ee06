//! Walking over the batches of one object.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use freshet_records::{Batch, BatchError, BatchHeader, CRC_FROM, Crc32c, HEADER_BYTES};
use freshet_types::Offset;

use super::error::ColdError;
use super::gate::Turn;
use super::opened::Opened;
use super::shared::Shared;
use super::{ColdBatches, ColdSpec};
use crate::object::CHUNK_BYTES;

/// Chunks that a cursor keeps at hand: a header may lie across a border.
const HAND: usize = 2;
/// What is smaller than this share of its chunks is copied, so that it does not keep them in memory.
const SHARE: usize = 8;

/// See the module.
pub(super) struct Cursor<'a> {
    shared: &'a Arc<Shared>,
    pub(super) object: &'a Arc<Opened>,
    turn: Turn,
    hand: Vec<(u32, Bytes)>,
    /// Chunks below this one were asked for.
    begun: u32,
}

/// A stretch of one chunk.
struct Piece {
    whole: Bytes,
    from: usize,
    until: usize,
}

/// What a read takes of an object.
pub(super) struct Taken {
    pub(super) batches: ColdBatches,
    /// The last chunk that it needed.
    pub(super) chunk: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, object: &'a Arc<Opened>, turn: Turn) -> Self {
        Self {
            shared,
            object,
            turn,
            hand: Vec::with_capacity(HAND),
            begun: 0,
        }
    }

    async fn chunk(&mut self, chunk: u32) -> Result<Bytes, ColdError> {
        if let Some((_, bytes)) = self.hand.iter().find(|(at, _)| *at == chunk) {
            return Ok(bytes.clone());
        }
        let bytes = self.shared.chunk(self.object, chunk, self.turn).await?;
        if self.hand.len() == HAND {
            self.hand.remove(0);
        }
        self.hand.push((chunk, bytes.clone()));
        Ok(bytes)
    }

    /// A range of the batches, in pieces: one for each chunk.
    async fn pieces(&mut self, range: Range<u64>) -> Result<Vec<Piece>, ColdError> {
        let mut pieces = Vec::with_capacity(1);
        let mut from = range.start;
        while from < range.end {
            let chunk = self.object.chunk_of(from);
            let lies = self.object.range(chunk);
            let whole = self.chunk(chunk).await?;
            pieces.push(Piece::new(whole, &lies, &(from..range.end)));
            from = lies.end;
        }
        Ok(pieces)
    }

    /// The header of the batch at `position`; the batch is known to fit the object.
    pub(super) async fn header(&mut self, position: u64) -> Result<BatchHeader, ColdError> {
        let left = self.object.batches_end - position;
        let until = position + left.min(HEADER_BYTES as u64);
        let pieces = self.pieces(position..until).await?;
        let parsed = match &pieces[..] {
            [one] => BatchHeader::parse(one.bytes()),
            more => BatchHeader::parse(&concat(more)),
        };
        let what = match parsed {
            Ok(header) if header.size_bytes as u64 <= left => return Ok(header),
            Ok(header) => BatchError::Truncated {
                needed_bytes: header.size_bytes,
                present_bytes: usize::try_from(left).unwrap_or(usize::MAX),
            },
            Err(error) => error,
        };
        Err(self.damaged(position..until, &what))
    }

    /// The chunks held a right checksum when they came, and no batch is in there.
    fn damaged(&mut self, range: Range<u64>, what: &BatchError) -> ColdError {
        self.hand.clear();
        let last = self.object.chunk_of(range.end.saturating_sub(1));
        for chunk in self.object.chunk_of(range.start)..=last {
            self.shared.forget(self.object, chunk);
        }
        self.object.damaged(range.start, what)
    }

    /// A whole batch in pieces, if its checksum is right.
    async fn sound(
        &mut self,
        header: &BatchHeader,
        position: u64,
    ) -> Result<Vec<Piece>, ColdError> {
        let range = position..position + header.size_bytes as u64;
        let pieces = self.pieces(range.clone()).await?;
        let (mut computed, mut skip) = (Crc32c::default(), CRC_FROM);
        for piece in &pieces {
            let piece = piece.bytes();
            let summed = &piece[skip.min(piece.len())..];
            skip -= skip.min(piece.len());
            computed.add(summed);
        }
        let computed = computed.value();
        if computed == header.crc {
            return Ok(pieces);
        }
        let stored = header.crc;
        Err(self.damaged(range, &BatchError::Crc { stored, computed }))
    }

    /// A whole batch, if its checksum is right.
    pub(super) async fn batch(
        &mut self,
        header: &BatchHeader,
        position: u64,
    ) -> Result<Batch, ColdError> {
        let bytes = concat(&self.sound(header, position).await?);
        Batch::parse(&bytes).map_err(|error| self.object.damaged(position, error))
    }

    /// Where the first batch lies that ends behind the offset asked and shows itself in `visible`.
    pub(super) async fn find(
        &mut self,
        spec: &ColdSpec,
        visible: Range<Offset>,
    ) -> Result<Option<u64>, ColdError> {
        let (from, start) = (spec.from, self.object.footer.start);
        let mut position = self.object.index.by_offset(from.saturating_sub(start));
        self.begin(position, spec);
        while position < self.object.batches_end {
            let header = self.header(position).await?;
            if header.next_offset() > visible.end {
                return Ok(None);
            }
            if header.next_offset() > from.max(visible.start) {
                return Ok(Some(position));
            }
            position += header.size_bytes as u64;
        }
        Ok(None)
    }

    /// Whole batches from `position` on, none of which ends behind `upper`.
    pub(super) async fn take(
        &mut self,
        position: u64,
        spec: &ColdSpec,
        upper: Offset,
    ) -> Result<Taken, ColdError> {
        let until = position.saturating_add(spec.max_bytes as u64);
        self.begin(position, spec);
        let mut end = position;
        let mut next = spec.from;
        let mut used = Vec::new();
        while end < self.object.batches_end {
            let must = end == position && spec.at_least_one;
            match self.next(end, (upper, until), must).await {
                Ok(Some((pieces, header))) => {
                    join(&mut used, pieces);
                    end += header.size_bytes as u64;
                    next = header.next_offset();
                }
                Ok(None) => break,
                // What is whole is handed out; the next read meets the trouble first.
                Err(_) if end > position => break,
                Err(error) => return Err(error),
            }
        }
        let bytes = usize::try_from(end - position).unwrap_or(usize::MAX);
        let chunk = self.object.chunk_of(end.max(position + 1) - 1);
        let kept = (u64::from(chunk - self.object.chunk_of(position)) + 1) * CHUNK_BYTES;
        let small = bytes.saturating_mul(SHARE) < usize::try_from(kept).unwrap_or(usize::MAX);
        let chunks = if small && bytes > 0 {
            let parts: Vec<&[u8]> = used.iter().map(Piece::bytes).collect();
            vec![parts.concat().into()]
        } else {
            used.iter().map(Piece::shared).collect()
        };
        let batches = ColdBatches {
            chunks,
            bytes,
            next_offset: next,
        };
        Ok(Taken { batches, chunk })
    }

    /// All that a read will need is asked for at once, in its client's name.
    fn begin(&mut self, position: u64, spec: &ColdSpec) {
        let until = position.saturating_add(spec.max_bytes as u64);
        let until = until.min(self.object.batches_end);
        let last = self.object.chunk_of(until.saturating_sub(1));
        let next = self.object.chunk_of(position) + 1;
        let chunks = next.max(self.begun)..last + 1;
        self.shared.begin(self.object, chunks, self.turn);
        self.begun = self.begun.max(last + 1);
    }

    /// The next batch in pieces; `None` when it does not fit, by its offsets or its bytes.
    async fn next(
        &mut self,
        position: u64,
        (upper, until): (Offset, u64),
        must: bool,
    ) -> Result<Option<(Vec<Piece>, BatchHeader)>, ColdError> {
        let header = self.header(position).await?;
        let fits = must || position + header.size_bytes as u64 <= until;
        if !fits || header.next_offset() > upper {
            return Ok(None);
        }
        Ok(Some((self.sound(&header, position).await?, header)))
    }
}

impl Piece {
    /// What of a chunk, which lies in `lies`, is in `range`.
    fn new(whole: Bytes, lies: &Range<u64>, range: &Range<u64>) -> Self {
        let at = |position: u64| usize::try_from(position - lies.start).unwrap_or(usize::MAX);
        let from = at(range.start.max(lies.start));
        let until = at(range.end.min(lies.end));
        Self { whole, from, until }
    }

    fn bytes(&self) -> &[u8] {
        &self.whole[self.from..self.until]
    }

    fn shared(&self) -> Bytes {
        self.whole.slice(self.from..self.until)
    }
}

/// Adds what lies behind; pieces of one chunk become one.
fn join(used: &mut Vec<Piece>, pieces: Vec<Piece>) {
    for piece in pieces {
        match used.last_mut() {
            Some(last)
                if last.until == piece.from && last.whole.as_ptr() == piece.whole.as_ptr() =>
            {
                last.until = piece.until;
            }
            _ => used.push(piece),
        }
    }
}

fn concat(pieces: &[Piece]) -> Bytes {
    match pieces {
        [one] => one.shared(),
        more => {
            let parts: Vec<&[u8]> = more.iter().map(Piece::bytes).collect();
            parts.concat().into()
        }
    }
}
