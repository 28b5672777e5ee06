//! The reference page of the served APIs, from the registry.

use std::fmt::Write as _;

use crate::kafka::registry::{self, Api, Operation, Quota};

/// The text of docs/apis.md.
pub fn reference_markdown() -> String {
    let mut apis: Vec<&Api> = registry::all().collect();
    apis.sort_by_key(|api| api.key.code());
    let mut page = String::from(
        "# Served APIs\n\nWritten by `cargo xtask docs` from `broker/server/src/kafka/registry/mod.rs`; \
         do not edit.\n\nNothing is checked against rights or quotas yet: everybody may do everything, \
         as much as they like. The last two columns say which right and which quota will apply.\n\n\
         | key | API | versions | flexible from | right, not enforced yet | quota, not enforced yet |\n\
         |---|---|---|---|---|---|\n",
    );
    for api in apis {
        let (first, last) = (api.versions.start(), api.versions.end());
        let flexible = if api.flexible > *last {
            "never".to_owned()
        } else {
            api.flexible.to_string()
        };
        let (who, quota) = (who(api.operation), quota(api.quota));
        let (key, name) = (api.key.code(), api.key.name());
        writeln!(
            page,
            "| {key} | {name} | {first}-{last} | {flexible} | {who} | {quota} |"
        )
        .expect("writing to a string cannot fail");
    }
    page.push_str(
        "\nProduce is advertised from version 0, because older librdkafka reads a higher minimum as \
         \"no compression\"; versions 0 to 2 are refused all the same (KAFKA-18659).\n",
    );
    page
}

fn who(operation: Operation) -> &'static str {
    match operation {
        Operation::Open => "everybody",
        Operation::PerResource => "per resource",
        Operation::DescribeCluster => "describe the cluster",
        Operation::AlterCluster => "alter the cluster",
        Operation::IdempotentWrite => "write as an idempotent producer",
    }
}

fn quota(quota: Quota) -> &'static str {
    match quota {
        Quota::Produce => "produced bytes",
        Quota::Fetch => "fetched bytes",
        Quota::Request => "request time",
        Quota::Mutation => "metadata changes",
    }
}
