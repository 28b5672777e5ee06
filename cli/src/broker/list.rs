//! `freshet broker list`.

use clap::Args;
use freshet_client::{LogDir, Seen, Survey};
use serde::Serialize;

use super::describe::status;
use crate::output::Rows;
use crate::{Context, text};

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet broker list
  freshet broker list --output json")]
pub(crate) struct List {}

#[derive(Debug, Serialize)]
struct Listed {
    id: i32,
    address: String,
    rack: Option<String>,
    status: &'static str,
    replicas: usize,
    leaders: usize,
    /// `null` when the broker does not answer.
    log_bytes: Option<i64>,
    usable_bytes: Option<i64>,
    /// `null` when the broker does not answer.
    directories: Option<Vec<Directory>>,
}

#[derive(Debug, Serialize)]
struct Directory {
    path: String,
    /// As `freshet broker describe` has it, without reasons.
    status: String,
    #[serde(skip)]
    troubles: Vec<&'static str>,
}

impl Directory {
    fn of(dir: &LogDir) -> Self {
        Self {
            path: dir.path.clone(),
            status: status(dir),
            troubles: dir.troubles(),
        }
    }
}

pub(super) async fn run(context: &Context, _: List) -> anyhow::Result<()> {
    let survey = Survey::take(&context.client);
    let survey = context.patience.with("listing brokers", survey).await?;
    let listed = |seen: &Seen| Listed {
        id: seen.node.id.0,
        address: format!("{}:{}", seen.node.host, seen.node.port),
        rack: seen.node.rack.clone(),
        status: seen.status(),
        replicas: survey.kept_by(seen.node.id).count(),
        leaders: survey.led_by(seen.node.id),
        log_bytes: seen.log_bytes(),
        usable_bytes: seen.usable_bytes(),
        directories: seen
            .dirs
            .as_ref()
            .map(|dirs| dirs.iter().map(Directory::of).collect()),
    };
    let brokers: Vec<Listed> = survey.brokers.values().map(listed).collect();
    context.output.show(&brokers, table)
}

fn table(brokers: &Vec<Listed>) -> Rows {
    let headings = [
        ">BROKER",
        "ADDRESS",
        "RACK",
        "STATUS",
        ">REPLICAS",
        ">LEADERS",
        ">LOGS",
        ">DISK LEFT",
        "DISKS",
    ];
    let mut rows = Rows::new(&headings, "no brokers");
    for broker in brokers {
        rows.push([
            broker.id.to_string(),
            broker.address.clone(),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            broker.status.to_owned(),
            broker.replicas.to_string(),
            broker.leaders.to_string(),
            size(broker.log_bytes),
            size(broker.usable_bytes),
            disks(broker.directories.as_deref()),
        ]);
    }
    rows
}

/// Those that are not well, by their paths.
fn disks(directories: Option<&[Directory]>) -> String {
    let Some(directories) = directories else {
        return "-".to_owned();
    };
    let unwell = directories.iter().filter(|dir| !dir.troubles.is_empty());
    let told: Vec<_> = unwell
        .map(|dir| format!("{} {}", dir.path, dir.troubles.join(" and ")))
        .collect();
    match told.is_empty() {
        true => "ok".to_owned(),
        false => told.join(", "),
    }
}

/// Bytes, or a dash when they are not known.
pub(super) fn size(bytes: Option<i64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |b| text::bytes(b.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str, slow: bool, full: bool, error: Option<&str>) -> LogDir {
        LogDir {
            path: path.to_owned(),
            error: error.map(str::to_owned),
            total_bytes: 10,
            usable_bytes: 5,
            cordoned: false,
            slow,
            full,
            reserve_bytes: 0,
            partitions: Vec::new(),
        }
    }

    #[test]
    fn disks_that_are_not_well_are_named() {
        let dirs = [
            dir("/a", false, false, None),
            dir("/b", true, true, None),
            dir("/c", false, true, None),
            dir("/d", false, false, Some("KAFKA_STORAGE_ERROR")),
        ];
        let listed: Vec<_> = dirs.iter().map(Directory::of).collect();
        let said = "/b slow and full, /c full, /d failed";
        assert_eq!(disks(Some(&listed)), said);
        assert_eq!(disks(Some(&listed[..1])), "ok");
        assert_eq!(disks(None), "-", "it does not answer");
    }

    #[test]
    fn a_directory_has_all_that_is_to_say_in_its_status() {
        let cordoned = LogDir {
            cordoned: true,
            ..dir("/a", true, false, None)
        };
        assert_eq!(status(&cordoned), "slow, cordoned");
        assert_eq!(status(&dir("/a", false, false, None)), "ok");
    }
}
