//! The definitions of our kinds as files: one a kind in `crds/`, the same in the operator's chart, and
//! what they say of a Cluster and of a Topic as the values that the cluster's chart takes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::place;
use crate::process::{self, cargo};

/// Where the cluster's chart says which values it takes.
const VALUES: &str = "charts/freshet-cluster/values.schema.json";

/// All files, by their paths in the checkout.
pub(super) fn files() -> Result<BTreeMap<String, String>> {
    let print = [
        "run",
        "--quiet",
        "--package",
        "freshet-operator",
        "--",
        "crds",
    ];
    let printed = process::read(&mut cargo(place::root(), &print))
        .context("cannot generate the definitions")?;
    let mut files = BTreeMap::new();
    let mut specs = BTreeMap::new();
    for text in printed
        .split("---\n")
        .filter(|text| !text.trim().is_empty())
    {
        let definition: Value = serde_saphyr::from_str(text).context("a definition is YAML")?;
        let singular = &definition["spec"]["names"]["singular"];
        let name = singular.as_str().context("a kind has a name")?.to_owned();
        // Helm would take them for its own.
        ensure!(!text.contains("{{"), "{name}: a description has braces");
        for folder in ["crds", "charts/freshet-operator/files/crds"] {
            files.insert(format!("{folder}/{name}.yaml"), text.to_owned());
        }
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        specs.insert(name, closed(&schema["properties"]["spec"]));
    }
    let mut text = serde_json::to_string_pretty(&values(specs)?)?;
    text.push('\n');
    files.insert(VALUES.to_owned(), text);
    Ok(files)
}

/// The schema of the cluster's chart: a Cluster's spec, and Topics' without what the chart says itself.
fn values(mut specs: BTreeMap<String, Value>) -> Result<Value> {
    let cluster = specs
        .remove("cluster")
        .context("no definition of Cluster")?;
    let mut topic = specs.remove("topic").context("no definition of Topic")?;
    for own in ["clusterRef", "external"] {
        let fields = topic["properties"].as_object_mut();
        fields.context("a Topic has fields")?.remove(own);
    }
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    Ok(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "freshet-cluster",
        "type": "object",
        "additionalProperties": false,
        "definitions": {"topic": topic},
        "properties": {
            "global": {"type": "object"},
            "name": {"type": "string", "pattern": "^([a-z]([-a-z0-9]{0,30}[a-z0-9])?)?$"},
            "labels": strings,
            "annotations": strings,
            "keep": {"type": "boolean"},
            "cluster": cluster,
            "topicDefaults": {"$ref": "#/definitions/topic"},
            "topics": {
                "type": "object",
                "propertyNames": {"maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
                "additionalProperties": {"$ref": "#/definitions/topic"},
            },
        },
    }))
}

/// A schema of Kubernetes as plain JSON Schema that takes no field it does not name.
fn closed(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else {
        return schema.clone();
    };
    if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return json!({"type": ["integer", "string"]});
    }
    let mut plain = Map::new();
    for (name, value) in fields {
        let value = match (name.as_str(), value) {
            // What it means is in the definitions; here it would be half of the file.
            ("description" | "format" | "default", _) => continue,
            (name, _) if name.starts_with("x-kubernetes-") => continue,
            ("properties", Value::Object(all)) => {
                let all = all.iter().map(|(name, own)| (name.clone(), closed(own)));
                Value::Object(all.collect())
            }
            ("items" | "additionalProperties", own) => closed(own),
            (_, other) => other.clone(),
        };
        plain.insert(name.clone(), value);
    }
    if plain.contains_key("properties") {
        plain.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_schema_takes_what_it_names() {
        let schema = json!({
            "type": "object", "description": "x", "required": ["size"],
            "x-kubernetes-validations": [{"rule": "true"}],
            "properties": {
                "size": {"x-kubernetes-int-or-string": true},
                "description": {"type": "string", "default": "a"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"x-kubernetes-preserve-unknown-fields": true},
            },
        });
        let expected = json!({
            "type": "object", "required": ["size"], "additionalProperties": false,
            "properties": {
                "size": {"type": ["integer", "string"]},
                "description": {"type": "string"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {},
            },
        });
        assert_eq!(closed(&schema), expected);
    }
}
