//! Bytes from the network: what was said comes back, and nothing else does harm.

use std::time::Duration;

use bytes::Bytes;
use freshet_types::{ClusterId, NodeId, TopicId};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use proptest::prelude::*;

use crate::raft::footing::types::{
    Address, Decided, PeerKey, RaftLogEntry, Vote, Voters, decode_voters, encode_voters, log_id,
};
use crate::raft::peer::{Endpoint, PeerId};
use crate::raft::post::message::{self, Kind, Letter, SnapshotBody, Verdict};
use crate::store::{EntryId, decode_snapshot};

fn id(number: i32) -> PeerId {
    PeerId {
        node: NodeId(number),
        directory: TopicId([7; 16]),
    }
}

fn voters() -> Voters {
    let address = Address(vec![Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "one.example".to_owned(),
        port: 9093,
    }]);
    let nodes = [1, 2, 3, 9].map(|n| (id(n), address.clone()));
    let sets = vec![[id(1), id(2)].into(), [id(2), id(3)].into()];
    Voters::new(sets, std::collections::BTreeMap::from(nodes)).expect("valid")
}

fn append() -> AppendEntriesRequest<crate::raft::footing::types::Types> {
    let at = |term, index| log_id(EntryId { term, index });
    let records = Decided(vec![Bytes::from_static(b"one"), Bytes::new()]);
    AppendEntriesRequest {
        vote: Vote::new_committed(4, id(1)),
        prev_log_id: Some(at(3, 6)),
        entries: vec![
            RaftLogEntry::new(at(3, 7), EntryPayload::Normal(records)),
            RaftLogEntry::new(at(4, 8), EntryPayload::Blank),
            RaftLogEntry::new(at(4, 9), EntryPayload::Membership(voters())),
        ],
        leader_commit: Some(at(3, 7)),
    }
}

#[test]
fn what_is_said_is_what_is_heard() {
    let sent = append();
    let heard = message::append_body(&sent)
        .and_then(message::read_append_body)
        .expect("heard");
    assert_eq!(heard.entries, sent.entries);
    assert_eq!(
        (heard.vote, heard.prev_log_id, heard.leader_commit),
        (sent.vote, sent.prev_log_id, sent.leader_commit)
    );
    for answer in [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(sent.prev_log_id),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(Vote::new(9, id(2))),
    ] {
        let heard = message::append_answer(&answer).and_then(message::read_append_answer);
        assert_eq!(heard, Ok(answer));
    }
    let mut vote = VoteRequest::new(Vote::new(5, id(3)), sent.leader_commit);
    vote.leadership_transfer = true;
    let heard = message::vote_body(&vote).and_then(message::read_vote_body);
    assert_eq!(heard, Ok(vote.clone()));
    let answer = VoteResponse::new(vote.vote, None, true);
    let heard = message::vote_answer(&answer).and_then(message::read_vote_answer);
    assert_eq!(heard, Ok(answer));
    assert_eq!(
        decode_voters(&encode_voters(&voters())).expect("read"),
        voters()
    );
}

/// An envelope as those read and write it who know nothing of leases.
#[derive(Debug, PartialEq, freshet_codec::Message)]
#[message(versions = "0", flexible = "0+")]
struct OldEnvelope {
    cluster: String,
    from: PeerKey,
    to: PeerKey,
    kind: i8,
    body: Bytes,
}

#[test]
fn a_lease_is_said_to_those_who_know_of_it_and_does_the_others_no_harm() {
    let mut letter = Letter {
        cluster: ClusterId("c".into()),
        from: id(1),
        to: id(2),
        kind: Kind::Append,
        body: Bytes::from_static(b"body"),
        lease: Duration::from_millis(1500),
    };
    let sent = letter.to_bytes().expect("encoded");
    assert_eq!(Letter::from_bytes(sent.clone()), Ok(letter.clone()));
    let old: OldEnvelope = message::from_bytes(sent).expect("read past");
    assert_eq!((old.kind, &old.body), (Kind::Append as i8, &letter.body));
    // Who does not say it promises nothing; and nobody is bound for ever.
    letter.lease = Duration::ZERO;
    let sent = message::to_bytes(&old).expect("encoded");
    assert_eq!(Letter::from_bytes(sent), Ok(letter.clone()));
    letter.lease = Duration::from_secs(3600);
    let heard = letter.to_bytes().and_then(Letter::from_bytes);
    let heard = heard.expect("heard");
    assert_eq!(heard.lease, Duration::from_secs(10));
}

#[test]
fn the_largest_entry_is_heard() {
    let mut sent = append();
    let records = vec![Bytes::from_static(&[1; 32]); 900_000];
    sent.entries = vec![RaftLogEntry::new(
        log_id(EntryId { term: 3, index: 7 }),
        EntryPayload::Normal(Decided(records)),
    )];
    let body = message::append_body(&sent).expect("encoded");
    assert!(body.len() < 40 << 20, "{}", body.len());
    let heard = message::read_append_body(body).expect("heard");
    assert_eq!(heard.entries, sent.entries);
}

#[test]
fn entries_that_do_not_follow_are_refused() {
    let mut holed = append();
    holed.entries.remove(1);
    assert!(
        message::append_body(&holed)
            .and_then(message::read_append_body)
            .is_err()
    );
    let mut back = append();
    back.entries[2] = RaftLogEntry::new(log_id(EntryId { term: 2, index: 9 }), EntryPayload::Blank);
    assert!(
        message::append_body(&back)
            .and_then(message::read_append_body)
            .is_err()
    );
}

/// Every reader there is. None may panic.
fn read_everything(bytes: &Bytes) {
    let _ = Letter::from_bytes(bytes.clone());
    let _ = message::read_answer(bytes.clone());
    let _ = message::read_append_body(bytes.clone());
    let _ = message::read_append_answer(bytes.clone());
    let _ = message::read_vote_body(bytes.clone());
    let _ = message::read_vote_answer(bytes.clone());
    let _ = message::read_transfer_body(bytes.clone());
    let _ = message::from_bytes::<SnapshotBody>(bytes.clone());
    let _ = decode_voters(bytes);
    let _ = decode_snapshot(bytes, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        read_everything(&Bytes::copy_from_slice(&bytes));
        // With the right version they get further.
        if let Some(version) = bytes.get_mut(..2) {
            version.fill(0);
        }
        read_everything(&bytes.into());
    }

    #[test]
    fn damaged_messages_are_harmless(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let body = message::append_body(&append()).expect("encoded");
        let letter = Letter {
            cluster: ClusterId("c".into()),
            from: id(1),
            to: id(2),
            kind: Kind::Append,
            body: body.clone(),
            lease: Duration::from_millis(1500),
        };
        let answer = message::answer(Verdict::Done, body.clone()).expect("encoded");
        let voters = encode_voters(&voters());
        for sound in [body, letter.to_bytes().expect("encoded"), answer, voters] {
            let mut bytes = sound.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            read_everything(&Bytes::copy_from_slice(&bytes));
            bytes.truncate(cut.index(sound.len()));
            read_everything(&bytes.into());
        }
    }
}
