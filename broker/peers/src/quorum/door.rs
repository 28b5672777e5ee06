//! A listener that only nodes of the cluster talk to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_codec::{Chunks, Message, Reader};
use freshet_env::sockets;
use freshet_wire::api_versions::ApiVersion;
use freshet_wire::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, ErrorCode, PeerRequest, Request,
    RequestHeader, ResponseHeader, encode_response,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::frames::FrameRoom;
use super::room::{PeerRoom, Visit};

/// Connections at a time. A node has a handful to each controller, and more for proposals.
const CONNECTIONS: usize = 4096;
/// How long accepting rests after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// An answer must be taken by then.
const WRITE: Duration = Duration::from_secs(30);

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Controllers only. Who asks what is served here is told: nothing for clients.
    Controller,
    /// The listener between brokers, before the broker serves. Clients that come too early are
    /// turned away without a word, as if nobody listened yet.
    Early,
}

/// An open door. Dropped, it accepts nobody any more; who is in may finish.
pub struct Door {
    close: oneshot::Sender<()>,
    task: JoinHandle<TcpListener>,
}

impl Door {
    /// Opens it. Must be called on a tokio runtime.
    pub fn open(listener: TcpListener, room: Arc<PeerRoom>, face: Face) -> Self {
        let (close, closed) = oneshot::channel();
        let task = tokio::spawn(accept(listener, room, face, closed));
        Self { close, task }
    }

    /// Closes it, and gives the socket back for somebody else to serve: who waits in its queue
    /// notices nothing.
    pub async fn close(self) -> io::Result<TcpListener> {
        drop(self.close);
        self.task.await.map_err(io::Error::other)
    }
}

async fn accept(
    listener: TcpListener,
    room: Arc<PeerRoom>,
    face: Face,
    mut closed: oneshot::Receiver<()>,
) -> TcpListener {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let frames = FrameRoom::default();
    loop {
        let accepted = tokio::select! {
            _ = &mut closed => return listener,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                    tracing::warn!(%peer, limit = CONNECTIONS, "too many connections of nodes");
                    continue;
                };
                let (room, frames) = (Arc::clone(&room), frames.clone());
                tokio::spawn(async move {
                    let _seat = seat;
                    if let Err(error) = serve(stream, &room, &frames, face).await {
                        tracing::debug!(%peer, %error, "a node's connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection, one request at a time: nodes open another one for what must not wait.
async fn serve(
    mut stream: TcpStream,
    room: &Arc<PeerRoom>,
    frames: &FrameRoom,
    face: Face,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A machine that lost its power would be counted as here for as long as nobody speaks, and the
    // process that it comes back with could die unseen.
    sockets::close_when_cut_off(&stream)?;
    let mut visit = None;
    while let Some(frame) = frames.next(&mut stream).await? {
        let Some(answer) = answer(frame.bytes.clone(), room, face, &mut visit).await else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a request of a node",
            ));
        };
        drop(frame);
        let write = write(&mut stream, answer);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the answer is not taken");
        tokio::time::timeout(WRITE, write).await.map_err(late)??;
    }
    Ok(())
}

async fn write(stream: &mut TcpStream, answer: Chunks) -> io::Result<()> {
    for piece in answer.pieces() {
        stream.write_all(piece).await?;
    }
    Ok(())
}

/// The answer to one frame; `None` closes the connection.
async fn answer(
    frame: Bytes,
    room: &Arc<PeerRoom>,
    face: Face,
    visit: &mut Option<Visit>,
) -> Option<Chunks> {
    let (header, mut reader) = RequestHeader::open(frame).ok()?;
    if visit.is_none() {
        *visit = Visit::of(room, header.client_id.as_deref());
    }
    let (key, version) = (header.request_api_key, header.request_api_version);
    let correlation_id = header.correlation_id;
    let header = ResponseHeader { correlation_id };
    if key == PeerRequest::KEY.code() {
        let request = PeerRequest::decode(&mut reader, version).ok()?;
        let response = room.answer(request).await;
        if room.is_empty() {
            return None;
        }
        return encode_response::<PeerRequest>(&header, &response, version).ok();
    }
    if key == ApiKey::ApiVersions.code() && face == Face::Controller {
        return greeting(&mut reader, &header, version);
    }
    None
}

/// Says that nothing is served here but this answer (KIP-511 for versions that we do not know).
fn greeting(reader: &mut Reader, header: &ResponseHeader, version: i16) -> Option<Chunks> {
    let known = ApiVersionsRequest::VERSIONS.contains(&version);
    let (error, version) = if known {
        ApiVersionsRequest::decode(reader, version).ok()?;
        (ErrorCode::None, version)
    } else {
        (ErrorCode::UnsupportedVersion, 0)
    };
    let response = ApiVersionsResponse {
        error_code: error.code(),
        api_keys: vec![ApiVersion {
            api_key: ApiKey::ApiVersions.code(),
            min_version: *ApiVersionsRequest::VERSIONS.start(),
            max_version: *ApiVersionsRequest::VERSIONS.end(),
        }],
        ..ApiVersionsResponse::default()
    };
    encode_response::<ApiVersionsRequest>(header, &response, version).ok()
}
