//! Frames from strangers: never more memory than bytes that came, never a wait without an end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use freshet_wire::{LENGTH_BYTES, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A letter has 40 MiB at most, and something around it.
pub(super) const FRAME_CAP_BYTES: usize = 41 << 20;
/// Frames up to this size are read without asking for room.
const SMALL_BYTES: usize = 64 << 10;
/// All larger frames together, over all connections.
const ROOM_KIB: u32 = 256 << 10;
/// A frame that has begun must be there by then.
const STALL: Duration = Duration::from_secs(15);
/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(600);

/// Memory for large frames.
#[derive(Debug, Clone)]
pub(super) struct FrameRoom(Arc<Semaphore>);

impl Default for FrameRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB as usize)))
    }
}

/// One frame without its length. Its room is free again when it is dropped.
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl FrameRoom {
    /// The next frame; `None` when the other side has closed between frames.
    pub(super) async fn next(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<Frame>> {
        let mut prefix = [0; LENGTH_BYTES];
        let began = timeout(IDLE, stream.read(&mut prefix[..1])).await;
        if began.map_err(|_| late("nothing was said"))?? == 0 {
            return Ok(None);
        }
        let rest = timeout(STALL, async {
            stream.read_exact(&mut prefix[1..]).await?;
            let length = frame_length(prefix, FRAME_CAP_BYTES)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.read(stream, length).await
        });
        rest.await.map_err(|_| late("half a frame"))?.map(Some)
    }

    async fn read(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        length: usize,
    ) -> io::Result<Frame> {
        let mut bytes = BytesMut::with_capacity(length.min(SMALL_BYTES));
        let mut room = None;
        let mut rest = stream.take(length as u64);
        while bytes.len() < length {
            // Who declares much and sends nothing takes nobody's room.
            if room.is_none() && bytes.len() >= SMALL_BYTES {
                let kib = u32::try_from(length.div_ceil(1 << 10)).unwrap_or(ROOM_KIB);
                let taken = Arc::clone(&self.0).acquire_many_owned(kib).await;
                room = Some(taken.map_err(io::Error::other)?);
                bytes.reserve(length - bytes.len());
            }
            if rest.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Frame {
            bytes: bytes.freeze(),
            _room: room,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_cut_where_they_end() {
        let mut stream: &[u8] = &[0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0];
        let room = FrameRoom::default();
        let first = room.next(&mut stream).await.expect("whole").expect("one");
        assert_eq!(first.bytes[..], [7, 8]);
        let second = room.next(&mut stream).await.expect("whole").expect("one");
        assert!(second.bytes.is_empty());
        assert!(room.next(&mut stream).await.is_err(), "a torn length");
    }

    #[tokio::test]
    async fn a_length_nobody_should_follow_is_refused() {
        for length in [-1, 1 << 30, i32::MIN] {
            let prefix = i32::to_be_bytes(length);
            let refused = FrameRoom::default().next(&mut &prefix[..]).await;
            assert!(refused.is_err(), "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_frame_takes_no_room_and_is_given_up() {
        let room = FrameRoom::default();
        let (mut near, mut far) = tokio::io::duplex(64);
        let length = (40_i32 << 20).to_be_bytes();
        tokio::io::AsyncWriteExt::write_all(&mut near, &length)
            .await
            .expect("room");
        let given_up = room.next(&mut far).await.err().expect("nothing came");
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
        assert_eq!(room.0.available_permits(), ROOM_KIB as usize);
    }
}
