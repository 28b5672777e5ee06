//! Reads length-prefixed frames, under a memory permit taken before anything is allocated.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a quiet connection keeps for reading.
const IDLE_BUFFER_BYTES: usize = 4 << 10;

/// Bytes of requests that may be in memory at once, over all connections.
#[derive(Debug, Clone)]
pub(crate) struct FrameBudget {
    permits: Arc<Semaphore>,
    total_bytes: usize,
}

impl FrameBudget {
    pub(crate) fn new(total_bytes: usize) -> Self {
        let total_bytes = total_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(total_bytes)),
            total_bytes,
        }
    }

    /// Bytes that requests in memory hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.total_bytes
            .saturating_sub(self.permits.available_permits())
    }

    /// Waits for room. A frame larger than the whole budget gets all of it.
    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes.min(self.total_bytes)).unwrap_or(u32::MAX);
        Arc::clone(&self.permits)
            .acquire_many_owned(bytes)
            .await
            .expect("the budget's semaphore is never closed")
    }
}

/// One request as it came, without its length. The permit goes when the request is answered.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("frame length {length} is outside 0..={cap_bytes} (socket.request.max.bytes)")]
    Length { length: i32, cap_bytes: usize },
    #[error("the connection ended in the middle of a frame")]
    Torn,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Cuts a byte stream into frames. [`Frames::next`] may be cancelled and called again.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    budget: FrameBudget,
    cap_bytes: usize,
    /// Length and permit of the frame that is being read.
    expected: Option<(usize, OwnedSemaphorePermit)>,
}

impl Frames {
    pub(crate) fn new(budget: FrameBudget, cap_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            budget,
            cap_bytes,
            expected: None,
        }
    }

    /// The next frame; `None` when the peer has closed between frames.
    pub(crate) async fn next<R>(&mut self, stream: &mut R) -> Result<Option<Frame>, FrameError>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            if self.expected.is_none() && self.buffer.len() >= 4 {
                let length = self.peek_length()?;
                let permit = self.budget.take(length).await;
                self.buffer.advance(4);
                self.buffer
                    .reserve(length.saturating_sub(self.buffer.len()));
                self.expected = Some((length, permit));
            }
            if let Some((length, permit)) = self.expected.take() {
                if self.buffer.len() >= length {
                    let bytes = self.buffer.split_to(length).freeze();
                    return Ok(Some(Frame { bytes, permit }));
                }
                self.expected = Some((length, permit));
            }
            if self.buffer.capacity() == self.buffer.len() {
                self.buffer.reserve(IDLE_BUFFER_BYTES);
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                let between_frames = self.expected.is_none() && self.buffer.is_empty();
                return if between_frames {
                    Ok(None)
                } else {
                    Err(FrameError::Torn)
                };
            }
        }
    }

    fn peek_length(&self) -> Result<usize, FrameError> {
        let length = (&self.buffer[..4]).get_i32();
        usize::try_from(length)
            .ok()
            .filter(|&l| l <= self.cap_bytes)
            .ok_or(FrameError::Length {
                length,
                cap_bytes: self.cap_bytes,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(cap_bytes: usize) -> Frames {
        Frames::new(FrameBudget::new(1000), cap_bytes)
    }

    #[tokio::test]
    async fn cuts_frames_wherever_the_reads_fall() {
        let input = [&[0, 0, 0, 2, 7, 8][..], &[0, 0, 0, 0], &[0, 0, 0, 1, 9]].concat();
        for split in 0..input.len() {
            let (head, tail) = input.split_at(split);
            let mut stream = AsyncReadExt::chain(head, tail);
            let mut frames = frames(100);
            let mut seen = Vec::new();
            while let Some(frame) = frames.next(&mut stream).await.expect("whole frames") {
                seen.push(frame.bytes.to_vec());
            }
            assert_eq!(seen, [vec![7, 8], vec![], vec![9]], "split at {split}");
        }
    }

    #[tokio::test]
    async fn refuses_lengths_before_allocating() {
        for length in [-1, 101, i32::MAX, i32::MIN] {
            let input = length.to_be_bytes();
            let mut frames = frames(100);
            let error = frames
                .next(&mut &input[..])
                .await
                .expect_err("out of range");
            assert!(matches!(error, FrameError::Length { .. }), "{error}");
            assert!(frames.buffer.capacity() < 10_000);
        }
    }

    #[tokio::test]
    async fn a_torn_frame_is_an_error_and_gives_its_memory_back() {
        let mut reader = frames(100);
        let error = reader
            .next(&mut &[0, 0, 0, 9, 1][..])
            .await
            .expect_err("torn");
        assert!(matches!(error, FrameError::Torn));
        let budget = reader.budget.clone();
        drop(reader);
        assert_eq!(budget.used_bytes(), 0);
    }
}
