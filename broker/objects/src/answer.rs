//! What a store answers over HTTP when it does not do what was asked.
//!
//! `object_store` knows some statuses and throws all others together, and says neither the status nor the
//! store's code of those. So its requests pass through here: an answer that is no success becomes an
//! error of our own, which [`failure`](crate::failure) finds again below whatever is wrapped around it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use bytes::BytesMut;
use freshet_env::objects::{ObjectFailure, RequestCounts, RequestKind};
use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

/// As much of a refusal's text is read.
const TEXT_MAX_BYTES: usize = 16 * 1024;
/// A batch of one request has some hundred bytes. What was done is not known of one that says more.
const BATCH_MAX_BYTES: usize = 64 * 1024;
/// As much of it is shown, in characters.
const SHOWN_MAX: usize = 300;

/// Opens connections whose refusals can be told apart, and whose requests are counted.
#[derive(Debug)]
pub(crate) struct Connector {
    beneath: ReqwestConnector,
    counts: Arc<RequestCounts>,
}

impl Connector {
    pub(crate) fn new(counts: &Arc<RequestCounts>) -> Self {
        Self {
            beneath: ReqwestConnector::default(),
            counts: Arc::clone(counts),
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Listener {
            beneath: self.beneath.connect(options)?,
            counts: Arc::clone(&self.counts),
        }))
    }
}

#[derive(Debug)]
struct Listener {
    beneath: HttpClient,
    counts: Arc<RequestCounts>,
}

#[async_trait]
impl HttpService for Listener {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query();
        let (kind, is_batch) = (kind(request.method().as_str(), query), is_batch(query));
        self.counts
            .asks(kind, request.body().content_length() as u64);
        let answer = self.beneath.execute(request).await?;
        if kind != RequestKind::Head {
            let bytes = promised(&answer);
            self.counts.received_bytes.fetch_add(bytes, Relaxed);
        }
        let refusal = match answer.status().is_success() {
            true if !is_batch => return Ok(answer),
            true => match inside(answer).await? {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            },
            false => Refusal::read(answer).await,
        };
        Err(HttpError::new(refusal.worth(), refusal))
    }
}

/// Whether it is one of Azure's batches. `object_store` removes objects with them, and is given one at a time.
fn is_batch(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|it| it == "comp=batch"))
}

/// What a batch of one request was answered inside, of which `object_store` passes on no more than a status.
async fn inside(answer: HttpResponse) -> Result<Result<HttpResponse, Refusal>, HttpError> {
    let (head, body) = answer.into_parts();
    let mut pieces = body.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if body.len() + piece.len() > BATCH_MAX_BYTES {
            let why = format!("the answer to a batch is longer than {BATCH_MAX_BYTES} bytes");
            return Err(HttpError::new_boxed(HttpErrorKind::Decode, why.into()));
        }
        body.extend_from_slice(&piece);
    }
    let body = body.freeze();
    let refusal = Refusal::inside(&String::from_utf8_lossy(&body));
    Ok(refusal.map_or_else(|| Ok(HttpResponse::from_parts(head, body.into())), Err))
}

/// What a request is to those who bill for it: a listing is a GET to all stores, S3 and Google say
/// `list-type` in it, Azure `comp=list`. A batch removes.
fn kind(method: &str, query: Option<&str>) -> RequestKind {
    let mut asked = query.unwrap_or_default().split('&');
    match method {
        "PUT" => RequestKind::Put,
        "HEAD" => RequestKind::Head,
        "DELETE" => RequestKind::Delete,
        "GET" if asked.any(|it| it == "comp=list" || it.starts_with("list-type=")) => {
            RequestKind::List
        }
        "GET" => RequestKind::Get,
        _ if is_batch(query) => RequestKind::Delete,
        _ => RequestKind::Post,
    }
}

/// The length that an answer promises. Pages of names may come without one; they are short.
fn promised(answer: &HttpResponse) -> u64 {
    let length = answer.headers().get("content-length");
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    status: u16,
    /// The store's word for it; answers to HEAD have none, but for Azure's.
    code: Option<String>,
    /// The store's sentence about it.
    text: String,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for more in self.code.iter().chain(Some(&self.text)) {
            if !more.is_empty() {
                write!(f, " {more}")?;
            }
        }
        Ok(())
    }
}

impl Refusal {
    async fn read(answer: HttpResponse) -> Self {
        let status = answer.status().as_u16();
        let header = answer.headers().get("x-ms-error-code");
        let header = header
            .and_then(|code| code.to_str().ok())
            .map(str::to_owned);
        let mut body = answer.into_body().bytes_stream();
        let mut text = BytesMut::new();
        // A text that breaks off is as good as the part that came.
        while let Some(Ok(piece)) = body.next().await
            && text.len() < TEXT_MAX_BYTES
        {
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8_lossy(&text);
        Self {
            status,
            code: header.or_else(|| element(&text, "Code").map(str::to_owned)),
            // The rest of the text may repeat what was signed.
            text: shown(element(&text, "Message").unwrap_or_default()),
        }
    }

    /// Reads the answer within a batch's: a status line, headers, a text. `None` if it is a success.
    fn inside(text: &str) -> Option<Self> {
        const CODE: &str = "x-ms-error-code";
        let (_, behind) = text.split_once("\nHTTP/1.1 ")?;
        let mut lines = behind.lines();
        let (status, reason) = lines.next()?.split_once(' ')?;
        let status = status.parse().ok()?;
        let code = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(CODE).then(|| value.trim())
        });
        (status >= 300).then(|| Self {
            status,
            code: code.or_else(|| element(text, "Code")).map(str::to_owned),
            text: shown(reason.trim()),
        })
    }

    /// Whether there was no text to say more than the status.
    pub(crate) fn is_mute(&self) -> bool {
        self.code.is_none() && self.status < 500
    }

    /// Whether it says that there are no such bytes.
    pub(crate) fn is_of_range(&self) -> bool {
        self.status == 416
    }

    /// What became of the request.
    pub(crate) fn failure(&self) -> ObjectFailure {
        use ObjectFailure::*;
        match self.code.as_deref().unwrap_or_default() {
            "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName" => return Invalid,
            "SlowDown" | "ServerBusy" | "TooManyRequests" | "RequestLimitExceeded" => {
                return Throttled;
            }
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => return Denied,
            "BlobAlreadyExists" => return AlreadyExists,
            // The bytes were lost or damaged on the way: S3 says that with 400.
            "BadDigest"
            | "IncompleteBody"
            | "RequestTimeout"
            | "XAmzContentSHA256Mismatch"
            | "Md5Mismatch" => return Unanswered,
            _ => {}
        }
        match self.status {
            401 | 403 => Denied,
            404 => NotFound,
            // Two writes under one name at a time; who has won is not known yet.
            408 | 409 => Unanswered,
            412 => AlreadyExists,
            429 => Throttled,
            501 | 505 => Invalid,
            500.. => Unanswered,
            // Redirections too: another region, or no object store at all.
            _ => Invalid,
        }
    }

    /// How the client is told: whether the same may work a little later.
    fn worth(&self) -> HttpErrorKind {
        match self.failure() {
            ObjectFailure::Throttled | ObjectFailure::Unanswered => HttpErrorKind::Interrupted,
            _ => HttpErrorKind::Unknown,
        }
    }
}

/// The text of the first XML element of a name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    behind
        .split_once(&format!("</{name}>"))
        .map(|(inside, _)| inside.trim())
}

fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> Refusal {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        Refusal {
            status,
            code,
            text: String::new(),
        }
    }

    #[test]
    fn a_refusal_says_whether_it_may_have_been_done() {
        use ObjectFailure::*;
        for (status, code, failure) in [
            (404, "NoSuchKey", NotFound),
            (404, "", NotFound),
            (404, "NoSuchBucket", Invalid),
            (404, "ContainerNotFound", Invalid),
            (412, "PreconditionFailed", AlreadyExists),
            (409, "BlobAlreadyExists", AlreadyExists),
            (409, "ConditionalRequestConflict", Unanswered),
            (403, "SignatureDoesNotMatch", Denied),
            (401, "", Denied),
            (400, "ExpiredToken", Denied),
            (400, "BadDigest", Unanswered),
            (400, "KeyTooLongError", Invalid),
            (416, "InvalidRange", Invalid),
            (301, "PermanentRedirect", Invalid),
            (429, "", Throttled),
            (503, "SlowDown", Throttled),
            (503, "", Unanswered),
            (500, "InternalError", Unanswered),
            (504, "", Unanswered),
            (501, "NotImplemented", Invalid),
        ] {
            assert_eq!(refusal(status, code).failure(), failure, "{status} {code}");
        }
    }

    #[test]
    fn requests_are_of_the_kind_that_is_billed() {
        use RequestKind::*;
        for (method, query, expected) in [
            ("PUT", None, Put),
            ("PUT", Some("partNumber=1&uploadId=u"), Put),
            ("PUT", Some("comp=block&blockid=b"), Put),
            ("POST", Some("uploads="), Post),
            ("GET", None, Get),
            ("GET", Some("versionId=list-type"), Get),
            ("GET", Some("prefix=a&list-type=2"), List),
            ("GET", Some("restype=container&comp=list"), List),
            ("HEAD", None, Head),
            ("DELETE", Some("uploadId=u"), Delete),
            ("POST", Some("restype=container&comp=batch"), Delete),
        ] {
            assert_eq!(kind(method, query), expected, "{method} {query:?}");
        }
    }

    #[test]
    fn a_batch_of_one_is_refused_inside() {
        let batch = |inside: &str| {
            let text = format!(
                "--batchresponse_1\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\n\
                 HTTP/1.1 {inside}\r\n\r\n--batchresponse_1--\r\n"
            );
            Refusal::inside(&text)
        };
        assert_eq!(batch("202 Accepted\r\nx-ms-version: 2023-11-03"), None);
        for (said, failure) in [
            (
                "404 No such blob.\r\nx-ms-error-code: BlobNotFound",
                ObjectFailure::NotFound,
            ),
            (
                "404 No.\r\nX-Ms-Error-Code: ContainerNotFound",
                ObjectFailure::Invalid,
            ),
            ("403 No.\r\nServer: x", ObjectFailure::Denied),
            (
                "503 Later.\r\n\r\n<Error><Code>ServerBusy</Code></Error>",
                ObjectFailure::Throttled,
            ),
        ] {
            let refused = batch(said).map(|refusal| refusal.failure());
            assert_eq!(refused, Some(failure), "{said}");
        }
        assert_eq!(Refusal::inside("no batch"), None);
    }

    #[tokio::test]
    async fn of_a_batch_no_more_is_read_than_it_can_have() {
        let read = async |bytes| inside(HttpResponse::new(vec![b'x'; bytes].into())).await;
        let whole = read(BATCH_MAX_BYTES).await.unwrap().unwrap();
        assert_eq!(
            whole.into_body().bytes().await.unwrap().len(),
            BATCH_MAX_BYTES
        );
        let error = read(BATCH_MAX_BYTES + 1).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Decode);
    }

    #[test]
    fn elements_are_found() {
        let text = "<Error><Code> SlowDown </Code><Message>a\nb</Message></Error>";
        assert_eq!(element(text, "Code"), Some("SlowDown"));
        assert_eq!(element(text, "Message").map(shown).as_deref(), Some("a b"));
        assert_eq!(element(text, "Key"), None);
        assert_eq!(element("<Code>open", "Code"), None);
    }
}
