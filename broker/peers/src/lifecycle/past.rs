//! What the controller may believe of the copies on a broker's disks.

use freshet_log::LastLife;
use freshet_metadata::PastLife;

/// How the broker's last life ended, by what all its log directories say; where they disagree, the
/// weaker word counts.
///
/// New directories say nothing, and take nothing away from what the others say: the controller
/// knows directories by their ids, and no copy is in one that it has never heard of. `lost` says
/// that copies which should be here are in no directory at all; then nothing is believed.
pub fn past_life(dirs: &[LastLife], lost: bool) -> PastLife {
    let used = dirs.iter().filter(|life| **life != LastLife::New);
    let join = |a: PastLife, b: PastLife| match (a, b) {
        (PastLife::Clean(a), PastLife::Clean(b)) => PastLife::Clean(a.min(b)),
        (PastLife::Clean(a) | PastLife::Crashed(a), PastLife::Clean(b) | PastLife::Crashed(b)) => {
            PastLife::Crashed(a.min(b))
        }
        (PastLife::None, _) | (_, PastLife::None) => PastLife::None,
    };
    let said = used.map(|life| match life {
        LastLife::Clean(epoch) => PastLife::Clean(*epoch),
        LastLife::Crashed(epoch) => PastLife::Crashed(*epoch),
        LastLife::Unknown | LastLife::New => PastLife::None,
    });
    said.reduce(join).filter(|_| !lost).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use LastLife::{Clean, Crashed, New, Unknown};

    #[test]
    fn the_weaker_word_counts() {
        let table: [(&[LastLife], PastLife); 11] = [
            (&[], PastLife::None),
            (&[New], PastLife::None),
            (&[New, New], PastLife::None),
            (&[Unknown], PastLife::None),
            (&[Clean(5)], PastLife::Clean(5)),
            (&[Crashed(5)], PastLife::Crashed(5)),
            (&[Clean(5), Clean(5), New], PastLife::Clean(5)),
            (&[Clean(5), Crashed(5)], PastLife::Crashed(5)),
            // One of them was away in the last life, or is an older copy of itself.
            (&[Clean(5), Clean(3)], PastLife::Clean(3)),
            // The process died while it wrote its new epoch.
            (&[Crashed(6), Clean(5)], PastLife::Crashed(5)),
            (&[Clean(5), Unknown], PastLife::None),
        ];
        for (dirs, past) in table {
            assert_eq!(past_life(dirs, false), past, "{dirs:?}");
            assert_eq!(past_life(dirs, true), PastLife::None, "{dirs:?}");
            let mut turned = dirs.to_vec();
            turned.reverse();
            assert_eq!(past_life(&turned, false), past, "{turned:?}");
        }
    }
}
