//! What Freshet has to reach, so that a table shows it beside what it did reach.

mod stats;

pub(crate) use self::stats::Spread;
use crate::args::Side;

/// What a number of Freshet's may be: at most and at least in its unit, and at most as a part of
/// Kafka's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bar {
    pub(crate) at_most: Option<f64>,
    pub(crate) at_least: Option<f64>,
    pub(crate) ratio: Option<f64>,
}

impl Bar {
    pub(crate) const NONE: Self = Self {
        at_most: None,
        at_least: None,
        ratio: None,
    };

    pub(crate) const fn at_most(limit: f64) -> Self {
        Self {
            at_most: Some(limit),
            ..Self::NONE
        }
    }

    pub(crate) const fn at_least(limit: f64) -> Self {
        Self {
            at_least: Some(limit),
            ..Self::NONE
        }
    }

    pub(crate) const fn ratio(limit: f64) -> Self {
        Self {
            ratio: Some(limit),
            ..Self::NONE
        }
    }

    pub(crate) const fn both(at_most: f64, ratio: f64) -> Self {
        Self {
            at_most: Some(at_most),
            ratio: Some(ratio),
            ..Self::NONE
        }
    }

    /// The bar in words; empty without one.
    pub(crate) fn words(self) -> String {
        let limit = self.at_most.map(|limit| format!("≤ {limit}"));
        let least = self.at_least.map(|least| format!("≥ {least}"));
        let ratio = self.ratio.map(|ratio| format!("≤ {ratio} ×"));
        [limit, least, ratio]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" and ")
    }

    /// Whether medians are within the bar; `None` where there is no bar, no number, or where it is not
    /// Freshet that stands beside Kafka.
    pub(crate) fn met(
        self,
        sides: [Side; 2],
        own: Option<Spread>,
        ratio: Option<Spread>,
    ) -> Option<bool> {
        if sides != [Side::Freshet, Side::Kafka] || self == Self::NONE {
            return None;
        }
        let within = |limit: Option<f64>, spread: Option<Spread>| match limit {
            Some(limit) => spread.map(|spread| spread.median <= limit),
            None => Some(true),
        };
        let enough = match self.at_least {
            Some(least) => own?.median >= least,
            None => true,
        };
        Some(enough && within(self.at_most, own)? && within(self.ratio, ratio)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: [Side; 2] = [Side::Freshet, Side::Kafka];

    #[test]
    fn a_bar_is_met_by_medians() {
        let bar = Bar::both(0.9, 0.35);
        let at = |own: &[f64], ratio: &[f64]| bar.met(SIDES, Spread::of(own), Spread::of(ratio));
        assert_eq!(at(&[0.8, 0.9, 2.0], &[0.3]), Some(true));
        assert_eq!(at(&[1.0], &[0.3]), Some(false));
        assert_eq!(at(&[0.8], &[0.36]), Some(false));
        assert_eq!(at(&[], &[0.3]), None);
        assert_eq!(Bar::NONE.met(SIDES, Spread::of(&[1.0]), None), None);
    }

    #[test]
    fn a_bar_may_be_a_floor() {
        let met = |kept| Bar::at_least(0.8).met(SIDES, Spread::of(&[kept]), None);
        assert_eq!(met(0.8), Some(true));
        assert_eq!(met(0.79), Some(false));
        assert_eq!(Bar::at_least(0.8).met(SIDES, None, None), None);
    }

    #[test]
    fn only_freshet_beside_kafka_is_judged() {
        let met = Bar::at_most(1.0).met([Side::Kafka, Side::Kafka], Spread::of(&[0.5]), None);
        assert_eq!(met, None);
    }

    #[test]
    fn a_bar_is_told_in_words() {
        assert_eq!(Bar::both(0.9, 0.35).words(), "≤ 0.9 and ≤ 0.35 ×");
        assert_eq!(Bar::at_least(0.8).words(), "≥ 0.8");
        assert_eq!(Bar::NONE.words(), "");
    }
}
