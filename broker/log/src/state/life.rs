//! In which broker epoch a log directory was used, and how that ended: the file `broker-epoch`.
//!
//! It is what a broker that comes back is trusted by (KIP-966). The proof of a clean stop alone does
//! not do: a process that was refused by the controller stops cleanly too, and must not make a
//! crash before it forgotten.

use bytes::{Buf, BufMut};

use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRBE",
    version: 1,
};
/// No such file is larger.
pub(crate) const MAX_LIFE_BYTES: u64 = 4096;

const UNUSED: u8 = 0;
const IN_USE: u8 = 1;
const CLEAN: u8 = 2;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// The directory was empty, and no broker has served from it since.
    Unused,
    /// Used in this broker epoch.
    InUse(i64),
    /// Used in this broker epoch, and everything was flushed and closed in the end.
    Clean(i64),
}

impl Life {
    /// The file.
    pub(crate) fn to_file(self) -> Vec<u8> {
        let (state, epoch) = match self {
            Self::Unused => (UNUSED, -1),
            Self::InUse(epoch) => (IN_USE, epoch),
            Self::Clean(epoch) => (CLEAN, epoch),
        };
        let mut body = Vec::with_capacity(9);
        body.put_u8(state);
        body.put_i64(epoch);
        seal(KIND, &body)
    }

    /// Reads the file.
    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let (state, epoch) = (body.try_get_u8()?, body.try_get_i64()?);
        if !body.is_empty() {
            return Err(malformed("bytes after the epoch"));
        }
        match state {
            UNUSED => Ok(Self::Unused),
            IN_USE => Ok(Self::InUse(epoch)),
            CLEAN => Ok(Self::Clean(epoch)),
            _ => Err(malformed("an unknown state")),
        }
    }
}

/// How the last use of a log directory ended, by what lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastLife {
    /// It was empty when it was first opened, and no broker has served from it since.
    New,
    /// Something is in it, but not in which broker epoch it was used: an older version has written
    /// it, or the file that would tell is lost or damaged.
    Unknown,
    /// A broker served from it in this epoch, and did not stop cleanly.
    Crashed(i64),
    /// A broker served from it in this epoch; all was flushed and closed.
    Clean(i64),
}

impl LastLife {
    /// Joins what the file says with what was found beside it.
    pub(crate) fn of(said: Option<Life>, was_clean: bool, found: Found) -> Self {
        match said {
            Some(Life::Clean(epoch)) if was_clean => Self::Clean(epoch),
            Some(Life::Clean(epoch) | Life::InUse(epoch)) => Self::Crashed(epoch),
            Some(Life::Unused) if found != Found::Logs => Self::New,
            None if found == Found::Nothing => Self::New,
            Some(Life::Unused) | None => Self::Unknown,
        }
    }
}

/// What lies in a directory beside the files that any process leaves there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// Files, but no logs.
    Files,
    /// Logs.
    Logs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_weaker_fact_holds() {
        use Found::{Files, Logs, Nothing};
        let table = [
            (None, false, Nothing, LastLife::New),
            (None, false, Files, LastLife::Unknown),
            (None, true, Logs, LastLife::Unknown),
            (Some(Life::Unused), true, Files, LastLife::New),
            (Some(Life::Unused), true, Logs, LastLife::Unknown),
            (Some(Life::InUse(7)), false, Logs, LastLife::Crashed(7)),
            // Somebody who never served has stopped cleanly since.
            (Some(Life::InUse(7)), true, Logs, LastLife::Crashed(7)),
            (Some(Life::Clean(7)), true, Logs, LastLife::Clean(7)),
            // The proof is damaged, or somebody who never served has died since.
            (Some(Life::Clean(7)), false, Logs, LastLife::Crashed(7)),
            (Some(Life::Clean(7)), true, Files, LastLife::Clean(7)),
        ];
        for (said, was_clean, found, last) in table {
            assert_eq!(
                LastLife::of(said, was_clean, found),
                last,
                "{said:?} {was_clean} {found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn round_trips(epoch: i64) {
            for life in [Life::Unused, Life::InUse(epoch), Life::Clean(epoch)] {
                prop_assert_eq!(Life::from_file(&life.to_file()), Ok(life));
            }
        }

        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>) {
            let _ = Life::from_file(&seal(KIND, &body));
        }

        #[test]
        fn a_torn_file_is_no_file(epoch: i64, at: prop::sample::Index) {
            let file = Life::Clean(epoch).to_file();
            prop_assert!(Life::from_file(&file[..at.index(file.len())]).is_err());
        }
    }
}
