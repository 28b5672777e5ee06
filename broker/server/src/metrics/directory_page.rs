//! The log directories as exposition text, one series each. Nothing here asks a device: logs know
//! their sizes, and a flush thread has looked how much room there is.

use std::sync::Arc;

use freshet_env::disk::Space;
use freshet_log::{LogDir, LogView};
use freshet_partition::{Directory, Partition};

use crate::kafka::shown;
use crate::metrics::exposition::{head, sample};
use crate::metrics::signed;

/// One directory at one moment.
struct Row {
    directory: String,
    /// What is known of one that is online.
    online: Option<Online>,
}

struct Online {
    size_bytes: u64,
    space: Space,
    slow: bool,
    full: bool,
}

/// Writes all families. `open` are the partitions of this broker.
pub(super) fn render(
    dirs: &[Arc<LogDir>],
    open: &[Arc<Partition>],
    partitions: &Directory,
) -> String {
    let mut sizes = vec![0; dirs.len()];
    let mut add = |view: &LogView| {
        let at = dirs.iter().position(|dir| Arc::ptr_eq(dir, view.dir()));
        if let Some(size) = at.map(|at| &mut sizes[at]) {
            *size += view.size_bytes();
        }
    };
    open.iter().for_each(|partition| add(&partition.view()));
    // Copies on their way to another directory take room as well.
    let futures = partitions.futures();
    futures.iter().for_each(|(_, copy)| add(copy));
    let row = |(dir, size_bytes): (&Arc<LogDir>, u64)| Row {
        directory: shown(dir.path()),
        online: dir.failure().is_none().then(|| Online {
            size_bytes,
            space: dir.known_space(),
            slow: dir.is_slow(),
            full: dir.is_full(),
        }),
    };
    families(&dirs.iter().zip(sizes).map(row).collect::<Vec<_>>())
}

fn families(rows: &[Row]) -> String {
    let mut page = String::new();
    let name = "freshet_log_directory_offline";
    head(
        &mut page,
        name,
        "1 for a log directory that has failed or could not be opened.",
        "gauge",
    );
    for row in rows {
        let labels = [("directory", row.directory.as_str())];
        sample(&mut page, name, &labels, i64::from(row.online.is_none()));
    }
    let mut family = |name: &str, help: &str, value: fn(&Online) -> u64| {
        let name = format!("freshet_log_directory_{name}");
        head(&mut page, &name, help, "gauge");
        for row in rows {
            if let Some(online) = &row.online {
                let labels = [("directory", row.directory.as_str())];
                sample(&mut page, &name, &labels, signed(value(online)));
            }
        }
    };
    family(
        "size_bytes",
        "Bytes of segments of the partitions in a log directory.",
        |online| online.size_bytes,
    );
    family(
        "total_bytes",
        "Size of the file system that a log directory is on.",
        |online| online.space.total_bytes,
    );
    family(
        "available_bytes",
        "What of that file system may still be used.",
        |online| online.space.available_bytes,
    );
    family(
        "slow",
        "1 for a log directory whose disk has become slow, so that others lead what is on it.",
        |online| u64::from(online.slow),
    );
    family(
        "full",
        "1 for a log directory whose disk has no room for producers, so that others lead what is on it.",
        |online| u64::from(online.full),
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_offline_has_no_size() {
        let online = Online {
            size_bytes: 10,
            space: Space {
                total_bytes: 1000,
                available_bytes: 400,
            },
            slow: true,
            full: false,
        };
        let row = |directory: &str, online| Row {
            directory: directory.to_owned(),
            online,
        };
        let page = families(&[row("/a", Some(online)), row("/b", None)]);
        let series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "freshet_log_directory_offline{directory=\"/a\"} 0",
                "freshet_log_directory_offline{directory=\"/b\"} 1",
                "freshet_log_directory_size_bytes{directory=\"/a\"} 10",
                "freshet_log_directory_total_bytes{directory=\"/a\"} 1000",
                "freshet_log_directory_available_bytes{directory=\"/a\"} 400",
                "freshet_log_directory_slow{directory=\"/a\"} 1",
                "freshet_log_directory_full{directory=\"/a\"} 0",
            ]
        );
    }
}
