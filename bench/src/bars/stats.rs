//! Medians, ranges and ratios of a handful of numbers.

/// The middle of some numbers, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// `None` for no numbers.
    pub(crate) fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => return None,
            n if n % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self {
            median,
            low: sorted[0],
            high: sorted[sorted.len() - 1],
        })
    }

    /// Of the ratios of two lists, number by number: what was measured side by side is compared
    /// side by side.
    pub(crate) fn of_ratios(first: &[f64], second: &[f64]) -> Option<Self> {
        let pairs = first
            .iter()
            .zip(second)
            .filter(|(_, second)| **second > 0.0);
        Self::of(
            &pairs
                .map(|(first, second)| first / second)
                .collect::<Vec<_>>(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        assert_eq!(Spread::of(&[]), None);
        let odd = Spread {
            median: 2.0,
            low: 1.0,
            high: 9.0,
        };
        assert_eq!(Spread::of(&[9.0, 1.0, 2.0]), Some(odd));
        let even = Spread {
            median: 1.5,
            low: 1.0,
            high: 2.0,
        };
        assert_eq!(Spread::of(&[2.0, 1.0]), Some(even));
    }

    #[test]
    fn ratios_go_pair_by_pair() {
        let ratios = Spread::of_ratios(&[1.0, 4.0, 3.0], &[2.0, 4.0, 0.0]);
        assert_eq!(
            ratios,
            Some(Spread {
                median: 0.75,
                low: 0.5,
                high: 1.0
            })
        );
    }
}
