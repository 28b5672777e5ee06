//! What the attributes of `#[derive(Message)]` promise.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use bytes::Bytes;
use freshet_codec::{DecodeError, EncodeError, Flaw, Message, Payload, Reader, Writer};

/// One of each.
#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = "0-4", flexible = "3+")]
struct Everything {
    id: i32,
    #[field(nullable = "1+")]
    name: Option<String>,
    #[field(versions = "1+", default = 7)]
    strict: i16,
    #[field(versions = "1+", default = -1, ignorable)]
    lenient: i64,
    #[field(versions = "0-1", default = "old")]
    removed: String,
    #[field(versions = "2+")]
    inner: Option<Inner>,
    #[field(versions = "3+", tag = 1)]
    note: String,
    #[field(versions = "4+", tag = 0, default = 2.5)]
    weight: f64,
    #[field(classic)]
    client: String,
}

/// Nested.
#[derive(Debug, Clone, PartialEq, Message)]
struct Inner {
    flags: Vec<bool>,
    #[field(versions = "3+")]
    port: u16,
}

/// Carries record data between other fields.
#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = "0-1", flexible = "1+")]
struct Carrier {
    before: i8,
    records: Payload,
    after: i8,
    #[field(tag = 0)]
    tagged: Option<Bytes>,
}

fn write<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.finish().into_bytes())
}

fn read<M: Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let message = M::decode(&mut reader, version)?;
    reader.expect_end()?;
    Ok(message)
}

fn sample() -> Everything {
    Everything {
        id: 1,
        name: Some("n".into()),
        client: "c".into(),
        ..Default::default()
    }
}

#[test]
fn defaults_are_the_declared_ones() {
    let message = Everything::default();
    assert_eq!(
        (message.strict, message.lenient, message.weight),
        (7, -1, 2.5)
    );
    assert_eq!(message.removed, "old");
    assert_eq!((message.name, message.inner), (None, None));
}

#[test]
fn every_version_has_its_own_bytes() {
    let message = sample();
    assert_eq!(
        &write(&message, 0).unwrap()[..],
        b"\0\0\0\x01\0\x01n\0\x03old\0\x01c"
    );
    assert_eq!(
        &write(&message, 1).unwrap()[..],
        b"\0\0\0\x01\0\x01n\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\0\x03old\0\x01c"
    );
    assert_eq!(
        &write(&message, 3).unwrap()[..],
        b"\0\0\0\x01\x02n\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x01c\0"
    );
    for version in Everything::VERSIONS {
        assert_eq!(
            read::<Everything>(&write(&message, version).unwrap(), version).unwrap(),
            message
        );
    }
}

#[test]
fn a_nested_struct_inherits_version_and_flexibility() {
    let inner = Inner {
        flags: vec![true, false],
        port: 0,
    };
    let message = Everything {
        inner: Some(inner),
        ..sample()
    };
    let bytes = write(&message, 2).unwrap();
    assert_eq!(&bytes[17..], b"\x01\0\0\0\x02\x01\0\0\x01c");
    let bytes = write(&message, 3).unwrap();
    assert_eq!(&bytes[16..], b"\x01\x03\x01\0\0\0\0\0\x01c\0");
    assert_eq!(read::<Everything>(&bytes, 3).unwrap(), message);
}

#[test]
fn tagged_fields_are_written_in_order_and_only_when_needed() {
    let message = Everything {
        note: "x".into(),
        weight: 1.0,
        ..sample()
    };
    let bytes = write(&message, 4).unwrap();
    assert_eq!(&bytes[20..], b"\x02\0\x08\x3f\xf0\0\0\0\0\0\0\x01\x02\x02x");
    assert_eq!(read::<Everything>(&bytes, 4).unwrap(), message);
}

#[test]
fn a_tag_of_a_later_version_is_skipped() {
    let message = Everything {
        note: "x".into(),
        weight: 1.0,
        ..sample()
    };
    let bytes = write(&message, 4).unwrap();
    assert_eq!(
        read::<Everything>(&bytes, 3).unwrap(),
        Everything {
            weight: 2.5,
            ..message
        }
    );
}

#[test]
fn unknown_tags_are_skipped() {
    let mut bytes = write(&sample(), 3).unwrap().to_vec();
    assert_eq!(bytes.pop(), Some(0));
    bytes.extend_from_slice(b"\x02\x05\x03abc\x89\x01\0");
    assert_eq!(read::<Everything>(&bytes, 3).unwrap(), sample());
}

#[test]
fn a_tagged_field_ends_where_it_says() {
    let mut bytes = write(&sample(), 3).unwrap().to_vec();
    bytes.pop();
    bytes.extend_from_slice(b"\x01\x01\x03\x02x\0");
    let error = read::<Everything>(&bytes, 3).unwrap_err();
    assert_eq!(error.what, Flaw::Tag { tag: 1 });
}

#[test]
fn what_a_version_cannot_say_is_an_error_unless_ignorable() {
    let field = |field, version| Err(EncodeError::Field { field, version });
    let strict = Everything {
        strict: 8,
        ..sample()
    };
    assert_eq!(write(&strict, 0), field("Everything.strict", 0));
    let removed = Everything {
        removed: "new".into(),
        ..sample()
    };
    assert_eq!(write(&removed, 2), field("Everything.removed", 2));
    let tagged = Everything {
        note: "x".into(),
        ..sample()
    };
    assert_eq!(write(&tagged, 2), field("Everything.note", 2));
    let lenient = Everything {
        lenient: 8,
        ..sample()
    };
    assert_eq!(
        read::<Everything>(&write(&lenient, 0).unwrap(), 0).unwrap(),
        sample()
    );
}

#[test]
fn null_is_an_error_where_the_version_has_none() {
    let message = Everything {
        name: None,
        ..sample()
    };
    let error = EncodeError::Null {
        field: "Everything.name",
        version: 0,
    };
    assert_eq!(write(&message, 0), Err(error));
    assert_eq!(
        read::<Everything>(&write(&message, 1).unwrap(), 1).unwrap(),
        message
    );
    let error = read::<Everything>(b"\0\0\0\x01\xff\xff\0\0\0\0", 0).unwrap_err();
    assert_eq!(error.what, Flaw::Null);
}

#[test]
fn undeclared_versions_are_refused() {
    let error = EncodeError::Version {
        message: "Everything",
        version: 5,
    };
    assert_eq!(write(&sample(), 5), Err(error));
    assert_eq!(
        read::<Everything>(b"", -1).unwrap_err().what,
        Flaw::Version(-1)
    );
}

#[test]
fn stored_records_start_with_their_version() {
    let bytes = sample().to_stored(2).unwrap();
    assert_eq!(&bytes[..2], b"\0\x02");
    assert_eq!(Everything::from_stored(bytes.clone()), Ok(sample()));
    let longer = [&bytes[..], b"x"].concat();
    let error = Everything::from_stored(longer.into()).unwrap_err();
    assert_eq!(error.what, Flaw::Trailing { left: 1 });
}

#[test]
fn record_data_is_never_copied() {
    let (first, second) = (Bytes::from(vec![1; 1000]), Bytes::from(vec![2; 2000]));
    let records: Payload = [first.clone(), second.clone()].into_iter().collect();
    let carrier = Carrier {
        before: 1,
        records,
        after: 2,
        tagged: Some(vec![3; 500].into()),
    };
    let mut writer = Writer::new();
    carrier.encode(&mut writer, 1).unwrap();
    let chunks = writer.finish();
    let pieces = chunks.pieces();
    assert_eq!(pieces.len(), 5);
    assert_eq!(pieces[1].as_ptr(), first.as_ptr());
    assert_eq!(pieces[2].as_ptr(), second.as_ptr());
    assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), chunks.len());

    let frame = chunks.into_bytes();
    let decoded = Carrier::decode(&mut Reader::new(frame.clone()), 1).unwrap();
    assert_eq!(decoded, carrier);
    let slice = &decoded.records.chunks()[0];
    assert!(
        frame.as_ptr_range().contains(&slice.as_ptr()),
        "decoded records are a slice"
    );
}

#[test]
fn null_records_read_as_empty_and_are_written_as_empty() {
    let decoded = read::<Carrier>(b"\x01\xff\xff\xff\xff\x02", 0).unwrap();
    assert!(decoded.records.is_empty());
    assert_eq!(&write(&decoded, 0).unwrap()[..], b"\x01\0\0\0\0\x02");
}
