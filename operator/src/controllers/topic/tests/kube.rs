//! As much of an API server as a reconcile sees: objects by path, and what was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use freshet_api::Topic;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use kube::client::Body;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    events: Vec<(String, String)>,
}

/// An API server.
#[derive(Clone, Default)]
pub(super) struct Kube(Arc<Mutex<State>>);

impl Kube {
    pub(super) fn client(&self) -> Client {
        let kube = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let kube = kube.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (status, answer) = kube.answer(&head.method, head.uri.path(), &body);
                let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
                *response.status_mut() = status;
                Ok::<_, kube::Error>(response)
            }
        });
        Client::new(service, "default")
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.0.lock().objects.insert(path.to_owned(), object);
    }

    pub(super) fn put_topic(&self, topic: &Topic) {
        let mut state = self.0.lock();
        state.version += 1;
        let mut object = serde_json::to_value(topic).expect("it can be written");
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.objects.insert(path(&topic.name_any()), object);
    }

    /// A Topic as it is stored, if it is.
    pub(super) fn topic(&self, name: &str) -> Option<Topic> {
        let stored = self.0.lock().objects.get(&path(name)).cloned()?;
        Some(serde_json::from_value(stored).expect("a Topic"))
    }

    /// Somebody deletes a Topic.
    pub(super) fn delete_topic(&self, name: &str, second: &str) {
        let mut state = self.0.lock();
        let object = state.objects.get_mut(&path(name)).expect("it is there");
        object["metadata"]["deletionTimestamp"] = second.into();
    }

    /// Whatever was written since this was asked last, without Events.
    pub(super) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().writes)
    }

    /// The Events since this was asked last: reason and note.
    pub(super) fn events(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().events)
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut state = self.0.lock();
        if path.contains("/events") {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let word = (text("reason"), text("note"));
            state.events.push(word);
            return (StatusCode::CREATED, body.clone());
        }
        let (key, of_status) = match path.strip_suffix("/status") {
            Some(key) => (key, true),
            None => (path, false),
        };
        let found = state.objects.get(key).cloned();
        let Some(mut object) = found else {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        };
        if *method == Method::GET {
            return (StatusCode::OK, object);
        }
        assert_eq!(*method, Method::PATCH, "{path}");
        state.writes.push(path.to_owned());
        state.version += 1;
        if of_status {
            object["status"] = body["status"].clone();
        } else {
            let held = &object["metadata"]["resourceVersion"];
            if body["metadata"]["resourceVersion"] != *held {
                return failure(StatusCode::CONFLICT, "Conflict");
            }
            object["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
        }
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let metadata = &object["metadata"];
        let is_free = metadata["finalizers"].as_array().is_none_or(Vec::is_empty);
        if is_free && metadata["deletionTimestamp"].is_string() {
            state.objects.remove(key);
        } else {
            state.objects.insert(key.to_owned(), object.clone());
        }
        (StatusCode::OK, object)
    }
}

fn path(name: &str) -> String {
    format!("/apis/freshet.dev/v1/namespaces/shop/topics/{name}")
}

fn failure(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let told = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": status.as_u16(),
    });
    (status, told)
}
