//! `freshet consume`.

mod format;
mod start;

use std::collections::HashMap;
use std::io::{BufWriter, Stdout, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use freshet_client::{
    Assignor, ClientError, Consumer, ConsumerConfig, ConsumerRecord, FoundOffset, GroupConfig,
    GroupConsumer, OffsetSpec, Reset, Start, TopicPartition,
};

use crate::{Context, text};
use format::Format;
use start::From;

/// One wait for records.
const WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet consume orders
  freshet consume orders --from end --follow
  freshet consume orders --from last:10 --format json
  freshet consume orders --from 2026-11-20T10:30:00Z -n 100
  freshet consume orders --partition 0 --from 1500 --format hex
  freshet consume orders payments --group billing --follow")]
pub(crate) struct Command {
    /// Topics to read.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Read as a member of this group: partitions are shared, positions are committed.
    #[arg(long, short, conflicts_with = "partitions")]
    group: Option<String>,
    /// Read only this partition; may be repeated.
    #[arg(long = "partition", short)]
    partitions: Vec<i32>,
    /// Where to start: beginning, end, an offset, last:N (of each partition), a time, or how long
    /// ago, as in 10m. In a group only beginning and end, where it has no position. [default:
    /// beginning; end with --follow]
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// Go on when the end is reached, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Stop after so many records.
    #[arg(long, short = 'n', value_name = "COUNT")]
    max: Option<usize>,
    /// How records are shown; json with --output json.
    #[arg(long, value_enum, default_value_t = Format::Value)]
    format: Format,
    /// What stands between key and value; \t is a tab.
    #[arg(long, short = 's', default_value = "\\t", value_parser = text::separator)]
    key_separator: String,
    /// How the group shares partitions out.
    #[arg(long, value_enum, requires = "group")]
    assignor: Option<AssignorArg>,
    /// Leave out records of open and aborted transactions.
    #[arg(long)]
    read_committed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AssignorArg {
    /// Runs of neighbouring partitions.
    Range,
    /// Even loads; members keep reading what stays with them.
    CooperativeSticky,
}

pub(crate) async fn run(context: &Context, args: Command) -> anyhow::Result<()> {
    let now = context.client.config().clock.now();
    let default = if args.follow { "end" } else { "beginning" };
    let from = start::parse(args.from.as_deref().unwrap_or(default), now);
    let from = from.map_err(anyhow::Error::msg)?;
    let printer = Printer {
        out: BufWriter::with_capacity(256 * 1024, std::io::stdout()),
        format: if context.output.is_json() {
            Format::Json
        } else {
            args.format
        },
        separator: args.key_separator.clone(),
        left: args.max,
        line: Vec::new(),
    };
    match &args.group {
        Some(group) => in_group(context, &args, (group, from), printer).await,
        None => alone(context, &args, from, printer).await,
    }
}

async fn alone(
    context: &Context,
    args: &Command,
    from: From,
    mut printer: Printer,
) -> anyhow::Result<()> {
    let partitions = chosen(context, args).await?;
    let committed = args.read_committed;
    let ends = find(context, &partitions, OffsetSpec::Latest, committed).await?;
    let starts = match from {
        From::Last(_) => find(context, &partitions, OffsetSpec::Earliest, committed).await?,
        From::At(_) => HashMap::new(),
    };
    if let From::At(Start::Offset(offset)) = from
        && ends.values().all(|end| offset > *end)
    {
        let last = ends.values().max().copied().unwrap_or(0);
        anyhow::bail!("offset {offset} is past the end, which is {last}; choose a smaller one");
    }
    // An offset that somebody typed must be there; otherwise retention may win the race.
    let reset = match from {
        From::At(Start::Offset(_)) => Reset::Fail,
        _ => Reset::Earliest,
    };
    let mut consumer = Consumer::new(&context.client, config(args, reset));
    for partition in partitions {
        let start = starts.get(&partition).copied().unwrap_or(0);
        let start = from.start(start, ends[&partition]);
        consumer.assign(partition, start);
    }
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    while printer.wants_more() {
        if !args.follow {
            leave_finished(&mut consumer, &ends);
            if consumer.assignment().is_empty() {
                break;
            }
        }
        consumer.set_max_records(printer.next_hand());
        let records = tokio::select! {
            records = consumer.poll(WAIT) => records?,
            _ = &mut interrupt => break,
        };
        // What came after the end we set out for is left to the next run.
        let in_time = |r: &&ConsumerRecord| {
            args.follow
                || ends
                    .get(&(r.topic.to_string(), r.partition))
                    .is_some_and(|end| r.offset < *end)
        };
        printer.print(records.iter().filter(in_time))?;
    }
    printer.finish()
}

/// Stops reading what is read to its end.
fn leave_finished(consumer: &mut Consumer, ends: &HashMap<TopicPartition, i64>) {
    let finished: Vec<_> = consumer
        .positions()
        .filter(|(partition, next, _)| ends.get(*partition).is_none_or(|end| next >= end))
        .map(|(partition, _, _)| partition.clone())
        .collect();
    for partition in finished {
        consumer.unassign(&partition);
    }
}

async fn chosen(context: &Context, args: &Command) -> anyhow::Result<Vec<TopicPartition>> {
    let finding = context.client.topics(&args.topics);
    let view = context.patience.with("finding topics", finding).await?;
    let mut chosen = Vec::new();
    for name in &args.topics {
        let all = view.topic(name).map_or(&[][..], |t| &t.partitions);
        for wanted in &args.partitions {
            if !all.iter().any(|p| p.index == *wanted) {
                anyhow::bail!(
                    "topic {name:?} has no partition {wanted}; it has {}",
                    all.len()
                );
            }
        }
        let all = all.iter().map(|p| p.index);
        let some = all.filter(|p| args.partitions.is_empty() || args.partitions.contains(p));
        chosen.extend(some.map(|p| (name.clone(), p)));
    }
    Ok(chosen)
}

async fn find(
    context: &Context,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    read_committed: bool,
) -> anyhow::Result<HashMap<TopicPartition, i64>> {
    let asked: Vec<_> = partitions.iter().map(|p| (p.clone(), spec)).collect();
    let admin = context.client.admin();
    let finding = admin.list_offsets(&asked, read_committed);
    let found = context
        .patience
        .with("finding starts and ends", finding)
        .await?;
    let offset = |(partition, outcome): (_, Result<FoundOffset, ClientError>)| {
        Ok((partition, outcome?.offset))
    };
    found.into_iter().map(offset).collect()
}

async fn in_group(
    context: &Context,
    args: &Command,
    (group, from): (&str, From),
    mut printer: Printer,
) -> anyhow::Result<()> {
    let reset = match (&args.from, from) {
        (None, _) => Reset::Earliest,
        (_, From::At(Start::Earliest)) => Reset::Earliest,
        (_, From::At(Start::Latest)) => Reset::Latest,
        _ => anyhow::bail!(
            "a group starts at its own position; --from may be beginning or end, and \
             `freshet group reset-offsets` moves positions"
        ),
    };
    context.client.topics(&args.topics).await?;
    let mut settings = GroupConfig::new(group, args.topics.clone());
    settings.consumer = config(args, reset);
    if let Some(assignor) = args.assignor {
        settings.assignors = vec![match assignor {
            AssignorArg::Range => Assignor::Range,
            AssignorArg::CooperativeSticky => Assignor::CooperativeSticky,
        }];
    }
    let mut consumer = GroupConsumer::new(&context.client, settings)?;
    let read = async {
        if join(context, group, &mut consumer, &mut printer).await? {
            read_in_group(&mut consumer, args, &mut printer).await?;
        }
        anyhow::Ok(())
    };
    let read = read.await;
    // Whatever happened: the others should not wait for the session to run out.
    let left = context
        .patience
        .with("leaving the group", consumer.close())
        .await;
    read?;
    left?;
    Ok(())
}

/// Enters the group. A coordinator waits for more members of a new group, and for slow ones of an
/// old group; people should know what for. Answers whether to go on: not after Ctrl-C.
async fn join(
    context: &Context,
    group: &str,
    consumer: &mut GroupConsumer,
    printer: &mut Printer,
) -> anyhow::Result<bool> {
    if !printer.wants_more() {
        return Ok(false);
    }
    consumer.set_max_records(printer.next_hand());
    let words = |waited: Duration| format!("joining group {group} ({} s) …", waited.as_secs());
    let joining = consumer.poll(Duration::ZERO);
    let joining = context.patience.after(WAIT, words, joining);
    tokio::select! {
        records = joining => printer.print(records?.iter()).map(|()| true),
        _ = tokio::signal::ctrl_c() => Ok(false),
    }
}

async fn read_in_group(
    consumer: &mut GroupConsumer,
    args: &Command,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    while printer.wants_more() {
        consumer.set_max_records(printer.next_hand());
        let records = tokio::select! {
            records = consumer.poll(WAIT) => records?,
            _ = &mut interrupt => break,
        };
        if records.is_empty() && !args.follow && is_at_end(consumer) {
            break;
        }
        printer.print(records.iter())?;
    }
    printer.finish()
}

/// Whether every partition of its share is read to the end; the end is what the last answer told.
fn is_at_end(consumer: &GroupConsumer) -> bool {
    let inner = consumer.consumer();
    consumer.assignment().iter().all(|p| {
        inner
            .position(p)
            .zip(inner.end(p))
            .is_some_and(|(position, end)| position >= end)
    })
}

fn config(args: &Command, reset: Reset) -> ConsumerConfig {
    ConsumerConfig {
        read_committed: args.read_committed,
        reset,
        // The broker answers before we look again.
        max_wait: WAIT / 2,
        ..ConsumerConfig::default()
    }
}

/// Shows records on stdout.
struct Printer {
    out: BufWriter<Stdout>,
    format: Format,
    separator: String,
    /// Records still to be shown, if there is a limit.
    left: Option<usize>,
    line: Vec<u8>,
}

impl Printer {
    fn wants_more(&self) -> bool {
        self.left != Some(0)
    }

    /// Records to ask for: none that would not be shown.
    fn next_hand(&self) -> usize {
        let usual = ConsumerConfig::default().max_records;
        self.left.map_or(usual, |left| left.min(usual))
    }

    fn print<'a>(
        &mut self,
        records: impl Iterator<Item = &'a ConsumerRecord>,
    ) -> anyhow::Result<()> {
        for record in records.take(self.left.unwrap_or(usize::MAX)) {
            self.line.clear();
            self.format.show(record, &self.separator, &mut self.line);
            self.out.write_all(&self.line)?;
            self.left = self.left.map(|left| left - 1);
        }
        Ok(self.out.flush()?)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}
