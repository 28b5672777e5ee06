//! Every API in every version that the registry serves: a plausible request is answered without an
//! error, and one that names what does not exist with the right error. That a reply can be written
//! and read in its version, whole and with nothing behind it, [`Raw::call`] checks each time.

mod cluster;
mod configs;
mod groups;
mod records;
mod topics;

use freshet_server::served;
use freshet_types::TopicId;
use freshet_wire::{ApiKey, ErrorCode};

use crate::rig::{Raw, Rig};

/// What a name says that nothing has.
const ABSENT: &str = "absent";
const ABSENT_ID: TopicId = TopicId([0xee; 16]);

/// One API's part of the test.
struct Case {
    key: ApiKey,
    /// Things that exist.
    plain: fn(&mut Stage, i16),
    /// Things that do not.
    absent: fn(&mut Stage, i16),
}

/// A broker with a topic and a group coordinator.
struct Stage {
    raw: Raw,
    made: u32,
    /// One partition with one record.
    topic: String,
    id: TopicId,
}

impl Stage {
    fn new(rig: &Rig) -> Self {
        let mut raw = rig.connect();
        let id = raw.create("here", 1);
        raw.produce(id, 0, b"record");
        groups::await_coordinator(&mut raw);
        Self {
            raw,
            made: 0,
            topic: "here".to_owned(),
            id,
        }
    }

    /// A name that nothing has yet.
    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("made-{}", self.made)
    }

    /// Another topic with one partition and one record.
    fn new_topic(&mut self) -> (String, TopicId) {
        let name = self.new_name();
        let id = self.raw.create(&name, 1);
        self.raw.produce(id, 0, b"record");
        (name, id)
    }
}

/// Compares with a code on the wire.
#[track_caller]
fn expect(told: i16, wanted: ErrorCode) {
    assert_eq!(ErrorCode::from_code(told), Some(wanted));
}

#[test]
fn every_served_version_is_answered() {
    let rig = Rig::start(&[
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", "2"),
    ]);
    let mut stage = Stage::new(&rig);
    let all = [
        records::CASES,
        topics::CASES,
        configs::CASES,
        groups::CASES,
        cluster::CASES,
    ];
    let cases: Vec<&Case> = all.into_iter().flatten().collect();
    for api in served() {
        let name = api.key.name();
        let case = cases.iter().find(|case| case.key == api.key);
        let case = case.unwrap_or_else(|| panic!("{name} is served and has no case here"));
        for version in api.versions.clone() {
            // Shown when one of them fails.
            println!("{name} version {version}");
            (case.plain)(&mut stage, version);
            println!("{name} version {version}, absent");
            (case.absent)(&mut stage, version);
        }
    }
}
