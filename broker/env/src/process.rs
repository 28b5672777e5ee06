//! What this process uses of the machine, under the names that Prometheus' own libraries give it.
//!
//! It is read from `/proc` and from the control groups of Linux (version 2) when somebody asks; what
//! cannot be read is left out. Nothing of it costs more with more files or threads.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::time::{ClockId, clock_gettime};

use crate::limits;

const GAUGE: &str = "gauge";

/// One figure of this process.
#[derive(Debug, Clone, Copy)]
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    value: f64,
}

/// All figures that can be had here, as Prometheus reads them. Blocks for as long as the kernel takes
/// to answer, which is microseconds.
pub fn exposition() -> String {
    let mut page = String::new();
    for figure in figures() {
        let Figure {
            name,
            help,
            kind,
            value,
        } = figure;
        writeln!(
            page,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        )
        .expect("writing to a string cannot fail");
    }
    page
}

fn figures() -> Vec<Figure> {
    let stat = read("/proc/self/stat").and_then(|text| Stat::parse(&text));
    let gauge = |name, help, value: Option<f64>| {
        value.map(|value| Figure {
            name,
            help,
            kind: GAUGE,
            value,
        })
    };
    let all = [
        Some(Figure {
            name: "process_cpu_seconds_total",
            help: "Processor time that the process has used, its own and the kernel's for it.",
            kind: "counter",
            value: cpu_seconds(),
        }),
        gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            stat.map(|stat| (stat.resident_pages * page_size() as u64) as f64),
        ),
        gauge(
            "process_open_fds",
            "Open file descriptors.",
            open_fds().map(|count| count as f64),
        ),
        gauge(
            "process_max_fds",
            "File descriptors that may be open.",
            Some(limits::open_files())
                .filter(|most| *most < u64::MAX)
                .map(|most| most as f64),
        ),
        gauge(
            "process_start_time_seconds",
            "When the process began, in seconds of the epoch.",
            start_seconds(stat),
        ),
        gauge(
            "process_threads",
            "Threads of the process.",
            stat.map(|stat| stat.threads as f64),
        ),
        gauge(
            "freshet_memory_limit_bytes",
            "Memory that there is for the process: what its container may use, or what the machine has.",
            memory_limit().map(|limit| limit as f64),
        ),
    ];
    all.into_iter().flatten().collect()
}

/// What there is in `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    threads: u64,
    /// Since the machine was started.
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name, in brackets; it may hold spaces and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The manual counts from 1, and `fields` begins with the third.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            threads: field(20)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Told once: the kernel works out when the machine was started anew each time, and a clock that is set
/// would look like a restart of the process.
fn start_seconds(stat: Option<Stat>) -> Option<f64> {
    static START: OnceLock<Option<f64>> = OnceLock::new();
    *START.get_or_init(|| {
        let machine = read("/proc/stat").and_then(|text| boot_seconds(&text))?;
        let after = stat?.start_ticks as f64 / clock_ticks_per_second() as f64;
        Some(machine as f64 + after)
    })
}

fn boot_seconds(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line?.trim().parse().ok()
}

/// Linux tells their number as the folder's size, since 6.2; before that they have to be counted.
fn open_fds() -> Option<u64> {
    let folder = Path::new("/proc/self/fd");
    match fs::metadata(folder).ok()?.len() {
        // The one by which the folder is read is among them.
        0 => Some((fs::read_dir(folder).ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

fn memory_limit() -> Option<u64> {
    let groups = read("/proc/self/cgroup");
    let group = groups.and_then(|groups| smallest_limit(Path::new("/sys/fs/cgroup"), &groups));
    let machine = read("/proc/meminfo").and_then(|text| machine_bytes(&text));
    group.into_iter().chain(machine).min()
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The smallest limit of the control group that this process is in, and of those around it. `groups` is what `/proc/self/cgroup` says. In a container its own group commonly looks like the
/// root, and what is outside cannot be seen.
fn smallest_limit(root: &Path, groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let group: PathBuf = root.join(group.trim_start_matches('/'));
    let around = group.ancestors().take_while(|path| path.starts_with(root));
    let limits = around.filter_map(|path| {
        let text = fs::read_to_string(path.join("memory.max")).ok()?;
        text.trim().parse().ok()
    });
    limits.min()
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn value(page: &str, name: &str) -> f64 {
        let lines = page.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = values.next().expect(name);
        assert_eq!(values.next(), None, "{name} twice");
        value.parse().expect("a number")
    }

    #[test]
    fn the_names_are_those_of_prometheus_own_libraries() {
        let page = exposition();
        for (name, kind) in [
            ("process_cpu_seconds_total", "counter"),
            ("process_resident_memory_bytes", "gauge"),
            ("process_open_fds", "gauge"),
            ("process_max_fds", "gauge"),
            ("process_start_time_seconds", "gauge"),
            ("process_threads", "gauge"),
            ("freshet_memory_limit_bytes", "gauge"),
        ] {
            assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{page}");
            assert!(value(&page, name) > 0.0, "{page}");
        }
    }

    #[test]
    fn files_and_memory_are_those_of_this_process() {
        let before = exposition();
        let files: Vec<fs::File> = (0..100).map(|_| tempfile::tempfile().unwrap()).collect();
        let memory = vec![1_u8; 64 << 20];
        let after = exposition();
        let grown = |name| value(&after, name) - value(&before, name);
        // Other tests run at the same time.
        assert!(grown("process_open_fds") >= 80.0, "{after}");
        assert!(
            grown("process_resident_memory_bytes") > 32.0 * 1024.0 * 1024.0,
            "{after}"
        );
        assert!(grown("process_cpu_seconds_total") > 0.0, "{after}");
        assert!(grown("process_start_time_seconds").abs() < f64::EPSILON);
        drop((files, memory));
    }

    #[test]
    fn the_start_is_in_the_past_and_not_long_ago() {
        let stat = read("/proc/self/stat").and_then(|text| Stat::parse(&text));
        let start = start_seconds(stat).expect("a start");
        let now = clock_gettime(ClockId::Realtime).tv_sec as f64;
        // The machine's own start is told in whole seconds.
        assert!(start < now + 2.0 && start > now - 3600.0, "{start} {now}");
    }

    #[test]
    fn a_machine_tells_its_memory_in_kibibytes() {
        let text = "MemTotal:       16384 kB\nMemFree:         8192 kB\n";
        assert_eq!(machine_bytes(text), Some(16 << 20));
        assert_eq!(machine_bytes("MemFree: 8192 kB\n"), None);
    }

    #[test]
    fn a_program_may_have_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 18 1234 20 55 22";
        let expected = Stat {
            threads: 7,
            start_ticks: 1234,
            resident_pages: 55,
        };
        for name in ["freshet", "a) b (c", ") R 1"] {
            let text = format!("42 ({name}) {rest}\n");
            assert_eq!(Stat::parse(&text), Some(expected), "{name}");
        }
        assert_eq!(Stat::parse("42 (freshet) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
    fn the_tightest_group_counts() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("pods/a");
        fs::create_dir_all(&inner).unwrap();
        let limit = |groups: &str| smallest_limit(folder.path(), groups);
        let within = "5:cpu:/x\n0::/pods/a\n";
        assert_eq!(limit(within), None, "nobody sets one");
        let set = |path: &Path, text: &str| fs::write(path.join("memory.max"), text).unwrap();
        set(&inner, "max\n");
        assert_eq!(limit(within), None, "there is none");
        set(&folder.path().join("pods"), "1000\n");
        assert_eq!(limit(within), Some(1000));
        set(&inner, "2000\n");
        assert_eq!(limit(within), Some(1000));
        set(&inner, "500\n");
        assert_eq!(limit(within), Some(500));
        set(folder.path(), "700\n");
        assert_eq!(limit("0::/\n"), Some(700), "a container's own view");
        assert_eq!(limit("0::/gone/away\n"), Some(700));
        assert_eq!(limit("4:memory:/pods\n"), None, "only version 1");
    }
}
