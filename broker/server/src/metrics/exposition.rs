//! Prometheus' text form, where a page is written by hand.

use std::fmt::Write as _;

/// Begins a family.
pub(super) fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    line(page, &format!("# HELP {name} {help}"));
    line(page, &format!("# TYPE {name} {kind}"));
}

/// One line.
pub(super) fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a string cannot fail");
}

/// One sample with labels; their values may hold anything.
pub(super) fn sample(page: &mut String, name: &str, labels: &[(&str, &str)], value: i64) {
    page.push_str(name);
    for (at, (label, text)) in labels.iter().enumerate() {
        page.push(if at == 0 { '{' } else { ',' });
        write!(page, "{label}=\"").expect("writing to a string cannot fail");
        text.chars().for_each(|c| escape(page, c));
        page.push('"');
    }
    line(page, &format!("}} {value}"));
}

fn escape(page: &mut String, c: char) {
    match c {
        '\\' => page.push_str("\\\\"),
        '"' => page.push_str("\\\""),
        '\n' => page.push_str("\\n"),
        c => page.push(c),
    }
}
