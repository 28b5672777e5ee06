//! How records are shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use freshet_client::ConsumerRecord;
use serde_json::{Value, json};

use crate::text::time;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The value's bytes.
    Value,
    /// Key, separator, value.
    KeyValue,
    /// One line with everything, for people.
    Full,
    /// One JSON object by line; bytes that are no text become {"base64": ".."}.
    Json,
    /// A dump of key and value.
    Hex,
}

impl Format {
    /// Appends the record and a line's end.
    pub(super) fn show(self, record: &ConsumerRecord, separator: &str, out: &mut Vec<u8>) {
        match self {
            Self::Value => out.extend_from_slice(or_null(&record.value)),
            Self::KeyValue => {
                out.extend_from_slice(or_null(&record.key));
                out.extend_from_slice(separator.as_bytes());
                out.extend_from_slice(or_null(&record.value));
            }
            Self::Full => full(record, out),
            Self::Json => out.extend_from_slice(json(record).to_string().as_bytes()),
            Self::Hex => return hex(record, out),
        }
        out.push(b'\n');
    }
}

fn or_null(part: &Option<Bytes>) -> &[u8] {
    part.as_deref().unwrap_or(b"null")
}

fn full(record: &ConsumerRecord, out: &mut Vec<u8>) {
    let place = format!("{}-{}@{}", record.topic, record.partition, record.offset);
    out.extend_from_slice(format!("{place} {} ", time::show(record.timestamp)).as_bytes());
    for header in &record.headers {
        let value = header.value.as_deref().unwrap_or(b"null");
        let header = format!("{}={} ", header.name_text(), String::from_utf8_lossy(value));
        out.extend_from_slice(header.as_bytes());
    }
    out.extend_from_slice(b"key=");
    out.extend_from_slice(or_null(&record.key));
    out.extend_from_slice(b" value=");
    out.extend_from_slice(or_null(&record.value));
}

fn json(record: &ConsumerRecord) -> Value {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|h| json!({ "key": h.name_text(), "value": text(&h.value) }))
        .collect();
    json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp.0,
        "key": text(&record.key),
        "value": text(&record.value),
        "headers": headers,
    })
}

fn text(part: &Option<Bytes>) -> Value {
    match part {
        None => Value::Null,
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
        },
    }
}

fn hex(record: &ConsumerRecord, out: &mut Vec<u8>) {
    let place = format!("{}-{}@{}", record.topic, record.partition, record.offset);
    out.extend_from_slice(format!("{place} {}\n", time::show(record.timestamp)).as_bytes());
    for (name, part) in [("key", &record.key), ("value", &record.value)] {
        let Some(bytes) = part else {
            out.extend_from_slice(format!("  {name} null\n").as_bytes());
            continue;
        };
        out.extend_from_slice(format!("  {name} {} bytes\n", bytes.len()).as_bytes());
        for (i, row) in bytes.chunks(16).enumerate() {
            out.extend_from_slice(dump_row(i * 16, row).as_bytes());
        }
    }
}

/// Offset, sixteen bytes, and what of them is readable.
fn dump_row(at: usize, row: &[u8]) -> String {
    let digits: String = row.iter().map(|b| format!("{b:02x} ")).collect();
    let readable = |b: &u8| {
        if b.is_ascii_graphic() || *b == b' ' {
            char::from(*b)
        } else {
            '.'
        }
    };
    let text: String = row.iter().map(readable).collect();
    format!("    {at:06x}  {digits:<48} {text}\n")
}

#[cfg(test)]
mod tests {
    use freshet_records::Header;
    use freshet_types::Timestamp;

    use super::*;

    fn record() -> ConsumerRecord {
        ConsumerRecord {
            topic: "orders".into(),
            partition: 2,
            offset: 15,
            timestamp: Timestamp(1_795_170_600_250),
            leader_epoch: 0,
            key: Some(Bytes::from("k")),
            value: Some(Bytes::from_static(b"v\xff")),
            headers: vec![Header::new("source", "web")],
        }
    }

    fn shown(format: Format, record: &ConsumerRecord) -> Vec<u8> {
        let mut out = Vec::new();
        format.show(record, "\t", &mut out);
        out
    }

    #[test]
    fn bytes_pass_untouched() {
        assert_eq!(shown(Format::Value, &record()), b"v\xff\n");
        assert_eq!(shown(Format::KeyValue, &record()), b"k\tv\xff\n");
        let tombstone = ConsumerRecord {
            value: None,
            ..record()
        };
        assert_eq!(shown(Format::KeyValue, &tombstone), b"k\tnull\n");
    }

    #[test]
    fn json_tells_everything() {
        let parsed: Value =
            serde_json::from_slice(&shown(Format::Json, &record())).expect("it is JSON");
        assert_eq!(parsed["key"], "k");
        assert_eq!(parsed["value"]["base64"], "dv8=");
        assert_eq!(parsed["offset"], 15);
        assert_eq!(parsed["headers"][0]["value"], "web");
        let tombstone = ConsumerRecord {
            value: None,
            ..record()
        };
        let parsed: Value =
            serde_json::from_slice(&shown(Format::Json, &tombstone)).expect("it is JSON");
        assert!(parsed["value"].is_null());
    }

    #[test]
    fn a_dump_is_readable() {
        let text = String::from_utf8(shown(Format::Hex, &record())).expect("it is text");
        assert!(
            text.starts_with("orders-2@15 2026-11-20T10:30:00.250Z\n"),
            "{text}"
        );
        assert!(text.contains("000000  76 ff"), "{text}");
        assert!(text.ends_with(" v.\n"), "{text}");
    }

    #[test]
    fn one_line_tells_everything_to_people() {
        let text = String::from_utf8_lossy(&shown(Format::Full, &record())).into_owned();
        assert!(text.starts_with("orders-2@15 "), "{text}");
        assert!(text.contains("source=web key=k value=v"), "{text}");
    }
}
