//! `docs/faults.md` from the table and the kept results.

use std::collections::BTreeMap;

use anyhow::Result;

use super::rows::GROUPS;
use super::{Fault, Kept};
use crate::trial::{Trial, known, tiered_name, trials, ways};

const HEAD: &str = "\
# Faults

What may go wrong, what must happen then, and which tests try it. `cargo xtask faults` writes this page; do not edit it.

A **trial** runs three brokers as processes, each in its own network namespace, while two of librdkafka, franz-go and Java
write with acks=all and one reads along; the seed and the trial's name say which. Faults are real: signals, packet filters, and disks whose power can go. Afterwards
everything is healed, work must go on everywhere within 30 seconds, every broker's copy is read in full, and the checker
looks for what was lost, doubled, reordered, skipped, seen and then gone, or different between copies. `cargo xtask test`
runs each trial once; `cargo xtask soak --minutes N` runs random sequences of them; a seed repeats a run.

Some run **tiered**, and some in both ways: a segment lasts half a second, and leaves the disks as soon as a real S3 server has it. Then a
consumer begins at the first record before anything breaks, others read from there and ask for records by time all the while, and
another one reads all of it when all is healed; most of that is on no disk. The answers by time are held against the records' own
times, and everything must be in the bucket in the end. Of each kind of fault some trial runs with all records on disks.

The other tests are named as they are called in the sources: `promises_are_kept_in_every_life` runs 2,000 seeds, with a quorum that is a model;
`what_was_agreed_survives_every_storm` runs 100 on the real one. These are the same seeds each time: how they went last is what
`cargo xtask test` said last.

The checker is tested by histories into which every kind of anomaly is planted, and the trials by running Apache
Kafka under them (`FRESHET_TEST_PEER=kafka`). Kafka passes most; it is known to fail `power_loss_of_all_at_once`, because it
acknowledges before it flushes, and there the checker finds what was lost.

For every row: nothing acknowledged is lost; copies agree; an idempotent producer's records are there once and in order;
work goes on after the healing; memory, descriptors and threads stay bounded (looked at after each trial); errors
are those that make a client do the right thing.

Offsets that groups have committed stay, too: up to twenty a second are committed all the while, each of a group of its own, and all that
were acknowledged are there in the end. A group of two, of franz-go or librdkafka, reads along
in every trial: in the end its members were shown every record and have committed all of it, whoever coordinated them meanwhile. What else
members may notice is in row 55, with Java too. Brokers serve the classic protocol of groups and not yet that of KIP-848.
";

/// The page; `kept` is the text of the kept results.
pub fn faults_page(kept: &str) -> Result<String> {
    let kept: BTreeMap<String, Kept> = serde_json::from_str(kept)?;
    let mut page = HEAD.to_owned();
    let faults = || GROUPS.iter().flat_map(|group| group.faults);
    let count = |wanted: fn(&&Fault) -> bool| faults().filter(wanted).count();
    let all = faults().count();
    let open = count(|fault| is_open(fault));
    let whole = count(|fault| fault.open.is_none());
    page.push_str(&format!(
        "\nOf {all} rows {whole} are tried, {} in part, and {open} are open.\n",
        all - whole - open
    ));
    for group in GROUPS {
        page.push_str(&format!(
            "\n## {}\n\n| row | fault | then | tried by |\n|---|---|---|---|\n",
            group.title
        ));
        for fault in group.faults {
            page.push_str(&line(fault));
        }
    }
    page.push_str(&results(&kept));
    Ok(page)
}

fn trials_of(row: u8) -> Vec<String> {
    let trials = trials();
    let of_row = trials.iter().filter(|trial| trial.rows.contains(&row));
    let told = |trial: &&Trial| {
        let ways = ways(trial, None);
        let how = match (ways.plain, ways.tiered) {
            (true, true) => " (also tiered)",
            (false, true) => " (tiered)",
            (_, false) => "",
        };
        format!("**{}**{how}", trial.name)
    };
    of_row.map(told).collect()
}

fn is_open(fault: &Fault) -> bool {
    fault.open.is_some() && fault.tests.is_empty() && trials_of(fault.row).is_empty()
}

fn line(fault: &Fault) -> String {
    let mut by = trials_of(fault.row);
    by.extend(fault.tests.iter().map(|test| format!("`{test}`")));
    if let Some(why) = fault.open {
        let how = if by.is_empty() { "open" } else { "missing" };
        by.push(format!("*{how}: {why}*"));
    }
    let Fault {
        row, what, then, ..
    } = fault;
    format!("| {row} | {what} | {then} | {} |\n", by.join(", "))
}

fn results(kept: &BTreeMap<String, Kept>) -> String {
    let mut text =
        "\n## The trials\n\n| trial | rows | runs | passed since the last failure | last run |\n\
                    |---|---|---|---|---|\n"
            .to_owned();
    for trial in trials() {
        let ways = ways(trial, None);
        let tiered = tiered_name(trial);
        for (name, runs) in [(trial.name, ways.plain), (&tiered, ways.tiered)] {
            let kept = kept.get(name);
            // One that is about a bucket has one name.
            let is_same = !runs && tiered == trial.name;
            if (runs || kept.is_some()) && !is_same {
                text.push_str(&result(trial, name, kept));
            }
        }
    }
    text
}

fn result(trial: &Trial, name: &str, kept: Option<&Kept>) -> String {
    let rows: Vec<String> = trial.rows.iter().map(ToString::to_string).collect();
    let rows = if rows.is_empty() {
        "odd case".into()
    } else {
        rows.join(", ")
    };
    if let Some(why) = known(trial.name) {
        return format!("| {name} | {rows} | | | KNOWN TO FAIL: {why} |\n");
    }
    let none = Kept::default();
    let kept = kept.unwrap_or(&none);
    let last = kept.last.as_ref().map_or("never".into(), |last| {
        let how = if last.passed { "passed" } else { "FAILED" };
        format!("{how}, {}, seed {}", last.day, last.seed)
    });
    format!(
        "| {name} | {rows} | {} | {} | {last} |\n",
        kept.runs, kept.passed_since
    )
}
