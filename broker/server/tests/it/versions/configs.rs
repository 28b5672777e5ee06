//! APIs about settings.

use freshet_wire::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use freshet_wire::{
    AlterConfigsRequest, ApiKey, DescribeConfigsRequest, ErrorCode, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, alter_configs, incremental_alter_configs,
};

use super::{ABSENT, Case, Stage, expect};

const TOPIC: i8 = 2;
const SETTING: &str = "retention.ms";

pub(super) const CASES: &[Case] = &[
    Case {
        key: ApiKey::DescribeConfigs,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let told = describe(stage, version, &topic, None);
            expect(told.error_code, ErrorCode::None);
            assert!(told.configs.len() > 10);
            let told = describe(stage, version, &topic, Some(SETTING));
            assert_eq!(told.configs.len(), 1);
            assert_eq!(told.configs[0].name, SETTING);
        },
        absent: |stage, version| {
            let told = describe(stage, version, ABSENT, None);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::AlterConfigs,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            expect(alter(stage, version, &topic), ErrorCode::None);
        },
        absent: |stage, version| {
            let told = alter(stage, version, ABSENT);
            expect(told, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::IncrementalAlterConfigs,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            expect(edit(stage, version, &topic, 0), ErrorCode::None);
            expect(edit(stage, version, &topic, 9), ErrorCode::InvalidRequest);
        },
        absent: |stage, version| {
            let told = edit(stage, version, ABSENT, 0);
            expect(told, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::ListConfigResources,
        plain: |stage, version| {
            let request = ListConfigResourcesRequest {
                resource_types: if version == 0 { vec![] } else { vec![TOPIC] },
            };
            let told = stage.raw.call(version, &request);
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.config_resources.is_empty(), version == 0);
        },
        absent: |stage, version| {
            if version >= 1 {
                let request = ListConfigResourcesRequest {
                    resource_types: vec![99],
                };
                let told = stage.raw.call(version, &request);
                expect(told.error_code, ErrorCode::UnsupportedVersion);
            }
        },
    },
];

fn describe(
    stage: &mut Stage,
    version: i16,
    topic: &str,
    key: Option<&str>,
) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.to_owned(),
        configuration_keys: key.map(|key| vec![key.to_owned()]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    stage.raw.call(version, &request).results.remove(0)
}

fn alter(stage: &mut Stage, version: i16, topic: &str) -> i16 {
    let config = alter_configs::AlterableConfig {
        name: SETTING.to_owned(),
        value: Some("60000".to_owned()),
    };
    let request = AlterConfigsRequest {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: topic.to_owned(),
            configs: vec![config],
        }],
        validate_only: false,
    };
    stage.raw.call(version, &request).responses[0].error_code
}

fn edit(stage: &mut Stage, version: i16, topic: &str, config_operation: i8) -> i16 {
    let config = incremental_alter_configs::AlterableConfig {
        name: SETTING.to_owned(),
        config_operation,
        value: Some("60000".to_owned()),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: topic.to_owned(),
            configs: vec![config],
        }],
        validate_only: false,
    };
    stage.raw.call(version, &request).responses[0].error_code
}
