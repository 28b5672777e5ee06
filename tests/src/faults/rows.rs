//! The rows. A test that is named here exists: a test of ours looks.

use super::{Fault, Group};

const fn tried(
    row: u8,
    what: &'static str,
    then: &'static str,
    tests: &'static [&'static str],
) -> Fault {
    Fault {
        row,
        what,
        then,
        tests,
        open: None,
    }
}

const fn open(row: u8, what: &'static str, then: &'static str, why: &'static str) -> Fault {
    Fault {
        row,
        what,
        then,
        tests: &[],
        open: Some(why),
    }
}

const fn in_part(
    row: u8,
    what: &'static str,
    then: &'static str,
    tests: &'static [&'static str],
    why: &'static str,
) -> Fault {
    Fault {
        row,
        what,
        then,
        tests,
        open: Some(why),
    }
}

const TRANSACTIONS: &str = "comes with transactions";
const SECURITY: &str = "comes with security";

pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "Processes end",
        faults: ENDS,
    },
    Group {
        title: "Power and disks",
        faults: DISKS,
    },
    Group {
        title: "Processes and lines stall",
        faults: STALLS,
    },
    Group {
        title: "Clocks and resources",
        faults: RESOURCES,
    },
    Group {
        title: "Hostile and clumsy clients",
        faults: CLIENTS,
    },
    Group {
        title: "Producers, transactions and groups",
        faults: PRODUCERS,
    },
    Group {
        title: "Object storage",
        faults: BUCKETS,
    },
    Group {
        title: "Identity, versions and Kubernetes",
        faults: IDENTITY,
    },
];

const ENDS: &[Fault] = &[
    tried(
        1,
        "the leader of partitions is killed",
        "another in-sync replica leads within the session timeout and an election",
        &[
            "nothing_acknowledged_is_lost_by_kills",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        2,
        "all brokers are killed at once",
        "everything is back after their start",
        &[
            "a_crash_keeps_everything_that_was_written",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        3,
        "the active controller is killed",
        "another takes over; a change is everywhere or nowhere; brokers serve on",
        &[
            "a_dead_leader_is_replaced_within_a_second",
            "a_new_leader_knows_what_the_old_one_has_answered",
            "what_was_agreed_survives_every_storm",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        4,
        "most of the quorum is gone",
        "leaders go on; changes fail with an error that is tried again",
        &["promises_are_kept_in_every_life"],
    ),
];

const DISKS: &[Fault] = &[
    tried(
        5,
        "one broker loses its power and what it had not flushed",
        "it comes back as unclean and leads nothing before it has caught up",
        &[
            "what_was_flushed_survives_every_crash",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        6,
        "all brokers lose their power at once",
        "nothing acknowledged after a flush is lost",
        &[
            "all_lose_power_at_once_and_nothing_is_lost",
            "blackouts_take_nothing",
            "what_was_answered_is_on_the_disks_of_a_majority",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        7,
        "a broker loses its power while others stand still, so that it would decide",
        "it does not lead, or it refuses",
        &["promises_are_kept_in_every_life"],
    ),
    tried(
        8,
        "a write is torn",
        "the log is cut after its last whole batch, never below what is committed",
        &[
            "a_torn_last_append_is_cut_at_every_length",
            "unsynced_bytes_go_sector_by_sector",
        ],
    ),
    tried(
        9,
        "a name is lost because its folder was not flushed",
        "no segment is missing",
        &["names_of_logs_must_be_synced"],
    ),
    tried(
        10,
        "a flush fails",
        "the log directory goes offline, nothing is acknowledged, others lead; it is never tried again",
        &[
            "a_failed_fsync_takes_the_directory_offline_and_acknowledges_nothing",
            "a_failed_sync_cannot_be_made_good",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        11,
        "an old segment cannot be read",
        "an error for that range; another replica serves it",
        &["a_batch_with_a_flipped_bit_is_not_handed_out"],
    ),
    tried(
        12,
        "the disk is full",
        "below the reserve producers are refused with an error that is tried again, and others lead; readers and deletions go on. Full to the last block, what finds no room was never there, and all goes on by itself once there is some",
        &[
            "a_full_disk_refuses_producers_and_serves_the_rest",
            "a_disk_that_fills_before_a_bucket_that_refuses_keeps_all_of_it",
            "a_disk_that_is_full_now_and_then_costs_what_it_refused_and_nothing_else",
            "segments_go_once_there_is_room_for_the_checkpoint_that_says_so",
            "a_patient_disk_is_a_disk_that_waits_for_room_while_it_has_patience",
        ],
    ),
    tried(
        13,
        "a bit flips in a segment of a leader",
        "the checksum finds it before the bytes leave",
        &[
            "a_flipped_bit_in_a_segment_never_reaches_a_reader",
            "what_is_damaged_on_the_leaders_disk_too_comes_from_another_broker",
        ],
    ),
    tried(
        14,
        "a bit flips in a segment of a follower",
        "it never spreads, and is repaired from the leader",
        &["a_copy_that_was_written_off_begins_anew_once"],
    ),
    tried(
        15,
        "a bit flips in an index or in producers' state",
        "it is noticed and made again from the log",
        &[
            "a_damaged_index_is_made_again",
            "a_lost_state_file_costs_a_scan_and_no_record",
        ],
    ),
    tried(
        16,
        "a bit flips in the metadata log, its snapshot or the vote",
        "the role refuses to start; nothing is deleted for want of metadata",
        &["a_torn_append_of_several_entries_is_no_damage"],
    ),
    tried(
        17,
        "a segment is cut below what is committed",
        "the partition is offline there; others are never cut",
        &[
            "without_a_state_file_a_bad_batch_in_the_middle_is_damage",
            "a_log_that_ends_below_what_was_committed_is_not_opened",
        ],
    ),
    tried(
        18,
        "a disk of yesterday comes back",
        "the broker counts as unclean and catches up; nothing is cut elsewhere",
        &[
            "a_follower_whose_disk_is_of_yesterday_is_sent_what_it_has_lost",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        19,
        "the disk of another broker or cluster is mounted",
        "it refuses to start",
        &[
            "a_foreign_cluster_id_is_refused",
            "a_controller_of_another_cluster_takes_no_part",
        ],
    ),
    tried(
        20,
        "a block is written to or read from the wrong place",
        "checksum and offset do not fit; as row 11",
        &[
            "what_is_read_from_elsewhere_never_reaches_a_reader",
            "what_is_written_elsewhere_never_reaches_a_reader",
            "a_whole_batch_in_the_place_of_another_makes_no_reader_skip_or_wait",
            "a_flipped_bit_in_a_base_offset_makes_no_reader_skip_or_wait",
            "no_reader_is_misled",
        ],
    ),
    tried(
        21,
        "a disk is slow",
        "others lead, and nobody waits for it while enough others are in sync; nothing grows without a bound",
        &[
            "a_slow_or_full_disk_leads_nothing_and_nobody_waits_for_it",
            "stalled_calls_wait_and_go_on",
            "promises_are_kept_in_every_life",
        ],
    ),
];

const STALLS: &[Fault] = &[
    tried(
        22,
        "a leader stands still and goes on",
        "for a moment: nobody notices; for long: it was fenced, and its late answers count for nothing",
        &[
            "a_leader_that_stalls_for_a_moment_is_left_alone",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        23,
        "the active controller stands still and goes on",
        "another decides; the old one commits nothing",
        &[
            "who_comes_back_does_not_depose_a_healthy_leader",
            "a_leader_that_stood_still_says_nothing_that_is_old",
            "what_was_decided_in_one_term_does_not_enter_another",
            "what_was_agreed_survives_every_storm",
            "promises_are_kept_in_every_life",
        ],
    ),
    open(
        24,
        "a coordinator stands still while a transaction ends",
        "a late commit touches no later transaction",
        TRANSACTIONS,
    ),
    tried(
        25,
        "a leader is cut off from all",
        "it acknowledges nothing; another leads",
        &[
            "what_was_agreed_survives_every_storm",
            "a_leader_that_is_cut_off_answers_nothing_that_is_old",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        26,
        "a line works in one direction only",
        "no election after election; work goes on",
        &[
            "who_comes_back_does_not_depose_a_healthy_leader",
            "a_leader_that_hears_nobody_is_replaced",
            "what_was_agreed_survives_every_storm",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        27,
        "a broker is cut off from the controllers only",
        "it is fenced; there are no two leaders",
        &["promises_are_kept_in_every_life"],
    ),
    tried(
        28,
        "clients are cut off from a leader only",
        "they time out and try again; nothing is there twice",
        &["promises_are_kept_in_every_life"],
    ),
    tried(
        29,
        "a ring or a bridge: no two majorities see the same",
        "at most one leader in an epoch; work goes on in the end",
        &[
            "what_was_agreed_survives_every_storm",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        30,
        "packets are lost, doubled, reordered or damaged",
        "connections hide it or break",
        &[
            "what_was_agreed_survives_every_storm",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        31,
        "a line is slow or thin",
        "nobody is fenced for it; work slows down smoothly; controllers decide on if they were told how late it is",
        &[],
    ),
    tried(
        32,
        "a peer vanishes without a word",
        "its connections and what they hold are freed",
        &[],
    ),
    tried(
        33,
        "a line comes and goes",
        "the number of elections is bounded",
        &[],
    ),
];

const RESOURCES: &[Fault] = &[
    tried(
        34,
        "a clock jumps",
        "nothing is deleted early; elections do not use it",
        &[
            "what_was_agreed_survives_every_storm",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        35,
        "records carry times far from now",
        "refused, or kept without harm to retention",
        &[
            "a_batch_is_refused_for_its_fault",
            "times_far_from_now_hold_up_or_go_and_harm_nothing_else",
        ],
    ),
    tried(
        36,
        "there are no file descriptors left",
        "new connections are refused; those that are there go on",
        &[
            "a_limit_counts_the_connections_of_all_listeners",
            "the_last_files_are_kept",
        ],
    ),
    in_part(
        37,
        "memory runs out",
        "as a kill; admission control acts first",
        &[],
        "that a broker which gets no more memory ends as by a kill",
    ),
    tried(
        38,
        "there is hardly any CPU",
        "no election after election",
        &[],
    ),
    tried(
        39,
        "a thread is stuck for seconds",
        "other partitions go on; somebody says so",
        &[
            "who_is_at_the_same_work_for_two_looks_is_stuck_until_it_goes_on",
            "a_busy_runtime_is_not_stuck_and_one_that_is_held_up_is",
        ],
    ),
];

const CLIENTS: &[Fault] = &[
    tried(
        40,
        "sizes of frames that cannot be",
        "the connection is closed; nothing is allocated",
        &[
            "refuses_lengths_before_allocating",
            "hostile_frames_cost_only_their_connection",
        ],
    ),
    tried(
        41,
        "counts larger than what follows",
        "refused while parsing, with memory in proportion to the frame",
        &["counts_have_a_cap", "hostile_sizes_cost_no_memory"],
    ),
    in_part(
        42,
        "random and mutated frames of every API and version",
        "no panic; the harm stays on the connection",
        &["hostile_frames_cost_only_their_connection"],
        "continuous fuzzing",
    ),
    tried(
        43,
        "one byte a second, or an answer that is never read",
        "deadlines and limits for each connection",
        &["a_length_alone_keeps_nobody_waiting"],
    ),
    tried(
        44,
        "very many connections",
        "limits hold; other listeners do not notice",
        &["a_limit_counts_the_connections_of_all_listeners"],
    ),
    tried(
        45,
        "all clients connect at once",
        "work is queued and shed; it recovers by itself",
        &[],
    ),
    tried(
        46,
        "batches that lie about themselves",
        "an error for the partition; nothing is appended",
        &[
            "a_batch_is_refused_for_its_fault",
            "counts_and_bodies_must_agree",
        ],
    ),
    tried(
        47,
        "small compressed batches that are huge inside",
        "decompression has a cap; memory stays flat",
        &["snappy_blocks_cannot_claim_what_they_do_not_hold"],
    ),
    open(
        48,
        "a batch that cannot be compacted or read later",
        "it is skipped and told; the partition goes on",
        "comes with compaction",
    ),
];

const PRODUCERS: &[Fault] = &[
    tried(
        49,
        "a retry comes twice, late, or after the leader changed",
        "it is written once, and its offset is told again; one that is older than five batches is a duplicate \
         without an offset",
        &[
            "a_repeated_batch_is_written_once",
            "what_is_older_than_five_batches_is_a_duplicate_without_an_offset",
            "sequences_are_known_after_a_kill",
            "promises_are_kept_in_every_life",
        ],
    ),
    tried(
        50,
        "producers that are unknown, expired or out of epochs",
        "the code that makes clients do the right thing",
        &["a_gap_in_sequences_is_refused", "idle_producers_expire"],
    ),
    tried(
        51,
        "an old producer goes on after a new one took its place",
        "it is fenced",
        &["an_old_producer_epoch_is_fenced"],
    ),
    open(
        52,
        "two producers share a transactional id",
        "the older is fenced",
        TRANSACTIONS,
    ),
    open(
        53,
        "a coordinator moves while markers are written",
        "all are written in the end",
        TRANSACTIONS,
    ),
    open(
        54,
        "a produce comes after its transaction was aborted",
        "it is refused; readers are not held up",
        TRANSACTIONS,
    ),
    tried(
        55,
        "a group's coordinator moves during a rebalance or a commit",
        "offsets never go back; members rejoin",
        &[
            "java_static_members_keep_their_partitions",
            "promises_are_kept_in_every_life",
            "no_rule_of_groups_is_idle",
            "who_asks_for_its_assignment_again_is_alive",
        ],
    ),
];

const BUCKETS: &[Fault] = &[
    tried(
        56,
        "errors, throttling, timeouts, slowness",
        "patience with jitter; producers and hot reads do not notice; cold reads give nothing or an error that is tried again",
        &[
            "a_bucket_that_refuses_is_left_alone_and_made_up_with",
            "a_bucket_that_is_slow_or_hangs_holds_up_nobody_else",
            "a_bucket_that_takes_a_minute_holds_up_nobody_else",
            "a_bucket_that_is_away_is_asked_ever_less_often",
            "a_store_that_refuses_is_left_alone",
            "trouble_passes_and_is_worth_another_try",
        ],
    ),
    tried(
        57,
        "an upload that failed and is there, or half there",
        "what is referred to is whole; the rest is collected",
        &[
            "an_upload_whose_answer_is_lost_is_there",
            "an_upload_that_is_there_and_given_up_is_nobodys",
            "what_was_put_is_looked_at",
            "an_upload_that_is_dropped_half_way_is_thrown_away_once",
            "a_broker_that_stops_leaves_no_parts_of_uploads",
            "garbage_goes_after_an_export_and_a_grace_age",
            "what_nobody_knows_goes_after_a_grace_age_and_nothing_else_does",
            "what_nobody_names_is_collected",
        ],
    ),
    tried(
        58,
        "objects that are missing, cut, damaged or listed late",
        "an error for the range; nothing is skipped silently",
        &[
            "what_is_missing_or_damaged_is_an_error_and_never_skipped",
            "an_answer_that_is_cut_or_flipped_is_asked_for_again_once",
            "a_missing_object_is_no_end_of_the_log",
            "a_short_object_is_damaged_where_it_is_cut",
            "strangers_in_a_listing_go_after_a_grace_age",
            "what_is_damaged_is_mended_by_what_the_disk_has",
            "what_is_damaged_on_the_leaders_disk_too_comes_from_another_broker",
            "a_newest_manifest_that_is_damaged_is_told_and_stored_as_the_next_version",
            "what_nobody_names_is_collected",
        ],
    ),
    tried(
        59,
        "two leaders upload or rewrite the manifest",
        "one wins, nothing is lost",
        &[
            "of_two_leaders_that_upload_one_is_heard",
            "who_led_before_is_fenced_and_its_uploads_are_given_up",
            "every_offset_is_readable_and_reads_the_same",
        ],
    ),
    tried(
        60,
        "credentials expire, the bucket is deleted",
        "an alarm; nothing local is deleted that is not uploaded",
        &[
            "without_credentials_or_bucket_nothing_leaves_the_disk",
            "a_broker_whose_clock_is_off_is_refused_until_it_is_right",
            "a_disk_that_fills_before_a_bucket_that_refuses_keeps_all_of_it",
            "nothing_leaves_the_disk_that_no_manifest_in_the_bucket_names",
        ],
    ),
];

const IDENTITY: &[Fault] = &[
    tried(
        61,
        "two brokers of one id, two processes on one directory, a foreign cluster",
        "refused; who is there does not notice",
        &[
            "a_locked_directory_is_refused",
            "a_foreign_cluster_id_is_refused",
        ],
    ),
    open(
        62,
        "versions are mixed, or rolled back",
        "refused or ignored by declared rules; the quorum never crashes in a loop",
        "comes with the second release",
    ),
    in_part(
        63,
        "brokers are replaced one after the other",
        "leaders move before a broker ends; no send fails",
        &[
            "sigterm_ends_well_within_seconds",
            "an_image_is_rolled_out_and_back_again",
            "an_operator_that_is_killed_goes_on_with_the_roll",
            "a_rack_restarts_as_a_whole",
            "a_node_is_drained_and_comes_back",
            "a_node_that_dies_comes_back",
            "nothing_that_was_acknowledged_is_lost",
            "a_roll_survives_any_death",
        ],
        "all nodes of a zone that die at once, on a Kubernetes",
    ),
    tried(
        64,
        "a volume is lost or comes back empty",
        "the broker comes back as unclean and refills; a voter never votes with an empty disk",
        &[
            "a_pod_that_is_killed_and_a_volume_that_is_lost_come_back",
            "a_broker_gets_another_volume_and_keeps_its_number",
            "what_only_that_volume_has_is_never_given_up",
            "a_lost_disk_does_not_vote",
            "an_empty_disk_does_not_vote_as_the_one_that_was_lost",
            "an_empty_disk_is_new_or_unknown_until_somebody_served_from_it",
        ],
    ),
    in_part(
        65,
        "objects of the cluster are deleted or edited badly",
        "deletion is held up, volumes stay, edits are refused with a reason",
        &[
            "a_cluster_that_is_deleted_comes_back_with_its_records",
            "a_spec_that_cannot_be_carried_out_says_why_and_harms_nobody",
            "a_level_of_the_metadata_that_brokers_do_not_know_is_refused",
            "a_topic_that_was_changed_by_hand_is_put_right",
            "a_namespace_goes_with_all_that_is_in_it",
            "volumes_only_grow",
            "whoever_leaves_stays_until_it_is_empty",
        ],
        "volumes that outlive their namespace: whether they do is up to their storage class",
    ),
    in_part(
        66,
        "the API server or the operator is gone for a while",
        "the data path does not notice; a roll goes on where it was",
        &[
            "an_operator_that_is_killed_goes_on_with_the_roll",
            "everything_is_watched_again_soon_after_an_outage_of_the_api_server",
            "a_roll_survives_any_death",
            "a_roll_ends_the_same_whatever_goes_wrong",
        ],
        "under load the API server is away for half a minute, and the operator for one, in `cargo xtask soak kube` only; two \
         operators that both hold themselves for the one at work",
    ),
    open(
        67,
        "passwords, tokens and certificates that are wrong or expire",
        "fails closed",
        SECURITY,
    ),
];
