//! `freshet group reset-offsets`.

use std::ops::RangeInclusive;

use clap::{ArgGroup, Args};
use freshet_client::{NewGroupOffset, OffsetSpec, TopicPartition};
use freshet_types::Timestamp;
use freshet_wire::ErrorCode;
use serde::Serialize;

use crate::advice::nearest;
use crate::output::Rows;
use crate::text::time;
use crate::{Context, text};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
#[command(after_help = "\
EXAMPLES:
  freshet group reset-offsets billing --topic orders --to earliest
  freshet group reset-offsets billing --topic orders:0,1 --to 1500
  freshet group reset-offsets billing --all-topics --to 2026-11-20T10:30:00Z
  freshet group reset-offsets billing --all-topics --to 2h --dry-run
  freshet group reset-offsets shipping --topic orders --to latest --create")]
pub(crate) struct Reset {
    /// The group. It must have no members.
    group: String,
    /// A topic, or some of its partitions; may be repeated.
    #[arg(
        long = "topic",
        short,
        group = "what",
        value_name = "TOPIC[:PARTITION,..]",
        value_parser = text::topic_partitions
    )]
    topics: Vec<(String, Option<Vec<i32>>)>,
    /// Every partition that the group has a position in.
    #[arg(long, group = "what")]
    all_topics: bool,
    /// earliest, latest, an offset, a time, or how long ago, as in 2h.
    #[arg(long, value_name = "WHERE")]
    to: String,
    /// Make the group if it has neither positions nor members.
    #[arg(long)]
    create: bool,
    /// Only show what would be stored.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Spec(OffsetSpec),
    Offset(i64),
}

#[derive(Debug, Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
    /// Why it is not where it was asked for.
    note: Option<String>,
}

pub(super) async fn run(context: &Context, args: Reset) -> anyhow::Result<()> {
    let now = context.client.config().clock.now();
    let target = target(&args.to, now).map_err(anyhow::Error::msg)?;
    let moved = context
        .patience
        .with("moving positions", reset(context, &args, target))
        .await?;
    if args.dry_run {
        context
            .output
            .heading("nothing was stored; this would be:")?;
    }
    context.output.show(&moved, table)
}

fn target(text: &str, now: Timestamp) -> Result<Target, String> {
    match text {
        "earliest" | "beginning" => Ok(Target::Spec(OffsetSpec::Earliest)),
        "latest" | "end" => Ok(Target::Spec(OffsetSpec::Latest)),
        _ => match text.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Target::Offset(offset)),
            Ok(_) => Err("an offset is 0 or more".to_owned()),
            Err(_) => time::moment(text, now).map(|t| Target::Spec(OffsetSpec::At(t))),
        },
    }
}

async fn reset(context: &Context, args: &Reset, target: Target) -> anyhow::Result<Vec<Moved>> {
    let admin = context.client.admin();
    let before = admin.group_offsets(&args.group).await?;
    if before.is_empty() && !args.create {
        check_group(context, &args.group).await?;
    }
    let partitions = partitions(context, args, &before).await?;
    let starts = find(context, &partitions, OffsetSpec::Earliest).await?;
    let ends = find(context, &partitions, OffsetSpec::Latest).await?;
    let wanted = match target {
        Target::Offset(offset) => {
            check_offset(offset, &ends)?;
            vec![offset; partitions.len()]
        }
        Target::Spec(spec) => find(context, &partitions, spec).await?,
    };
    let mut moved = Vec::new();
    let is_offset = matches!(target, Target::Offset(_));
    for (i, (topic, partition)) in partitions.iter().enumerate() {
        let is_it =
            |o: &&freshet_client::GroupOffset| o.topic == *topic && o.partition == *partition;
        moved.push(Moved {
            topic: topic.clone(),
            partition: *partition,
            from: before.iter().find(is_it).map(|o| o.offset),
            // No record that late: behind the last one.
            to: if wanted[i] < 0 {
                ends[i]
            } else {
                wanted[i].clamp(starts[i], ends[i])
            },
            note: note(wanted[i], starts[i]..=ends[i]).filter(|_| is_offset),
        });
    }
    if !args.dry_run {
        store(context, &args.group, &moved).await?;
    }
    Ok(moved)
}

/// A group that nobody has heard of is most often mistyped.
async fn check_group(context: &Context, group: &str) -> anyhow::Result<()> {
    let admin = context.client.admin();
    match admin.describe_group(group).await {
        Ok(described) if !described.members.is_empty() => return Ok(()),
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let groups = admin.list_groups().await?;
    let hint = nearest::hint(group, groups.iter().map(|g| g.id.as_str()));
    anyhow::bail!(
        "group {group:?} has neither positions nor members; --create makes it all the same{hint}"
    )
}

/// An offset that no partition has is most often mistyped.
fn check_offset(offset: i64, ends: &[i64]) -> anyhow::Result<()> {
    let last = ends.iter().max().copied().unwrap_or(offset);
    if offset > last {
        anyhow::bail!("offset {offset} is past the end, which is {last}; choose a smaller one");
    }
    Ok(())
}

/// Says that an offset is not in the log.
fn note(offset: i64, log: RangeInclusive<i64>) -> Option<String> {
    if offset > *log.end() {
        Some(format!("{offset} is past the end"))
    } else if offset < *log.start() {
        Some(format!("{offset} is before the start"))
    } else {
        None
    }
}

async fn partitions(
    context: &Context,
    args: &Reset,
    before: &[freshet_client::GroupOffset],
) -> anyhow::Result<Vec<TopicPartition>> {
    if args.all_topics {
        if before.is_empty() {
            anyhow::bail!(
                "group {:?} has no positions; name topics with --topic",
                args.group
            );
        }
        return Ok(before
            .iter()
            .map(|o| (o.topic.clone(), o.partition))
            .collect());
    }
    let names: Vec<_> = args.topics.iter().map(|(name, _)| name.clone()).collect();
    let view = context.client.topics(&names).await?;
    let mut chosen = Vec::new();
    for (name, some) in &args.topics {
        let all = view.topic(name).map_or(&[][..], |t| &t.partitions);
        match some {
            None => chosen.extend(all.iter().map(|p| (name.clone(), p.index))),
            Some(some) => {
                for index in some {
                    if !all.iter().any(|p| p.index == *index) {
                        anyhow::bail!(
                            "topic {name:?} has no partition {index}; it has {}",
                            all.len()
                        );
                    }
                    chosen.push((name.clone(), *index));
                }
            }
        }
    }
    Ok(chosen)
}

async fn find(
    context: &Context,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> anyhow::Result<Vec<i64>> {
    let asked: Vec<_> = partitions.iter().map(|p| (p.clone(), spec)).collect();
    let found = context.client.admin().list_offsets(&asked, false).await?;
    let offsets = found.into_iter().map(|(_, outcome)| Ok(outcome?.offset));
    offsets.collect()
}

async fn store(context: &Context, group: &str, moved: &[Moved]) -> anyhow::Result<()> {
    let offsets: Vec<_> = moved
        .iter()
        .map(|m| NewGroupOffset {
            partition: (m.topic.clone(), m.partition),
            offset: m.to,
            leader_epoch: -1,
            metadata: String::new(),
        })
        .collect();
    for (_, outcome) in context
        .client
        .admin()
        .set_group_offsets(group, &offsets)
        .await?
    {
        outcome?;
    }
    Ok(())
}

fn table(moved: &Vec<Moved>) -> Rows {
    let headings = ["TOPIC", ">PARTITION", ">FROM", ">TO", "NOTE"];
    let noted = moved.iter().any(|m| m.note.is_some());
    let shown = if noted { 5 } else { 4 };
    let mut rows = Rows::new(&headings[..shown], "nothing to move");
    for m in moved {
        let cells = [
            m.topic.clone(),
            m.partition.to_string(),
            m.from.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            m.to.to_string(),
            m.note.clone().unwrap_or_default(),
        ];
        rows.push(cells.into_iter().take(shown));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_many_forms() {
        let now = Timestamp(10_000_000);
        assert_eq!(
            target("earliest", now),
            Ok(Target::Spec(OffsetSpec::Earliest))
        );
        assert_eq!(target("15", now), Ok(Target::Offset(15)));
        let ago = Timestamp(10_000_000 - 7_200_000);
        assert_eq!(target("2h", now), Ok(Target::Spec(OffsetSpec::At(ago))));
        assert!(target("-3", now).is_err() && target("soon", now).is_err());
    }

    #[test]
    fn an_offset_outside_of_the_log_is_told() {
        assert!(check_offset(10, &[3, 10]).is_ok());
        assert!(check_offset(11, &[3, 10]).is_err());
        assert_eq!(note(5, 2..=5), None);
        assert_eq!(note(6, 2..=5).as_deref(), Some("6 is past the end"));
        assert_eq!(note(1, 2..=5).as_deref(), Some("1 is before the start"));
    }
}
