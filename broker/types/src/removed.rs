//! Rules that have a name, so that a test can take one away and see that somebody notices.

use std::cell::Cell;

/// Which rule is taken away; none at first. One for each thread of tests.
#[derive(Debug)]
pub struct Removed<R: Copy>(Cell<Option<R>>);

impl<R: Copy + PartialEq> Removed<R> {
    /// All rules hold.
    pub const fn none() -> Self {
        Self(Cell::new(None))
    }

    /// Whether a rule holds.
    pub fn holds(&self, rule: R) -> bool {
        self.0.get() != Some(rule)
    }

    /// Lives without a rule for a while. What was before is put back, also after a panic: a test
    /// that waits for one goes on, and must not blame the next rule for this one.
    pub fn without<T>(&self, rule: Option<R>, live: impl FnOnce() -> T) -> T {
        let _back = PutBack(&self.0, self.0.replace(rule));
        live()
    }
}

struct PutBack<'a, R: Copy>(&'a Cell<Option<R>>, Option<R>);

impl<R: Copy> Drop for PutBack<'_, R> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Declares rules, and gives them, where they are `$removable` (a condition of `cfg`), a list of all of
/// them, which none can be left out of, and a place for each thread: `holds(rule)`, and
/// `without(rule, live)` for tests. Elsewhere all hold, at no cost.
#[macro_export]
macro_rules! removable {
    (
        $removable:meta;
        $(#[$about:meta])*
        $seen:vis enum $rule:ident { $($(#[$what:meta])* $name:ident,)* }
    ) => {
        $(#[$about])*
        #[cfg_attr(
            not($removable),
            allow(unreachable_pub, reason = "public to the simulation only")
        )]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $seen enum $rule {
            $($(#[$what])* $name,)*
        }

        #[cfg($removable)]
        impl $rule {
            /// All of them.
            $seen const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        #[cfg($removable)]
        ::std::thread_local! {
            static REMOVED: $crate::Removed<$rule> = const { $crate::Removed::none() };
        }

        /// Whether a rule holds on this thread.
        #[cfg($removable)]
        pub(crate) fn holds(rule: $rule) -> bool {
            REMOVED.with(|removed| removed.holds(rule))
        }

        /// Whether a rule holds.
        #[cfg(not($removable))]
        pub(crate) const fn holds(_: $rule) -> bool {
            true
        }

        /// Lives without a rule for a while.
        #[cfg($removable)]
        pub fn without<T>(rule: Option<$rule>, live: impl FnOnce() -> T) -> T {
            REMOVED.with(|removed| removed.without(rule, live))
        }
    };
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_rule_is_put_back_also_after_a_panic() {
        let removed = Removed::none();
        let lived = removed.without(Some(1), || (removed.holds(1), removed.holds(2)));
        assert_eq!(lived, (false, true));
        assert!(removed.holds(1));
        let dies = || removed.without(Some(1), || panic!("noticed"));
        assert!(catch_unwind(AssertUnwindSafe(dies)).is_err());
        assert!(removed.holds(1));
    }
}
