//! Each rule is taken away, and the test that it is there for fails: else that test would prove nothing.

use freshet_partition::replication::{Guard, without};
use freshet_sim::{Proof, idle, proof as named};

use crate::{decisions, rules};

/// The test that a rule is there for, by its name.
fn proof(guard: Guard) -> Proof {
    match guard {
        Guard::EnoughInSync => named!(decisions::too_few_in_sync_commit_nothing),
        Guard::LeaderCountsFlushed => named!(decisions::a_leader_counts_what_it_has_flushed),
        Guard::ProposedCount => named!(decisions::who_is_proposed_counts_also_when_it_falls_silent),
        Guard::SilentCount => named!(decisions::a_member_that_has_not_fetched_counts),
        Guard::OneProposal => named!(decisions::a_proposal_is_not_replaced_while_it_is_open),
        Guard::StaleIsOpen => named!(decisions::a_proposal_refused_as_old_may_have_been_taken),
        Guard::NewestTerm => named!(decisions::an_older_set_in_sync_comes_too_late),
        Guard::JoinersHaveAll => named!(decisions::who_lacks_a_record_does_not_join),
        Guard::JoinersHaveDeleted => named!(decisions::who_has_what_was_deleted_does_not_join),
        Guard::JoinersLive => named!(decisions::who_is_fenced_or_another_process_does_not_join),
        Guard::OldBroker => named!(decisions::a_fetch_of_an_earlier_process_does_not_count),
        Guard::WatermarkWithinLog => named!(decisions::a_follower_shows_only_what_it_has),
        Guard::WatermarkStays => named!(decisions::what_was_shown_stays_shown),
        Guard::FollowStart => named!(decisions::a_follower_drops_what_its_leader_has_dropped),
        Guard::RestartAtStart => named!(decisions::a_copy_with_a_gap_begins_anew),
        Guard::DeletedEverywhere => named!(decisions::what_one_replica_has_is_not_deleted),
        Guard::DeletedByEnough => named!(decisions::what_one_that_is_away_has_is_not_deleted),
        Guard::DeletedInSync => named!(decisions::what_one_in_sync_has_is_not_deleted),
        Guard::DeleteCommitted => named!(rules::what_is_not_committed_is_not_deleted),
        Guard::FlushBeforeReport => named!(rules::a_follower_reports_nothing_that_it_could_lose),
        Guard::FetchEpochs => named!(rules::who_knows_another_leader_is_told_so),
        Guard::ReportEpochs => named!(rules::a_copy_of_another_leaders_records_does_not_count),
        Guard::ReportWithinLog => named!(rules::nobody_has_flushed_what_its_leader_has_not_got),
        Guard::Divergence | Guard::Truncation => {
            named!(rules::a_deposed_leader_cuts_what_only_it_has)
        }
        Guard::FollowedEpoch => named!(rules::an_earlier_leader_cuts_nothing),
        Guard::EpochFence | Guard::CopiedEpoch => {
            named!(rules::records_of_an_earlier_leader_are_not_stored)
        }
        Guard::LateAnswers => named!(rules::an_answer_that_comes_twice_cuts_once),
        Guard::LeadersWrite => named!(rules::a_follower_takes_nothing_from_producers),
        Guard::ProduceEpochs => named!(rules::a_produce_for_an_earlier_leader_is_refused),
        Guard::EnoughToProduce => named!(rules::acks_all_is_refused_while_too_few_are_in_sync),
        Guard::AcksWait => named!(rules::acks_all_is_answered_when_all_in_sync_have_the_record),
        Guard::OverdueWithTooFew => {
            named!(decisions::who_waits_in_vain_hears_that_replicas_are_missing)
        }
        Guard::OverdueWithEnough => {
            named!(decisions::who_waits_for_the_late_is_not_told_of_the_missing)
        }
        Guard::WaitersSentAway => named!(rules::who_waits_for_a_deposed_leader_is_sent_away),
        Guard::ReadCommitted => named!(rules::consumers_see_what_is_committed),
        Guard::SettledEnds => named!(rules::a_new_leader_names_no_end_that_is_too_low),
    }
}

/// `FRESHET_RULE=name` tries one alone.
#[test]
fn no_rule_of_replication_is_idle() {
    let idle = idle(Guard::ALL, proof, |guard, test| without(Some(guard), test));
    assert!(idle.is_empty(), "no test fails without {idle:?}");
}
