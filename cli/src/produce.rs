//! `freshet produce`.

mod lines;
mod progress;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use freshet_client::{
    Acks, ClientError, Delivery, Producer, ProducerConfig, ProducerRecord, Receipt,
};
use freshet_records::{Codec, Compression, Header};
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, BufReader};

use crate::output::patience::Patience;
use crate::{Context, advice, text};
use lines::{Lines, Shape};
use progress::Progress;

/// Records under way before the oldest must have its outcome.
const MAX_WAITING: usize = 100_000;

/// What a batch and a record take besides key and value, with some to spare for headers: the default
/// fits a topic that has the default max.message.bytes.
const BATCH_ROOM_BYTES: usize = 512;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  echo 'hello' | freshet produce orders
  freshet produce orders --value '{\"id\": 7}' --key 7 --header source=web
  freshet produce orders --file orders.tsv --key-separator '\\t' --compression zstd
  freshet produce orders --partition 2 --acks leader < lines.txt")]
pub(crate) struct Command {
    /// The topic. It must exist.
    topic: String,
    /// Read lines from this file instead of stdin.
    #[arg(long, short, value_name = "PATH", conflicts_with = "value")]
    file: Option<std::path::PathBuf>,
    /// Send this one value instead of lines.
    #[arg(long, short)]
    value: Option<String>,
    /// The key of every record.
    #[arg(long, short, conflicts_with = "key_separator")]
    key: Option<String>,
    /// What stands between key and value in each line; \t is a tab.
    #[arg(long, short = 's', value_parser = text::separator)]
    key_separator: Option<String>,
    /// Text that stands for null, as key or value.
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// A header of every record; may be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = text::name_value)]
    headers: Vec<(String, String)>,
    /// The partition; if left out the key decides, or records are spread.
    #[arg(long, short)]
    partition: Option<i32>,
    /// When a record counts as written.
    #[arg(long, short, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// How batches are compressed.
    #[arg(long, short, value_enum, default_value_t = CodecArg::None)]
    compression: CodecArg,
    /// How long a batch waits for more records.
    #[arg(long, default_value = "5ms", value_parser = text::duration)]
    linger: Duration,
    /// Bytes at which a batch is full.
    #[arg(long, default_value_t = 64 * 1024)]
    batch_bytes: usize,
    /// Longest line in bytes. A topic's max.message.bytes counts about 80 bytes more.
    #[arg(long, default_value_t = 1024 * 1024 - BATCH_ROOM_BYTES)]
    max_record_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcksArg {
    /// When every in-sync replica has it.
    All,
    /// When the leader has it.
    #[value(alias = "1")]
    Leader,
    /// When it is sent.
    #[value(alias = "0")]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CodecArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

pub(crate) async fn run(context: &Context, args: Command) -> anyhow::Result<()> {
    let timeout = context.client.config().call_timeout;
    // A topic that is not there is told before anything is read.
    context
        .client
        .topics(std::slice::from_ref(&args.topic))
        .await?;
    let starting = Producer::start(&context.client, config(&args, timeout));
    let producer = context
        .patience
        .with("starting the producer", starting)
        .await?;
    let mut sending = Sending {
        patience: context.patience,
        producer,
        waiting: VecDeque::new(),
        progress: Progress::start(context.patience.is_quiet()),
        first: None,
        refused: None,
        args,
    };
    let sent = sending.send_all().await;
    sending.settle(0).await;
    sending.report(context, sent)
}

fn config(args: &Command, delivery_timeout: Duration) -> ProducerConfig {
    ProducerConfig {
        acks: match args.acks {
            AcksArg::All => Acks::All,
            AcksArg::Leader => Acks::Leader,
            AcksArg::None => Acks::None,
        },
        compression: Compression {
            codec: match args.compression {
                CodecArg::None => Codec::None,
                CodecArg::Gzip => Codec::Gzip,
                CodecArg::Snappy => Codec::Snappy,
                CodecArg::Lz4 => Codec::Lz4,
                CodecArg::Zstd => Codec::Zstd,
            },
            level: None,
        },
        linger: args.linger,
        batch_bytes: args.batch_bytes,
        // Room for the batch around the largest record.
        max_request_bytes: args.max_record_bytes.max(args.batch_bytes) + 16 * 1024,
        delivery_timeout,
        ..ProducerConfig::default()
    }
}

struct Sending {
    args: Command,
    patience: Patience,
    producer: Producer,
    waiting: VecDeque<Receipt>,
    progress: Progress,
    first: Option<Delivery>,
    /// The first outcome that is a failure.
    refused: Option<ClientError>,
}

impl Sending {
    /// Sends until the input ends, or until Ctrl-C; what was read by then is still sent.
    async fn send_all(&mut self) -> anyhow::Result<()> {
        if let Some(value) = self.args.value.clone() {
            return self
                .send(self.args.key.clone().map(Bytes::from), Some(value.into()))
                .await;
        }
        match self.args.file.clone() {
            Some(path) => {
                let opening = || format!("cannot open {}", path.display());
                let file = File::open(&path).await.with_context(opening)?;
                self.send_lines(BufReader::with_capacity(256 * 1024, file))
                    .await
            }
            None => self.send_lines(BufReader::new(tokio::io::stdin())).await,
        }
    }

    async fn send_lines(&mut self, input: impl AsyncBufRead + Unpin) -> anyhow::Result<()> {
        let shape = Shape {
            key: self.args.key.clone().map(Bytes::from),
            separator: self.args.key_separator.clone().map(String::into_bytes),
            null: self.args.null.clone().map(String::into_bytes),
        };
        let mut lines = Lines::new(input, self.args.max_record_bytes);
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        loop {
            let line = tokio::select! {
                line = lines.next() => line?,
                _ = &mut interrupt => return Ok(()),
            };
            let Some(line) = line else { return Ok(()) };
            let (key, value) = shape.split(line, lines.number())?;
            self.send(key, value).await?;
        }
    }

    async fn send(&mut self, key: Option<Bytes>, value: Option<Bytes>) -> anyhow::Result<()> {
        let bytes = [&key, &value].into_iter().flatten().map(Bytes::len).sum();
        let header = |(name, value): &(String, String)| Header::new(name.clone(), value.clone());
        let record = ProducerRecord {
            topic: self.args.topic.clone(),
            partition: self.args.partition,
            key,
            value,
            headers: self.args.headers.iter().map(header).collect(),
            timestamp: None,
        };
        self.waiting.push_back(self.producer.send(record).await?);
        self.progress.add(bytes);
        if self.waiting.len() >= MAX_WAITING {
            self.settle(MAX_WAITING / 2).await;
        }
        if let Some(refused) = self.refused.take() {
            return Err(refused.into());
        }
        Ok(())
    }

    /// Waits for outcomes until at most `left` are open. A failure does not end it: what came after
    /// may be written all the same, and people want to know how much is.
    async fn settle(&mut self, left: usize) {
        while self.waiting.len() > left {
            let Some(receipt) = self.waiting.pop_front() else {
                break;
            };
            let waiting = receipt.delivered();
            match self.patience.with("waiting for the broker", waiting).await {
                Ok(delivery) => {
                    self.progress.written();
                    self.first.get_or_insert(delivery);
                }
                Err(error) => {
                    self.refused.get_or_insert(error);
                }
            }
        }
    }

    fn report(mut self, context: &Context, sent: anyhow::Result<()>) -> anyhow::Result<()> {
        let written = self.progress.count();
        let failure = match (sent, self.refused.take()) {
            (Err(error), _) => Some(error),
            (Ok(()), Some(refused)) => Some(refused.into()),
            (Ok(()), None) => None,
        };
        let failure = failure.map(|error| {
            let sentence = advice::sentence(&error);
            let records = text::count(written, "record");
            let were = if written == 1 { "was" } else { "were" };
            // Where the broker refused one, later ones may be written all the same.
            let order = if error.is::<ClientError>() {
                ""
            } else {
                " before that"
            };
            format!("{sentence}; {records} {were} written{order}")
        });
        if context.output.is_json() {
            let single = self.first.filter(|d| written == 1 && d.offset >= 0);
            let result = json!({
                "topic": self.args.topic,
                "records": written,
                "partition": single.map(|d| d.partition),
                "offset": single.map(|d| d.offset),
                "error": failure,
            });
            context.output.say(&result, "")?;
        } else if failure.is_none() && !self.patience.is_quiet() {
            self.progress.summary(&self.args.topic);
        }
        failure.map_or(Ok(()), |failure| Err(anyhow::Error::msg(failure)))
    }
}
