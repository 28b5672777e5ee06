//! What there is of a cluster in Kubernetes, all of it looked at anew.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::names::Names;
use crate::failure::Failure;

/// The kinds of objects that the operator makes, in the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    ServiceAccount,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    ConfigMap,
    StatefulSet,
    PodMonitor,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::ServiceAccount,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::ConfigMap,
        Self::StatefulSet,
        Self::PodMonitor,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.parts().2
    }

    /// `apiVersion`.
    pub(crate) fn api_version(self) -> String {
        match self.parts() {
            ("", version, ..) => version.to_owned(),
            (group, version, ..) => format!("{group}/{version}"),
        }
    }

    fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::NetworkPolicy => (
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
            ),
            Self::PodDisruptionBudget => (
                "policy",
                "v1",
                "PodDisruptionBudget",
                "poddisruptionbudgets",
            ),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::PodMonitor => ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
        }
    }

    /// The objects of this kind in a namespace.
    pub(crate) fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        let (group, version, kind, plural) = self.parts();
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// What there is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// All that the operator has made, by kind and name.
    pub(crate) objects: BTreeMap<(Kind, String), Value>,
    pub(crate) sets: Vec<StatefulSet>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    /// Whether the API server knows PodMonitors.
    pub(crate) knows_pod_monitors: bool,
}

impl Observed {
    /// Looks at everything.
    pub(crate) async fn fetch(client: &Client, names: &Names) -> Result<Self, Failure> {
        let of_ours = ListParams::default().labels(&names.label_selector());
        let mut observed = Self::default();
        for kind in Kind::ALL {
            let what = || {
                format!(
                    "the {}s of cluster {} cannot be listed",
                    kind.name(),
                    names.cluster
                )
            };
            let listed = match kind.api(client, &names.namespace).list(&of_ours).await {
                Err(kube::Error::Api(status))
                    if kind == Kind::PodMonitor && matches!(status.code, 403 | 404) =>
                {
                    continue;
                }
                listed => listed.map_err(Failure::kubernetes(what()))?,
            };
            observed.knows_pod_monitors |= kind == Kind::PodMonitor;
            for object in listed {
                let name = object.name_any();
                let mut value = serde_json::to_value(object).unwrap_or_default();
                value["kind"] = kind.name().into();
                value["apiVersion"] = kind.api_version().into();
                observed.objects.insert((kind, name), value);
            }
        }
        let sets = observed
            .objects
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::StatefulSet);
        observed.sets = sets
            .filter_map(|(_, set)| serde_json::from_value(set.clone()).ok())
            .collect();
        // Volumes of a cluster that was deleted, and pods, have the labels of the template.
        let of_cluster =
            ListParams::default().labels(&format!("{}={}", super::names::CLUSTER, names.cluster));
        observed.pods = list(client, names, &of_cluster).await?;
        observed.claims = list(client, names, &of_cluster).await?;
        Ok(observed)
    }

    /// An object of ours.
    pub(crate) fn object(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// A pod's file of settings.
    pub(crate) fn file(&self, pod: &str) -> Option<&str> {
        let name = format!("{pod}.properties");
        self.files()
            .find(|(file, _)| *file == name)
            .map(|(_, text)| text)
    }

    /// All files of settings, with their names.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let maps = self
            .objects
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::ConfigMap);
        let files = maps
            .filter_map(|(_, map)| map["data"].as_object())
            .flatten();
        files.filter_map(|(name, text)| Some((name.as_str(), text.as_str()?)))
    }

    /// A pool's StatefulSet.
    pub(crate) fn set(&self, name: &str) -> Option<&StatefulSet> {
        self.sets.iter().find(|set| set.name_any() == name)
    }

    /// How many pods a pool has now; `None` if there are none. While its StatefulSet is made again around
    /// its pods there is no other word than theirs, and some may be leaving that are not empty.
    pub(crate) fn replicas(&self, name: &str) -> Option<i32> {
        if let Some(set) = self.set(name) {
            return set.spec.as_ref()?.replicas;
        }
        let ordinal = |pod: &Pod| -> Option<i32> {
            let pod = pod.name_any();
            pod.strip_prefix(name)?.strip_prefix('-')?.parse().ok()
        };
        let last = self.pods.iter().filter_map(ordinal).max()?;
        Some(last + 1)
    }

    /// A pod.
    pub(crate) fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.name_any() == name)
    }
}

async fn list<K>(client: &Client, names: &Names, which: &ListParams) -> Result<Vec<K>, Failure>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), &names.namespace);
    let what = format!(
        "the {} of cluster {} cannot be listed",
        K::plural(&()),
        names.cluster
    );
    let listed = api.list(which).await.map_err(Failure::kubernetes(what))?;
    Ok(listed.items)
}
