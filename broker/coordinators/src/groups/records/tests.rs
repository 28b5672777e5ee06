//! Stored bytes are Kafka's.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("ascii");
        u8::from_str_radix(text, 16).expect("hex")
    };
    digits.chunks(2).map(byte).collect()
}

fn offset() -> OffsetValue {
    OffsetValue {
        offset: 42,
        leader_epoch: 3,
        metadata: "m".into(),
        committed_at: Timestamp(1_700_000_000_000),
        expires_at: None,
        topic_id: TopicId([0xab; 16]),
    }
}

fn record(value: Option<OffsetValue>) -> Record {
    Record::Offset {
        group: "g".into(),
        topic: "t".into(),
        partition: 7,
        value,
    }
}

const OFFSET_KEY: &str = "0001 0001 67 0001 74 00000007";

#[test]
fn golden_offset() {
    let (key, value) = record(Some(offset())).encode();
    assert_eq!(key, hex(OFFSET_KEY));
    let expected = "0004 000000000000002a 00000003 02 6d 0000018bcfe56800
        01 00 10 abababababababababababababababab";
    assert_eq!(value.expect("a value"), hex(expected));
}

#[test]
fn golden_offset_without_topic_id() {
    let value = OffsetValue {
        topic_id: TopicId::ZERO,
        ..offset()
    };
    let (_, value) = record(Some(value)).encode();
    let expected = "0004 000000000000002a 00000003 02 6d 0000018bcfe56800 00";
    assert_eq!(value.expect("a value"), hex(expected));
}

#[test]
fn golden_offset_with_its_own_expiry() {
    let value = OffsetValue {
        expires_at: Some(Timestamp(5)),
        ..offset()
    };
    let (_, value) = record(Some(value)).encode();
    let expected = "0001 000000000000002a 0001 6d 0000018bcfe56800 0000000000000005";
    assert_eq!(value.expect("a value"), hex(expected));
}

#[test]
fn offsets_of_all_versions_are_read() {
    let at = "0000018bcfe56800";
    let bare = OffsetValue {
        leader_epoch: -1,
        topic_id: TopicId::ZERO,
        ..offset()
    };
    let cases = [
        (format!("0000 000000000000002a 0001 6d {at}"), bare.clone()),
        (
            format!("0001 000000000000002a 0001 6d {at} 0000000000000009"),
            OffsetValue {
                expires_at: Some(Timestamp(9)),
                ..bare.clone()
            },
        ),
        (
            format!("0001 000000000000002a 0001 6d {at} ffffffffffffffff"),
            bare.clone(),
        ),
        (format!("0002 000000000000002a 0001 6d {at}"), bare.clone()),
        (
            format!("0003 000000000000002a 00000003 0001 6d {at}"),
            OffsetValue {
                leader_epoch: 3,
                ..bare
            },
        ),
    ];
    for key in [OFFSET_KEY, "0000 0001 67 0001 74 00000007"] {
        for (bytes, expected) in &cases {
            let read = Record::decode(&hex(key), Some(&hex(bytes)));
            assert_eq!(read, Ok(Some(record(Some(expected.clone())))), "{bytes}");
        }
    }
}

#[test]
fn golden_group() {
    let member = MemberValue {
        member_id: "m".into(),
        instance_id: Some("i".into()),
        client_id: "c".into(),
        client_host: "/h".into(),
        rebalance_timeout_ms: 2,
        session_timeout_ms: 1,
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b"as"),
    };
    let value = GroupValue {
        protocol_type: Some("consumer".into()),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("m".into()),
        changed_at: Some(Timestamp(1_700_000_000_000)),
        members: vec![member],
    };
    let record = Record::Group {
        group: "g".into(),
        value: Some(Arc::new(value)),
    };
    let (key, value) = record.encode();
    assert_eq!(key, hex("0002 0001 67"));
    let expected = "0003 0008 636f6e73756d6572 00000005 0005 72616e6765 0001 6d 0000018bcfe56800
        00000001 0001 6d 0001 69 0001 63 0002 2f68 00000002 00000001
        00000001 73 00000002 6173";
    let value = value.expect("a value");
    assert_eq!(value, hex(expected));
    assert_eq!(Record::decode(&key, Some(&value)), Ok(Some(record)));
}

#[test]
fn an_old_empty_group_is_read() {
    let bytes = hex("0000 0000 00000001 ffff ffff 00000000");
    let Ok(Some(Record::Group {
        value: Some(value), ..
    })) = Record::decode(&hex("0002 0001 67"), Some(&bytes))
    else {
        panic!("a group")
    };
    let expected = GroupValue {
        protocol_type: None,
        generation: 1,
        protocol: None,
        leader: None,
        changed_at: None,
        members: vec![],
    };
    assert_eq!(*value, expected);
}

#[test]
fn tombstones_have_no_value() {
    let group = Record::Group {
        group: "g".into(),
        value: None,
    };
    for record in [record(None), group] {
        let (key, value) = record.encode();
        assert_eq!(value, None);
        assert_eq!(Record::decode(&key, None), Ok(Some(record)));
    }
}

#[test]
fn records_of_other_kinds_of_groups_are_skipped() {
    for kind in (3..=23i16).chain([-1]) {
        let key = [&kind.to_be_bytes()[..], &[0, 1, 103]].concat();
        assert_eq!(Record::decode(&key, Some(b"anything")), Ok(None));
    }
}

#[test]
fn a_subscription_names_its_topics() {
    let read = |text: &str| subscribed_topics(&Bytes::from(hex(text)));
    let topics = |names: &[&str]| Some(names.iter().map(|&name| name.into()).collect());
    assert_eq!(read("0000 00000000 ffffffff"), topics(&[]));
    assert_eq!(
        read("0003 00000002 0001 62 0001 61 00000000"),
        topics(&["a", "b"])
    );
    for bad in [
        "",
        "00",
        "0000 00000001",
        "0000 ffffffff",
        "0000 7fffffff 0001 61",
        "ffff 00000000",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn reading_never_panics(key: Vec<u8>, value: Option<Vec<u8>>, kind in 0..3i16) {
        let _ = Record::decode(&key, value.as_deref());
        let key = [&kind.to_be_bytes()[..], &[0, 1, 103, 0, 1, 116, 0, 0, 0, 1]].concat();
        let key = if kind == 2 { &key[..5] } else { &key };
        let _ = Record::decode(key, value.as_deref());
        let _ = subscribed_topics(&value.unwrap_or_default().into());
    }

    #[test]
    fn offsets_round_trip(
        (offset, leader_epoch, metadata) in (any::<i64>(), any::<i32>(), ".{0,40}"),
        committed_at: i64,
        id: [u8; 16],
    ) {
        let value = OffsetValue {
            offset,
            leader_epoch,
            metadata: metadata.into(),
            committed_at: Timestamp(committed_at),
            expires_at: None,
            topic_id: TopicId(id),
        };
        let record = record(Some(value));
        let (key, value) = record.encode();
        prop_assert_eq!(Record::decode(&key, value.as_deref()), Ok(Some(record)));
    }
}
