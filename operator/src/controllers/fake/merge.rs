//! How a patch and an object become one.
//!
//! Server-side apply as the operator sees it: who applies owns what was applied. What is applied no more
//! goes, what others have put there stays, and lists whose elements have a name are merged by it.

use serde_json::{Map, Value};

/// The text that a value is; empty if it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The fields that name an element of a list, as the schemas of Kubernetes and ours say; `None` for a list
/// that is replaced as a whole.
fn names_of(field: &str, element: &Value) -> Option<&'static [&'static str]> {
    Some(match field {
        "ports" if element["containerPort"].is_i64() => &["containerPort", "protocol"],
        "ports" => &["port", "protocol"],
        "containers" | "env" | "volumes" | "imagePullSecrets" | "pools" | "listeners" => &["name"],
        "volumeMounts" => &["mountPath"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "ownerReferences" => &["uid"],
        "conditions" => &["type"],
        "brokers" => &["pod"],
        _ => return None,
    })
}

/// Whether a map is replaced as a whole.
fn is_whole(field: &str) -> bool {
    field == "selector" || field.ends_with("Selector")
}

/// Where in a list the element with the same name is.
fn place(list: &[Value], field: &str, element: &Value) -> Option<usize> {
    let names = names_of(field, element)?;
    let same = |other: &Value| names.iter().all(|name| other[name] == element[name]);
    list.iter().position(same)
}

fn is_named(field: &str, list: &[Value]) -> bool {
    let first = list.first();
    first.is_some_and(|first| names_of(field, first).is_some())
}

/// Applies `new` where the same writer has applied `old`.
pub(super) fn apply(live: &mut Value, old: &Value, new: &Value, field: &str) {
    match (live, new) {
        (Value::Object(live), Value::Object(new)) if !is_whole(field) => {
            for (name, new) in new.iter().filter(|(_, new)| !new.is_null()) {
                match live.get_mut(name) {
                    Some(live) => apply(live, &old[name], new, name),
                    None => drop(live.insert(name.clone(), new.clone())),
                }
            }
            let empty = Map::new();
            for (name, old) in old.as_object().unwrap_or(&empty) {
                let gone = new.get(name).is_none_or(Value::is_null);
                if gone && live.get_mut(name).is_some_and(|live| disown(live, old)) {
                    live.remove(name);
                }
            }
        }
        (Value::Array(live), Value::Array(new)) if is_named(field, new) => {
            let empty = Vec::new();
            let old = old.as_array().unwrap_or(&empty);
            let mut merged = Vec::new();
            for new in new {
                let mut element = match place(live, field, new) {
                    Some(at) => live[at].clone(),
                    None => Value::Null,
                };
                let before = place(old, field, new).map_or(Value::Null, |at| old[at].clone());
                apply(&mut element, &before, new, "");
                merged.push(element);
            }
            let theirs = |element: &&Value| {
                place(new, field, element).is_none() && place(old, field, element).is_none()
            };
            merged.extend(live.iter().filter(theirs).cloned().collect::<Vec<_>>());
            *live = merged;
        }
        (live, new) => *live = new.clone(),
    }
}

/// Takes away what was ours; says whether nothing is left.
fn disown(live: &mut Value, old: &Value) -> bool {
    let (Value::Object(live), Value::Object(old)) = (live, old) else {
        return true;
    };
    for (name, old) in old {
        if live.get_mut(name).is_some_and(|live| disown(live, old)) {
            live.remove(name);
        }
    }
    live.is_empty()
}

/// Leaves of what was applied only that which is still so; says whether anything is.
pub(super) fn prune(applied: &mut Value, live: &Value, field: &str) -> bool {
    match (applied, live) {
        (Value::Object(applied), Value::Object(live)) if !is_whole(field) => {
            let of = |name: &str| live.get(name).unwrap_or(&Value::Null);
            applied.retain(|name, applied| prune(applied, of(name), name));
            !applied.is_empty()
        }
        (Value::Array(applied), Value::Array(live)) if is_named(field, applied) => {
            applied.retain_mut(|element| match place(live, field, element) {
                Some(at) => prune(element, &live[at], ""),
                None => false,
            });
            !applied.is_empty()
        }
        (applied, live) => applied == live,
    }
}

/// RFC 7386.
pub(crate) fn merge_patch(live: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *live = patch.clone();
        return;
    };
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Value::Object(live) = live else { return };
    for (name, patch) in patch {
        if patch.is_null() {
            live.remove(name);
        } else {
            merge_patch(live.entry(name).or_insert(Value::Null), patch);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(mut live: Value, old: Value, new: Value) -> Value {
        apply(&mut live, &old, &new, "");
        live
    }

    #[test]
    fn what_others_have_put_there_stays_and_what_is_applied_no_more_goes() {
        let live = json!({ "a": 1, "b": { "c": 2, "theirs": 3 } });
        let old = json!({ "a": 1, "b": { "c": 2 } });
        let new = json!({ "a": 5 });
        let expected = json!({ "a": 5, "b": { "theirs": 3 } });
        assert_eq!(applied(live, old, new), expected);
    }

    #[test]
    fn lists_are_merged_by_name_where_their_elements_have_one() {
        let port = |port: i32| json!({ "port": port, "protocol": "TCP" });
        let live = json!({ "ports": [port(1), port(2), port(9)], "args": ["a", "b"] });
        let old = json!({ "ports": [port(1), port(2)] });
        let new = json!({ "ports": [port(3), port(1)], "args": ["c"] });
        let expected = json!({ "ports": [port(3), port(1), port(9)], "args": ["c"] });
        assert_eq!(applied(live, old, new), expected);
    }

    #[test]
    fn what_others_have_changed_is_theirs() {
        let mut ours = json!({ "labels": { "a": "1", "b": "2" } });
        let live = json!({ "labels": { "a": "1", "b": "3" } });
        assert!(prune(&mut ours, &live, ""));
        assert_eq!(ours, json!({ "labels": { "a": "1" } }));
    }
}
