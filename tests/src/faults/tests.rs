//! The table is about tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

use super::results::{add, day};
use super::rows::GROUPS;
use super::*;
use crate::trial::trials;

#[test]
fn rows_count_up_and_each_is_tried_or_open() {
    let rows = GROUPS.iter().flat_map(|group| group.faults);
    for (fault, number) in rows.zip(1..) {
        assert_eq!(fault.row, number, "{}", fault.what);
        let trials = trials();
        let tried = trials.iter().any(|trial| trial.rows.contains(&number));
        let somehow = tried || !fault.tests.is_empty() || fault.open.is_some();
        assert!(somehow, "row {number} is neither tried nor open");
    }
}

#[test]
fn trials_name_rows_that_exist() {
    let rows: BTreeSet<u8> = GROUPS
        .iter()
        .flat_map(|group| group.faults)
        .map(|fault| fault.row)
        .collect();
    for trial in trials() {
        assert!(
            trial.rows.iter().all(|row| rows.contains(row)),
            "{}",
            trial.name
        );
    }
}

#[test]
fn the_tests_that_rows_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut text = String::new();
    let mut open: Vec<_> = ["broker", "operator", "protocol", "sim", "tests"]
        .map(|part| root.join(part))
        .into();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !path.ends_with("faults/rows.rs")
            {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for test in GROUPS
        .iter()
        .flat_map(|group| group.faults)
        .flat_map(|fault| fault.tests)
    {
        let named = text.contains(&format!("fn {test}(")) || text.contains(&format!("\"{test}\""));
        assert!(named, "no test is called {test}");
    }
}

#[test]
fn a_failure_ends_the_count_of_passes() {
    let outcome = |passed| Outcome {
        trial: "a".into(),
        seed: 7,
        passed,
        day: "2026-11-21".into(),
    };
    let mut kept = Kept::default();
    for passed in [true, false, true, true] {
        add(&mut kept, outcome(passed));
    }
    assert_eq!((kept.runs, kept.passed_since), (4, 2));
}

#[test]
fn notes_are_folded_and_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, kept) = (folder.path().join("notes"), folder.path().join("kept"));
    std::fs::write(
        &notes,
        r#"{"trial":"a","seed":1,"passed":true,"day":"2026-11-21"}"#,
    )
    .unwrap();
    assert_eq!(fold(&notes, &kept).unwrap(), 1);
    assert_eq!(fold(&notes, &kept).unwrap(), 0);
    assert!(faults_page(&std::fs::read_to_string(kept).unwrap()).is_ok());
}

#[test]
fn days_have_dates() {
    assert_eq!(day(0), "1970-01-01");
    assert_eq!(day(19_782), "2024-02-29");
    assert_eq!(day(20_778), "2026-11-21");
}
