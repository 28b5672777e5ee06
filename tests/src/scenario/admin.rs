//! Administration through a client's own admin functions.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::group::start_group;
use super::{await_partitions, eventually, must, produce};
use crate::broker::Broker;
use crate::client::Client;
use crate::line::Line;
use crate::peer::{Answer, Peer, Role};
use crate::sample::{Sample, samples};

const TOPIC_ALREADY_EXISTS: i64 = 36;
const COUNT: u64 = 60;
const PARTITIONS: i32 = 3;
/// What a library has no function for. Whatever else is said to be unsupported is a fault of our program.
const LACKS: [(Client, &str); 1] = [(Client::Aiokafka, "delete_group")];
/// Time for changes of metadata to be seen.
const SOON: Duration = Duration::from_secs(10);

/// One client's administration of one topic and one group.
struct Desk<'a> {
    client: Client,
    bootstrap: &'a str,
    topic: String,
    admin: Peer,
}

/// Walks a topic and a group through their lives with the client's admin functions.
pub fn administer(client: Client, broker: &mut Broker) -> Result<()> {
    let bootstrap = broker.bootstrap();
    let admin = Peer::start(client, Role::Admin, bootstrap, &[])?;
    let topic = format!("admin-{}", client.name());
    let mut desk = Desk {
        client,
        bootstrap,
        topic,
        admin,
    };
    desk.create_twice()?;
    desk.configure()?;
    let sent = samples(41, 0..COUNT, PARTITIONS);
    produce(client, bootstrap, &[("topic", &desk.topic)], &sent)?;
    desk.look_at_offsets(&sent)?;
    desk.look_at_group()?;
    desk.delete_records()?;
    desk.add_partitions()?;
    desk.delete_topic()
}

impl Desk<'_> {
    /// Carries out an order; `None` if the library is known to have no function for it.
    fn order(&mut self, mut order: Value) -> Result<Option<Value>> {
        if order.get("topic").is_none() {
            order["topic"] = json!(self.topic);
        }
        match self.admin.ask(&order)? {
            Answer::Reply(reply) => Ok(Some(reply)),
            Answer::Unsupported => {
                let op = order["op"].as_str().unwrap_or_default();
                let known = LACKS.contains(&(self.client, op));
                ensure!(known, "{} has no {op}?", self.client.name());
                Ok(None)
            }
            Answer::Refused(why) => bail!("{}: {order} was refused: {why:?}", self.admin.blame()),
        }
    }

    /// Carries out an order and compares one field of its answer.
    fn expect(&mut self, order: Value, field: &str, wanted: Value) -> Result<()> {
        if let Some(reply) = self.order(order.clone())? {
            ensure!(
                reply[field] == wanted,
                "{order}: wanted {field} {wanted}, got {reply}"
            );
        }
        Ok(())
    }

    fn create_twice(&mut self) -> Result<()> {
        let configs = json!({"retention.ms": "-1", "segment.bytes": "1048576"});
        let order = json!({
            "op": "create_topic", "topic": self.topic, "partitions": PARTITIONS, "configs": configs,
        });
        must(&mut self.admin, order.clone())?;
        await_partitions(&mut self.admin, &self.topic, PARTITIONS)?;
        match self.admin.ask(&order)? {
            Answer::Refused(why) if why.code == TOPIC_ALREADY_EXISTS => {}
            other => bail!("creating it again: {other:?}"),
        }
        let listed = self
            .order(json!({"op": "list_topics"}))?
            .unwrap_or_default();
        ensure!(
            holds(&listed["topics"], &self.topic),
            "not listed: {listed}"
        );
        Ok(())
    }

    fn configure(&mut self) -> Result<()> {
        let described = json!({"op": "describe_config", "name": "segment.bytes"});
        self.expect(described, "value", json!("1048576"))?;
        let described = self.order(json!({"op": "describe_config", "name": "cleanup.policy"}))?;
        let described = described.context("every library describes configs")?;
        ensure!(
            described["value"] == "delete",
            "cleanup.policy: {described}"
        );
        ensure!(
            described["count"].as_u64() > Some(20),
            "all configs must be told: {described}"
        );
        // The old alter request replaces all configs, so the one that protects old records is set.
        self.order(json!({"op": "alter_config", "name": "retention.ms", "value": "-1"}))?;
        self.order(json!({"op": "alter_config", "name": "max.message.bytes", "value": "2000000"}))?;
        eventually(SOON, || {
            let order = json!({"op": "describe_config", "name": "max.message.bytes"});
            self.expect(order, "value", json!("2000000"))
        })?;
        self.order(json!({"op": "alter_config", "name": "retention.ms", "value": "-1"}))?;
        Ok(())
    }

    fn look_at_offsets(&mut self, sent: &[Sample]) -> Result<()> {
        let place = |at: Value| json!({"op": "list_offsets", "partition": 0, "at": at});
        self.expect(place(json!("earliest")), "offset", json!(0))?;
        self.expect(
            place(json!("latest")),
            "offset",
            json!(COUNT / PARTITIONS as u64),
        )?;
        let tenth = sent
            .iter()
            .filter(|sample| sample.partition == 0)
            .nth(10)
            .context("ten")?;
        self.expect(place(json!(tenth.timestamp)), "offset", json!(10))?;
        // Between two records the later one is meant.
        self.expect(place(json!(tenth.timestamp - 1)), "offset", json!(10))
    }

    fn look_at_group(&mut self) -> Result<()> {
        let name = format!("{}-readers", self.topic);
        let mut group = start_group(self.client, self.bootstrap, &self.topic)?;
        let mut shown = 0;
        while shown < COUNT {
            if let Line::Record(_) = group.next(Duration::from_secs(30))? {
                shown += 1;
            }
        }
        eventually(SOON, || {
            let order = json!({"op": "describe_group", "group": name});
            self.expect(order.clone(), "state", json!("Stable"))?;
            self.expect(order, "members", json!(2))
        })?;
        group.finish(Duration::from_secs(30))?;
        let listed = self
            .order(json!({"op": "list_groups"}))?
            .unwrap_or_default();
        ensure!(holds(&listed["groups"], &name), "not listed: {listed}");
        self.expect(
            json!({"op": "describe_group", "group": name}),
            "state",
            json!("Empty"),
        )?;
        let told = self
            .order(json!({"op": "group_offsets", "group": name}))?
            .unwrap_or_default();
        let mut committed: Vec<_> = told["offsets"].as_array().context("rows")?.clone();
        committed.sort_by_key(|row| row[1].as_i64());
        let each = COUNT / PARTITIONS as u64;
        let wanted: Vec<_> = (0..PARTITIONS)
            .map(|p| json!([self.topic, p, each]))
            .collect();
        ensure!(
            committed == wanted,
            "committed {committed:?}, wanted {wanted:?}"
        );
        if self
            .order(json!({"op": "delete_group", "group": name}))?
            .is_some()
        {
            let listed = self
                .order(json!({"op": "list_groups"}))?
                .unwrap_or_default();
            ensure!(!holds(&listed["groups"], &name), "still listed: {listed}");
        }
        Ok(())
    }

    fn add_partitions(&mut self) -> Result<()> {
        if self
            .order(json!({"op": "create_partitions", "count": 5}))?
            .is_some()
        {
            await_partitions(&mut self.admin, &self.topic, 5)?;
        }
        Ok(())
    }

    fn delete_records(&mut self) -> Result<()> {
        let order = json!({"op": "delete_records", "partition": 0, "before": 5});
        if self.order(order)?.is_some() {
            let order = json!({"op": "list_offsets", "partition": 0, "at": "earliest"});
            self.expect(order, "offset", json!(5))?;
        }
        Ok(())
    }

    fn delete_topic(&mut self) -> Result<()> {
        self.order(json!({"op": "delete_topic"}))?;
        eventually(SOON, || {
            let listed = self
                .order(json!({"op": "list_topics"}))?
                .unwrap_or_default();
            ensure!(
                !holds(&listed["topics"], &self.topic),
                "still listed: {listed}"
            );
            Ok(())
        })
    }
}

fn holds(names: &Value, name: &str) -> bool {
    names
        .as_array()
        .is_some_and(|names| names.iter().any(|each| each == name))
}
