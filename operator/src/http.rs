//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::context::Context;

/// Connections served at once; more wait in the accept queue.
const CONNECTIONS: usize = 32;
/// A connection lives no longer than this.
const DEADLINE: Duration = Duration::from_secs(30);

/// Serves for as long as it is polled. `ready` says whether the API server was reached.
pub(crate) async fn serve(context: Arc<Context>, listener: TcpListener, ready: Arc<AtomicBool>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (context, ready) = (Arc::clone(&context), Arc::clone(&ready));
        tokio::spawn(async move {
            let _seat = seat;
            let service = service_fn(|request| {
                let answer = answer(&context, &ready, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asks and does not wait for the answer has no use for it.
            let _ = tokio::time::timeout(DEADLINE, served).await;
        });
    }
}

fn answer<B>(context: &Context, ready: &AtomicBool, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" if ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ok\n"),
        "/readyz" => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server was not reached yet\n",
        ),
        "/metrics" => text(StatusCode::OK, context.metrics.render()),
        _ => text(
            StatusCode::NOT_FOUND,
            "try one of /livez /readyz /metrics\n",
        ),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, plain);
    response
}
