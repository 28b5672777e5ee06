//! What is installed in Kubernetes: a definition of each kind.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{Cluster, Topic};

/// The API group of all kinds.
pub const GROUP: &str = "freshet.dev";

/// Every definition, in the order in which they are installed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![Cluster::crd(), Topic::crd()];
    for definition in &mut all {
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut();
            if let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
                no_nulls(schema);
            }
        }
    }
    all
}

/// Says of no field that it may be null. The API server then takes a null for what people mean who
/// write one, or whose template does: nothing. It drops it before it looks at the rules, where
/// `has()` would be true of it and no comparison would be sound.
fn no_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    let named = schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut());
    named.for_each(no_nulls);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(one)) => no_nulls(one),
        Some(JSONSchemaPropsOrArray::Schemas(many)) => many.iter_mut().for_each(no_nulls),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(rest)) = &mut schema.additional_properties {
        no_nulls(rest);
    }
}
