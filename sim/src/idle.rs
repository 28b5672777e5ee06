//! Rules that are taken away one by one, and the tests that they are there for.

use std::fmt::Debug;
use std::panic::catch_unwind;

/// The test that a rule is there for, by its name.
pub type Proof = (&'static str, fn());

/// A test of a module as [`Proof`].
#[macro_export]
macro_rules! proof {
    ($module:ident :: $test:ident) => {
        (stringify!($test), $module::$test)
    };
}

/// The rules without which their tests pass, of all or of those that `FRESHET_RULE` names. `without` lives
/// without a rule for as long as a body takes.
pub fn idle<R: Copy + Debug>(
    all: &[R],
    proof: fn(R) -> Proof,
    without: impl Fn(R, &dyn Fn() -> bool) -> bool,
) -> Vec<R> {
    let is_idle = |rule: &R| {
        let (name, test) = proof(*rule);
        let passes = without(*rule, &|| catch_unwind(test).is_ok());
        let noticed = if passes { "passes" } else { "fails" };
        println!("without {rule:?}, {name} {noticed}");
        passes
    };
    let wanted = std::env::var("FRESHET_RULE").unwrap_or_default();
    let asked = |rule: &R| format!("{rule:?}").contains(&wanted);
    let asked = all.iter().copied().filter(asked);
    asked.filter(is_idle).collect()
}
