//! Each rule is taken away, and the test that it is there for fails: else that test would prove nothing.

use std::panic::catch_unwind;

use freshet_quorum::{Guard, without};

use crate::{changes, rules, scenarios};

/// The test that a rule is there for, by its name.
fn proof(guard: Guard) -> (&'static str, fn()) {
    macro_rules! named {
        ($module:ident :: $test:ident) => {
            (stringify!($test), $module::$test)
        };
    }
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
        Guard::DeafLeadersGo => named!(rules::a_leader_that_hears_nobody_is_replaced),
        Guard::SoloStaysOut => named!(scenarios::the_log_of_one_becomes_that_of_three),
        Guard::LivingStay | Guard::OneVoteForEach => {
            named!(scenarios::a_voter_with_a_new_disk_replaces_the_old_one)
        }
        Guard::VotersCaughtUp => named!(changes::who_cannot_catch_up_gets_no_vote),
        Guard::OneVoterStays => named!(changes::the_last_voter_stays),
        Guard::AllAnswer => {
            named!(scenarios::empty_controllers_form_one_quorum_and_take_a_new_disk_in)
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
    let is_idle = |guard: &Guard| {
        let (name, test) = proof(*guard);
        let passes = without(Some(*guard), || catch_unwind(test).is_ok());
        let noticed = if passes { "passes" } else { "fails" };
        println!("without {guard:?}, {name} {noticed}");
        passes
    };
    let wanted = std::env::var("FRESHET_RULE").unwrap_or_default();
    let asked = |guard: &Guard| format!("{guard:?}").contains(&wanted);
    let asked = Guard::ALL.iter().copied().filter(asked);
    let idle: Vec<_> = asked.filter(is_idle).collect();
    assert!(idle.is_empty(), "no test fails without {idle:?}");
}
