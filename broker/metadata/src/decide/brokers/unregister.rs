//! A broker leaves the cluster for good.

use freshet_types::Now;

use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::{ConfigResource, Record};
use crate::request::UnregisterBroker;
use crate::state::ConfigOwner;

pub(crate) fn unregister_broker(
    machine: &mut MetadataMachine,
    now: Now,
    request: &UnregisterBroker,
    records: &mut Vec<Record>,
) -> Outcome<()> {
    let node = request.node;
    let unknown = MetadataError::UnknownBroker { node };
    let broker = machine.image.broker(node).ok_or(unknown)?;
    let timeout = machine
        .options
        .sessions
        .map_or(0, |options| options.timeout_ms);
    let in_use = |reason| Err(MetadataError::BrokerInUse { node, reason });
    if !broker.fenced || machine.sessions.is_alive(node, now.monotonic, timeout) {
        return in_use("it is alive: stop it first".to_owned());
    }
    let kept = machine.holdings.count(node);
    if kept > 0 {
        return in_use(format!("it keeps {kept} replicas: reassign them first"));
    }
    let configs = machine.image.configs(&ConfigOwner::Broker(node));
    records.extend(configs.keys().map(|name| Record::Config {
        resource: ConfigResource::Broker(node),
        name: name.clone(),
        value: None,
    }));
    records.push(Record::BrokerGone { node });
    machine.sessions.remove(node);
    Ok(())
}
