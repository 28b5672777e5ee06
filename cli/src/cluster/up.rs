//! `freshet cluster up`: several brokers on this machine, to try things out.
//!
//! Each broker is a process of its own, with its own folder and log file, so that it can be killed
//! and looked at like a real one. They end with this command.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, builder::RangedU64ValueParser};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::fs::OpenOptions;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::output::patience::Patience;
use crate::output::{Output, Rows};

/// How long all brokers together may take until they serve.
const START: Duration = Duration::from_secs(60);
/// How long a broker may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(60);
/// Between two looks at what has become of the brokers.
const LOOK: Duration = Duration::from_millis(50);
/// Brokers that decide together at most; others only follow.
const CONTROLLERS: u16 = 5;
/// From a broker's port to that of its controller.
const CONTROLLER_PORTS: u16 = 10_000;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet cluster up
      three brokers on 127.0.0.1:9092 to 9094, data in ./freshet-cluster, until Ctrl-C
  freshet cluster up --brokers 5 --port 29092 --http-port 29644
  freshet cluster up --set num.partitions=6 --dir /tmp/trial

THEN, IN ANOTHER TERMINAL:
  freshet topic create orders --partitions 6 --replication 3
  freshet produce orders --value hello
  kill -9 PID     (of one broker, from the table) and go on producing")]
pub(crate) struct Up {
    /// How many brokers.
    #[arg(long, default_value_t = 3, value_name = "N",
          value_parser = RangedU64ValueParser::<u16>::new().range(1..=9))]
    brokers: u16,
    /// Where data and logs are kept; what is there already is used again.
    #[arg(long, default_value = "freshet-cluster", value_name = "FOLDER")]
    dir: PathBuf,
    /// The first broker's port; the others take the next ones, and controllers those 10,000 higher.
    #[arg(long, default_value_t = 9092, value_name = "PORT",
          value_parser = RangedU64ValueParser::<u16>::new().range(1024..=55_000))]
    port: u16,
    /// The first broker's port for health and metrics.
    #[arg(long, default_value_t = 9644, value_name = "PORT",
          value_parser = RangedU64ValueParser::<u16>::new().range(1024..=65_000))]
    http_port: u16,
    /// One more setting for all brokers; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The broker's program [default: freshet-broker beside this one, else on the PATH].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Running {
    id: u16,
    address: String,
    http: String,
    pid: u32,
    log: PathBuf,
}

/// One broker.
struct Broker {
    running: Running,
    child: Child,
    ready: PathBuf,
    /// How to start it by hand.
    command_line: String,
    has_ended: bool,
}

pub(crate) async fn run(output: &Output, patience: &Patience, up: Up) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut brokers = up.start().await?;
    let lived = tokio::select! {
        lived = live(output, patience, &mut brokers) => lived,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    };
    patience
        .with("stopping the brokers", stop(&mut brokers))
        .await;
    lived
}

async fn live(output: &Output, patience: &Patience, brokers: &mut [Broker]) -> anyhow::Result<()> {
    patience
        .with("starting the brokers", ready(brokers))
        .await?;
    let running: Vec<&Running> = brokers.iter().map(|broker| &broker.running).collect();
    let addresses: Vec<&str> = running.iter().map(|r| r.address.as_str()).collect();
    output.heading(&format!("bootstrap {}", addresses.join(",")))?;
    output.show(&running, |running| table(running))?;
    output.heading("Ctrl-C stops all of them")?;
    loop {
        for broker in brokers.iter_mut().filter(|broker| !broker.has_ended) {
            if let Some(status) = broker.child.try_wait()? {
                broker.has_ended = true;
                let id = broker.running.id;
                let how = &broker.command_line;
                eprintln!("broker {id} ended: {status}. To start it again:\n  {how}");
            }
        }
        if brokers.iter().all(|broker| broker.has_ended) {
            bail!("no broker is left; {}", brokers[0].look_there());
        }
        sleep(LOOK).await;
    }
}

fn table(running: &[&Running]) -> Rows {
    let mut rows = Rows::new(&[">BROKER", "ADDRESS", "HTTP", ">PID", "LOG"], "no brokers");
    for broker in running {
        rows.push([
            broker.id.to_string(),
            broker.address.clone(),
            broker.http.clone(),
            broker.pid.to_string(),
            broker.log.display().to_string(),
        ]);
    }
    rows
}

/// Waits until all serve.
async fn ready(brokers: &mut [Broker]) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    for broker in brokers {
        while !tokio::fs::try_exists(&broker.ready).await? {
            let id = broker.running.id;
            if let Some(status) = broker.child.try_wait()? {
                bail!("broker {id} ended: {status}; {}", broker.look_there());
            }
            ensure!(
                Instant::now() < deadline,
                "broker {id} does not serve within {} s; {}",
                START.as_secs(),
                broker.look_there()
            );
            sleep(LOOK).await;
        }
    }
    Ok(())
}

/// All at once: each waits for the others' leave, and gets it only while they are up.
async fn stop(brokers: &mut [Broker]) {
    for broker in brokers.iter_mut() {
        broker.tell(Signal::TERM);
    }
    for broker in brokers {
        if timeout(STOP, broker.child.wait()).await.is_err() {
            eprintln!("broker {} does not stop: killing it", broker.running.id);
            broker.tell(Signal::KILL);
            // It is gone then, whatever this says.
            let _ = broker.child.wait().await;
        }
    }
}

impl Broker {
    fn look_there(&self) -> String {
        format!("{} tells why", self.running.log.display())
    }

    fn tell(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Up {
    async fn start(&self) -> anyhow::Result<Vec<Broker>> {
        let dir = std::path::absolute(&self.dir)?;
        let program = self.program();
        let mut brokers = Vec::new();
        for id in 1..=self.brokers {
            brokers.push(self.start_one(id, &dir, &program).await?);
        }
        Ok(brokers)
    }

    /// The one that was built or installed together with this program, else whichever is found.
    fn program(&self) -> PathBuf {
        const NAME: &str = "freshet-broker";
        let beside = || {
            let beside = std::env::current_exe().ok()?.with_file_name(NAME);
            beside.is_file().then_some(beside)
        };
        let given = self.program.clone();
        given.or_else(beside).unwrap_or_else(|| NAME.into())
    }

    async fn start_one(&self, id: u16, dir: &Path, program: &Path) -> anyhow::Result<Broker> {
        let home = dir.join(id.to_string());
        tokio::fs::create_dir_all(&home)
            .await
            .with_context(|| format!("cannot make {}", home.display()))?;
        let (log, ready) = (home.join("broker.log"), home.join("ready.json"));
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .await;
        let lines = lines.with_context(|| format!("cannot write {}", log.display()))?;
        // One that was killed has left it.
        if tokio::fs::try_exists(&ready).await? {
            tokio::fs::remove_file(&ready).await?;
        }
        let arguments = self.arguments(id, &home, &ready);
        let child = Command::new(program)
            .args(&arguments)
            // Also when this one is killed and can stop nobody.
            .args(["--with-parent".to_owned(), std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(lines.into_std().await)
            // Ctrl-C is for this command alone, which then stops them.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {}; --program names another",
                    program.display()
                )
            })?;
        Ok(Broker {
            running: Running {
                id,
                address: address(self.port, id),
                http: address(self.http_port, id),
                pid: child.id().unwrap_or(0),
                log,
            },
            child,
            ready,
            command_line: format!("{} {}", program.display(), arguments.join(" ")),
            has_ended: false,
        })
    }

    fn arguments(&self, id: u16, home: &Path, ready: &Path) -> Vec<String> {
        let deciding = self.brokers.min(CONTROLLERS);
        // An even one more is one more to wait for, and no failure more to survive.
        let deciding = deciding - u16::from(deciding.is_multiple_of(2));
        let controller = |id| address(self.port + CONTROLLER_PORTS, id);
        let voters: Vec<String> = (1..=deciding)
            .map(|id| format!("{id}@{}", controller(id)))
            .collect();
        let kafka = format!("PLAINTEXT://{}", address(self.port, id));
        let (roles, listeners) = if id <= deciding {
            let both = format!("{kafka},CONTROLLER://{}", controller(id));
            ("broker,controller", both)
        } else {
            ("broker", kafka)
        };
        let own = [
            format!("node.id={id}"),
            format!("process.roles={roles}"),
            format!("listeners={listeners}"),
            format!("controller.quorum.voters={}", voters.join(",")),
            format!("http.listener={}", address(self.http_port, id)),
            format!("log.dirs={}", home.join("data").display()),
        ];
        let settings = own.into_iter().chain(self.set.iter().cloned());
        let settings = settings.flat_map(|setting| ["--set".to_owned(), setting]);
        let ready = ["--ready-file".to_owned(), ready.display().to_string()];
        settings.chain(ready).collect()
    }
}

fn address(first_port: u16, id: u16) -> String {
    format!("127.0.0.1:{}", first_port + id - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(brokers: u16, id: u16) -> String {
        let up = Up {
            brokers,
            dir: "d".into(),
            port: 9092,
            http_port: 9644,
            set: vec!["num.partitions=6".to_owned()],
            program: None,
        };
        up.arguments(id, Path::new("/d/2"), Path::new("/d/2/ready.json"))
            .join(" ")
    }

    #[test]
    fn an_odd_number_decides_and_the_others_follow() {
        let second = arguments(4, 2);
        assert!(
            second.contains("listeners=PLAINTEXT://127.0.0.1:9093,CONTROLLER://127.0.0.1:19093")
        );
        assert!(second.contains(
            "controller.quorum.voters=1@127.0.0.1:19092,2@127.0.0.1:19093,3@127.0.0.1:19094 "
        ));
        assert!(second.contains("--set num.partitions=6 --ready-file /d/2/ready.json"));
        let fourth = arguments(4, 4);
        assert!(fourth.contains("process.roles=broker "));
        assert!(fourth.contains("listeners=PLAINTEXT://127.0.0.1:9095 "));
    }
}
