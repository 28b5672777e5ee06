//! Settings of topics, brokers and groups.

use std::fmt;

use freshet_types::NodeId;
use freshet_wire::describe_configs::{DescribeConfigsResource, DescribeConfigsResourceResult};
use freshet_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use freshet_wire::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, Request};

use super::Admin;
use crate::ClientError;

/// The wire's number for topics.
pub(super) const TOPIC: i8 = 2;

/// Something that has settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(NodeId),
    /// What all brokers share unless they have their own.
    AllBrokers,
    /// A group.
    Group(String),
    /// A subscription of client metrics (KIP-714).
    ClientMetrics(String),
}

impl Resource {
    fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => TOPIC,
            Self::Broker(_) | Self::AllBrokers => 4,
            Self::Group(_) => 32,
            Self::ClientMetrics(_) => 16,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::ClientMetrics(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
            Self::AllBrokers => String::new(),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name:?}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
            Self::Group(name) => write!(f, "group {name:?}"),
            Self::ClientMetrics(name) => write!(f, "client metrics {name:?}"),
        }
    }
}

/// A setting and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` when it is a secret or has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be changed.
    pub read_only: bool,
    /// Whether the value is a secret.
    pub sensitive: bool,
    /// What it does, when the broker tells.
    pub documentation: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    Broker,
    /// Set on all brokers while they run.
    AllBrokers,
    /// From the broker's configuration file or arguments.
    Static,
    /// Nobody has set it.
    Default,
    /// Set on the group.
    Group,
    /// Another place.
    Other,
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::Static,
            5 => Self::Default,
            8 => Self::Group,
            _ => Self::Other,
        }
    }

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::AllBrokers => "all-brokers",
            Self::Static => "static",
            Self::Default => "default",
            Self::Group => "group",
            Self::Other => "other",
        }
    }
}

/// A change to one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// The setting.
    pub name: String,
    /// What to do.
    pub operation: ConfigOperation,
}

/// What to do with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it a value.
    Set(String),
    /// Let it fall back to its default.
    Unset,
    /// Add items to its list.
    Append(String),
    /// Take items out of its list.
    Subtract(String),
}

impl ConfigChange {
    /// Gives a setting a value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            operation: ConfigOperation::Set(value.into()),
        }
    }

    /// Lets a setting fall back to its default.
    pub fn unset(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            operation: ConfigOperation::Unset,
        }
    }
}

impl Admin {
    /// All settings of a resource.
    pub async fn describe_configs(
        &self,
        resource: &Resource,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        self.describe(resource, None).await
    }

    /// One setting of a resource; `None` if it has no such setting.
    pub async fn describe_config(
        &self,
        resource: &Resource,
        name: &str,
    ) -> Result<Option<ConfigEntry>, ClientError> {
        let found = self.describe(resource, Some(vec![name.into()])).await?;
        Ok(found.into_iter().find(|entry| entry.name == name))
    }

    async fn describe(
        &self,
        resource: &Resource,
        names: Option<Vec<String>>,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.code(),
                resource_name: resource.name(),
                configuration_keys: names,
            }],
            ..DescribeConfigsRequest::default()
        };
        // Only the broker itself knows its static settings.
        let response = match resource {
            Resource::Broker(node) => self.ask_listed(*node, &request).await?,
            _ => self.client.call_any(&request).await?,
        };
        let what = || format!("the settings of {resource} cannot be read");
        let mut entries = Vec::new();
        for result in response.results {
            ClientError::check(result.error_code, result.error_message.as_deref(), what)?;
            entries.extend(result.configs.into_iter().map(entry));
        }
        entries.sort_by(|a: &ConfigEntry, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Changes single settings of a resource, all or none.
    pub async fn alter_configs(
        &self,
        resource: &Resource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.code(),
                resource_name: resource.name(),
                configs: changes.iter().map(alterable).collect(),
            }],
            validate_only,
        };
        let response = match resource {
            // A broker that is away cannot be asked; the controller keeps its settings all the same.
            Resource::Broker(node) if !self.is_registered_and_away(*node).await? => {
                self.ask_listed(*node, &request).await?
            }
            _ => {
                let refused = |r: &freshet_wire::IncrementalAlterConfigsResponse| {
                    r.responses.first().map_or(0, |r| r.error_code)
                };
                self.client.call_controller(&request, refused).await?
            }
        };
        let what = || format!("the settings of {resource} were not changed");
        response.responses.iter().try_for_each(|result| {
            ClientError::check(result.error_code, result.error_message.as_deref(), what)
        })
    }
}

impl Admin {
    /// Whether the cluster knows the broker, and clients are not sent to it.
    async fn is_registered_and_away(&self, node: NodeId) -> Result<bool, ClientError> {
        if self.client.view().brokers.contains_key(&node) {
            return Ok(false);
        }
        let known = self.describe_cluster().await?.nodes;
        Ok(known.iter().any(|known| known.id == node && known.fenced))
    }

    /// Asks a broker that the cluster lists; a number that nobody has is not waited for.
    async fn ask_listed<R: Request>(
        &self,
        node: NodeId,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let mut view = self.client.view();
        if !view.brokers.contains_key(&node) {
            view = self.client.refresh(&view).await?;
        }
        if !view.brokers.contains_key(&node) {
            let known: Vec<_> = view.brokers.keys().map(ToString::to_string).collect();
            let known = known.join(", ");
            return Err(ClientError::Invalid(format!(
                "there is no broker {node}; brokers: {known}"
            )));
        }
        self.client.call_broker(node, request).await
    }
}

pub(super) fn entry(told: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: told.name,
        value: told.value.filter(|_| !told.is_sensitive),
        source: ConfigSource::from_code(told.config_source),
        read_only: told.read_only,
        sensitive: told.is_sensitive,
        documentation: told.documentation,
    }
}

pub(super) fn alterable(change: &ConfigChange) -> AlterableConfig {
    let (config_operation, value) = match &change.operation {
        ConfigOperation::Set(value) => (0, Some(value)),
        ConfigOperation::Unset => (1, None),
        ConfigOperation::Append(value) => (2, Some(value)),
        ConfigOperation::Subtract(value) => (3, Some(value)),
    };
    AlterableConfig {
        name: change.name.clone(),
        config_operation,
        value: value.cloned(),
    }
}
