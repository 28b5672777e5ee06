//! A small network: one namespace for each node, all plugged into one bridge. The clients and the
//! test itself are at the bridge.

mod queue;
mod weather;

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bits::Bits;
use crate::process::run;
use queue::Queue;
use weather::Done;
use weather::Storm;
pub(crate) use weather::Weather;

/// The address of everybody who is not a node.
pub(crate) const HUB: &str = "10.77.0.1";
const LIMIT: Duration = Duration::from_secs(10);

/// The network of a cluster; it is gone when dropped.
pub struct Network {
    nodes: Vec<i32>,
    storm: Option<Storm>,
}

impl Network {
    /// Plugs in these nodes.
    pub fn new(nodes: &[i32]) -> Result<Self> {
        let network = Self {
            nodes: nodes.to_vec(),
            storm: None,
        };
        shell(&format!(
            "ip link add hub type bridge && ip addr add {HUB}/24 dev hub && ip link set hub up"
        ))?;
        for node in nodes {
            let host = host(*node);
            shell(&format!(
                "ip netns add n{node} && \
                 ip link add p{node} type veth peer name eth0 netns n{node} && \
                 ip link set p{node} master hub up && \
                 ip -n n{node} addr add {host}/24 dev eth0 && \
                 ip -n n{node} link set eth0 up && ip -n n{node} link set lo up"
            ))?;
        }
        Ok(network)
    }

    /// `node` no longer hears `from`, who still hears it.
    pub fn deafen(&self, node: i32, from: i32) -> Result<()> {
        inside(
            node,
            &format!("iptables -w -A INPUT -s {} -j DROP", host(from)),
        )
    }

    /// `node` no longer hears clients, who still hear it.
    pub fn deafen_to_clients(&self, node: i32) -> Result<()> {
        inside(node, &format!("iptables -w -A INPUT -s {HUB} -j DROP"))
    }

    /// `node` and the `others` no longer hear each other; clients hear all of them.
    pub fn part(&self, node: i32, others: &[i32]) -> Result<()> {
        for other in others.iter().filter(|other| **other != node) {
            self.deafen(node, *other)?;
            self.deafen(*other, node)?;
        }
        Ok(())
    }

    /// Nothing from or to this port comes through between nodes.
    pub fn block_port(&self, port: u16) -> Result<()> {
        for node in &self.nodes {
            for end in ["--dport", "--sport"] {
                let rule = format!("iptables -w -A INPUT -i eth0 -p tcp {end} {port} -j DROP");
                inside(*node, &rule)?;
            }
        }
        Ok(())
    }

    /// No node reaches this port of who is not a node, nor hears from it.
    pub fn block_port_outside(&self, port: u16) -> Result<()> {
        for node in &self.nodes {
            for rule in [
                format!("OUTPUT -p tcp -d {HUB} --dport {port}"),
                format!("INPUT -p tcp -s {HUB} --sport {port}"),
            ] {
                inside(*node, &format!("iptables -w -A {rule} -j DROP"))?;
            }
        }
        Ok(())
    }

    /// Of what nodes hear from other nodes one packet in twenty is lost, and as many come twice.
    pub fn lose_and_double(&self) -> Result<()> {
        self.between_nodes(|from, _| {
            format!("-A INPUT -s {from} -m statistic --mode random --probability 0.05 -j DROP")
        })?;
        self.double()
    }

    /// Of what a node sends to other nodes one packet in twenty is sent twice.
    pub fn double(&self) -> Result<()> {
        self.between_nodes(|to, from| {
            format!(
                "-t mangle -A POSTROUTING -s {from} -d {to} \
                 -m statistic --mode random --probability 0.05 -j TEE --gateway {to}"
            )
        })
    }

    /// From now on all that nodes hear from other nodes comes through this weather; chance is in `bits`.
    pub(crate) fn blow(&mut self, weather: Weather, bits: &mut Bits) -> Result<()> {
        let queues = self.nodes.iter().map(|node| within(*node, Queue::open));
        let queues: Vec<Queue> = queues.collect::<Result<_>>().context("taking queues")?;
        self.storm = Some(Storm::start(queues, weather, Bits::new(bits.draw())));
        self.between_nodes(|from, _| {
            let number = queue::NUMBER;
            format!("-t mangle -A INPUT -p tcp -s {from} -j NFQUEUE --queue-num {number}")
        })
    }

    /// The sky is clear again: what was under way comes at once. Gives what the weather did.
    pub(crate) fn clear(&mut self) -> Result<Done> {
        for node in &self.nodes {
            inside(*node, "iptables -w -t mangle -F")?;
        }
        self.storm.take().map_or(Ok(Done::default()), Storm::end)
    }

    /// How often packets were sent twice since [`Self::double`].
    pub fn doubled(&self) -> Result<u64> {
        let mut doubled = 0;
        for node in &self.nodes {
            let told = said(*node, "iptables -w -t mangle -nvxL POSTROUTING")?;
            let counts = told.lines().filter(|line| line.contains(" TEE "));
            doubled += counts
                .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
                .sum::<u64>();
        }
        Ok(doubled)
    }

    /// What the kernels of all nodes count under this name: `group` is the beginning of a line of
    /// `/proc/net/snmp` or `/proc/net/netstat`.
    pub fn counted(&self, group: &str, name: &str) -> Result<u64> {
        let counts = self.nodes.iter().map(|node| {
            within(*node, || {
                let of = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
                let told = [of("snmp")?, of("netstat")?].concat();
                let mut lines = told.lines().filter_map(|line| line.strip_prefix(group));
                let names = lines.next().context("no such group")?.split_whitespace();
                let counts = lines.next().context("no numbers")?.split_whitespace();
                let found = names.zip(counts).find(|(known, _)| *known == name);
                let (_, count) = found.with_context(|| format!("nobody counts {group} {name}"))?;
                Ok(count.parse::<u64>()?)
            })
        });
        counts.sum()
    }

    /// How long it takes `node` to open a connection to this port of another one.
    pub fn round_trip(&self, node: i32, other: i32, port: u16) -> Result<Duration> {
        within(node, || {
            let from = Instant::now();
            TcpStream::connect((host(other), port))?;
            Ok(from.elapsed())
        })
    }

    /// Has each node do something with packets, for each of the others: they get the other's address and
    /// the node's own.
    fn between_nodes(&self, rule: impl Fn(&str, &str) -> String) -> Result<()> {
        for node in &self.nodes {
            for other in self.nodes.iter().filter(|other| *other != node) {
                let rule = rule(&host(*other), &host(*node));
                inside(*node, &format!("iptables -w {rule}"))?;
            }
        }
        Ok(())
    }

    /// Nobody hears `node` any more, and it hears nobody.
    pub fn isolate(&self, node: i32) -> Result<()> {
        inside(node, "iptables -w -A INPUT -i eth0 -j DROP")?;
        inside(node, "iptables -w -A OUTPUT -o eth0 -j DROP")
    }

    /// All that `node` sends and hears goes through a line of 2 Mbit/s.
    pub fn thin(&self, node: i32) -> Result<()> {
        let line = "root tbf rate 2mbit burst 16kb latency 400ms";
        inside(node, &format!("tc qdisc replace dev eth0 {line}"))?;
        shell(&format!("tc qdisc replace dev p{node} {line}"))?;
        Ok(())
    }

    /// Everybody hears everybody again at full speed.
    pub fn heal(&mut self) -> Result<()> {
        self.clear()?;
        for node in &self.nodes {
            inside(*node, "iptables -w -F")?;
            // There is nothing to remove on a line that was not slow.
            let _ = inside(*node, "tc qdisc del dev eth0 root");
            let _ = shell(&format!("tc qdisc del dev p{node} root"));
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &self.nodes {
            // Taking the namespace away takes its end of the line with it, and so the line.
            let _ = shell(&format!("ip netns del n{node}; ip link del p{node}"));
        }
        let _ = shell("ip link del hub");
    }
}

/// The address of a node.
pub(super) fn host(node: i32) -> String {
    format!("10.77.0.{}", 10 + node)
}

/// The same command, run in the network namespace of a node. It keeps its process id.
pub(super) fn at_node(node: i32, command: &Command) -> Command {
    let mut inside = Command::new("nsenter");
    inside.arg(format!("--net=/run/netns/n{node}"));
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            inside.env(name, value);
        }
    }
    inside
}

/// Does something on a thread that is in the network namespace of a node.
fn within<T: Send>(node: i32, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || {
        let namespace = File::open(format!("/run/netns/n{node}"))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        what()
    };
    let told = thread::scope(|scope| scope.spawn(inside).join());
    told.ok().context("a thread panicked")?
}

fn inside(node: i32, what: &str) -> Result<()> {
    said(node, what).map(drop)
}

/// What a command printed in the network namespace of a node.
fn said(node: i32, what: &str) -> Result<String> {
    shell(&format!("nsenter --net=/run/netns/n{node} {what}"))
}

/// Gives what it printed.
fn shell(what: &str) -> Result<String> {
    let mut command = Command::new("sh");
    command.args(["-c", what]);
    let told = run(command, "", LIMIT).with_context(|| what.to_owned())?;
    ensure!(told.status.success(), "{what}: {}", told.stderr);
    Ok(told.stdout)
}
