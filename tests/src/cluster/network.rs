//! A small network: one namespace for each node, all plugged into one bridge. The clients and the
//! test itself are at the bridge.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::run;

/// The address of everybody who is not a node.
pub(crate) const HUB: &str = "10.77.0.1";
const LIMIT: Duration = Duration::from_secs(10);

/// The network of a cluster; it is gone when dropped.
pub struct Network {
    nodes: Vec<i32>,
}

impl Network {
    /// Plugs in these nodes.
    pub fn new(nodes: &[i32]) -> Result<Self> {
        let network = Self {
            nodes: nodes.to_vec(),
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

    /// Of what a node sends to other nodes one packet in twenty is lost, and as many come twice.
    pub fn lose_and_double(&self) -> Result<()> {
        const SOME: &str = "-m statistic --mode random --probability 0.05";
        for node in &self.nodes {
            for other in self.nodes.iter().filter(|other| *other != node) {
                let (from, to) = (host(*other), host(*node));
                let lose = format!("iptables -w -A INPUT -s {from} {SOME} -j DROP");
                inside(*node, &lose)?;
                let double = format!(
                    "iptables -w -t mangle -A POSTROUTING -s {to} -d {from} {SOME} -j TEE --gateway {from}"
                );
                inside(*node, &double)?;
            }
        }
        Ok(())
    }

    /// Nobody hears `node` any more, and it hears nobody.
    pub fn isolate(&self, node: i32) -> Result<()> {
        inside(node, "iptables -w -A INPUT -i eth0 -j DROP")?;
        inside(node, "iptables -w -A OUTPUT -o eth0 -j DROP")
    }

    /// All that `node` sends and hears takes `delay` longer in each direction, or, where the kernel
    /// cannot hold packets back, goes through a line of 2 Mbit/s. Says which of them it is.
    pub fn slow(&self, node: i32, delay: Duration) -> Result<&'static str> {
        let milliseconds = delay.as_millis();
        let delayed = format!("root netem delay {milliseconds}ms limit 10000");
        if slow_line(node, &delayed).is_ok() {
            return Ok("delayed");
        }
        slow_line(node, "root tbf rate 2mbit burst 16kb latency 400ms")?;
        Ok("2 Mbit/s, because this kernel has no netem")
    }

    /// Everybody hears everybody again at full speed.
    pub fn heal(&self) -> Result<()> {
        for node in &self.nodes {
            inside(*node, "iptables -w -F")?;
            inside(*node, "iptables -w -t mangle -F")?;
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

fn slow_line(node: i32, how: &str) -> Result<()> {
    inside(node, &format!("tc qdisc replace dev eth0 {how}"))?;
    shell(&format!("tc qdisc replace dev p{node} {how}"))
}

fn inside(node: i32, what: &str) -> Result<()> {
    shell(&format!("nsenter --net=/run/netns/n{node} {what}"))
}

fn shell(what: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", what]);
    let told = run(command, "", LIMIT).with_context(|| what.to_owned())?;
    ensure!(told.status.success(), "{what}: {}", told.stderr);
    Ok(())
}
