//! Transactions: accepted ahead of the rooms that will use them.

use crate::setting::Setting;
use crate::setting::declare::{boolean, int, short};

const TRANSACTIONS: &str = "transactions are not built yet; idempotent producers are served";

pub(crate) static SETTINGS: &[Setting] = &[
    int("transaction.state.log.min.isr", "2")
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("`min.insync.replicas` of `__transaction_state`."),
    int("transaction.state.log.load.buffer.size", "5242880")
        .bytes()
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("Bytes read at a time when transactions are loaded."),
    short("transaction.state.log.replication.factor", "3")
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("Replicas of `__transaction_state`."),
    int("transaction.state.log.num.partitions", "50")
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("Partitions of `__transaction_state`."),
    int("transaction.state.log.segment.bytes", "104857600")
        .bytes()
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("Segment size of `__transaction_state`."),
    boolean("transaction.partition.verification.enable", "true")
        .cluster_wide()
        .not_yet(TRANSACTIONS)
        .doc("Whether older producers' writes are checked against the coordinator."),
    int("transactional.id.expiration.ms", "604800000")
        .millis()
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("A transactional id that is idle for this long is forgotten."),
    int("transaction.max.timeout.ms", "900000")
        .millis()
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("Longest transaction timeout a producer may ask for."),
    int(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "10000",
    )
    .millis()
    .at_least(1)
    .not_yet(TRANSACTIONS)
    .doc("How often timed out transactions are aborted."),
    int(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        "3600000",
    )
    .millis()
    .at_least(1)
    .not_yet(TRANSACTIONS)
    .doc("How often idle transactional ids are removed."),
    boolean("transaction.two.phase.commit.enable", "false")
        .not_yet(TRANSACTIONS)
        .doc("Whether producers may prepare without a timeout (KIP-939)."),
    int("add.partitions.to.txn.retry.backoff.max.ms", "100")
        .millis()
        .at_least(0)
        .not_yet(TRANSACTIONS)
        .doc("Longest pause while a transaction's coordinator is busy."),
    int("add.partitions.to.txn.retry.backoff.ms", "20")
        .millis()
        .at_least(1)
        .not_yet(TRANSACTIONS)
        .doc("First pause while a transaction's coordinator is busy."),
];
