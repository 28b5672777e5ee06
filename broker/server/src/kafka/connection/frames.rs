//! Reads length-prefixed frames, under a memory permit.
//!
//! A length is only a claim. A small frame takes its permit when it is there, from a share of its own,
//! so that heartbeats and metadata go on while large requests wait. A large one takes nothing before
//! its first 64 KiB are there, and is given up when its peer stalls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::kafka::alarm::Alarm;

/// What a quiet connection keeps for reading.
const IDLE_BUFFER_BYTES: usize = 4 << 10;
/// A frame up to this is small.
const SMALL_FRAME_BYTES: usize = 64 << 10;
/// One byte of the budget in so many is kept for small frames.
const SMALL_SHARE: usize = 8;
/// A frame that was begun goes on within this.
const STALL: Duration = Duration::from_secs(10);

/// Bytes of requests that may be in memory at once, over all connections.
#[derive(Debug, Clone)]
pub(crate) struct FrameBudget {
    small: Share,
    large: Share,
}

#[derive(Debug, Clone)]
struct Share {
    permits: Arc<Semaphore>,
    total_bytes: usize,
}

impl FrameBudget {
    pub(crate) fn new(total_bytes: usize) -> Self {
        let small_bytes = total_bytes / SMALL_SHARE;
        Self {
            small: Share::new(small_bytes),
            large: Share::new(total_bytes - small_bytes),
        }
    }

    /// Bytes that requests in memory hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.small.used_bytes() + self.large.used_bytes()
    }

    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        match bytes {
            ..=SMALL_FRAME_BYTES => self.small.take(bytes).await,
            _ => self.large.take(bytes).await,
        }
    }
}

impl Share {
    fn new(total_bytes: usize) -> Self {
        let total_bytes = total_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(total_bytes)),
            total_bytes,
        }
    }

    fn used_bytes(&self) -> usize {
        self.total_bytes
            .saturating_sub(self.permits.available_permits())
    }

    /// Waits for room. A frame larger than the whole share gets all of it.
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
    #[error("no byte of a frame came for {} s", STALL.as_secs())]
    Stalled,
    #[error("the connection ended in the middle of a frame")]
    Torn,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The frame that is being read.
#[derive(Debug)]
struct Expected {
    length: usize,
    permit: Option<OwnedSemaphorePermit>,
}

/// Cuts a byte stream into frames. [`Frames::next`] may be cancelled and called again.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    budget: FrameBudget,
    cap_bytes: usize,
    expected: Option<Expected>,
    /// Rings when the peer has stalled.
    stall: Alarm,
}

impl Frames {
    pub(crate) fn new(budget: FrameBudget, cap_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            budget,
            cap_bytes,
            expected: None,
            stall: Alarm::new(),
        }
    }

    /// The next frame; `None` when the peer has closed between frames.
    pub(crate) async fn next<R>(&mut self, stream: &mut R) -> Result<Option<Frame>, FrameError>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            if let Some(frame) = self.cut().await? {
                return Ok(Some(frame));
            }
            if self.buffer.capacity() == self.buffer.len() {
                self.buffer.reserve(IDLE_BUFFER_BYTES);
            }
            let read = if self.expected.is_none() {
                stream.read_buf(&mut self.buffer).await?
            } else {
                tokio::select! {
                    biased;
                    read = stream.read_buf(&mut self.buffer) => read?,
                    () = self.stall.at(Instant::now() + STALL) => return Err(FrameError::Stalled),
                }
            };
            if read == 0 {
                let between_frames = self.expected.is_none() && self.buffer.is_empty();
                return if between_frames {
                    Ok(None)
                } else {
                    Err(FrameError::Torn)
                };
            }
        }
    }

    /// The frame in the buffer once all of it is there; until then, room for what it needs next.
    async fn cut(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.expected.is_none() {
            if self.buffer.len() < 4 {
                return Ok(None);
            }
            let length = self.peek_length()?;
            self.buffer.advance(4);
            self.expected = Some(Expected {
                length,
                permit: None,
            });
        }
        let Some(expected) = &mut self.expected else {
            return Ok(None);
        };
        let (length, come) = (expected.length, self.buffer.len());
        if expected.permit.is_none() && come >= length.min(SMALL_FRAME_BYTES) {
            expected.permit = Some(self.budget.take(length).await);
        }
        let room = match expected.permit {
            Some(_) => length,
            None => length.min(SMALL_FRAME_BYTES),
        };
        if come < length {
            self.buffer.reserve(room - come);
            return Ok(None);
        }
        let permit = self.expected.take().and_then(|expected| expected.permit);
        let bytes = self.buffer.split_to(length).freeze();
        Ok(permit.map(|permit| Frame { bytes, permit }))
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

    #[tokio::test(start_paused = true)]
    async fn a_length_without_bytes_keeps_nobody_waiting_and_is_given_up() {
        const MIB: usize = 1 << 20;
        let budget = FrameBudget::new(64 * MIB);
        let mut silent = Frames::new(budget.clone(), 100 * MIB);
        let (mut near, mut far) = tokio::io::duplex(1 << 10);
        let length = u32::try_from(100 * MIB).expect("small").to_be_bytes();
        tokio::io::AsyncWriteExt::write_all(&mut near, &length)
            .await
            .expect("room");
        let waiting = tokio::time::timeout(STALL / 2, silent.next(&mut far)).await;
        assert!(waiting.is_err(), "it may still come");
        assert_eq!(budget.used_bytes(), 0);
        assert!(silent.buffer.capacity() < 2 * SMALL_FRAME_BYTES);
        let stalled = silent.next(&mut far).await.expect_err("nothing came");
        assert!(matches!(stalled, FrameError::Stalled), "{stalled}");
    }

    #[tokio::test]
    async fn small_frames_pass_when_large_ones_have_taken_their_share() {
        let budget = FrameBudget::new(1 << 20);
        let all = budget.take(1 << 20).await;
        let mut frames = Frames::new(budget.clone(), 1 << 20);
        let input = [&[0, 0, 0, 1, 9][..]].concat();
        let small = frames.next(&mut &input[..]).await.expect("a frame");
        assert_eq!(small.expect("one").bytes[..], [9]);
        let mut large = (1_u32 << 20).to_be_bytes().to_vec();
        large.resize(4 + (1 << 20), 7);
        let mut stream = &large[..];
        let waits = frames.next(&mut stream);
        let limit = Duration::from_millis(50);
        assert!(tokio::time::timeout(limit, waits).await.is_err());
        drop(all);
        let frame = frames.next(&mut stream).await.expect("room now");
        assert_eq!(frame.expect("one").bytes.len(), 1 << 20);
    }
}
