//! The two tasks of a connection.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Outgoing, tls};
use crate::ClientConfig;

/// Requests taken from the queue at once, to share a write.
const BURST: usize = 32;
const BUFFER_BYTES: usize = 64 * 1024;
/// Reserved at once for a reply, which costs memory only as it comes; a longer one is moved when it
/// has outgrown this.
const RESERVE_BYTES: usize = 16 * 1024 * 1024;

/// Why a connection ended, once it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<Sealed>);

#[derive(Debug, Default)]
struct Sealed {
    cause: OnceLock<Cause>,
    ended: Notify,
}

#[derive(Debug)]
struct Cause {
    words: String,
    /// Whether TLS is why, or the lack of it.
    is_tls: bool,
}

impl Fate {
    /// Ends the connection; the first cause stays.
    pub(super) fn seal(&self, words: String) {
        self.end(Cause {
            words,
            is_tls: false,
        });
    }

    /// Ends it because of what the socket has said.
    fn seal_by(&self, error: &io::Error) {
        self.end(match tls::fault(error) {
            Some(words) => Cause {
                words,
                is_tls: true,
            },
            None => Cause {
                is_tls: error.to_string() == tls::SPEAKS_TLS,
                words: words(error),
            },
        });
    }

    fn end(&self, cause: Cause) {
        // A later cause is a consequence of the first.
        let _ = self.0.cause.set(cause);
        self.0.ended.notify_waiters();
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.0.cause.get().is_some()
    }

    pub(super) fn cause(&self) -> &str {
        let cause = self.0.cause.get();
        cause.map_or("it was closed", |cause| &cause.words)
    }

    /// Why it ended, if TLS is why.
    pub(super) fn fault(&self) -> Option<&str> {
        let cause = self.0.cause.get().filter(|cause| cause.is_tls);
        cause.map(|cause| cause.words.as_str())
    }

    /// Waits for the end.
    pub(super) async fn sealed(&self) {
        let ended = self.0.ended.notified();
        tokio::pin!(ended);
        // Listen first, look then: a seal in between is not missed.
        ended.as_mut().enable();
        if !self.is_sealed() {
            ended.await;
        }
    }
}

type Waiting = (i32, oneshot::Sender<Bytes>);

/// Starts both tasks; they end with the socket, the handles, or the fate.
pub(super) fn spawn<R, W>(
    (read, write): (R, W),
    outgoing: mpsc::Receiver<Outgoing>,
    fate: &Fate,
    config: &ClientConfig,
) where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (waiting, waiters) = mpsc::channel(config.max_in_flight);
    let max_frame_bytes = config.max_frame_bytes;
    let (for_reader, for_writer) = (fate.clone(), fate.clone());
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = read_replies(read, waiters, max_frame_bytes) => ended,
            () = for_reader.sealed() => return,
        };
        match ended {
            Ok(()) => for_reader.seal("it was closed".to_owned()),
            Err(error) => for_reader.seal_by(&error),
        }
    });
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = write_requests(write, outgoing, waiting) => ended,
            () = for_writer.sealed() => return,
        };
        // All handles are gone when this is no error; the reader may still have replies to hand out.
        if let Err(error) = ended {
            for_writer.seal_by(&error);
        }
    });
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the broker closed it".to_owned(),
        _ => error.to_string(),
    }
}

async fn write_requests(
    socket: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Outgoing>,
    waiting: mpsc::Sender<Waiting>,
) -> io::Result<()> {
    let mut socket = BufWriter::with_capacity(BUFFER_BYTES, socket);
    let mut burst = Vec::with_capacity(BURST);
    while queue.recv_many(&mut burst, BURST).await > 0 {
        for request in burst.drain(..) {
            if let Some(reply) = request.reply {
                let slot = match waiting.try_reserve() {
                    Ok(slot) => slot,
                    // Full: the broker must see what was written before it can free a slot.
                    Err(mpsc::error::TrySendError::Full(())) => {
                        socket.flush().await?;
                        waiting.reserve().await.map_err(reader_gone)?
                    }
                    Err(mpsc::error::TrySendError::Closed(())) => return Err(reader_gone(())),
                };
                slot.send((request.correlation, reply));
            }
            for piece in request.frame.pieces() {
                socket.write_all(piece).await?;
            }
        }
        socket.flush().await?;
    }
    // Nobody has any more to ask: the broker sees the end and closes its side, or has done so already.
    let _ = socket.shutdown().await;
    Ok(())
}

fn reader_gone<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "its reader has ended")
}

async fn read_replies(
    socket: impl AsyncRead + Unpin,
    mut waiters: mpsc::Receiver<Waiting>,
    max_frame_bytes: usize,
) -> io::Result<()> {
    let mut socket = BufReader::with_capacity(BUFFER_BYTES, socket);
    loop {
        let frame = read_frame(&mut socket, max_frame_bytes).await?;
        let Some((correlation, reply)) = waiters.recv().await else {
            return Ok(());
        };
        if frame.clone().get_i32() != correlation {
            return Err(invalid(
                "a reply does not belong to the oldest request".to_owned(),
            ));
        }
        // A caller that gave up does not want it.
        let _ = reply.send(frame);
    }
}

async fn read_frame(socket: &mut (impl AsyncRead + Unpin), max: usize) -> io::Result<Bytes> {
    let declared = socket.read_i32().await?;
    if speaks_tls(declared) {
        return Err(invalid(tls::SPEAKS_TLS.to_owned()));
    }
    let len = usize::try_from(declared)
        .ok()
        .filter(|len| (4..=max).contains(len))
        .ok_or_else(|| {
            invalid(format!(
                "a reply of {declared} bytes; at most {max} are taken"
            ))
        })?;
    let mut frame = BytesMut::with_capacity(len.min(RESERVE_BYTES));
    let mut rest = socket.take(len as u64);
    while frame.len() < len {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

/// An alert or a handshake of TLS, taken for the length of a reply; as one it would be 350 MB.
fn speaks_tls(declared: i32) -> bool {
    matches!(declared.to_be_bytes(), [0x15 | 0x16, 3, 0..=4, _])
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_over_the_cap_is_refused_before_it_is_read() {
        let mut bytes: &[u8] = &[0x7f, 0, 0, 0];
        let error = read_frame(&mut bytes, 1024).await.expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn an_alert_of_tls_is_told_from_a_long_frame() {
        let mut bytes: &[u8] = &[0x15, 3, 3, 0, 2, 2, 70];
        let error = read_frame(&mut bytes, 1 << 30).await.expect_err("an alert");
        let fate = Fate::default();
        fate.seal_by(&error);
        assert!(fate.fault().expect("it is TLS").contains("SASL_SSL"));
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_end() {
        let mut bytes: &[u8] = &[0, 0, 0, 8, 1, 2, 3];
        let error = read_frame(&mut bytes, 1024).await.expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_seal_before_waiting_is_seen() {
        let fate = Fate::default();
        fate.seal("first".into());
        fate.seal("second".into());
        fate.sealed().await;
        assert_eq!(fate.cause(), "first");
    }
}
