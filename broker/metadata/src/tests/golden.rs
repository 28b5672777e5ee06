//! Bytes that are on disks already. A change here is a change of docs/formats/metadata.md, with a
//! new version of the record.

use freshet_settings::Overrides;
use freshet_types::{StoredRecord, TopicName, TopicPartition};

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(byte: u8) -> TopicId {
    TopicId([byte; 16])
}

fn partition() -> Partition {
    Partition {
        replicas: nodes(&[1, 2]),
        directories: vec![DirectoryId([0xd1; 16]), DirectoryId([0xd2; 16])],
        isr: nodes(&[2]),
        eligible: Vec::new(),
        last_known_eligible: Vec::new(),
        adding: Vec::new(),
        removing: Vec::new(),
        leader: Some(NodeId(2)),
        leader_epoch: 5,
        partition_epoch: 6,
    }
}

fn cases() -> Vec<(Record, String)> {
    let (aa, d1, d2) = ("aa".repeat(16), "d1".repeat(16), "d2".repeat(16));
    let ee = "ee".repeat(16);
    let at = TopicPartition {
        topic: id(0xaa),
        partition: 3,
    };
    let moving = Partition {
        adding: nodes(&[3]),
        eligible: nodes(&[1]),
        leader: None,
        ..partition()
    };
    let config = |resource, value: Option<&str>| Record::Config {
        resource,
        name: "n".into(),
        value: value.map(str::to_owned),
    };
    let mut registered = broker(7);
    registered.rack = None;
    let broker = Broker {
        node: registered.node,
        epoch: 9,
        incarnation: [0xcc; 16],
        listeners: registered.listeners,
        rack: None,
        directories: vec![DirectoryId([0xd1; 16])],
        fenced: true,
        stopping: false,
        cordoned: false,
        cordoned_directories: Vec::new(),
        slow_directories: Vec::new(),
        full_directories: Vec::new(),
        features: Vec::new(),
        served_epoch: -1,
        replaced: Vec::new(),
    };
    let stopping = Broker {
        stopping: true,
        cordoned: true,
        cordoned_directories: vec![DirectoryId([0xd1; 16])],
        features: vec![FeatureRange {
            name: "f".into(),
            min: 0,
            max: 2,
        }],
        served_epoch: 8,
        replaced: vec![[0xee; 16]],
        ..broker.clone()
    };
    let unwell = Broker {
        slow_directories: vec![DirectoryId([0xd1; 16])],
        full_directories: vec![DirectoryId([0xd2; 16])],
        ..broker.clone()
    };
    let kept = KeptTopic {
        name: TopicName::new("orders").unwrap(),
        partitions: 3,
        replication_factor: 2,
        leader_epoch: 9,
        configs: Overrides::from([("k".to_owned(), "v".to_owned())]),
    };
    let unclean = UncleanElection {
        at,
        leader: NodeId(2),
        leader_epoch: 6,
        cause: UncleanCause::Request,
        time: Timestamp(258),
    };
    let cc = "cc".repeat(16);
    vec![
        (
            Record::Broker(Arc::new(broker)),
            format!("00010000000000070000000000000009{cc}020a504c41494e544558540362372384000000 00 02{d1}0100").replace(' ', ""),
        ),
        (Record::NextBrokerEpoch(10), "00020000000000000000000a00".into()),
        (
            Record::Topic { id: id(0xaa), name: TopicName::new("orders").unwrap() },
            format!("00030000{aa}076f726465727300"),
        ),
        (
            Record::Partition { at, partition: Arc::new(partition()) },
            format!("00040000{aa}00000003030000000100000002 03{d1}{d2} 0200000002 00000002 00000005 00000006 00").replace(' ', ""),
        ),
        (
            Record::Partition { at, partition: Arc::new(moving) },
            format!("00040000{aa}00000003030000000100000002 03{d1}{d2} 0200000002 ffffffff 00000005 00000006 02 00050200000001 02050200000003").replace(' ', ""),
        ),
        (Record::TopicDeleted { id: id(0xaa), kept: None }, format!("00050000{aa}00")),
        (
            Record::TopicDeleted { id: id(0xaa), kept: Some(Arc::new(kept)) },
            format!("00050000{aa} 01 00 19 01 076f7264657273 00000003 0002 00000009 02 026b 0276 00 00").replace(' ', ""),
        ),
        (config(ConfigResource::Topic(id(0xaa)), Some("v")), format!("0006000002{aa}01026e027600")),
        (config(ConfigResource::Broker(NodeId(7)), None), format!("0006000004{}0237026e0000", "00".repeat(16))),
        (config(ConfigResource::Cluster, Some("")), format!("0006000005{}01026e0100", "00".repeat(16))),
        (config(ConfigResource::Group("g".into()), None), format!("0006000020{}0267026e0000", "00".repeat(16))),
        (config(ConfigResource::ClientMetrics("m".into()), None), format!("0006000010{}026d026e0000", "00".repeat(16))),
        (Record::NextProducerId(1000), "0007000000000000000003e800".into()),
        (Record::Feature { name: "f".into(), level: 2 }, "000800000266000200".into()),
        (
            Record::Broker(Arc::new(stopping)),
            format!("00010000000000070000000000000009{cc}020a504c41494e544558540362372384000000 00 02{d1}01 06 000101 010101 0211 02{d1} 0308 02 0266 0000 0002 00 0408 0000000000000008 0511 02{ee}").replace(' ', ""),
        ),
        (
            Record::Broker(Arc::new(unwell)),
            format!("00010000000000070000000000000009{cc}020a504c41494e544558540362372384000000 00 02{d1}01 02 061102{d1} 071102{d2}").replace(' ', ""),
        ),
        (Record::BrokerGone { node: NodeId(7) }, "000900000000000700".into()),
        (
            Record::UncleanElection(Arc::new(unclean)),
            format!("000a0000{aa}00000003 00000002 00000006 01 0000000000000102 00").replace(' ', ""),
        ),
        (Record::Version(300), "000b0000000000000000012c00".into()),
    ]
}

#[test]
fn records_have_the_bytes_of_the_format_page() {
    for (record, bytes) in cases() {
        assert_eq!(hex(&record.to_bytes()), bytes, "{record:?}");
        assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
    }
}

#[test]
fn cut_and_lengthened_records_are_refused() {
    for (record, _) in cases() {
        let whole = record.to_bytes();
        for len in 0..whole.len() {
            assert!(
                Record::from_bytes(&whole[..len]).is_err(),
                "{record:?} cut to {len}"
            );
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(Record::from_bytes(&longer).is_err(), "{record:?}");
    }
    assert!(
        Record::from_bytes(&[0, 99, 0, 0, 0]).is_err(),
        "unknown kind"
    );
    assert!(
        Record::from_bytes(&[0, 2, 0, 9, 0]).is_err(),
        "unknown version"
    );
}

#[test]
fn a_field_that_a_later_version_adds_is_skipped() {
    let mut bytes = Record::NextProducerId(1000).to_bytes();
    // One tagged field, tag 5, two bytes.
    bytes.pop();
    bytes.extend_from_slice(&[1, 5, 2, 0xab, 0xcd]);
    assert_eq!(Record::from_bytes(&bytes), Ok(Record::NextProducerId(1000)));
}
