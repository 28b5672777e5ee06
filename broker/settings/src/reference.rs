//! The reference page, from the table.

use std::fmt::Write as _;

use crate::setting::{Scope, Setting, Standing, Unit, Update};
use crate::table::FAMILIES;

const HEAD: &str = "# Settings

Written by `cargo xtask docs` from `broker/settings/src/table/`; do not edit.

Settings of a broker are given in a file (`--config FILE`, Java properties) and by `--set NAME=VALUE`, \
which wins. A setting that is *live* can also be changed while brokers run, for one broker or for all, \
with Kafka's own tools or with ours; what is set live for one broker beats what is set live for all, \
and both beat the file. Topic settings are set when a topic is created or later, and beat everything.

Names and defaults are those of Kafka 4.4 unless the text says otherwise; names that begin with \
`freshet.`, `http.listener` and `remote.log.storage.url` are ours.
";

const WARNED: &str = "One that a broker is given gives a warning at start; one that is set at run time, in the log then.\n";

/// The text of docs/settings.md.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    table(&mut page, "Broker", used(Scope::Broker));
    table(&mut page, "Topic", used(Scope::Topic));
    page.push_str("\n## Accepted, and not at work yet\n\n");
    page.push_str(WARNED);
    waiting(&mut page, |standing| match standing {
        Standing::NotYet(why) => Some(why),
        Standing::Used | Standing::NoMeaning(_) => None,
    });
    page.push_str("\n## Accepted, and without a meaning here\n\n");
    page.push_str(WARNED);
    waiting(&mut page, |standing| match standing {
        Standing::NoMeaning(why) => Some(why),
        Standing::Used | Standing::NotYet(_) => None,
    });
    page.push_str(
        "\nThe same holds for all names that begin like this:\n\n| begin | why |\n|---|---|\n",
    );
    for (prefix, why) in FAMILIES {
        line(&mut page, format_args!("| `{prefix}` | {why} |"));
    }
    page
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("writing to a string cannot fail");
}

fn used(scope: Scope) -> impl Iterator<Item = &'static Setting> {
    Setting::all(scope).filter(|setting| setting.standing == Standing::Used)
}

fn table(page: &mut String, title: &str, settings: impl Iterator<Item = &'static Setting>) {
    let head =
        format_args!("\n## {title}\n\n| name | default | legal | live | |\n|---|---|---|---|---|");
    line(page, head);
    for setting in settings {
        let (name, doc) = (setting.name, setting.doc);
        let legal = setting.expected().replace('|', "\\|");
        let (default, live) = (default(setting), live(setting));
        line(
            page,
            format_args!("| `{name}` | {default} | {legal} | {live} | {doc} |"),
        );
    }
}

fn default(setting: &Setting) -> String {
    let inherited = setting.synonyms.iter().map(|synonym| synonym.name);
    let own: Vec<String> = inherited.map(|name| format!("`{name}`")).collect();
    let unit = match setting.unit {
        Unit::None => String::new(),
        unit => format!(" {}", unit.word()),
    };
    match (setting.default, own.is_empty()) {
        (None, _) => "none".to_owned(),
        (Some(""), _) => "empty".to_owned(),
        (Some(value), true) => format!("{value}{unit}"),
        (Some(value), false) => format!("{}: {value}{unit}", own.join(", ")),
    }
}

fn live(setting: &Setting) -> &'static str {
    match (setting.scope, setting.update) {
        (Scope::Broker, Update::ReadOnly) => "no",
        (Scope::Broker, Update::PerBroker) => "one broker",
        (Scope::Broker, Update::ClusterWide) => "yes",
        _ => "yes",
    }
}

/// All settings that do nothing for the reasons `why` knows, reason by reason.
fn waiting(page: &mut String, why: impl Fn(Standing) -> Option<&'static str>) {
    let scopes = [
        ("broker", Scope::Broker),
        ("topic", Scope::Topic),
        ("group", Scope::Group),
        ("client metrics", Scope::ClientMetrics),
    ];
    page.push_str("\n| name | of a | default | | why |\n|---|---|---|---|---|\n");
    for (word, scope) in scopes {
        for setting in Setting::all(scope) {
            let Some(why) = why(setting.standing) else {
                continue;
            };
            let (name, default, doc) = (setting.name, default(setting), setting.doc);
            line(
                page,
                format_args!("| `{name}` | {word} | {default} | {doc} | {why} |"),
            );
        }
    }
}
