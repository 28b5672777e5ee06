//! Health, metrics and the state of restarts over HTTP: `/livez`, `/readyz`, `/metrics`,
//! `/admin/pre-restart`, `/admin/post-restart`, `/admin/unclean-elections`.
//!
//! Plain HTTP/1.1, GET and HEAD only, nothing that changes anything, bound to loopback by default.

mod elections;
mod restart;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use self::restart::NoAnswer;
use crate::kafka::{Context, lags};
use crate::stop::Stop;

/// Connections served at once; more wait in the accept queue.
const HTTP_CONNECTIONS: usize = 64;
/// A client must have sent its headers by then.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// A connection lives no longer than this.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);

/// What is served.
const PATHS: &str =
    "/livez /readyz /metrics /admin/pre-restart /admin/post-restart /admin/unclean-elections";

/// Who answers.
#[derive(Clone)]
pub(crate) enum Face {
    /// A broker.
    Broker(Arc<Context>),
    /// A process that does nothing else, and why.
    Idle(Arc<str>),
}

/// Serves until the stop signal.
pub(crate) async fn serve(face: Face, listener: TcpListener, stop: Stop) {
    let seats = Arc::new(Semaphore::new(HTTP_CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let (stream, peer) = tokio::select! {
            () = stop.stopped() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let face = face.clone();
        tokio::spawn(async move {
            let _seat = seat;
            connection(face, stream, peer).await;
        });
    }
}

async fn connection(face: Face, stream: TcpStream, peer: SocketAddr) {
    let service = service_fn(move |request| {
        let face = face.clone();
        async move { Ok::<_, Infallible>(answer(&face, &request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_DEADLINE, served).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "HTTP connection closed"),
    }
}

async fn answer<B>(face: &Face, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let context = match face {
        Face::Broker(context) => context,
        Face::Idle(why) => return idle(why, request.uri().path()),
    };
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(context),
        "/metrics" => {
            let lags = lags(context).await;
            text(StatusCode::OK, context.metrics.render(context, &lags))
        }
        "/admin/pre-restart" => told(restart::before(context, request.uri().query()).await),
        "/admin/post-restart" => told(restart::after(context).await),
        "/admin/unclean-elections" => told(elections::unclean(context).await),
        "/" => text(StatusCode::OK, format!("freshet: {PATHS}\n")),
        _ => text(StatusCode::NOT_FOUND, format!("try one of {PATHS}\n")),
    }
}

/// What a process answers that is stopped on purpose.
fn idle(why: &str, path: &str) -> Response<Full<Bytes>> {
    let told = format!("stopped on purpose: {why}\n");
    match path {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => text(StatusCode::OK, freshet_env::process::exposition()),
        _ => text(StatusCode::SERVICE_UNAVAILABLE, told),
    }
}

/// Ready means: every check passes. The body names each check, so that a person sees which one
/// does not.
fn ready(context: &Context) -> Response<Full<Bytes>> {
    let checks = context.readiness();
    let all = checks.iter().all(|check| check.problem.is_none());
    let lines: String = checks
        .iter()
        .map(|check| match &check.problem {
            None => format!("[+] {} ok\n", check.name),
            Some(problem) => format!("[-] {} failed: {problem}\n", check.name),
        })
        .collect();
    text(
        if all {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        lines,
    )
}

/// A state as JSON. One that is not known is no answer: whoever waits for a good one waits on.
fn told(state: Result<serde_json::Value, NoAnswer>) -> Response<Full<Bytes>> {
    let error = |error: String| serde_json::json!({ "error": error });
    let (status, body) = match state {
        Ok(state) => (StatusCode::OK, state),
        Err(NoAnswer::Bad(why)) => (StatusCode::BAD_REQUEST, error(why)),
        Err(NoAnswer::Unknown(why)) => (StatusCode::SERVICE_UNAVAILABLE, error(why)),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_process_that_is_stopped_on_purpose_lives_and_is_not_ready() {
        let face = Face::Idle("a disk is looked at".into());
        let ask = async |path: &str| {
            let request = Request::get(path).body(()).expect("a request");
            let answer = answer(&face, &request).await;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("a body");
            (
                status,
                String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            )
        };
        assert_eq!(ask("/livez").await, (200, "ok\n".to_owned()));
        let told = "stopped on purpose: a disk is looked at\n".to_owned();
        assert_eq!(ask("/readyz").await, (503, told.clone()));
        assert_eq!(ask("/admin/pre-restart").await, (503, told));
        let (status, page) = ask("/metrics").await;
        assert!(status == 200 && page.contains("process_"), "{page}");
        let post = Request::post("/livez").body(()).expect("a request");
        assert_eq!(
            answer(&face, &post).await.status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
