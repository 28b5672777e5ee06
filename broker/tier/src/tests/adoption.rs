//! A manifest takes the place of another as a whole: a snapshot, or one from the bucket.

use freshet_types::{ErrorKind, Machine, StoredRecord};
use proptest::prelude::*;

use super::support::{HERE, Shard, epochs, id, log, stored};
use crate::machine::{Answer, Ask, Change, Limits, Manifests, Purpose, Record, Refusal};
use crate::manifest::Manifest;

/// Some of everything: named, open, unnamed.
fn shard() -> Shard {
    let mut shard = Shard::with(&[(0, 100), (100, 200), (200, 300)]);
    shard.ask(1, Ask::MoveStart { log_start: 100 }).unwrap();
    shard.export();
    shard
        .begin(1, &stored(4, 300, 400), Purpose::Append)
        .unwrap();
    shard
}

/// The manifest in the bucket as of now.
fn exported(shard: &Shard) -> Vec<u8> {
    shard.manifest().export(HERE).bytes
}

fn adopt(exported: Vec<u8>, newest: u64) -> Ask {
    Ask::Adopt { exported, newest }
}

/// A shard that has lost what `lost` has, and hears a leader of epoch 5 whose log begins at 100.
fn forgetful(lost: &Shard) -> (Shard, Vec<u8>, u64) {
    let mut shard = Shard::new();
    shard.ask(5, Ask::Claim(log(0, 100, 1000))).unwrap();
    assert!(shard.manifest().is_pristine());
    (shard, exported(lost), lost.manifest().version())
}

fn loaded<'a>(records: impl Iterator<Item = &'a Record>) -> Manifests {
    let mut machine = Manifests::new(Limits::default());
    records.for_each(|record| machine.apply(record));
    machine
}

#[test]
fn what_the_bucket_has_is_adopted_and_claimed() {
    let lost = shard();
    let (mut shard, bytes, newest) = forgetful(&lost);
    assert_eq!(shard.ask(5, adopt(bytes, newest)), Ok(Answer::Adopted));
    assert_eq!(shard.shown(), lost.shown());
    let adopted = shard.manifest().clone();
    assert_eq!((adopted.leader_epoch(), adopted.log_start()), (1, 100));
    assert_eq!(adopted.exported(), newest);
    assert!(
        adopted.version() > newest + 1000,
        "what was put late is older"
    );
    // Nobody's, before it is claimed.
    let early = shard.ask(5, Ask::Collect);
    assert_eq!(early, Err(Refusal::NotClaimed { asked: 5 }));
    let mut claim = log(0, 100, 1000);
    claim.epochs = epochs(&[(1, 100), (5, 400)]);
    shard.ask(5, Ask::Claim(claim)).unwrap();
    assert_eq!(shard.manifest().leader_epoch(), 5);
    shard.append(5, stored(9, 300, 500)).unwrap();
    assert_eq!(shard.manifest().version(), adopted.version() + 2);
}

#[test]
fn what_contradicts_the_leader_is_found_by_its_claim() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    shard.ask(5, adopt(bytes, newest)).unwrap();
    let mut other = log(0, 100, 1000);
    other.epochs = epochs(&[(1, 100), (4, 200)]);
    let (at, remote_end) = (200, 300);
    let departs = Err(Refusal::Departs { at, remote_end });
    assert_eq!(shard.ask(5, Ask::Claim(other.clone())), departs);
    let hole = shard.ask(5, Ask::Claim(log(0, 350, 1000)));
    assert_eq!(hole, Err(Refusal::Hole { from: 300, to: 350 }));
    // An unclean election since, which the lost manifest may have known of.
    other.unclean = Some(4);
    shard.ask(5, Ask::Claim(other)).unwrap();
    assert_eq!(shard.shown(), [(2, 100, 200)]);
}

#[test]
fn a_manifest_that_knows_anything_is_not_replaced() {
    let lost = shard();
    let bytes = exported(&lost);
    let newest = lost.manifest().version();
    let mut expired = Shard::with(&[(0, 100)]);
    expired.ask(1, Ask::MoveStart { log_start: 100 }).unwrap();
    let mut told = Shard::claimed();
    told.export();
    for mut knows in [shard(), expired, told] {
        let before = knows.manifest().clone();
        let refused = knows.ask(1, adopt(bytes.clone(), newest)).unwrap_err();
        assert_eq!(refused, Refusal::NotNew);
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert_eq!(*knows.manifest(), before);
    }
}

#[test]
fn what_was_only_begun_is_collected_after_an_adoption() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    // Questions of the time before that come late: one of an object that is named there.
    for late in [
        stored(3, 200, 300),
        stored(7, 300, 400),
        stored(8, 300, 400),
    ] {
        shard.begin(5, &late, Purpose::Append).unwrap();
    }
    shard.ask(5, Ask::Abandon { ids: vec![id(8)] }).unwrap();
    assert!(shard.manifest().is_pristine());
    shard.ask(5, adopt(bytes.clone(), newest)).unwrap();
    assert_eq!(shard.ask(5, adopt(bytes, newest)), Ok(Answer::Adopted));
    assert_eq!(shard.shown(), [(2, 100, 200), (3, 200, 300)]);
    assert!(shard.manifest().open().is_empty());
    let left: Vec<_> = shard.manifest().unnamed().keys().copied().collect();
    assert_eq!(left, [id(7), id(8)]);
}

#[test]
fn an_adoption_whose_answer_was_lost_is_answered_again() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    shard.ask(5, adopt(bytes.clone(), newest)).unwrap();
    let written = shard.records.len();
    let again = shard.ask(5, adopt(bytes.clone(), newest));
    assert_eq!(again, Ok(Answer::Adopted));
    assert_eq!(shard.records.len(), written);
    // One that comes after the claim would take back what has happened since.
    shard.ask(5, Ask::Claim(log(0, 100, 1000))).unwrap();
    let late = shard.ask(5, adopt(bytes, newest));
    assert_eq!(late, Err(Refusal::NotNew));
}

#[test]
fn whoever_leads_no_more_adopts_nothing() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    let (asked, current) = (4, 5);
    let fenced = shard.ask(asked, adopt(bytes.clone(), newest));
    assert_eq!(fenced, Err(Refusal::Fenced { asked, current }));
    assert!(shard.manifest().is_pristine());
    let nobody = Shard::new().ask(5, adopt(bytes, newest));
    assert_eq!(nobody, Err(Refusal::NotClaimed { asked: 5 }));
}

#[test]
fn what_does_not_fit_is_refused_and_said_why() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    let mut elsewhere = HERE;
    elsewhere.partition += 1;
    let (_, manifest) = Manifest::restore(&bytes).unwrap();
    let mut dead = manifest.clone();
    dead.apply(&Change::Deleted {
        keep_objects: false,
    });
    let mut later = manifest.clone();
    later.leader_epoch = 6;
    let mut cut = bytes.clone();
    cut.pop();
    let table = [
        (manifest.export(elsewhere).bytes, "the manifest is of"),
        (dead.export(HERE).bytes, "the topic is deleted"),
        (later.export(HERE).bytes, "claimed in epoch 6"),
        (cut, "cut or grown"),
    ];
    for (bytes, why) in table {
        let newest = newest + 1;
        let refused = shard.ask(5, adopt(bytes, newest)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains(why), "{refused}");
    }
    for wrong in [newest - 1, 1 << 62, u64::MAX] {
        let refused = shard.ask(5, adopt(bytes.clone(), wrong)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{wrong}");
    }
    assert!(shard.manifest().is_pristine());
}

#[test]
fn a_topic_that_is_deleted_adopts_nothing() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    shard.ask(5, adopt(bytes.clone(), newest)).unwrap();
    let keep_objects = false;
    shard.ask(-1, Ask::Delete { keep_objects }).unwrap();
    let refused = shard.ask(5, adopt(bytes, newest));
    assert_eq!(refused, Err(Refusal::Deleted));
}

#[test]
fn versions_behind_a_damaged_manifest_are_not_used_again() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    let damaged = newest + 7;
    shard.ask(5, adopt(bytes, damaged)).unwrap();
    assert_eq!(shard.manifest().exported(), newest);
    assert!(shard.manifest().version() > damaged);
}

#[test]
fn strangers_wait_until_the_adopted_manifest_is_the_newest() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    let sweep = |shard: &mut Shard, listed: &[_]| match shard.ask(
        5,
        Ask::Sweep {
            listed: listed.to_vec(),
        },
    ) {
        Ok(Answer::Doomed { objects, .. }) => objects,
        other => panic!("{other:?}"),
    };
    // As strangers to a shard that knows nothing.
    let named = [(id(2), 100), (id(3), 200)];
    assert!(sweep(&mut shard, &named).is_empty());
    shard.now += 2 * Limits::default().grace_ms;
    shard.ask(5, adopt(bytes, newest)).unwrap();
    shard.ask(5, Ask::Claim(log(0, 100, 1000))).unwrap();
    let strange = [(id(2), 100), (id(3), 200), (id(8), 300)];
    assert!(sweep(&mut shard, &strange).is_empty());
    shard.now += 2 * Limits::default().grace_ms;
    assert!(sweep(&mut shard, &strange).is_empty());
    shard.export();
    assert_eq!(sweep(&mut shard, &strange), [(id(8), 300)]);
}

/// What a shard has, told twice: one has gone on when the other was written down.
fn before_and_after() -> (Vec<Record>, Manifests, Vec<Record>) {
    let mut shard = shard();
    let before = shard.records.clone();
    let written = loaded(before.iter());
    shard.append(1, stored(5, 300, 450)).unwrap();
    let snapshot = shard.machine.snapshot();
    (before, written, snapshot)
}

#[test]
fn of_a_torn_snapshot_nothing_is_taken() {
    let (log, before, snapshot) = before_and_after();
    for torn in 0..snapshot.len() {
        let mut machine = loaded(log.iter().chain(&snapshot[..torn]));
        assert_eq!(machine.get(HERE), before.get(HERE), "{torn}");
        assert_eq!(machine.snapshot(), before.snapshot());
        // Whatever comes next belongs to what was there before, and to nothing that is staged.
        let mut goes_on = shard();
        goes_on
            .begin(1, &stored(6, 300, 350), Purpose::Append)
            .unwrap();
        let begun = goes_on.records.last().unwrap();
        machine.apply(begun);
        assert_eq!(machine.get(HERE), goes_on.machine.get(HERE));
        for rest in &snapshot[torn..] {
            // Without its head it is nothing, wherever it comes from.
            if torn > 0 {
                machine.apply(rest);
            }
        }
        assert_eq!(machine.get(HERE), goes_on.machine.get(HERE), "{torn}");
    }
    let machine = loaded(log.iter().chain(&snapshot));
    assert_ne!(machine.get(HERE), before.get(HERE));
    assert_eq!(machine.snapshot(), snapshot);
}

#[test]
fn a_snapshot_after_a_torn_one_counts() {
    let (log, _, snapshot) = before_and_after();
    for torn in 0..snapshot.len() {
        let records = log.iter().chain(&snapshot[..torn]).chain(&snapshot);
        assert_eq!(loaded(records).snapshot(), snapshot, "{torn}");
        // The old records were trimmed, and with them nothing that counts.
        let records = snapshot[..torn].iter().chain(&snapshot);
        assert_eq!(loaded(records).snapshot(), snapshot, "{torn}");
    }
}

#[test]
fn of_a_torn_adoption_nothing_is_taken() {
    let (mut shard, bytes, newest) = forgetful(&shard());
    let claimed = shard.records.len();
    shard.ask(5, adopt(bytes, newest)).unwrap();
    let (before, adoption) = shard.records.split_at(claimed);
    assert!(adoption.len() > 3);
    for torn in 0..adoption.len() {
        let machine = loaded(before.iter().chain(&adoption[..torn]));
        assert!(machine.get(HERE).unwrap().is_pristine(), "{torn}");
    }
    let machine = loaded(shard.records.iter());
    assert_eq!(machine.get(HERE), shard.machine.get(HERE));
}

#[test]
fn partitions_are_whole_or_not_each_by_itself() {
    let (log, before, snapshot) = before_and_after();
    let elsewhere = |record: &Record| {
        let mut record = record.clone();
        record.partition.partition += 1;
        record
    };
    let other: Vec<Record> = snapshot.iter().map(elsewhere).collect();
    let torn = snapshot.len() - 1;
    // One torn before another one that is whole: both count for themselves.
    let records = log.iter().chain(&snapshot[..torn]).chain(&other);
    let machine = loaded(records);
    assert_eq!(machine.get(HERE), before.get(HERE));
    let there = machine.get(other[0].partition).unwrap();
    assert_eq!(there.segments().len(), 3);
}

proptest! {
    #[test]
    fn records_in_any_order_never_panic(order: Vec<prop::sample::Index>, flips: Vec<(prop::sample::Index, u8)>) {
        let (log, _, snapshot) = before_and_after();
        let all: Vec<Vec<u8>> = log.iter().chain(&snapshot).map(StoredRecord::to_bytes).collect();
        let mut machine = Manifests::new(Limits::default());
        let mut flips = flips.into_iter();
        for which in order {
            let mut bytes = which.get(&all).clone();
            if let Some((at, to)) = flips.next() {
                *at.get_mut(&mut bytes) = to;
            }
            if let Ok(record) = Record::from_bytes(&bytes) {
                machine.apply(&record);
            }
        }
        let _ = machine.snapshot();
    }

    #[test]
    fn any_bytes_to_adopt_are_refused_or_a_manifest(at: prop::sample::Index, to: u8, any: Vec<u8>) {
        let (mut shard, mut bytes, newest) = forgetful(&shard());
        let refused = shard.ask(5, adopt(any, newest)).is_err();
        prop_assert!(refused);
        let at = at.index(bytes.len());
        let changes = bytes[at] != to;
        bytes[at] = to;
        prop_assert_eq!(shard.ask(5, adopt(bytes, newest)).is_err(), changes);
    }
}
