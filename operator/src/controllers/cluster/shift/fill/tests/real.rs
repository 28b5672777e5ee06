//! The same with brokers that are really there: what is planned is what they do.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use freshet_client::{Client, ClientConfig, NewTopic};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::*;

const QUORUM: usize = 3;

/// Brokers of one cluster, gone when they are dropped.
struct Brokers {
    binary: String,
    folder: tempfile::TempDir,
    /// A port for clients and one for controllers, each.
    ports: Vec<(u16, u16)>,
    processes: Vec<Child>,
}

impl Brokers {
    /// Of `all` only those of the quorum are started.
    fn start(binary: String, all: usize) -> Self {
        let free = |_| TcpListener::bind("127.0.0.1:0").expect("a free port");
        let held: Vec<_> = (0..2 * all).map(free).collect();
        let port = |at: usize| held[at].local_addr().expect("an address").port();
        let ports = (0..all)
            .map(|at| (port(2 * at), port(2 * at + 1)))
            .collect();
        let mut brokers = Self {
            binary,
            folder: tempfile::tempdir().expect("a folder"),
            ports,
            processes: Vec::new(),
        };
        drop(held);
        (1..=QUORUM).for_each(|id| brokers.add(id));
        brokers
    }

    fn add(&mut self, id: usize) {
        let (port, controller) = self.ports[id - 1];
        let voters = self.ports[..QUORUM].iter().zip(1..);
        let voters: Vec<_> = voters
            .map(|((_, port), id)| format!("{id}@127.0.0.1:{port}"))
            .collect();
        let votes = id <= QUORUM;
        let roles = if votes { "broker,controller" } else { "broker" };
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
        if votes {
            listeners += &format!(",CONTROLLER://127.0.0.1:{controller}");
        }
        let data = self.folder.path().join(id.to_string());
        let settings = [
            format!("node.id={id}"),
            format!("process.roles={roles}"),
            format!("listeners={listeners}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            format!("controller.quorum.voters={}", voters.join(",")),
            format!("log.dirs={}", data.display()),
            "http.listener=127.0.0.1:0".to_owned(),
        ];
        let process = Command::new(&self.binary)
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let process = process.expect("FRESHET_BROKER can be started");
        self.processes.push(process);
    }

    async fn client(&self) -> Client {
        let all = self.ports[..QUORUM].iter();
        let all = all.map(|(port, _)| format!("127.0.0.1:{port}"));
        let config = ClientConfig {
            bootstrap_timeout: Duration::from_secs(60),
            ..ClientConfig::new(all)
        };
        Client::connect(config).await.expect("they serve")
    }
}

/// Looks again and again until `good`; says how many looks were needed.
async fn until(client: &Client, mut good: impl FnMut(&Survey) -> bool) -> Survey {
    for _ in 0..300 {
        let survey = Survey::take(client).await.expect("they answer");
        if good(&survey) {
            return survey;
        }
        sleep(Duration::from_millis(200)).await;
    }
    panic!("it did not come so within a minute");
}

fn are_up(survey: &Survey, count: usize) -> bool {
    let up = survey.brokers.values().filter(|seen| seen.status() == "ok");
    up.count() == count
}

#[tokio::test]
#[ignore = "starts the broker that FRESHET_BROKER names: cargo xtask test runs it"]
async fn brokers_carry_out_what_is_planned() {
    let binary = std::env::var("FRESHET_BROKER").expect("FRESHET_BROKER names a broker's binary");
    let mut brokers = Brokers::start(binary, QUORUM + 1);
    let client = brokers.client().await;
    until(&client, |survey| are_up(survey, QUORUM)).await;
    let topic = |name| NewTopic {
        replication: Some(2),
        ..NewTopic::new(name).partitions(64)
    };
    for name in ["one", "two"] {
        let made = client.admin().create_topic(&topic(name)).await;
        made.expect("it can be made");
    }
    brokers.add(QUORUM + 1);
    until(&client, |survey| are_up(survey, QUORUM + 1)).await;

    let mut new = asked();
    let mut begun = 0;
    for _ in 0..300 {
        let survey = Survey::take(&client).await.expect("they answer");
        let Next { moves, filled } = next(&survey, &new);
        if !moves.is_empty() {
            assert!(moves.len() <= AT_ONCE);
            begun += moves.len();
            let outcomes = client.admin().reassign(&moves).await.expect("they answer");
            for (partition, outcome) in outcomes {
                outcome.unwrap_or_else(|error| panic!("{partition:?}: {error}"));
            }
        }
        new.extend(filled.begun.iter().map(|id| (*id, true)));
        new.retain(|id, _| !filled.ended.contains_key(id));
        if new.is_empty() {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert!(new.is_empty(), "it came to its end within a minute");
    assert_eq!(begun, 64, "a quarter of 256 replicas, none of them twice");
    let survey = Survey::take(&client).await.expect("they answer");
    assert_eq!(survey.kept_by(NodeId(4)).count(), 64);
    let first = |held: &&Held| held.replicas.first() == Some(&NodeId(4));
    let led = survey.partitions.iter().filter(first).count();
    assert_eq!(led, 32, "a quarter of 128 leaders");
    for held in &survey.partitions {
        assert!(
            held.adding.is_empty() && held.removing.is_empty(),
            "{held:?}"
        );
        assert_eq!((held.replicas.len(), held.isr.len()), (2, 2), "{held:?}");
    }
}
