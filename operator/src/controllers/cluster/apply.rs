//! Writes what differs, and nothing else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::Value;

use super::build::Object;
use super::fetch::{Kind, Observed};
use super::names::WRITTEN;
use super::validate::Wanted;
use crate::context::{Context, MANAGER};
use crate::failure::Failure;

/// What came of writing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// How many objects had to be written, those with them that are to be made again when they are gone.
    pub(crate) written: usize,
    /// Objects of these names are there and are not this cluster's. They are left alone: cluster `a` with a pool
    /// `b-c` and cluster `a-b` with a pool `c` would share a StatefulSet.
    pub(crate) taken: Vec<String>,
}

/// Makes the objects as they shall be.
pub(crate) async fn apply(
    context: &Context,
    wanted: &Wanted,
    objects: &[Object],
    observed: &Observed,
) -> Result<Applied, Failure> {
    let params = PatchParams::apply(MANAGER).force();
    let mut applied = Applied::default();
    for object in objects {
        if object.kind == Kind::PodMonitor && !observed.knows_pod_monitors {
            continue;
        }
        let seen = observed.object(object.kind, &object.name);
        if seen.is_some_and(|seen| !differs(&object.value, seen)) {
            continue;
        }
        if seen.is_some_and(is_going) {
            // It takes no changes that matter. What is wanted is made when it is gone.
            applied.written += 1;
            continue;
        }
        let api = object.kind.api(&context.client, &wanted.names.namespace);
        let what = format!("{} {} cannot be written", object.kind.name(), object.name);
        if seen.is_none() {
            let there = api.get_metadata_opt(&object.name).await;
            let there = there.map_err(Failure::kubernetes(what.clone()))?;
            // One without our labels may still be ours: somebody has taken them away.
            if there.is_some_and(|there| !is_owned(there.owner_references(), wanted)) {
                applied
                    .taken
                    .push(format!("{} {}", object.kind.name(), object.name));
                continue;
            }
        }
        if let Some(seen) = seen
            && object.kind == Kind::StatefulSet
            && claims_differ(&object.value, seen)
        {
            let orphaned = api.delete(&object.name, &orphan(seen)).await;
            orphaned.map_err(Failure::kubernetes(what))?;
            tracing::info!(
                set = object.name,
                "is made again, for larger volumes; its pods stay"
            );
            applied.written += 1;
            continue;
        }
        let patch = Patch::Apply(&object.value);
        api.patch(&object.name, &params, &patch)
            .await
            .map_err(Failure::kubernetes(what))?;
        context.metrics.wrote(object.kind.name());
        tracing::info!(
            cluster = wanted.names.cluster,
            namespace = wanted.names.namespace,
            kind = object.kind.name(),
            name = object.name,
            new = seen.is_none(),
            "written"
        );
        applied.written += 1;
    }
    Ok(applied)
}

/// A template for volumes cannot change: the set goes, its pods stay, and the next one takes them. It goes
/// only when its pods are let go, which takes a moment: the next look makes the new one.
fn orphan(seen: &Value) -> DeleteParams {
    DeleteParams::orphan().preconditions(this_one(seen))
}

/// The very object that was looked at: one of the same name may have come meanwhile.
fn this_one(seen: &Value) -> Preconditions {
    Preconditions {
        uid: seen["metadata"]["uid"].as_str().map(str::to_owned),
        resource_version: None,
    }
}

fn is_going(seen: &Value) -> bool {
    seen["metadata"]["deletionTimestamp"].is_string()
}

fn is_owned(owners: &[OwnerReference], wanted: &Wanted) -> bool {
    owners.iter().any(|owner| owner.uid == wanted.uid)
}

/// Deletes what we made once and is wanted no more.
pub(crate) async fn sweep(
    context: &Context,
    wanted: &Wanted,
    objects: &[Object],
    observed: &Observed,
    keep: impl Fn(Kind, &str) -> bool,
) -> Result<usize, Failure> {
    let mut deleted = 0;
    for ((kind, name), seen) in &observed.objects {
        let stays = objects.iter().any(|o| o.kind == *kind && o.name == *name);
        let owners = seen["metadata"]["ownerReferences"].as_array();
        let ours = owners
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"] == wanted.uid.as_str());
        if stays || !ours || keep(*kind, name) {
            continue;
        }
        let params = DeleteParams::default().preconditions(this_one(seen));
        let api = kind.api(&context.client, &wanted.names.namespace);
        match api.delete(name, &params).await {
            Ok(_) => {
                tracing::info!(
                    cluster = wanted.names.cluster,
                    kind = kind.name(),
                    name,
                    "deleted: wanted no more"
                );
                context.metrics.wrote(kind.name());
                deleted += 1;
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                return Err(Failure::kubernetes(format!(
                    "{} {name} cannot be deleted",
                    kind.name()
                ))(error));
            }
        }
    }
    Ok(deleted)
}

/// Whether what there is has to be written: something of ours has changed here (the digest), or
/// somebody else has changed it there. What others have added is theirs.
pub(crate) fn differs(wanted: &Value, seen: &Value) -> bool {
    let written = |value: &Value| value["metadata"]["annotations"][WRITTEN].clone();
    written(wanted) != written(seen) || !holds(seen, wanted)
}

fn claims_differ(wanted: &Value, seen: &Value) -> bool {
    let spec = |value: &Value| value["spec"]["volumeClaimTemplates"][0]["spec"].clone();
    let (wanted, seen) = (spec(wanted), spec(seen));
    !holds(&seen["resources"], &wanted["resources"])
}

/// The fields by which the API server tells the elements of a list apart. Others may add elements to
/// such a list, and whoever applies it does not take theirs away.
fn keys(list: &str, element: &Value) -> &'static [&'static str] {
    match list {
        "ports" if element["containerPort"].is_i64() => &["containerPort", "protocol"],
        "ports" => &["port", "protocol"],
        "containers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "ownerReferences" => &["uid"],
        _ => &[],
    }
}

/// Maps that the API server replaces as a whole. A label more in a selector selects other pods.
const WHOLE: &[&str] = &[
    "selector",
    "podSelector",
    "namespaceSelector",
    "labelSelector",
    "nodeSelector",
];

/// Whether a field has all that `part` says of it.
fn field_holds(name: &str, whole: &Value, part: &Value) -> bool {
    if WHOLE.contains(&name) {
        return whole == part;
    }
    let (Value::Array(all), Value::Array(part_of)) = (whole, part) else {
        return holds(whole, part);
    };
    let is_there = |part: &Value| {
        let keys = keys(name, part).iter().filter(|key| !part[**key].is_null());
        let same = |whole: &&Value| keys.clone().all(|key| whole[*key] == part[*key]);
        all.iter()
            .find(same)
            .is_some_and(|whole| holds(whole, part))
    };
    let is_keyed = part_of.iter().all(|part| !keys(name, part).is_empty());
    if is_keyed && !part_of.is_empty() {
        return part_of.iter().all(is_there);
    }
    holds(whole, part)
}

/// Whether all that `part` says is so in `whole`. Lists without keys have the same length: they are
/// ours as a whole. Amounts are equal when they count the same, as `1024Mi` and `1Gi`; what is
/// empty may be absent, since the API server drops it.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| field_holds(name, whole.get(name).unwrap_or(&Value::Null), part)),
        (Value::Null, Value::Object(part)) => part.values().all(|part| holds(&Value::Null, part)),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole
                    .iter()
                    .zip(part)
                    .all(|(whole, part)| holds(whole, part))
        }
        (Value::Null, Value::Array(part)) => part.is_empty(),
        (Value::String(whole), Value::String(part)) => {
            whole == part || amount(whole).is_some_and(|whole| Some(whole) == amount(part))
        }
        (whole, part) => whole == part,
    }
}

/// A Kubernetes quantity in thousandths; `None` if it is something else.
pub(crate) fn amount(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: i128 = match unit {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => return None,
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > 9 || whole.len() > 18 {
        return None;
    }
    let scale = 10_i128.pow(u32::try_from(part.len()).ok()?);
    let number: i128 = format!("{whole}{part}").parse().ok()?;
    Some(number * factor / scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let wanted = json!({ "spec": { "ports": [{ "port": 1 }], "labels": {} } });
        let seen =
            json!({ "spec": { "ports": [{ "port": 1, "protocol": "TCP" }], "type": "ClusterIP" } });
        assert!(!differs(&wanted, &seen));
    }

    #[test]
    fn what_somebody_changed_is_a_difference() {
        let wanted = json!({ "spec": { "ports": [{ "port": 1 }] } });
        assert!(differs(
            &wanted,
            &json!({ "spec": { "ports": [{ "port": 2 }] } })
        ));
        let more = json!({ "spec": { "ports": [{ "port": 2 }, { "port": 1 }] } });
        assert!(!differs(&wanted, &more), "the other port is theirs");
        let wider = json!({ "selector": { "a": "1" } });
        let other = json!({ "selector": { "a": "1", "b": "2" } });
        assert!(differs(&wider, &other), "it selects less");
        let listed = json!({ "args": ["a"] });
        assert!(differs(&listed, &json!({ "args": ["a", "b"] })));
        assert!(differs(&wanted, &json!({ "spec": {} })));
    }

    #[test]
    fn what_we_changed_is_a_difference_even_if_it_only_takes_away() {
        let with = |digest: &str| json!({ "metadata": { "annotations": { WRITTEN: digest } }, "spec": { "a": 1 } });
        assert!(differs(&with("2"), &with("1")));
        assert!(!differs(&with("1"), &with("1")));
    }

    #[test]
    fn amounts_count_the_same_however_they_are_written() {
        for (one, other) in [
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("2", "2000m"),
        ] {
            assert!(holds(&json!(one), &json!(other)), "{one} {other}");
        }
        for (one, other) in [("1Gi", "1G"), ("a", "b"), ("1", "1x"), ("", "0m")] {
            assert!(!holds(&json!(one), &json!(other)), "{one} {other}");
        }
    }
}
