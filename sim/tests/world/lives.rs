//! Thousands of lives, and what a seed is good for.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::life::{live, trace};

/// Lives of an ordinary run.
const LIVES: u64 = 2_000;
/// Lines before the end that a failure tells.
const TOLD: usize = 60;

/// `FRESHET_SEED=n` is one, `FRESHET_SEEDS=from..to` are many, `FRESHET_SEEDS=n` the first of them.
fn seeds() -> Range<u64> {
    if let Ok(one) = std::env::var("FRESHET_SEED") {
        let seed = one.parse().expect("FRESHET_SEED is a number");
        return seed..seed + 1;
    }
    let many = std::env::var("FRESHET_SEEDS").unwrap_or_else(|_| LIVES.to_string());
    let (from, to) = many.split_once("..").unwrap_or(("0", &many));
    let number = |text: &str| {
        text.parse()
            .expect("FRESHET_SEEDS is from..to, or how many")
    };
    number(from)..number(to)
}

/// Says how to live it again, and how it ended.
pub(crate) fn tell(seed: u64, what: &str) -> String {
    let (_, mut lines) = trace(seed, None);
    let all = std::env::var("FRESHET_SEED").is_ok();
    if !all {
        // Messages are told to who asks for one seed.
        lines.retain(|line| !line.contains(" > "));
    }
    let from = match all {
        true => 0,
        false => lines.len().saturating_sub(TOLD),
    };
    let told = lines[from..].join("\n");
    format!(
        "{told}\nseed {seed}: {what}\nall of it: FRESHET_SEED={seed} cargo test -p freshet-sim --test world \
         promises_are_kept"
    )
}

#[test]
fn promises_are_kept_in_every_life() {
    let (mut acknowledged, mut pardons, mut lives, mut ms) = (0, 0, 0, 0);
    let (mut commits, mut stale) = (0, 0);
    let (mut too_few, mut late) = (0, 0);
    for seed in seeds() {
        match live(seed, None) {
            Ok(lived) => {
                acknowledged += lived.acknowledged;
                pardons += lived.pardons;
                commits += lived.group_commits;
                stale += lived.stale;
                too_few += lived.overdue.0;
                late += lived.overdue.1;
                ms += lived.ms;
                lives += 1;
            }
            Err(what) => panic!("{}", tell(seed, &what)),
        }
    }
    println!("{lives} lives of {ms} ms, {acknowledged} acknowledged, {pardons} pardons");
    println!("{commits} offsets committed, {stale} times an old one told by who was deposed");
    println!("overdue: {too_few} for want of replicas, {late} because some were late");
    if lives == 1 {
        // There may be no groups in it, or little else.
        return;
    }
    assert!(
        acknowledged >= lives * 20,
        "the faults stop everything: {acknowledged} acknowledged in {lives} lives"
    );
    assert!(commits >= lives * 5, "groups do nothing: {commits}");
}

#[test]
fn a_seed_repeats_every_line() {
    let hash = |seed| {
        let (lived, lines) = trace(seed, None);
        let mut hasher = DefaultHasher::new();
        lines.hash(&mut hasher);
        (lived, lines.len(), hasher.finish())
    };
    for seed in 0..12 {
        let first = hash(seed);
        assert_eq!(first, hash(seed), "seed {seed}");
        assert_eq!(first.0, live(seed, None), "seed {seed} without its trace");
    }
}
