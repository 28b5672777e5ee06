//! The codecs of a batch's body.
//!
//! | id | codec  | what the bytes are |
//! |----|--------|--------------------|
//! | 0  | none   | the records |
//! | 1  | gzip   | gzip members (RFC 1952) |
//! | 2  | snappy | xerial framing, as Java writes it, or one raw block, as librdkafka writes it |
//! | 3  | lz4    | an LZ4 frame with independent blocks (KIP-57) |
//! | 4  | zstd   | zstd frames (RFC 8878, KIP-110) |
//!
//! zstd is C; the others are Rust.

mod inflate;
mod read;
mod snappy;
mod write;

pub(crate) use inflate::{Body, failed};
use read::decoder;
pub(crate) use write::Encoder;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Every codec, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the attributes.
    #[inline]
    pub fn id(self) -> i8 {
        self as i8
    }

    /// The codec with a number.
    #[inline]
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// The name that producers' `compression.type` uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with a name; topics say `uncompressed` for `none`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "uncompressed" {
            return Some(Self::None);
        }
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// A codec and how hard it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Compression {
    /// Which codec.
    pub codec: Codec,
    /// gzip 1–9, zstd -131072–22; values outside are moved inside, `None` is the codec's own
    /// choice. Snappy has no levels, and our LZ4 knows only its fastest.
    pub level: Option<i32>,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self { codec, level: None }
    }
}
