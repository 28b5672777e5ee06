//! Which object a request is about.

use super::objects::Key;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) plural: String,
    /// `None` is all of them.
    pub(super) namespace: Option<String>,
    /// `None` is a list.
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    /// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
    pub(super) fn read(path: &str) -> Self {
        let mut parts = path.trim_matches('/').split('/');
        let groups = if parts.next() == Some("apis") { 2 } else { 1 };
        let parts: Vec<_> = parts.skip(groups).map(str::to_owned).collect();
        let (namespace, rest) = match parts.as_slice() {
            [first, namespace, rest @ ..] if first == "namespaces" && !rest.is_empty() => {
                (Some(namespace.clone()), rest)
            }
            rest => (None, rest),
        };
        let mut rest = rest.iter().cloned();
        Self {
            plural: rest.next().unwrap_or_default(),
            namespace,
            name: rest.next(),
            subresource: rest.next(),
        }
    }

    /// The object, if it is one.
    pub(super) fn key(&self) -> Option<Key> {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        Some(Key::new(&self.plural, namespace, self.name.as_deref()?))
    }
}

/// The value of a parameter of a query.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let decoded = [("%3D", "="), ("%2C", ","), ("%2F", "/"), ("%21", "!")];
    let value = decoded
        .iter()
        .fold(value.to_owned(), |value, (code, text)| {
            value.replace(code, text)
        });
    assert!(!value.contains('%'), "{value} has a code that is not known");
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects() {
        let read = |path| {
            let target = Target::read(path);
            (target.key(), target.subresource)
        };
        let claim = "/api/v1/namespaces/shop/persistentvolumeclaims/data-0";
        let key = Key::new("persistentvolumeclaims", "shop", "data-0");
        assert_eq!(read(claim), (Some(key), None));
        let status = "/apis/freshet.dev/v1/namespaces/shop/clusters/a/status";
        let key = Key::new("clusters", "shop", "a");
        assert_eq!(read(status), (Some(key), Some("status".to_owned())));
        let namespace = Key::new("namespaces", "", "shop");
        assert_eq!(read("/api/v1/namespaces/shop"), (Some(namespace), None));
        let all = Target::read("/apis/apps/v1/statefulsets");
        assert_eq!((all.plural.as_str(), all.name), ("statefulsets", None));
    }
}
