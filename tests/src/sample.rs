//! Records made from a seed, with every shape of key, value and header that clients tell apart.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::bits::Bits;
use crate::line::Shown;

/// One record to be produced; key, value and header values are base64, `None` is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The number by which acknowledgements name the record.
    #[serde(rename = "i")]
    pub number: u64,
    /// The partition to send it to.
    #[serde(rename = "p")]
    pub partition: i32,
    /// Milliseconds since 1970.
    #[serde(rename = "ts")]
    pub timestamp: i64,
    /// The key.
    #[serde(rename = "k")]
    pub key: Option<String>,
    /// The value.
    #[serde(rename = "v")]
    pub value: Option<String>,
    /// Headers in order; equal names stand together, because kafkajs keeps them in a map.
    #[serde(rename = "h")]
    pub headers: Vec<(String, Option<String>)>,
}

/// A fixed moment (2023-11-14), so that the same seed gives the same record on every day.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// The records of these numbers from `seed`, dealt out over `partitions`.
pub fn samples(seed: u64, numbers: Range<u64>, partitions: i32) -> Vec<Sample> {
    numbers
        .map(|number| sample(seed, number, partitions))
        .collect()
}

/// The same records as written right now. Apache Kafka forgets, at a restart, idempotent producers
/// whose records are a day old by their timestamps, so faults are tried with fresh ones.
pub(crate) fn fresh(mut made: Vec<Sample>) -> Vec<Sample> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    for sample in &mut made {
        sample.timestamp = i64::try_from(now.as_millis()).unwrap_or(EPOCH_MS);
    }
    made
}

fn sample(seed: u64, number: u64, partitions: i32) -> Sample {
    let mut bits = Bits::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let key = match number % 5 {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some(format!("key-{seed}-{}", number % 13).into_bytes()),
    };
    let value = match number % 9 {
        // Some libraries refuse a record that has neither key nor value.
        0 if key.is_some() => None,
        1 => Some(Vec::new()),
        2 => Some(format!("grüße № {number} 流れ").into_bytes()),
        3 => Some(format!("compressible-{number} ").repeat(500).into_bytes()),
        _ => Some(bits.bytes(1 + number % 400)),
    };
    let headers = (0..number % 4)
        .map(|at| match at {
            0 => ("trace".to_owned(), Some(encode(&bits.bytes(16)))),
            1 => ("trace".to_owned(), Some(encode(b"second of its name"))),
            _ => ("empty".to_owned(), Some(String::new())),
        })
        .collect();
    Sample {
        number,
        partition: i32::try_from(number % partitions.unsigned_abs() as u64).unwrap_or(0),
        timestamp: EPOCH_MS + i64::try_from(number * 37).unwrap_or(0),
        key: key.as_deref().map(encode),
        value: value.as_deref().map(encode),
        headers,
    }
}

/// Bytes as they travel in lines.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Compares what a reader was shown with what was produced: `acked` gives each number's partition
/// and offset. Every record must be there exactly once, in its place, with every field as it was.
pub fn compare(
    produced: &[Sample],
    acked: &BTreeMap<u64, (i32, i64)>,
    shown: &[Shown],
) -> Result<()> {
    let mut by_place = BTreeMap::new();
    for record in shown {
        let place = (record.partition, record.offset);
        ensure!(
            by_place.insert(place, record).is_none(),
            "shown twice at {place:?}"
        );
    }
    for sample in produced {
        let Some(place) = acked.get(&sample.number) else {
            bail!("record {} was never acknowledged", sample.number);
        };
        let Some(record) = by_place.remove(place) else {
            let others = shown.iter().filter(|other| other.partition == place.0);
            let offsets: Vec<i64> = others.map(|other| other.offset).collect();
            bail!(
                "record {} acknowledged at {place:?} was not shown; {} others of its partition were, from {:?} to {:?}",
                sample.number,
                offsets.len(),
                offsets.iter().min(),
                offsets.iter().max()
            );
        };
        ensure!(
            place.0 == sample.partition,
            "record {} went to {place:?}",
            sample.number
        );
        let wanted = (
            sample.timestamp,
            &sample.key,
            &sample.value,
            &sample.headers,
        );
        let got = (
            record.timestamp,
            &record.key,
            &record.value,
            &record.headers,
        );
        ensure!(
            wanted == got,
            "record {} at {place:?}: sent {wanted:?}, shown {got:?}",
            sample.number
        );
    }
    if let Some((place, record)) = by_place.pop_first() {
        bail!("shown at {place:?} but never produced: {record:?}");
    }
    Ok(())
}
