//! What the operating system lets this process have.

use std::io;
use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open at once as far as the process itself may, and gives
/// it. Shells and service managers commonly start programs with 1,024 and allow hundreds of times
/// more; each log that is written and each connection needs one.
pub fn raise_open_files() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let unlimited = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    if unlimited(current) < unlimited(maximum) {
        let current = maximum;
        setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    }
    Ok(unlimited(getrlimit(Resource::Nofile).current))
}

/// The number of files that may be open at once now; whoever runs the process may change it.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Whether a file that was just opened is among the last that may be: they are kept for what must
/// not fail, such as the next segment of a log. A new file gets the lowest number that is free, so its
/// number tells how many are open.
pub fn is_among_the_last(opened: &impl AsRawFd) -> bool {
    let number = u64::try_from(opened.as_raw_fd()).unwrap_or(0);
    is_last(number, open_files())
}

/// One in eight is kept, within bounds.
fn is_last(number: u64, limit: u64) -> bool {
    const FEWEST: u64 = 32;
    const MOST: u64 = 1024;
    number + (limit / 8).clamp(FEWEST, MOST) >= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_files_are_kept() {
        // Of 256, those from 224 on; of a million, the last 1024; of very few, all.
        for (first, limit) in [(224, 256), (896, 1024), (1_047_552, 1 << 20)] {
            assert!(!is_last(first - 1, limit), "{limit}");
            assert!(is_last(first, limit), "{limit}");
        }
        assert!(is_last(3, 20));
        assert!(!is_last(1 << 40, u64::MAX));
        let file = std::io::stdin();
        assert_eq!(is_among_the_last(&file), is_last(0, open_files()));
    }

    #[test]
    fn the_limit_is_the_highest_that_is_allowed() {
        let highest = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_open_files().expect("it is allowed"), highest);
        assert_eq!(raise_open_files().expect("twice as well"), highest);
    }
}
