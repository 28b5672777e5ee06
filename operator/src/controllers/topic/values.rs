//! Values of settings as brokers keep them, so that one value written in two ways is one value.

use freshet_settings::{Kind, Scope, Setting};

/// A value as brokers keep it, where the setting is one of ours; `None` where it is illegal or foreign.
pub(super) fn normal(setting: &Setting, value: &str) -> Option<String> {
    let kept = setting.check(value).ok()?;
    Some(match setting.kind {
        Kind::List => items(&kept).join(","),
        _ => kept,
    })
}

/// Whether two values of a setting mean the same.
pub(super) fn same(name: &str, one: &str, other: &str) -> bool {
    if one.trim() == other.trim() {
        return true;
    }
    match Setting::find(Scope::Topic, name).map(|s| s.kind) {
        Some(Kind::List) => sorted(one) == sorted(other),
        Some(Kind::Boolean) => one.trim().eq_ignore_ascii_case(other.trim()),
        Some(Kind::Int | Kind::Short | Kind::Long) => equal::<i64>(one, other),
        Some(Kind::Double) => equal::<f64>(one, other),
        Some(Kind::String | Kind::Class | Kind::Password) => false,
        // A foreign setting: brokers write numbers and words in a way of their own.
        None => {
            equal::<i64>(one, other)
                || (fraction(one, other) && equal::<f64>(one, other))
                || one.trim().eq_ignore_ascii_case(other.trim()) && is_flag(one)
        }
    }
}

fn items(list: &str) -> Vec<&str> {
    let items = list.split(',').map(str::trim);
    items.filter(|item| !item.is_empty()).collect()
}

/// No list of a topic's settings means something else in another order.
fn sorted(list: &str) -> Vec<&str> {
    let mut items = items(list);
    items.sort_unstable();
    items
}

fn equal<N: std::str::FromStr + PartialEq>(one: &str, other: &str) -> bool {
    let number = |text: &str| text.trim().parse::<N>().ok();
    number(one).is_some_and(|one| number(other) == Some(one))
}

/// Two large whole numbers may be one fraction.
fn fraction(one: &str, other: &str) -> bool {
    one.contains('.') || other.contains('.')
}

fn is_flag(text: &str) -> bool {
    ["true", "false"].contains(&text.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_in_two_ways_is_one() {
        for (name, one, other, expected) in [
            ("retention.ms", "1000", " 1000 ", true),
            ("retention.ms", "1000", "+1000", true),
            (
                "retention.ms",
                "9007199254740993",
                "9007199254740992",
                false,
            ),
            ("min.cleanable.dirty.ratio", "1", "1.0", true),
            ("min.cleanable.dirty.ratio", "0.5", "0.50", true),
            ("min.cleanable.dirty.ratio", "0.5", "0.6", false),
            ("preallocate", "TRUE", "true", true),
            ("cleanup.policy", "compact, delete", "delete,compact", true),
            ("cleanup.policy", "compact", "delete,compact", false),
            ("compression.type", "zstd", "ZSTD", false),
            ("acme.ratio", "1", "1.0", true),
            ("acme.size", "9007199254740993", "9007199254740992", false),
            ("acme.flag", "True", "true", true),
            ("acme.word", "Word", "word", false),
        ] {
            assert_eq!(
                same(name, one, other),
                expected,
                "{name}: {one} and {other}"
            );
            assert_eq!(
                same(name, other, one),
                expected,
                "{name}: {other} and {one}"
            );
        }
    }

    #[test]
    fn values_are_sent_as_they_are_kept() {
        let of = |name, value| normal(Setting::find(Scope::Topic, name).unwrap(), value);
        let list = of("cleanup.policy", " compact , delete ");
        assert_eq!(list.as_deref(), Some("compact,delete"));
        assert_eq!(of("preallocate", "True").as_deref(), Some("true"));
        assert_eq!(of("retention.ms", "a week"), None);
    }
}
