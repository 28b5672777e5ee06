//! Apache's console tools, each as a user runs it.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use freshet_tests::{Broker, Client, Suite, Tools};

type Case = fn(&Tools) -> Result<()>;

const CASES: [(&str, Case); 14] = [
    ("kafka_topics", topics),
    ("kafka_console_producer_and_consumer", console),
    ("kafka_consumer_groups", consumer_groups),
    ("kafka_configs", configs),
    ("kafka_get_offsets", get_offsets),
    ("kafka_delete_records", delete_records),
    ("kafka_producer_perf_test", perf_test),
    ("kafka_broker_api_versions", api_versions),
    ("kafka_log_dirs", log_dirs),
    ("kafka_reassign_partitions", reassign_partitions),
    ("kafka_leader_election", leader_election),
    ("kafka_metadata_quorum", metadata_quorum),
    ("kafka_features", features),
    ("kafka_cluster", cluster),
];

fn main() -> ExitCode {
    let mut suite = Suite::default();
    for (name, case) in CASES {
        suite.with_broker(name, Client::Java.missing(), move |broker: &mut Broker| {
            case(&Tools::new(broker.bootstrap()))
        });
    }
    suite.run()
}

/// The text must hold every one of the words.
fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "no {word:?} in:\n{text}");
    }
    Ok(())
}

/// The fields of the first line that begins with `first`.
fn row<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let line = text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(first));
    line.unwrap_or_default().split_whitespace().collect()
}

fn create(tools: &Tools, topic: &str, partitions: &str) -> Result<()> {
    let told = tools.run(
        "kafka-topics",
        &["--create", "--topic", topic, "--partitions", partitions],
    )?;
    has(&told, &[&format!("Created topic {topic}.")])
}

/// Lines of `key:value` into a topic.
fn fill(tools: &Tools, topic: &str, lines: &str) -> Result<()> {
    let keyed = [
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "key.separator=:",
    ];
    let arguments = [&["--topic", topic][..], &keyed].concat();
    tools.feed("kafka-console-producer", &arguments, lines)?;
    Ok(())
}

fn topics(tools: &Tools) -> Result<()> {
    create(tools, "tools-topics", "3")?;
    has(&tools.run("kafka-topics", &["--list"])?, &["tools-topics"])?;
    let told = tools.run("kafka-topics", &["--describe", "--topic", "tools-topics"])?;
    has(
        &told,
        &[
            "PartitionCount: 3",
            "ReplicationFactor: 1",
            "Partition: 2",
            "Leader: ",
        ],
    )?;
    ensure!(
        !told.contains("Leader: none"),
        "a partition without a leader:\n{told}"
    );
    tools.run(
        "kafka-topics",
        &["--alter", "--topic", "tools-topics", "--partitions", "5"],
    )?;
    let told = tools.run("kafka-topics", &["--describe", "--topic", "tools-topics"])?;
    has(&told, &["PartitionCount: 5"])?;

    let again = ["--create", "--topic", "tools-topics"];
    let refused = tools.outcome("kafka-topics", &again, "")?;
    ensure!(!refused.status.success(), "creating it twice succeeded");
    has(
        &format!("{}{}", refused.stdout, refused.stderr),
        &["tools-topics", "already exists"],
    )?;
    tools.run("kafka-topics", &[&again[..], &["--if-not-exists"]].concat())?;

    tools.run("kafka-topics", &["--delete", "--topic", "tools-topics"])?;
    let told = tools.run("kafka-topics", &["--list"])?;
    ensure!(!told.contains("tools-topics"), "still listed:\n{told}");
    Ok(())
}

fn console(tools: &Tools) -> Result<()> {
    create(tools, "tools-console", "1")?;
    fill(tools, "tools-console", "k1:first\nk2:second\nk3:größer\n")?;
    let mut arguments = vec![
        "--topic",
        "tools-console",
        "--from-beginning",
        "--max-messages",
        "3",
    ];
    arguments.extend(["--timeout-ms", "20000"]);
    for property in [
        "print.key=true",
        "print.partition=true",
        "print.offset=true",
    ] {
        arguments.extend(["--formatter-property", property]);
    }
    let told = tools.run("kafka-console-consumer", &arguments)?;
    let shown: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("Partition:"))
        .collect();
    let wanted = [
        "Partition:0\tOffset:0\tk1\tfirst",
        "Partition:0\tOffset:1\tk2\tsecond",
        "Partition:0\tOffset:2\tk3\tgrößer",
    ];
    ensure!(shown == wanted, "wanted {wanted:?}, shown {shown:?}");

    // A topic that nobody created: the producer's first record makes it.
    tools.feed(
        "kafka-console-producer",
        &["--topic", "tools-automatic"],
        "hello\n",
    )?;
    let arguments = [
        "--topic",
        "tools-automatic",
        "--from-beginning",
        "--max-messages",
        "1",
    ];
    has(
        &tools.run("kafka-console-consumer", &arguments)?,
        &["hello"],
    )
}

fn consumer_groups(tools: &Tools) -> Result<()> {
    create(tools, "tools-groups", "1")?;
    fill(tools, "tools-groups", "a:1\nb:2\nc:3\nd:4\n")?;
    let group = ["--group", "tools-readers"];
    let mut arguments = vec!["--topic", "tools-groups", "--max-messages", "3"];
    arguments.extend(["--timeout-ms", "20000", "--from-beginning"]);
    arguments.extend(group);
    has(
        &tools.run("kafka-console-consumer", &arguments)?,
        &["1\n2\n3\n"],
    )?;

    has(
        &tools.run("kafka-consumer-groups", &["--list"])?,
        &["tools-readers"],
    )?;
    let lag = |committed: &str, end: &str, lag: &str| {
        let told = tools.run(
            "kafka-consumer-groups",
            &[&["--describe"][..], &group].concat(),
        )?;
        let fields = row(&told, "tools-readers");
        let wanted = ["tools-readers", "tools-groups", "0", committed, end, lag];
        ensure!(
            fields.get(..6) == Some(&wanted[..]),
            "wanted {wanted:?} in:\n{told}"
        );
        Ok(())
    };
    lag("3", "4", "1")?;
    let state = ["--describe", "--state"];
    let told = tools.run("kafka-consumer-groups", &[&state[..], &group].concat())?;
    has(&told, &["Empty"])?;
    let reset = [
        "--reset-offsets",
        "--to-earliest",
        "--topic",
        "tools-groups",
        "--execute",
    ];
    tools.run("kafka-consumer-groups", &[&reset[..], &group].concat())?;
    lag("0", "4", "4")?;
    let told = tools.run(
        "kafka-consumer-groups",
        &[&["--delete"][..], &group].concat(),
    )?;
    has(&told, &["successful"])?;
    let told = tools.run("kafka-consumer-groups", &["--list"])?;
    ensure!(!told.contains("tools-readers"), "still listed:\n{told}");
    Ok(())
}

fn configs(tools: &Tools) -> Result<()> {
    create(tools, "tools-configs", "1")?;
    let entity = ["--entity-type", "topics", "--entity-name", "tools-configs"];
    let run = |more: &[&str]| tools.run("kafka-configs", &[&entity[..], more].concat());
    run(&[
        "--alter",
        "--add-config",
        "retention.ms=7200000,max.message.bytes=2000000",
    ])?;
    let told = run(&["--describe"])?;
    has(
        &told,
        &[
            "retention.ms=7200000",
            "max.message.bytes=2000000",
            "DYNAMIC_TOPIC_CONFIG",
        ],
    )?;
    run(&["--alter", "--delete-config", "retention.ms"])?;
    let told = run(&["--describe"])?;
    ensure!(!told.contains("retention.ms=7200000"), "still set:\n{told}");
    let told = run(&["--describe", "--all"])?;
    has(
        &told,
        &[
            "retention.ms=604800000",
            "cleanup.policy=delete",
            "segment.bytes=1073741824",
        ],
    )?;
    let arguments = [
        &entity[..],
        &["--alter", "--add-config", "segment.bytes=few"],
    ]
    .concat();
    let refused = tools.outcome("kafka-configs", &arguments, "")?;
    ensure!(!refused.status.success(), "a bad value was accepted");
    has(
        &format!("{}{}", refused.stdout, refused.stderr),
        &["segment.bytes"],
    )?;
    let told = tools.run(
        "kafka-configs",
        &[
            "--entity-type",
            "brokers",
            "--entity-name",
            "1",
            "--describe",
            "--all",
        ],
    )?;
    has(&told, &["num.partitions=1", "log.dirs="])
}

fn get_offsets(tools: &Tools) -> Result<()> {
    create(tools, "tools-offsets", "2")?;
    fill(tools, "tools-offsets", "a:1\na:2\na:3\n")?;
    let at = |time: &str| {
        let told = tools.run(
            "kafka-get-offsets",
            &["--topic", "tools-offsets", "--time", time],
        )?;
        let mut rows: Vec<String> = told.lines().map(ToOwned::to_owned).collect();
        rows.sort();
        Ok::<_, anyhow::Error>(rows)
    };
    let latest = at("latest")?;
    // One key, one partition: the partitioner decides which.
    let total: i64 = latest
        .iter()
        .filter_map(|row| row.rsplit(':').next()?.parse::<i64>().ok())
        .sum();
    ensure!(latest.len() == 2 && total == 3, "latest: {latest:?}");
    let earliest = at("earliest")?;
    ensure!(
        earliest == ["tools-offsets:0:0", "tools-offsets:1:0"],
        "earliest: {earliest:?}"
    );
    // Only the partition that has records has a newest one, and a first one since 1970.
    let filled = latest
        .iter()
        .find_map(|row| row.strip_suffix(":3"))
        .unwrap_or_default();
    let newest = at("max-timestamp")?;
    let one_of = |row: &String| (0..3).any(|offset| *row == format!("{filled}:{offset}"));
    ensure!(
        newest.len() == 1 && newest.iter().all(one_of),
        "max-timestamp: {newest:?}"
    );
    let since = at("0")?;
    ensure!(since == [format!("{filled}:0")], "since 1970: {since:?}");
    Ok(())
}

fn delete_records(tools: &Tools) -> Result<()> {
    create(tools, "tools-deleted", "1")?;
    fill(tools, "tools-deleted", "a:1\nb:2\nc:3\nd:4\n")?;
    let wanted = r#"{"version": 1, "partitions":
        [{"topic": "tools-deleted", "partition": 0, "offset": 3}]}"#;
    let file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file.as_file(), wanted.as_bytes())?;
    let path = file.path().display().to_string();
    let told = tools.run("kafka-delete-records", &["--offset-json-file", &path])?;
    has(&told, &["tools-deleted-0", "low_watermark: 3"])?;
    let arguments = [
        "--topic",
        "tools-deleted",
        "--from-beginning",
        "--max-messages",
        "1",
    ];
    let told = tools.run("kafka-console-consumer", &arguments)?;
    ensure!(
        told.lines().next() == Some("4"),
        "the first record left is:\n{told}"
    );
    Ok(())
}

fn perf_test(tools: &Tools) -> Result<()> {
    create(tools, "tools-perf", "2")?;
    let mut arguments = vec!["--topic", "tools-perf", "--num-records", "20000"];
    arguments.extend(["--record-size", "200", "--throughput", "-1"]);
    arguments.extend(["--command-property", "compression.type=lz4"]);
    let told = tools.run("kafka-producer-perf-test", &arguments)?;
    has(&told, &["20000 records sent", "records/sec"])?;
    let told = tools.run("kafka-get-offsets", &["--topic", "tools-perf"])?;
    let total: i64 = told
        .lines()
        .filter_map(|row| row.rsplit(':').next()?.parse::<i64>().ok())
        .sum();
    ensure!(
        total == 20_000,
        "20000 records sent, but the ends are\n{told}"
    );
    Ok(())
}

fn api_versions(tools: &Tools) -> Result<()> {
    let told = tools.run("kafka-broker-api-versions", &[])?;
    has(
        &told,
        &[
            "Produce(0): ",
            "Fetch(1): ",
            "Metadata(3): ",
            "ApiVersions(18): ",
        ],
    )?;
    // The tool marks what it cannot use; nothing that this issue serves may be among it.
    for api in [
        "Produce",
        "Fetch",
        "ListOffsets",
        "JoinGroup",
        "OffsetCommit",
        "CreateTopics",
    ] {
        ensure!(
            !told.contains(&format!("{api}: UNSUPPORTED")),
            "{api} is unsupported:\n{told}"
        );
    }
    Ok(())
}

fn log_dirs(tools: &Tools) -> Result<()> {
    create(tools, "tools-dirs", "1")?;
    fill(tools, "tools-dirs", "a:1\n")?;
    let told = tools.run(
        "kafka-log-dirs",
        &["--describe", "--topic-list", "tools-dirs"],
    )?;
    has(&told, &[r#""partition":"tools-dirs-0""#, r#""error":null"#])
}

fn reassign_partitions(tools: &Tools) -> Result<()> {
    create(tools, "tools-move", "1")?;
    let plan = |replicas: &str| -> Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new()?;
        let moves = format!(
            r#"{{"version":1,"partitions":[{{"topic":"tools-move","partition":0,"replicas":{replicas}}}]}}"#
        );
        file.write_all(moves.as_bytes())?;
        Ok(file)
    };
    let run = |file: &tempfile::NamedTempFile, more: &[&str]| {
        let path = file.path().display().to_string();
        let arguments = [&["--reassignment-json-file", &path][..], more].concat();
        tools.outcome("kafka-reassign-partitions", &arguments, "")
    };
    let same = plan("[1]")?;
    let told = run(&same, &["--execute", "--throttle", "1000000"])?.success()?;
    has(
        &told,
        &[
            "Successfully started",
            "The inter-broker throttle limit was set",
        ],
    )?;
    let told = tools.run(
        "kafka-configs",
        &[
            "--describe",
            "--entity-type",
            "brokers",
            "--entity-name",
            "1",
        ],
    )?;
    has(&told, &["leader.replication.throttled.rate=1000000"])?;
    let told = run(&same, &["--verify"])?.success()?;
    has(
        &told,
        &[
            "tools-move-0 is completed",
            "Clearing broker-level throttles",
        ],
    )?;
    let told = tools.run("kafka-reassign-partitions", &["--list"])?;
    has(&told, &["No partition reassignments found."])?;
    let refused = run(&plan("[77]")?, &["--execute"])?;
    ensure!(!refused.status.success(), "a move to nobody succeeded");
    has(&format!("{}{}", refused.stdout, refused.stderr), &["77"])
}

fn leader_election(tools: &Tools) -> Result<()> {
    create(tools, "tools-elect", "2")?;
    let preferred = ["--election-type", "preferred"];
    let one = [
        &preferred[..],
        &["--topic", "tools-elect", "--partition", "1"],
    ]
    .concat();
    let told = tools.run("kafka-leader-election", &one)?;
    has(&told, &["Valid replica already elected", "tools-elect-1"])?;
    let all = [&preferred[..], &["--all-topic-partitions"]].concat();
    tools.run("kafka-leader-election", &all)?;
    let missing = [
        &preferred[..],
        &["--topic", "tools-elect", "--partition", "9"],
    ]
    .concat();
    let refused = tools.outcome("kafka-leader-election", &missing, "")?;
    ensure!(!refused.status.success(), "partition 9 was elected");
    Ok(())
}

fn metadata_quorum(tools: &Tools) -> Result<()> {
    let told = tools.run("kafka-metadata-quorum", &["describe", "--status"])?;
    has(&told, &["LeaderId:", "MaxFollowerLag:", r#""id": 1"#])?;
    let told = tools.run("kafka-metadata-quorum", &["describe", "--replication"])?;
    ensure!(
        row(&told, "1").last() == Some(&"Leader"),
        "no leader in:\n{told}"
    );
    Ok(())
}

fn features(tools: &Tools) -> Result<()> {
    let told = tools.run("kafka-features", &["describe"])?;
    has(
        &told,
        &[
            "eligible.leader.replicas.version",
            "FinalizedVersionLevel: 1",
        ],
    )?;
    let unknown = ["upgrade", "--feature", "nobody.knows.this=1"];
    let refused = tools.outcome("kafka-features", &unknown, "")?;
    ensure!(!refused.status.success(), "an unknown feature was set");
    Ok(())
}

fn cluster(tools: &Tools) -> Result<()> {
    let told = tools.run("kafka-cluster", &["list-endpoints"])?;
    ensure!(
        row(&told, "1").contains(&"unfenced"),
        "no broker in:\n{told}"
    );
    let refused = tools.outcome("kafka-cluster", &["unregister", "--id", "99"], "")?;
    ensure!(!refused.status.success(), "broker 99 was unregistered");
    has(
        &format!("{}{}", refused.stdout, refused.stderr),
        &["BrokerIdNotRegistered"],
    )
}
