//! What a bucket is asked, and what may be wrong with its answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::message::Message;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wants {
    /// An object, in one piece.
    Put,
    /// An upload in parts begins.
    Begin,
    /// A part of one.
    Part,
    /// An upload in parts becomes an object.
    Complete,
    /// It is given up.
    Abort,
    /// Bytes of an object.
    Get,
    /// Whether there is an object.
    Head,
    /// Names.
    List,
    /// An object shall be gone.
    Delete,
}

/// A request as rules look at it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// What it wants.
    pub(super) wants: Wants,
    /// The object's name within the bucket.
    pub(super) key: String,
    /// Who asks.
    pub(super) from: IpAddr,
}

impl Asked {
    pub(super) fn of(request: &Message, from: IpAddr) -> Self {
        let (path, query) = request
            .target()
            .split_once('?')
            .unwrap_or((request.target(), ""));
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let key = parts.nth(1).unwrap_or_default().to_owned();
        let has = |name: &str| {
            let mut names = query.split('&').map(|pair| pair.split('=').next());
            names.any(|known| known == Some(name))
        };
        let wants = match request.method() {
            "PUT" if has("partNumber") => Wants::Part,
            "PUT" => Wants::Put,
            "POST" if has("uploads") => Wants::Begin,
            "POST" => Wants::Complete,
            "DELETE" if has("uploadId") => Wants::Abort,
            "DELETE" => Wants::Delete,
            "HEAD" => Wants::Head,
            _ if key.is_empty() => Wants::List,
            _ => Wants::Get,
        };
        Self { wants, key, from }
    }

    /// Whether it is about a segment.
    pub(super) fn is_segment(&self) -> bool {
        self.key.contains("/segments/")
    }

    /// Whether it is about a manifest.
    pub(super) fn is_manifest(&self) -> bool {
        self.key.contains("/manifests/")
    }

    /// Whether it brings something: an object, or a part of one.
    pub(super) fn brings(&self) -> bool {
        use Wants::*;
        [Put, Begin, Part, Complete].contains(&self.wants)
    }
}

/// What is done to a request instead of what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused: an HTTP status, and S3's word for it.
    Refuse(u16, &'static str),
    /// It is passed on so much later, or when the rules change.
    Late(Duration),
    /// It is never answered. When the rules change the connection breaks.
    Silent,
    /// It is passed on when the rules change.
    Held,
    /// It is done, and nobody is told: the connection breaks.
    Unsaid,
    /// Half of what it brings arrives, then the connection breaks.
    HalfAsked,
    /// Half of the answer comes, then the connection breaks.
    HalfAnswered,
    /// A bit of the answer is another one.
    Flipped,
    /// Names of objects that are younger than this are left out.
    Stale(Duration),
}

type Matches = Arc<dyn Fn(&Asked) -> bool + Send + Sync>;

/// Which requests suffer from what.
#[derive(Clone)]
pub(super) struct Rule {
    matches: Matches,
    fault: Fault,
    /// One of so many that match.
    one_in: u64,
    met: Arc<AtomicU64>,
}

impl Rule {
    /// All that match.
    pub(super) fn new(
        fault: Fault,
        matches: impl Fn(&Asked) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            matches: Arc::new(matches),
            fault,
            one_in: 1,
            met: Arc::default(),
        }
    }

    /// Whatever is asked.
    pub(super) fn all(fault: Fault) -> Self {
        Self::new(fault, |_| true)
    }

    /// Only the first of so many, then the first of the next, ...
    #[must_use]
    pub(super) fn one_in(self, one_in: u64) -> Self {
        Self { one_in, ..self }
    }

    pub(super) fn of(&self, asked: &Asked) -> Option<Fault> {
        if !(self.matches)(asked) {
            return None;
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        met.is_multiple_of(self.one_in).then_some(self.fault)
    }
}

/// A request that was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// When it was read in full.
    pub(super) at: Instant,
    /// What it wanted.
    pub(super) asked: Asked,
    /// What was done to it.
    pub(super) fault: Option<Fault>,
    /// What the bucket has said, if it was asked and has answered.
    pub(super) status: Option<u16>,
}
