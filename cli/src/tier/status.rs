//! `freshet tier status`.

use std::collections::HashMap;

use clap::Args;
use freshet_client::{ConfigEntry, OffsetSpec, Resource, TopicPartition, TopicView};
use serde::Serialize;

use crate::Context;
use crate::output::Rows;
use crate::output::outcome::{FAILED, Failures};

pub(super) const COPY_DISABLE: &str = "remote.log.copy.disable";

#[derive(Debug, Args)]
#[command(after_help = "\
START..TIERED is in object storage, LOCAL..END on disks; UNCOPIED counts offsets that are on disks only.

EXAMPLES:
  freshet tier status
  freshet tier status orders --output json")]
pub(crate) struct Status {
    /// Names of topics; all that use object storage if none is named.
    #[arg(value_name = "TOPIC")]
    names: Vec<String>,
}

/// A partition, and what of it is where; an offset is `null` when its leader does not answer.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Placed {
    topic: String,
    /// -1 for a topic of which nothing is known.
    partition: i32,
    /// `copies`, `paused`, `off` or `failed`.
    state: &'static str,
    error: Option<String>,
    /// First offset that can be read.
    start: Option<i64>,
    /// First offset on disks.
    local_start: Option<i64>,
    /// The offset after the last one in object storage; `start` if nothing is there.
    tiered_end: Option<i64>,
    end: Option<i64>,
}

impl Placed {
    fn uncopied(&self) -> Option<i64> {
        Some((self.end? - self.tiered_end?).max(0))
    }
}

pub(super) async fn run(context: &Context, args: Status) -> anyhow::Result<()> {
    let asking = place_all(context, &args.names);
    let (placed, failures, count) = context.patience.with("asking leaders", asking).await?;
    if !failures.is_lonely(count) || context.output.is_json() {
        context.output.show(&placed, table)?;
    }
    failures.into_result(count, "topic")
}

async fn place_all(
    context: &Context,
    names: &[String],
) -> anyhow::Result<(Vec<Placed>, Failures, usize)> {
    let named = !names.is_empty();
    let names = match named {
        true => names.to_vec(),
        false => all(context).await?,
    };
    let (mut placed, mut failures) = (Vec::new(), Failures::default());
    for name in &names {
        let mut found = Vec::new();
        let outcome = place(context, name, &mut found).await;
        if let Some(error) = failures.note(outcome) {
            placed.push(Placed {
                topic: name.clone(),
                partition: -1,
                state: FAILED,
                error: Some(error),
                ..Placed::default()
            });
        }
        // Of those that nobody asked for only what there is to see.
        placed.extend(found.into_iter().filter(|it| named || it.state != OFF));
    }
    Ok((placed, failures, names.len()))
}

async fn all(context: &Context) -> anyhow::Result<Vec<String>> {
    let view = context.client.all_topics().await?;
    let topics = view.topics.iter().filter(|(_, topic)| !topic.is_internal);
    let mut names: Vec<String> = topics.map(|(name, _)| name.clone()).collect();
    names.sort();
    Ok(names)
}

const OFF: &str = "off";

/// Whether a setting is `true`.
pub(crate) fn setting(configs: &[ConfigEntry], name: &str) -> bool {
    let found = configs.iter().find(|entry| entry.name == name);
    found.is_some_and(|entry| entry.value.as_deref() == Some("true"))
}

async fn place(context: &Context, name: &str, found: &mut Vec<Placed>) -> anyhow::Result<()> {
    let admin = context.client.admin();
    let configs = admin
        .describe_configs(&Resource::Topic(name.to_owned()))
        .await?;
    let state = match (
        setting(&configs, "remote.storage.enable"),
        setting(&configs, COPY_DISABLE),
    ) {
        (false, _) => OFF,
        (true, true) => "paused",
        (true, false) => "copies",
    };
    let view = context.client.topics(&[name.to_owned()]).await?;
    let Some(topic) = view.topic(name) else {
        return Ok(());
    };
    let mut offsets = HashMap::new();
    for spec in SPECS {
        for (partition, offset) in ask(context, name, topic, spec).await {
            offsets.insert((partition, spec.name), offset);
        }
    }
    for partition in &topic.partitions {
        let index = partition.index;
        let of = |name| offsets.get(&(index, name)).copied();
        let start = of("start");
        found.push(Placed {
            topic: name.to_owned(),
            partition: index,
            state,
            error: None,
            start,
            local_start: of("local"),
            // -1: nothing is there.
            tiered_end: of("tiered").and_then(|last| match last {
                -1 => start,
                last => Some(last + 1),
            }),
            end: of("end"),
        });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    name: &'static str,
    spec: OffsetSpec,
}

const SPECS: [Asked; 4] = [
    Asked {
        name: "start",
        spec: OffsetSpec::Earliest,
    },
    Asked {
        name: "local",
        spec: OffsetSpec::EarliestLocal,
    },
    Asked {
        name: "tiered",
        spec: OffsetSpec::LatestTiered,
    },
    Asked {
        name: "end",
        spec: OffsetSpec::Latest,
    },
];

/// An offset of each partition that has a leader which answers.
async fn ask(context: &Context, name: &str, topic: &TopicView, asked: Asked) -> Vec<(i32, i64)> {
    let led = topic.partitions.iter().filter(|p| p.leader.is_some());
    let all: Vec<(TopicPartition, OffsetSpec)> = led
        .map(|p| ((name.to_owned(), p.index), asked.spec))
        .collect();
    let answers = context.client.admin().list_offsets(&all, false).await;
    let found = answers.unwrap_or_default().into_iter();
    let offset = |((_, partition), outcome): (TopicPartition, Result<_, _>)| {
        let found: freshet_client::FoundOffset = outcome.ok()?;
        Some((partition, found.offset))
    };
    found.filter_map(offset).collect()
}

fn table(placed: &Vec<Placed>) -> Rows {
    let headings = [
        "TOPIC",
        ">PARTITION",
        "STATE",
        ">START",
        ">LOCAL",
        ">TIERED",
        ">END",
        ">UNCOPIED",
    ];
    let mut rows = Rows::new(
        &headings,
        "no topic uses object storage; `freshet topic alter NAME --config remote.storage.enable=true` \
         has one do so",
    );
    for it in placed {
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        rows.push([
            it.topic.clone(),
            number(Some(it.partition.into()).filter(|index| *index >= 0)),
            match &it.error {
                Some(error) => format!("{}: {error}", it.state),
                None => it.state.to_owned(),
            },
            number(it.start),
            number(it.local_start),
            number(it.tiered_end),
            number(it.end),
            number(it.uncopied()),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_copied_is_counted_where_it_is_known() {
        let placed = Placed {
            tiered_end: Some(7),
            end: Some(9),
            ..Placed::default()
        };
        assert_eq!(placed.uncopied(), Some(2));
        // The answers are of two moments.
        let earlier = Placed {
            end: Some(6),
            ..placed.clone()
        };
        assert_eq!(earlier.uncopied(), Some(0));
        let unknown = Placed {
            end: None,
            ..placed
        };
        assert_eq!(unknown.uncopied(), None);
    }
}
