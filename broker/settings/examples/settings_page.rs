//! Prints the reference page of all settings, `docs/settings.md`.

use freshet_settings::{Scope, Setting, Standing, Update, Valid};

fn main() {
    println!("# Settings\n");
    println!("Written by `cargo xtask docs` from the declarations in `broker/settings`.\n");
    println!(
        "A broker takes them from `--config FILE` and from `--set NAME=VALUE`; topics and groups get \
         theirs through the Kafka protocol. Names and defaults are Kafka's wherever Kafka has the \
         setting; ours start with `freshet.` or `http.`.\n"
    );
    for (scope, title) in [
        (Scope::Broker, "Broker"),
        (Scope::Topic, "Topic"),
        (Scope::Group, "Group"),
        (Scope::ClientMetrics, "Client metrics"),
    ] {
        section(scope, title);
    }
}

fn section(scope: Scope, title: &str) {
    let used = |setting: &&Setting| setting.standing == Standing::Used;
    if Setting::all(scope).next().is_none() {
        return;
    }
    println!("## {title}\n");
    println!("| name | default | unit, range | changes | what it does |");
    println!("|---|---|---|---|---|");
    for setting in Setting::all(scope).filter(used) {
        println!(
            "| `{}` | {} | {} | {} | {} |",
            setting.name,
            code(setting.default),
            range(setting),
            changes(setting),
            cell(setting.doc)
        );
    }
    let idle: Vec<_> = Setting::all(scope)
        .filter(|setting| !used(setting))
        .collect();
    if !idle.is_empty() {
        println!("\nAccepted with one warning, and without effect:\n");
        println!("| name | why |");
        println!("|---|---|");
        for setting in idle {
            println!("| `{}` | {} |", setting.name, why(setting.standing));
        }
    }
    println!();
}

fn code(text: Option<&str>) -> String {
    match text {
        None => "none".into(),
        Some("") => "empty".into(),
        Some(text) => format!("`{}`", cell(text)),
    }
}

/// A text that stays within its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn range(setting: &Setting) -> String {
    let words = |words: &[&str]| words.join(", ");
    let legal = match setting.valid {
        Valid::Any | Valid::Checked(_) => String::new(),
        Valid::Range(i64::MIN, to) => format!("≤ {to}"),
        Valid::Range(from, to) if to >= i64::from(i32::MAX) => format!("≥ {from}"),
        Valid::Range(from, to) => format!("{from} to {to}"),
        Valid::DoubleRange(from, to) => format!("{from} to {to}"),
        Valid::OneOf(list) | Valid::ListOf { words: list, .. } => words(list),
        Valid::NotEmpty => "not empty".into(),
    };
    let parts = [setting.unit.word().to_owned(), legal];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

fn changes(setting: &Setting) -> &'static str {
    match (setting.scope, setting.update) {
        (Scope::Broker, Update::ReadOnly) => "with a restart",
        (Scope::Broker, Update::PerBroker) => "at once, per broker",
        (Scope::Broker, Update::ClusterWide) => "at once, for the cluster",
        _ => "at once",
    }
}

fn why(standing: Standing) -> String {
    match standing {
        Standing::Used => String::new(),
        Standing::NotYet(why) => format!("Not yet: {}", cell(why)),
        Standing::NoMeaning(why) => cell(why),
    }
}
