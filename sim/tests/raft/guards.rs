//! Each rule is taken away, and the test that it is there for fails: else that test would prove nothing.

use freshet_quorum::{Guard, without};
use freshet_sim::{Proof, idle, proof as named};

use crate::{changes, rules, scenarios};

/// The test that a rule is there for, by its name.
fn proof(guard: Guard) -> Proof {
    match guard {
        Guard::PreVote => named!(scenarios::who_comes_back_does_not_depose_a_healthy_leader),
        Guard::DiskIsMeant => named!(rules::an_empty_disk_does_not_vote_as_the_one_that_was_lost),
        Guard::ClusterIsMeant => named!(rules::a_controller_of_another_cluster_takes_no_part),
        Guard::ExpectedTerm => named!(rules::what_was_decided_in_one_term_does_not_enter_another),
        Guard::LeaderCaughtUp => named!(rules::a_new_leader_knows_what_the_old_one_has_answered),
        Guard::FreshMind => named!(rules::a_leader_that_was_refused_forgets_what_it_had_decided),
        Guard::ConfirmedAnswers => {
            named!(rules::a_leader_that_is_cut_off_answers_nothing_that_is_old)
        }
        Guard::BarrierWaits => named!(rules::a_read_sees_what_was_agreed_to_before_it),
        Guard::FlushBeforeReport => named!(rules::what_was_answered_is_on_the_disks_of_a_majority),
        Guard::VoteBeforeAnswer => {
            named!(rules::a_term_is_on_the_disks_of_a_majority_before_it_is_led)
        }
        Guard::OldDisksAreMended => {
            named!(rules::a_follower_whose_disk_is_of_yesterday_is_sent_what_it_has_lost)
        }
        Guard::LeasesAreKept => {
            named!(rules::a_leader_that_is_cut_off_answers_nothing_old_to_those_of_shorter_times)
        }
        Guard::DeafLeadersGo => named!(rules::a_leader_that_hears_nobody_is_replaced),
        Guard::SoloStaysOut => named!(scenarios::the_log_of_one_becomes_that_of_three),
        Guard::LivingStay | Guard::OneVoteForEach => {
            named!(scenarios::a_voter_with_a_new_disk_replaces_the_old_one)
        }
        Guard::VotersCaughtUp => named!(changes::who_cannot_catch_up_gets_no_vote),
        Guard::OneVoterStays => named!(changes::the_last_voter_stays),
        Guard::MajorityStays => {
            named!(changes::a_voter_stays_whom_the_others_need_for_a_majority)
        }
        Guard::AllAnswer => {
            named!(scenarios::empty_controllers_form_one_quorum_and_take_a_new_disk_in)
        }
        Guard::AsksUntilVoting => {
            named!(changes::who_shall_vote_and_dies_half_way_in_asks_again)
        }
        Guard::AsksUntilReplaced => {
            named!(changes::a_new_disk_asks_until_the_old_one_votes_no_more)
        }
        Guard::ChangesAreFinished => {
            named!(changes::a_change_that_was_left_half_way_is_finished_by_the_next_leader)
        }
    }
}

/// `FRESHET_RULE=name` tries one alone.
#[test]
fn no_rule_of_the_quorum_is_idle() {
    let idle = idle(Guard::ALL, proof, |guard, test| without(Some(guard), test));
    assert!(idle.is_empty(), "no test fails without {idle:?}");
}
