//! Topics in the API server.

use freshet_api::Topic;
use kube::ResourceExt;

use crate::controllers::fake::{Key, Kube};

fn key(name: &str) -> Key {
    Key::new("topics", "shop", name)
}

impl Kube {
    pub(super) fn put_topic(&self, topic: &Topic) {
        let object = serde_json::to_value(topic).expect("it can be written");
        self.objects(|objects| objects.put(&key(&topic.name_any()), object));
    }

    /// A Topic as it is stored, if it is.
    pub(super) fn topic(&self, name: &str) -> Option<Topic> {
        let stored = self.objects(|objects| objects.get(&key(name)))?;
        Some(serde_json::from_value((*stored).clone()).expect("a Topic"))
    }

    /// Somebody deletes a Topic.
    pub(super) fn delete_topic(&self, name: &str, second: &str) {
        let going = |object: &mut serde_json::Value| {
            object["metadata"]["deletionTimestamp"] = second.into();
        };
        self.objects(|objects| assert!(objects.edit(&key(name), going), "it is there"));
    }
}
