//! Lines of input, each a record.

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Reads lines of any bytes; none longer than a limit.
pub(super) struct Lines<R> {
    input: R,
    max_bytes: usize,
    number: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R, max_bytes: usize) -> Self {
        Self {
            input,
            max_bytes,
            number: 0,
        }
    }

    /// The number of the last line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        let mut line = Vec::new();
        let limit = self.max_bytes as u64 + 2;
        (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if line.len() > self.max_bytes {
            anyhow::bail!(
                "line {} is longer than {} bytes; raise --max-record-bytes",
                self.number,
                self.max_bytes
            );
        }
        Ok(Some(line.into()))
    }
}

/// How a line becomes a record.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// The key of every record.
    pub(super) key: Option<Bytes>,
    /// What stands between key and value.
    pub(super) separator: Option<Vec<u8>>,
    /// What stands for null.
    pub(super) null: Option<Vec<u8>>,
}

impl Shape {
    /// Key and value of a line.
    pub(super) fn split(
        &self,
        line: Bytes,
        number: u64,
    ) -> anyhow::Result<(Option<Bytes>, Option<Bytes>)> {
        let Some(separator) = &self.separator else {
            return Ok((self.key.clone(), self.or_null(line)));
        };
        let at = line.windows(separator.len()).position(|w| w == separator);
        let Some(at) = at else {
            let separator = String::from_utf8_lossy(separator);
            anyhow::bail!("line {number} has no key separator {separator:?}");
        };
        let value = line.slice(at + separator.len()..);
        Ok((self.or_null(line.slice(..at)), self.or_null(value)))
    }

    fn or_null(&self, part: Bytes) -> Option<Bytes> {
        (self.null.as_deref() != Some(&part[..])).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], max: usize) -> anyhow::Result<Vec<Bytes>> {
        let mut lines = Lines::new(input, max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(line);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn lines_end_with_or_without_an_end() {
        let lines = read(b"a\r\n\nb\xff\nlast", 10).await.expect("short lines");
        assert_eq!(lines, [&b"a"[..], b"", b"b\xff", b"last"]);
    }

    #[tokio::test]
    async fn a_long_line_is_named() {
        assert_eq!(read(b"12345\n", 5).await.expect("it fits").len(), 1);
        let error = read(b"ok\n123456\n", 5)
            .await
            .expect_err("too long")
            .to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn keys_and_nulls_are_found() {
        let shape = Shape {
            separator: Some(b"::".to_vec()),
            null: Some(b"NULL".to_vec()),
            ..Shape::default()
        };
        let (key, value) = shape
            .split(Bytes::from("k::v::w"), 1)
            .expect("it has a separator");
        assert_eq!(
            (key.as_deref(), value.as_deref()),
            (Some(&b"k"[..]), Some(&b"v::w"[..]))
        );
        let (key, value) = shape
            .split(Bytes::from("::NULL"), 1)
            .expect("it has a separator");
        assert_eq!((key.as_deref(), value), (Some(&b""[..]), None));
        let error = shape
            .split(Bytes::from("kv"), 7)
            .expect_err("no separator")
            .to_string();
        assert!(error.contains("line 7"), "{error}");
    }

    #[test]
    fn one_key_may_serve_all() {
        let shape = Shape {
            key: Some(Bytes::from("k")),
            ..Shape::default()
        };
        let (key, value) = shape.split(Bytes::from("v"), 1).expect("nothing can fail");
        assert_eq!(
            (key, value),
            (Some(Bytes::from("k")), Some(Bytes::from("v")))
        );
    }
}
