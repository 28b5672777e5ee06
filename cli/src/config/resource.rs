//! Naming what has settings.

use freshet_client::Resource;
use freshet_types::NodeId;

/// `topic:NAME`, `broker:ID`, `brokers` or `group:NAME`.
pub(super) fn parse(text: &str) -> Result<Resource, String> {
    if text == "brokers" {
        return Ok(Resource::AllBrokers);
    }
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("write topic:NAME, broker:ID, brokers or group:NAME".to_owned());
    }
    match kind {
        "topic" => Ok(Resource::Topic(name.to_owned())),
        "group" => Ok(Resource::Group(name.to_owned())),
        "broker" => {
            let id = name
                .parse()
                .map_err(|_| format!("{name:?} is no broker id"))?;
            Ok(Resource::Broker(NodeId(id)))
        }
        _ => Err(format!(
            "{kind:?} has no settings; write topic, broker, brokers or group"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_names() {
        assert_eq!(parse("topic:a:b"), Ok(Resource::Topic("a:b".into())));
        assert_eq!(parse("broker:3"), Ok(Resource::Broker(NodeId(3))));
        assert_eq!(parse("brokers"), Ok(Resource::AllBrokers));
        assert_eq!(parse("group:g"), Ok(Resource::Group("g".into())));
        for bad in ["", "topic", "topic:", "broker:x", "user:x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
