//! The API server: requests as the operator's client makes them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::faults::{Fault, Faults};
use super::merge::{apply, merge_patch, text};
use super::objects::{Key, Objects, is_going, selected};
use super::path::{Target, parameter};
use super::workloads::Workloads;

type Answer = (StatusCode, Value);

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) objects: Objects,
    pub(super) workloads: Workloads,
    /// Paths of requests that wrote.
    writes: Vec<String>,
    events: Vec<(String, String)>,
    /// Kinds that there are not.
    unknown: Vec<String>,
    /// Kinds that the operator may not see.
    hidden: Vec<String>,
    /// Objects as they are in lists, by their versions: most lists are of objects that have not changed.
    texts: HashMap<String, Arc<str>>,
}

/// An API server.
#[derive(Clone, Default)]
pub(crate) struct Kube(Arc<Mutex<State>>);

/// A request as it came.
struct Asked {
    method: Method,
    target: Target,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Value,
}

impl Kube {
    /// Another one with the same objects.
    pub(crate) fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// A client that meets no faults.
    pub(crate) fn client(&self) -> Client {
        self.client_through(&Arc::default())
    }

    /// A client that meets faults.
    pub(crate) fn client_through(&self, faults: &Arc<Faults>) -> Client {
        let (kube, faults) = (self.clone(), Arc::clone(faults));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (kube, faults) = (kube.clone(), Arc::clone(&faults));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let asked = Asked {
                    method: head.method,
                    target: Target::read(head.uri.path()),
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    headers: head.headers,
                    body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                };
                let answer = kube.through(&faults, &asked).await;
                answer.map_err(|cause| kube::Error::Service(cause.into()))
            }
        });
        Client::new(service, "default")
    }

    /// No objects of this kind can be stored.
    pub(crate) fn forget_kind(&self, plural: &str) {
        self.0.lock().unknown.push(plural.to_owned());
    }

    /// The operator may not see objects of this kind.
    pub(crate) fn hide_kind(&self, plural: &str) {
        self.0.lock().hidden.push(plural.to_owned());
    }

    /// Stores an object at a path.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let key = Target::read(path).key().expect("the path of an object");
        self.0.lock().objects.put(&key, object);
    }

    /// Whatever was written since this was asked last, without Events.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().writes)
    }

    /// The Events since this was asked last: reason and note.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().events)
    }

    /// Looks at the objects, or changes them, as somebody who needs no requests.
    pub(crate) fn objects<T>(&self, with: impl FnOnce(&mut Objects) -> T) -> T {
        with(&mut self.0.lock().objects)
    }

    /// Looks at what controllers have done, or has them do something.
    pub(crate) fn workloads<T>(&self, with: impl FnOnce(&mut Workloads, &mut Objects) -> T) -> T {
        let state = &mut *self.0.lock();
        with(&mut state.workloads, &mut state.objects)
    }

    async fn through(
        &self,
        faults: &Faults,
        asked: &Asked,
    ) -> Result<Response<Full<Bytes>>, &'static str> {
        let is_event = asked.target.plural == "events";
        let writes = asked.method != Method::GET;
        let lists = !writes && asked.target.name.is_none();
        let fault = faults.draw(writes, lists).filter(|_| !is_event);
        let (status, answer) = match fault.and_then(Fault::refusal) {
            Some(status) => told(failure(status, "a fault of the test")),
            None => {
                let ago = if fault == Some(Fault::Stale) {
                    faults.ago()
                } else {
                    0
                };
                self.0.lock().answer(asked, ago)
            }
        };
        faults.count().await;
        if fault == Some(Fault::Lost) {
            return Err("the answer was lost");
        }
        let mut response = Response::new(Full::new(Bytes::from(answer)));
        *response.status_mut() = status;
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        Ok(response)
    }
}

impl State {
    fn answer(&mut self, asked: &Asked, ago: usize) -> (StatusCode, String) {
        if self.hidden.contains(&asked.target.plural) {
            return told(failure(StatusCode::FORBIDDEN, "Forbidden"));
        }
        let is_known = !self.unknown.contains(&asked.target.plural);
        if asked.method == Method::GET && asked.target.name.is_none() && is_known {
            return (StatusCode::OK, self.list(asked, ago));
        }
        told(self.answer_about_one(asked))
    }

    fn answer_about_one(&mut self, asked: &Asked) -> Answer {
        let target = &asked.target;
        if target.plural == "events" {
            let word = |name: &str| text(&asked.body[name]).to_owned();
            self.events.push((word("reason"), word("note")));
            return (StatusCode::CREATED, asked.body.clone());
        }
        if self.unknown.contains(&target.plural) {
            return failure(StatusCode::NOT_FOUND, "there is no such kind");
        }
        if asked.method == Method::GET {
            let key = target.key().expect("lists are answered elsewhere");
            return self.get(asked, &key);
        }
        let answer = if asked.method == Method::POST {
            self.create(asked)
        } else {
            let key = target.key().expect("what is written has a name");
            if asked.method == Method::DELETE {
                self.delete(asked, &key)
            } else {
                assert_eq!(asked.method, Method::PATCH, "{}", asked.path);
                self.patch(asked, &key)
            }
        };
        self.writes.push(asked.path.clone());
        answer
    }

    fn get(&self, asked: &Asked, key: &Key) -> Answer {
        let Some(found) = self.objects.get(key) else {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        };
        let accept = asked.headers.get(ACCEPT).and_then(|a| a.to_str().ok());
        if accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata;")) {
            let partial = json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": found["metadata"],
            });
            return (StatusCode::OK, partial);
        }
        (StatusCode::OK, (*found).clone())
    }

    /// As many as were asked for, with where to go on.
    fn list(&mut self, asked: &Asked, ago: usize) -> String {
        let target = &asked.target;
        let selector = parameter(&asked.query, "labelSelector").unwrap_or_default();
        let number = |name: &str| parameter(&asked.query, name)?.parse::<usize>().ok();
        let (from, limit) = (number("continue").unwrap_or(0), number("limit"));
        let all = self.objects.of_kind(&target.plural, ago);
        let here = |key: &Key| {
            let namespace = target.namespace.as_ref();
            namespace.is_none_or(|namespace| *namespace == key.namespace)
        };
        let chosen = all
            .iter()
            .filter(|(key, value)| here(key) && selected(value, &selector));
        let mut items: Vec<_> = chosen.skip(from).map(|(_, value)| value).collect();
        let more = limit.filter(|limit| items.len() > *limit);
        items.truncate(limit.unwrap_or(usize::MAX));
        let items: Vec<_> = items
            .into_iter()
            .map(|value| {
                let version = text(&value["metadata"]["resourceVersion"]).to_owned();
                let text = self.texts.entry(version).or_insert_with(|| bare(value));
                Arc::clone(text)
            })
            .collect();
        let metadata = json!({
            "resourceVersion": self.objects.version().to_string(),
            "continue": more.map(|limit| (from + limit).to_string()),
        });
        format!(
            r#"{{"apiVersion":"v1","kind":"List","metadata":{metadata},"items":[{}]}}"#,
            items.join(",")
        )
    }

    fn create(&mut self, asked: &Asked) -> Answer {
        let target = &asked.target;
        let name = text(&asked.body["metadata"]["name"]);
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let key = Key::new(&target.plural, namespace, name);
        if self.objects.get(&key).is_some() {
            return failure(StatusCode::CONFLICT, "AlreadyExists");
        }
        let made = self.objects.put(&key, asked.body.clone());
        (StatusCode::CREATED, (*made).clone())
    }

    fn delete(&mut self, asked: &Asked, key: &Key) -> Answer {
        let Some(found) = self.objects.get(key) else {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        };
        let demanded = &asked.body["preconditions"];
        for name in ["uid", "resourceVersion"] {
            if demanded[name].is_string() && demanded[name] != found["metadata"][name] {
                return failure(StatusCode::CONFLICT, "it is another one");
            }
        }
        self.workloads.note_deletion(key, &self.objects);
        let orphan = asked.body["propagationPolicy"] == "Orphan";
        self.objects.delete(key, orphan.then_some("orphan"));
        match self.objects.get(key) {
            Some(lingers) => (StatusCode::OK, (*lingers).clone()),
            None => (
                StatusCode::OK,
                json!({ "apiVersion": "v1", "kind": "Status", "status": "Success" }),
            ),
        }
    }

    fn patch(&mut self, asked: &Asked, key: &Key) -> Answer {
        let found = self.objects.get(key);
        let of_status = asked.target.subresource.is_some();
        let kind = asked.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        let applies = kind.is_some_and(|kind| kind.starts_with(b"application/apply-patch"));
        let Some(before) = found.or_else(|| (applies && !of_status).then(Arc::default)) else {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        };
        let version = &asked.body["metadata"]["resourceVersion"];
        if version.is_string() && *version != before["metadata"]["resourceVersion"] {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        let mut patched = (*before).clone();
        let mut writer = None;
        if applies {
            if text(&asked.body["apiVersion"]).is_empty() || text(&asked.body["kind"]).is_empty() {
                return failure(StatusCode::BAD_REQUEST, "who applies says of which kind");
            }
            assert!(asked.query.contains("force=true"), "others are not asked");
            let who = parameter(&asked.query, "fieldManager").expect("who applies has a name");
            let who = format!("{who}/{}", if of_status { "status" } else { "" });
            let old = self.objects.applied(key, &who);
            apply(&mut patched, &old, &asked.body, "");
            writer = Some(who);
        } else {
            merge_patch(&mut patched, &asked.body);
        }
        // A status is written by itself, and nothing else with it.
        if of_status {
            let status = patched["status"].take();
            patched = (*before).clone();
            patched["status"] = status;
        } else if !before["status"].is_null() {
            patched["status"] = before["status"].clone();
        }
        if let Some(why) = unchangeable(&key.plural, &before, &patched) {
            return failure(StatusCode::UNPROCESSABLE_ENTITY, why);
        }
        given(key, &mut patched);
        let held = patched["metadata"]["finalizers"].as_array();
        let is_free = held.is_none_or(Vec::is_empty);
        let stored = self.objects.put(key, patched);
        match writer {
            Some(writer) => self.objects.note(key, writer, asked.body.clone()),
            None => self.objects.disown(key),
        }
        if is_free && is_going(&stored) && key.plural != "pods" {
            self.objects.remove(key);
        }
        (StatusCode::OK, (*stored).clone())
    }
}

/// An object in a list, which does not say of which kind it is.
fn bare(value: &Value) -> Arc<str> {
    let mut bare = value.clone();
    let fields = bare.as_object_mut().expect("an object");
    fields.remove("apiVersion");
    fields.remove("kind");
    bare.to_string().into()
}

fn told((status, answer): Answer) -> (StatusCode, String) {
    (status, answer.to_string())
}

/// What Services are given: by their names, so that they get the same again.
fn given(key: &Key, value: &mut Value) {
    if key.plural != "services" {
        return;
    }
    let sum = key.name.bytes().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let spec = &mut value["spec"];
    if spec["clusterIP"].is_null() {
        spec["clusterIP"] = format!("10.96.{}.{}", sum / 256 % 256, sum % 256).into();
    }
    let is_open = matches!(text(&spec["type"]), "NodePort" | "LoadBalancer");
    let ports = spec["ports"].as_array_mut().into_iter().flatten();
    for (at, port) in ports.enumerate().filter(|_| is_open) {
        if port["nodePort"].is_null() {
            port["nodePort"] = (30_000 + sum % 2_000 + u32::try_from(at).expect("small")).into();
        }
    }
}

/// Why a change cannot be.
fn unchangeable(plural: &str, before: &Value, after: &Value) -> Option<&'static str> {
    if before.is_null() || before["spec"] == after["spec"] {
        return None;
    }
    let without = |value: &Value, free: &[&str]| {
        let mut spec = value["spec"].clone();
        for name in free {
            spec[name] = Value::Null;
        }
        spec
    };
    let free: &[&str] = match plural {
        "statefulsets" => &[
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
            "revisionHistoryLimit",
        ],
        "persistentvolumeclaims" => &["resources"],
        _ => return None,
    };
    (without(before, free) != without(after, free)).then_some("a field that cannot change")
}

fn failure(status: StatusCode, message: &str) -> Answer {
    let reason = status.canonical_reason().unwrap_or_default();
    let told = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason.replace(' ', ""), "code": status.as_u16(),
    });
    (status, told)
}
