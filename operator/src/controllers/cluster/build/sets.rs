//! A pool's StatefulSet, and the files of its pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::fetch::Kind;
use super::super::names::{
    CONTROLLER_PORT, HTTP_PORT, POOL, REPLICATION_PORT, RESTART, SETTINGS, ZONE,
};
use super::super::plan::PlannedPool;
use super::super::validate::{Wanted, WantedPool};
use super::files::VOLUME;
use super::{Object, object};

/// How long a stop may take: leaders move away, then logs are flushed.
const GRACE_SECONDS: i64 = 90;
/// The user that pods run as; the image has it.
const USER: i64 = 65_532;
/// Where the files are.
const FILES: &str = "/etc/freshet";
/// Where the Secret for object storage is.
const CREDENTIALS: &str = "/etc/freshet-credentials";

/// The files of a pool's pods.
pub(super) fn files(
    wanted: &Wanted,
    pool: &PlannedPool,
    files: &BTreeMap<String, String>,
) -> Object {
    let name = wanted.names.pool(&pool.name);
    let rest = json!({ "metadata": { "labels": { POOL: pool.name } }, "data": files });
    object(wanted, Kind::ConfigMap, name, rest)
}

/// The StatefulSet. Its pods are never replaced by Kubernetes' own rolling update: whether one may
/// go is for the brokers to say.
pub(super) fn set(wanted: &Wanted, pool: &PlannedPool, of: &WantedPool, settings: &str) -> Object {
    let mut matched = wanted.names.selector();
    matched[POOL] = pool.name.clone().into();
    let deleted = if Wanted::volumes_go(of) {
        "Delete"
    } else {
        "Retain"
    };
    let rest = json!({
        "metadata": { "labels": { POOL: pool.name } },
        "spec": {
            "replicas": pool.replicas,
            "serviceName": wanted.names.headless(),
            "podManagementPolicy": "Parallel",
            "updateStrategy": { "type": "OnDelete" },
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": deleted, "whenScaled": "Retain" },
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": matched },
            "template": template(wanted, pool, of, settings),
            "volumeClaimTemplates": [claim(wanted, of, &pool.name)],
        },
    });
    object(
        wanted,
        Kind::StatefulSet,
        wanted.names.pool(&pool.name),
        rest,
    )
}

fn claim(wanted: &Wanted, of: &WantedPool, pool: &str) -> Value {
    let mut labels = wanted.names.labels();
    labels.insert(POOL.to_owned(), pool.to_owned());
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": of.storage.size } },
        "volumeMode": "Filesystem",
    });
    if let Some(class) = &of.storage.class {
        spec["storageClassName"] = class.as_str().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "labels": labels },
        "spec": spec,
    })
}

fn template(wanted: &Wanted, pool: &PlannedPool, of: &WantedPool, settings: &str) -> Value {
    let more = &of.template;
    let mut labels = more.labels.clone();
    labels.extend(wanted.names.labels());
    labels.insert(POOL.to_owned(), pool.name.clone());
    labels.insert(
        "app.kubernetes.io/component".to_owned(),
        "broker".to_owned(),
    );
    let mut annotations = more.annotations.clone();
    annotations.insert(SETTINGS.to_owned(), settings.to_owned());
    if let Some(word) = &wanted.restart {
        annotations.insert(RESTART.to_owned(), word.clone());
    }
    let mut spec = json!({
        "serviceAccountName": wanted.names.headless(),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(wanted, of)],
        "volumes": [
            { "name": "files", "configMap": { "name": wanted.names.pool(&pool.name) } },
            { "name": "tmp", "emptyDir": {} },
        ],
        "topologySpreadConstraints": spread(wanted, of),
    });
    let mut put = |name: &str, value: Value| spec[name] = value;
    if !wanted.image_pull_secrets.is_empty() {
        let secrets = wanted
            .image_pull_secrets
            .iter()
            .map(|name| json!({ "name": name }));
        put("imagePullSecrets", secrets.collect());
    }
    if !more.node_selector.is_empty() {
        put("nodeSelector", json!(more.node_selector));
    }
    if !more.tolerations.is_empty() {
        put("tolerations", json!(more.tolerations));
    }
    if let Some(affinity) = &more.affinity {
        put("affinity", json!(affinity));
    }
    if let Some(class) = &more.priority_class_name {
        put("priorityClassName", json!(class));
    }
    if let Some(secret) = wanted.credentials() {
        let mode = 0o440;
        push(
            &mut spec["volumes"],
            json!({ "name": "credentials", "secret": { "secretName": secret, "defaultMode": mode } }),
        );
    }
    json!({ "metadata": { "labels": labels, "annotations": annotations }, "spec": spec })
}

/// Over zones first, then over nodes, as well as may be.
fn spread(wanted: &Wanted, of: &WantedPool) -> Value {
    let given = &of.template.topology_spread_constraints;
    if !given.is_empty() {
        return json!(given);
    }
    let over = |key: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": wanted.names.selector() },
        })
    };
    json!([over(ZONE), over("kubernetes.io/hostname")])
}

fn container(wanted: &Wanted, of: &WantedPool) -> Value {
    let mut ports = vec![
        port("controller", CONTROLLER_PORT),
        port("replication", REPLICATION_PORT),
        port("http", HTTP_PORT),
    ];
    ports.extend(wanted.listeners.iter().map(|l| port(&l.name, l.port)));
    let mut container = json!({
        "name": "broker",
        "image": wanted.image,
        "args": ["--config", format!("{FILES}/$(POD_NAME).properties"), "--log-format", "json"],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("FRESHET_HOST", "status.hostIP"),
            field("FRESHET_ZONE", &format!("metadata.labels['{ZONE}']")),
        ],
        "ports": ports,
        "startupProbe": probe("/livez", 1, 600),
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
        "volumeMounts": [
            { "name": "data", "mountPath": VOLUME },
            { "name": "files", "mountPath": FILES, "readOnly": true },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
        // A broker that ends says why in its last line; so the pod says it, too.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    if let Some(policy) = &wanted.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
    if let Some(resources) = &of.resources {
        container["resources"] = json!(resources);
    }
    if wanted.credentials().is_some() {
        // As files, they are no part of what a process shows of itself, and may change while it runs.
        push(
            &mut container["env"],
            json!({ "name": "FRESHET_CREDENTIALS_DIR", "value": CREDENTIALS }),
        );
        push(
            &mut container["volumeMounts"],
            json!({ "name": "credentials", "mountPath": CREDENTIALS, "readOnly": true }),
        );
    }
    container
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

fn port(name: &str, port: i32) -> Value {
    json!({ "name": name, "containerPort": port, "protocol": "TCP" })
}

fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } } })
}

/// A start may take as long as logs have to be read again; what hangs later is restarted in a minute.
fn probe(path: &str, period: i32, failures: i32) -> Value {
    json!({
        "httpGet": { "path": path, "port": "http", "scheme": "HTTP" },
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    })
}
