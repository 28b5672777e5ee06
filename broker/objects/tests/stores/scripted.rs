//! A server that answers as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freshet_objects::{Bucket, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cases::open;

/// What it does when it was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    /// A status with headers and a body.
    Answer(&'static str, &'static str, &'static str),
    /// That there is no such object; and the connection may be used again.
    Stay,
    /// More bytes promised than sent, and then nothing.
    Half,
    /// Nothing, and the connection stays.
    Nothing,
    /// Nothing, and the connection goes.
    Goodbye,
}

/// An S3 error as the store writes it.
macro_rules! s3_error {
    ($status:literal, $code:literal) => {
        $crate::scripted::Says::Answer(
            $status,
            "",
            concat!(
                "<Error><Code>",
                $code,
                "</Code><Message>a test</Message></Error>"
            ),
        )
    };
}
pub(crate) use s3_error;

/// The server; it is gone with the runtime of its test.
pub(crate) struct Scripted {
    port: u16,
    heard: Arc<Heard>,
}

/// What it has been asked, on all connections together.
#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

impl Scripted {
    /// Gives one answer after the other, and the last one for ever.
    pub(crate) async fn new(script: &[Says]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Heard::default());
        let (script, hears) = (script.to_vec(), Arc::clone(&heard));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                hears.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(converse(stream, script.clone(), Arc::clone(&hears)));
            }
        });
        Self { port, heard }
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A bucket there.
    pub(crate) fn bucket(&self, limits: &Limits) -> Bucket {
        let endpoint = self.endpoint();
        let environment = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ];
        open("s3://bucket", &environment, limits)
    }

    /// The first lines of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.heard.lines.lock().unwrap().clone()
    }

    /// How many connections it was asked by.
    pub(crate) fn connections(&self) -> usize {
        self.heard.connections.load(Ordering::Relaxed)
    }
}

async fn converse(mut stream: TcpStream, script: Vec<Says>, heard: Arc<Heard>) {
    while let Some(line) = request(&mut stream).await {
        let at = {
            let mut lines = heard.lines.lock().unwrap();
            lines.push(line);
            lines.len() - 1
        };
        let says = script[at.min(script.len() - 1)];
        let text = match says {
            Says::Answer(status, headers, body) => format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            ),
            Says::Stay => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Says::Half => {
                "HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-9/10\r\ncontent-length: 10\r\n\
                 last-modified: Sun, 01 Mar 2026 10:00:00 GMT\r\n\r\n01234"
                    .to_owned()
            }
            Says::Nothing => String::new(),
            Says::Goodbye => return,
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        match says {
            Says::Stay => {}
            Says::Half | Says::Nothing => std::future::pending().await,
            Says::Answer(..) | Says::Goodbye => return,
        }
    }
}

/// Reads a request to its end and gives its first line.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let end = heard.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&heard[..end]).into_owned();
            let lower = head.to_lowercase();
            let len = lower.split_once("content-length: ");
            let len = len.and_then(|(_, behind)| behind.lines().next()?.parse().ok());
            if heard.len() - end - 4 >= len.unwrap_or(0) {
                return head.lines().next().map(str::to_owned);
            }
        }
        match stream.read(&mut piece).await {
            // A greeting of TLS is no request.
            Ok(count @ 1..) if !heard.is_empty() || piece[0] != 0x16 => {
                heard.extend_from_slice(&piece[..count])
            }
            _ => return None,
        }
    }
}
