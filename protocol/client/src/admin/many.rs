//! What is asked about many topics at once: one request, and one outcome for each of them.

use std::collections::BTreeMap;

use freshet_wire::create_partitions::CreatePartitionsTopic;
use freshet_wire::describe_configs::DescribeConfigsResource;
use freshet_wire::incremental_alter_configs::AlterConfigsResource;
use freshet_wire::metadata::MetadataRequestTopic;
use freshet_wire::{
    CreatePartitionsRequest, CreatePartitionsResponse, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, MetadataRequest,
};

use super::configs::{TOPIC, alterable, entry};
use super::{Admin, ConfigChange, ConfigEntry, Outcomes, millis};
use crate::cluster::topic_view;
use crate::{ClientError, ErrorCode, TopicView};

impl Admin {
    /// Topics as a broker knows them at this moment: nothing is taken from what the client has seen
    /// before, and nothing is kept. `None` for one that does not exist.
    pub async fn describe_topics(
        &self,
        names: &[String],
    ) -> Result<Outcomes<String, Option<TopicView>>, ClientError> {
        let topic = |name: &String| MetadataRequestTopic {
            name: Some(name.clone()),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(names.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response = self.client.call_any(&request).await?;
        let what = || "topics cannot be described".to_owned();
        ClientError::check(response.error_code, None, what)?;
        let mut outcomes = Vec::with_capacity(response.topics.len());
        for told in response.topics {
            let Some(name) = told.name.clone() else {
                continue;
            };
            let view = topic_view(told, None);
            let outcome = match view.error {
                Some(ErrorCode::UnknownTopicOrPartition) => Ok(None),
                Some(code) => Err(ClientError::Refused {
                    what: format!("topic {name:?} cannot be described"),
                    code,
                    message: None,
                }),
                None => Ok(Some(view)),
            };
            outcomes.push((name, outcome));
        }
        Ok(outcomes)
    }

    /// All settings of topics.
    pub async fn describe_topic_configs(
        &self,
        names: &[String],
    ) -> Result<Outcomes<String, Vec<ConfigEntry>>, ClientError> {
        let resource = |name: &String| DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: name.clone(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: names.iter().map(resource).collect(),
            ..DescribeConfigsRequest::default()
        };
        let response = self.client.call_any(&request).await?;
        let outcome = |told: freshet_wire::describe_configs::DescribeConfigsResult| {
            let name = told.resource_name;
            let what = || format!("the settings of topic {name:?} cannot be read");
            let read = ClientError::check(told.error_code, told.error_message.as_deref(), what)
                .map(|()| told.configs.into_iter().map(entry).collect());
            (name, read)
        };
        Ok(response.results.into_iter().map(outcome).collect())
    }

    /// Changes single settings of topics; for each of them all or none.
    pub async fn alter_topic_configs(
        &self,
        changes: &[(String, Vec<ConfigChange>)],
    ) -> Result<Outcomes<String, ()>, ClientError> {
        let resource = |(name, changes): &(String, Vec<ConfigChange>)| AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: name.clone(),
            configs: changes.iter().map(alterable).collect(),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: changes.iter().map(resource).collect(),
            validate_only: false,
        };
        let refused =
            |r: &IncrementalAlterConfigsResponse| r.responses.first().map_or(0, |r| r.error_code);
        let response = self.client.call_controller(&request, refused).await?;
        let told = response.responses.into_iter();
        let outcome = told.map(|told| {
            let name = told.resource_name;
            let what = || format!("the settings of topic {name:?} were not changed");
            let done = ClientError::check(told.error_code, told.error_message.as_deref(), what);
            (name, done)
        });
        Ok(outcome.collect())
    }

    /// Gives topics so many partitions in total; each must have fewer now.
    pub async fn widen_topics(
        &self,
        counts: &BTreeMap<String, i32>,
    ) -> Result<Outcomes<String, ()>, ClientError> {
        let topic = |(name, count): (&String, &i32)| CreatePartitionsTopic {
            name: name.clone(),
            count: *count,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: counts.iter().map(topic).collect(),
            timeout_ms: millis(self.client.config().request_timeout),
            validate_only: false,
        };
        let refused = |r: &CreatePartitionsResponse| r.results.first().map_or(0, |t| t.error_code);
        let response = self.client.call_controller(&request, refused).await?;
        let outcome = |told: freshet_wire::create_partitions::CreatePartitionsTopicResult| {
            let what = || format!("topic {:?} was not widened", told.name);
            let done = ClientError::check(told.error_code, told.error_message.as_deref(), what);
            (told.name, done)
        };
        Ok(response.results.into_iter().map(outcome).collect())
    }
}
