//! `freshet group describe`.

use std::collections::{BTreeMap, HashMap};

use clap::Args;
use freshet_client::{
    ClientError, GroupDescription, GroupMember, GroupOffset, OffsetSpec, TopicPartition,
};
use freshet_types::ErrorKind;
use freshet_wire::ErrorCode;
use serde::Serialize;

use crate::Context;
use crate::output::Rows;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet group describe billing
  freshet group describe billing --members
  freshet group describe billing --output json")]
pub(crate) struct Describe {
    /// The group.
    group: String,
    /// Show members instead of partitions.
    #[arg(long)]
    members: bool,
}

#[derive(Debug, Serialize)]
struct Described {
    group: String,
    state: String,
    protocol_type: String,
    assignor: String,
    lag: i64,
    partitions: Vec<Partition>,
    members: Vec<Member>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Partition {
    topic: String,
    partition: i32,
    /// `null` when nothing is committed.
    offset: Option<i64>,
    /// `null` when the topic is gone.
    end: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
}

#[derive(Debug, Serialize)]
struct Member {
    id: String,
    instance: Option<String>,
    client: String,
    host: String,
    partitions: Vec<TopicPartition>,
}

pub(super) async fn run(context: &Context, args: Describe) -> anyhow::Result<()> {
    let described = context
        .patience
        .with("describing the group", describe(context, &args.group))
        .await?;
    context.output.heading(&heading(&described))?;
    context
        .output
        .show(&described, if args.members { members } else { partitions })
}

async fn describe(context: &Context, name: &str) -> anyhow::Result<Described> {
    let admin = context.client.admin();
    let group = admin.describe_group(name).await?;
    let committed = admin.group_offsets(name).await?;
    let bounds = bounds(context, &group, &committed).await?;
    let partitions = lag(&group, &committed, &bounds);
    Ok(Described {
        group: group.id,
        state: group.state,
        protocol_type: group.protocol_type,
        assignor: group.protocol,
        lag: partitions.iter().filter_map(|p| p.lag).sum(),
        partitions,
        members: group.members.into_iter().map(member).collect(),
    })
}

fn member(member: GroupMember) -> Member {
    Member {
        id: member.id,
        instance: member.instance_id,
        client: member.client_id,
        host: member.host,
        partitions: member.partitions,
    }
}

/// Start and end of each partition.
type Bounds = HashMap<TopicPartition, (i64, i64)>;

/// Bounds of every partition that the group reads or has a position in; topics that are gone are
/// left out.
async fn bounds(
    context: &Context,
    group: &GroupDescription,
    committed: &[GroupOffset],
) -> Result<Bounds, ClientError> {
    let read = group
        .members
        .iter()
        .flat_map(|m| m.partitions.iter().cloned());
    let mut all: Vec<_> = read
        .chain(committed.iter().map(|o| (o.topic.clone(), o.partition)))
        .collect();
    all.sort();
    all.dedup();
    let mut names: Vec<_> = all.iter().map(|(topic, _)| topic.clone()).collect();
    names.dedup();
    let view = context.client.ask_topics(&names).await?;
    all.retain(|(t, p)| {
        view.topic(t)
            .and_then(|t| t.partition(*p))
            .is_some_and(|p| p.leader.is_some())
    });
    let mut bounds = Bounds::new();
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
        let asked: Vec<_> = all.iter().map(|p| (p.clone(), spec)).collect();
        for (partition, outcome) in context.client.admin().list_offsets(&asked, false).await? {
            match outcome {
                Ok(found) if spec == OffsetSpec::Earliest => {
                    bounds.insert(partition, (found.offset, found.offset));
                }
                Ok(found) => {
                    bounds.entry(partition).or_default().1 = found.offset;
                }
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
                // Shown without an end, as one that nobody leads.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    bounds.remove(&partition);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bounds)
}

fn lag(group: &GroupDescription, committed: &[GroupOffset], bounds: &Bounds) -> Vec<Partition> {
    let mut partitions = BTreeMap::<TopicPartition, (Option<i64>, Option<String>)>::new();
    for position in committed {
        let key = (position.topic.clone(), position.partition);
        partitions.entry(key).or_default().0 = Some(position.offset);
    }
    for member in &group.members {
        for partition in &member.partitions {
            partitions.entry(partition.clone()).or_default().1 = Some(member.id.clone());
        }
    }
    let show = |(key, (offset, member)): (TopicPartition, (Option<i64>, Option<String>))| {
        let bound = bounds.get(&key);
        let (topic, partition) = key;
        Partition {
            topic,
            partition,
            offset,
            end: bound.map(|(_, end)| *end),
            // Records that retention has taken away cannot be read any more: they are no lag.
            lag: offset
                .zip(bound)
                .map(|(offset, (start, end))| (end - offset.max(*start)).max(0)),
            member,
        }
    };
    partitions.into_iter().map(show).collect()
}

fn heading(group: &Described) -> String {
    let assignor = if group.assignor.is_empty() {
        "none"
    } else {
        &group.assignor
    };
    format!(
        "{}  state {}  assignor {assignor}  members {}  lag {}",
        group.group,
        group.state,
        group.members.len(),
        group.lag
    )
}

fn partitions(group: &Described) -> Rows {
    let headings = [
        "TOPIC",
        ">PARTITION",
        ">OFFSET",
        ">END",
        ">LAG",
        "MEMBER",
        "CLIENT",
        "HOST",
    ];
    let mut rows = Rows::new(&headings, "nothing is committed or read");
    for p in &group.partitions {
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let member = group
            .members
            .iter()
            .find(|m| Some(&m.id) == p.member.as_ref());
        let of_member = |field: fn(&Member) -> &String| {
            member.map_or_else(|| "-".to_owned(), |m| field(m).clone())
        };
        rows.push([
            p.topic.clone(),
            p.partition.to_string(),
            number(p.offset),
            number(p.end),
            number(p.lag),
            of_member(|m| &m.id),
            of_member(|m| &m.client),
            of_member(|m| &m.host),
        ]);
    }
    rows
}

fn members(group: &Described) -> Rows {
    let headings = ["MEMBER", "INSTANCE", "CLIENT", "HOST", ">PARTITIONS"];
    let mut rows = Rows::new(&headings, "no members");
    for member in &group.members {
        rows.push([
            member.id.clone(),
            member.instance.clone().unwrap_or_else(|| "-".to_owned()),
            member.client.clone(),
            member.host.clone(),
            member.partitions.len().to_string(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(partition: i32, offset: i64) -> GroupOffset {
        GroupOffset {
            topic: "t".into(),
            partition,
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        }
    }

    fn group(reads: &[i32]) -> GroupDescription {
        let member = GroupMember {
            id: "m".into(),
            instance_id: None,
            client_id: "c".into(),
            host: "/h".into(),
            partitions: reads.iter().map(|p| ("t".to_owned(), *p)).collect(),
        };
        GroupDescription {
            id: "g".into(),
            state: "Stable".into(),
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            members: vec![member],
        }
    }

    #[test]
    fn lag_counts_only_what_can_be_read() {
        let bounds = Bounds::from([
            (("t".into(), 0), (0, 10)),
            (("t".into(), 1), (5, 10)),
            (("t".into(), 2), (0, 10)),
        ]);
        let offsets = [committed(0, 4), committed(1, 2), committed(3, 1)];
        let shown = lag(&group(&[0, 2]), &offsets, &bounds);
        let lags: Vec<_> = shown.iter().map(|p| (p.partition, p.lag)).collect();
        assert_eq!(lags, [(0, Some(6)), (1, Some(5)), (2, None), (3, None)]);
        assert_eq!(shown[0].member.as_deref(), Some("m"));
        assert_eq!(shown[1].member, None);
    }
}
