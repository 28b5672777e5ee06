//! HTTP/1.1 messages as far as a proxy has to know them: passed on byte for byte, for what is signed
//! must not change.

use std::io::{self, BufRead, BufReader, Read, Write};

/// A part of an object has 8 MiB.
const BODY_MAX_BYTES: usize = 64 << 20;
const LINE_MAX_BYTES: u64 = 64 << 10;

/// A request or an answer.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// The first line, without its end.
    pub(super) first: String,
    headers: Vec<(String, String)>,
    /// What follows the headers. Chunks are joined.
    pub(super) body: Vec<u8>,
    /// How long the body is by the headers' word, where that is more than there is: an answer to HEAD.
    told_bytes: Option<usize>,
}

impl Message {
    /// The next request; nothing if the client has closed.
    pub(super) fn request(from: &mut BufReader<impl Read>) -> io::Result<Option<Self>> {
        Self::read(from, false)
    }

    /// The answer to a request of this method.
    pub(super) fn answer(from: &mut BufReader<impl Read>, method: &str) -> io::Result<Self> {
        loop {
            let read = Self::read(from, method == "HEAD")?;
            let answer = read.ok_or(io::ErrorKind::UnexpectedEof)?;
            // "100 Continue" is none yet.
            if answer.status() >= 200 {
                return Ok(answer);
            }
        }
    }

    /// An answer with a text.
    pub(super) fn answered(status: u16, text: &str) -> Self {
        Self {
            first: format!("HTTP/1.1 {status} Answered"),
            headers: Vec::new(),
            body: text.into(),
            told_bytes: None,
        }
    }

    /// An answer of the proxy's own.
    pub(super) fn refusal(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>a trial</Message></Error>");
        Self {
            first: format!("HTTP/1.1 {status} Refused"),
            headers: vec![("Content-Type".into(), "application/xml".into())],
            body: body.into(),
            told_bytes: None,
        }
    }

    fn read(from: &mut BufReader<impl Read>, is_mute: bool) -> io::Result<Option<Self>> {
        let first = line(from)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let header = line(from)?;
            match header.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut message = Self {
            first,
            headers,
            body: Vec::new(),
            told_bytes: None,
        };
        let length = message.header("content-length");
        let length = length.and_then(|length| length.parse().ok());
        if is_mute {
            message.told_bytes = length;
        } else if message.header("transfer-encoding").is_some() {
            message.body = chunks(from)?;
        } else {
            message.body = exactly(from, length.unwrap_or(0))?;
        }
        Ok(Some(message))
    }

    /// A header by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter();
        let mut found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The method, of a request.
    pub(super) fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or_default()
    }

    /// The path with its query, of a request.
    pub(super) fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// The status, of an answer.
    pub(super) fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1);
        status.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Writes all of it.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        self.write_up_to(to, self.body.len())
    }

    /// Writes so many bytes of the body, and as if there were more to come.
    pub(super) fn write_up_to(&self, to: &mut impl Write, bytes: usize) -> io::Result<()> {
        let mut head = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            let is_length = ["content-length", "transfer-encoding"]
                .iter()
                .any(|length| name.eq_ignore_ascii_case(length));
            if !is_length {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let length = self.told_bytes.unwrap_or(self.body.len());
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        to.write_all(head.as_bytes())?;
        to.write_all(&self.body[..bytes.min(self.body.len())])?;
        to.flush()
    }
}

/// A line without its end; empty at the end of what comes.
fn line(from: &mut BufReader<impl Read>) -> io::Result<String> {
    let mut line = String::new();
    from.by_ref().take(LINE_MAX_BYTES).read_line(&mut line)?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn exactly(from: &mut BufReader<impl Read>, bytes: usize) -> io::Result<Vec<u8>> {
    if bytes > BODY_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; bytes];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(from: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(from)?;
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        body.extend(exactly(from, size)?);
        line(from)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
