//! One store behind the door.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use freshet_env::objects::{
    Listing, ObjectBody, ObjectError, ObjectFailure, ObjectHead, ObjectWait, Objects, RequestCounts,
};
use futures_util::stream::BoxStream;
use futures_util::{Stream, TryStreamExt};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use tokio::sync::{RwLock, Semaphore};

use crate::address::{Address, Keeper, OpenError};
use crate::answer::Refusal;
use crate::failure::{is_ours, meaning, refusal, tell};
use crate::open::{Login, Opened, open};
use crate::page::{Wanted, head};
use crate::upload::{Upload, length};

/// Objects below this size are put with one request, others in parts of it: 8 MiB. S3 wants 5 MiB or
/// more, and takes 10,000 parts: 78 GiB.
const PART_BYTES: u64 = 8 << 20;
/// Parts of one upload that are on their way at a time.
const PARTS_AT_ONCE: usize = 4;
/// A part arrives so soon where several fit beside one another: four such take less than a request may.
const QUICK: Duration = Duration::from_secs(10);
/// Parts that all uploads may have on their way together, beyond one of each: 64 MiB.
const WINDOW: usize = 8;
/// What S3 and Google take as a name, in bytes; Azure takes as many characters.
const KEY_MAX_BYTES: usize = 1024;

/// How long is waited, and how much is sent at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For one request, from its beginning to the end of its answer. An operation is one to three of
    /// them, a put of a large object as many as it has parts.
    pub request: Duration,
    /// For a connection.
    pub connect: Duration,
    /// Of a large object; 8 MiB.
    pub part_bytes: u64,
    /// How many parts of one large object may be on their way; 4.
    pub parts_at_once: usize,
    /// How soon the last part must have arrived for that; 10 s.
    pub quick: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            part_bytes: PART_BYTES,
            parts_at_once: PARTS_AT_ONCE,
            quick: QUICK,
        }
    }
}

/// A bucket, or a folder that serves as one. What of a store is behind the door: what begins with the
/// address's prefix, and names are told without it.
pub struct Bucket {
    address: Address,
    store: Arc<dyn ObjectStore>,
    paged: Option<Arc<dyn PaginatedListStore>>,
    login: Option<Box<dyn Login>>,
    sorted: bool,
    limits: Limits,
    /// What uploads may have on their way together, beyond the one part that each may.
    window: Semaphore,
    /// Read while an upload is open.
    open: Arc<RwLock<()>>,
    counts: Arc<RequestCounts>,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The clients below show their credentials, so they are left out.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({self})")
    }
}

/// Pieces that keep nothing but themselves.
fn cut(whole: Bytes, piece: Option<usize>) -> Vec<Bytes> {
    match piece.filter(|piece| *piece < whole.len()) {
        Some(piece) => {
            let pieces = whole.chunks(piece.max(1));
            pieces.map(Bytes::copy_from_slice).collect()
        }
        None => vec![whole],
    }
}

/// Brings together what comes, up to `expected` bytes and what came with the last of them; says how much
/// that is.
async fn collect(
    mut coming: impl Stream<Item = Result<Bytes, Error>> + Unpin,
    expected: u64,
    piece: usize,
) -> Result<(Vec<Bytes>, u64), Error> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    let mut filling = BytesMut::new();
    while bytes < expected {
        let Some(mut came) = coming.try_next().await? else {
            break;
        };
        bytes += came.len() as u64;
        while !came.is_empty() {
            if filling.capacity() == 0 {
                filling.reserve(piece);
            }
            let fits = came.len().min(piece - filling.len());
            filling.extend_from_slice(&came.split_to(fits));
            if filling.len() == piece {
                pieces.push(std::mem::take(&mut filling).freeze());
            }
        }
    }
    if !filling.is_empty() {
        pieces.push(filling.freeze());
    }
    Ok((pieces, bytes))
}

/// One key on its way through an operation.
struct Asked<'a> {
    doing: &'static str,
    key: &'a str,
}

impl Asked<'_> {
    fn error(&self, failure: ObjectFailure, why: impl Into<String>) -> ObjectError {
        ObjectError {
            doing: self.doing,
            key: self.key.to_owned(),
            failure,
            why: why.into(),
        }
    }

    fn tell(&self, error: &Error) -> ObjectError {
        tell(self.doing, self.key, error)
    }
}

impl Bucket {
    /// Opens the store at `url`: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or
    /// `file:///folder`. Nothing is asked of it yet, so it may still be out of reach.
    ///
    /// `environment` is the process's: who asks, and of which server. S3 reads `AWS_*` as the AWS tools do
    /// (keys, `AWS_REGION`, `AWS_ENDPOINT_URL`, web identity, profiles, container and instance roles),
    /// Google `GOOGLE_*`, `SERVICE_ACCOUNT` and `STORAGE_EMULATOR_HOST`, Azure `AZURE_*`, a connection string as well;
    /// see `object_store`'s builders for all other names.
    /// An endpoint that begins with `http://` is spoken to without TLS. `FRESHET_CREDENTIALS_DIR` names a folder
    /// with a file for each such name, which win; keys for S3 are read again when their files change.
    ///
    /// # Errors
    /// The address is none, its folder is not there, or the environment contradicts itself.
    pub fn open(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        limits: &Limits,
    ) -> Result<Self, OpenError> {
        let address = Address::parse(url)?;
        let counts = Arc::default();
        let Opened {
            store,
            paged,
            login,
            sorted,
        } = open(&address, environment, limits, &counts)?;
        Ok(Self {
            address,
            store,
            paged,
            login,
            sorted,
            limits: Limits {
                part_bytes: limits.part_bytes.max(1),
                ..limits.clone()
            },
            window: Semaphore::new(WINDOW),
            open: Arc::default(),
            counts,
        })
    }

    /// What was asked of the store so far, each try and each page, and for credentials as well. Files are
    /// asked nothing.
    pub fn counts(&self) -> &Arc<RequestCounts> {
        &self.counts
    }

    /// Waits until no upload is open, and what was left of those that were dropped is thrown away. That
    /// may take as long as the store takes. Uploads that begin meanwhile wait for this.
    pub async fn settled(&self) {
        drop(self.open.write().await);
    }

    /// The name in the store. What one kind of store cannot keep under its name none is given, so that a
    /// bucket can be copied to any other: files are written beside their name with a `#` behind it.
    fn path(&self, asked: &Asked<'_>) -> Result<Path, ObjectError> {
        let name = format!("{}{}", self.address.prefix, asked.key);
        let invalid = |why: String| asked.error(ObjectFailure::Invalid, why);
        if name.len() > KEY_MAX_BYTES {
            let why = format!("a name has at most {KEY_MAX_BYTES} bytes");
            return Err(invalid(why));
        }
        let path = Path::parse(&name).map_err(|error| invalid(error.to_string()))?;
        if asked.key.is_empty() || path.as_ref() != name || name.contains('#') {
            let why = "a name is parts with `/` between them, and has no `#`";
            return Err(invalid(why.to_owned()));
        }
        Ok(path)
    }

    /// Asks for credentials first: what keeps them from us is a matter of its own.
    async fn log_in(&self, asked: &Asked<'_>) -> Result<(), ObjectError> {
        let Some(login) = &self.login else {
            return Ok(());
        };
        let got = login.ask().await;
        got.map_err(|error| ObjectError {
            failure: ObjectFailure::Denied,
            ..asked.tell(&error)
        })
    }

    async fn begin(&self, asked: &Asked<'_>) -> Result<Path, ObjectError> {
        let path = self.path(asked)?;
        self.log_in(asked).await?;
        Ok(path)
    }

    async fn put(&self, key: &str, body: &mut dyn ObjectBody) -> Result<(), ObjectError> {
        let asked = Asked { doing: "put", key };
        let path = self.begin(&asked).await?;
        let part_bytes = self.limits.part_bytes;
        let first = body.part(part_bytes).await?;
        let put = if length(&first) < part_bytes {
            let (whole, create) = (first.into_iter().collect(), PutMode::Create.into());
            let put = self.store.put_opts(&path, whole, create).await;
            put.map(drop).map_err(|error| asked.tell(&error))
        } else {
            self.upload(&asked, &path, (first, body)).await
        };
        put.map_err(|error| match error.failure {
            // The upload is gone, or a folder while its file was made: who knows how far it came.
            ObjectFailure::NotFound => ObjectError {
                failure: ObjectFailure::Unanswered,
                ..error
            },
            _ => error,
        })
    }

    async fn upload(
        &self,
        asked: &Asked<'_>,
        path: &Path,
        (first, rest): (Vec<Bytes>, &mut dyn ObjectBody),
    ) -> Result<(), ObjectError> {
        match self.look(asked, path).await {
            Ok(_) => return Err(asked.error(ObjectFailure::AlreadyExists, "it was there before")),
            Err(error) if error.failure == ObjectFailure::NotFound => {}
            Err(error) => return Err(error),
        }
        let upload = Upload {
            store: self.store.as_ref(),
            key: asked.key,
            path,
            rest,
            limits: &self.limits,
            window: &self.window,
        };
        let open = Arc::clone(&self.open).read_owned().await;
        upload.run(first, open).await
    }

    async fn look(&self, asked: &Asked<'_>, path: &Path) -> Result<ObjectHead, ObjectError> {
        let error = match self.store.head(path).await {
            Ok(meta) => return Ok(head(&meta)),
            Err(error) => error,
        };
        // The answer to a HEAD has no text, so it does not tell a missing bucket from a missing object, or
        // credentials that have expired from a request that is wrong. A GET's has.
        let is_mute = refusal(&error).is_some_and(Refusal::is_mute);
        let spoken = match is_mute {
            true => self.store.get_range(path, 0..1).await.err(),
            false => None,
        };
        // An object that is empty by now does not say what was wrong before.
        let spoken = spoken.filter(|spoken| !refusal(spoken).is_some_and(Refusal::is_of_range));
        Err(asked.tell(&spoken.unwrap_or(error)))
    }

    /// A range in pieces of a length; in one if there is none.
    async fn get(
        &self,
        key: &str,
        range: Range<u64>,
        piece: Option<usize>,
    ) -> Result<Vec<Bytes>, ObjectError> {
        let asked = Asked { doing: "get", key };
        let path = self.begin(&asked).await?;
        let beyond = |len: u64| {
            let why = format!("bytes {range:?} of {len}");
            asked.error(ObjectFailure::Invalid, why)
        };
        if range.start >= range.end {
            // There is no way to ask for nothing, and it may be asked for only where there is something.
            let len = self.look(&asked, &path).await?.len_bytes;
            let fine = range.start == range.end && range.end <= len;
            return if fine {
                Ok(Vec::new())
            } else {
                Err(beyond(len))
            };
        }
        match self.fetch(&path, &range, piece).await {
            Ok((pieces, bytes)) if bytes == range.end - range.start => Ok(pieces),
            // Stores give as much as there is.
            Ok((_, bytes)) => Err(beyond(range.start + bytes)),
            Err(error) => {
                let told = asked.tell(&error);
                if told.failure != ObjectFailure::Unanswered || !is_ours(&error) {
                    return Err(told);
                }
                // Files do not say that they end before the range does, nor do servers that give nothing of it.
                match self.look(&asked, &path).await {
                    Ok(head) if head.len_bytes < range.end => Err(beyond(head.len_bytes)),
                    _ => Err(told),
                }
            }
        }
    }

    /// What a store gives of a range, and how much that is.
    async fn fetch(
        &self,
        path: &Path,
        range: &Range<u64>,
        piece: Option<usize>,
    ) -> Result<(Vec<Bytes>, u64), Error> {
        let Some(piece) = piece.filter(|_| self.address.keeper != Keeper::Files) else {
            let whole = self.store.get_range(path, range.clone()).await?;
            let bytes = whole.len() as u64;
            return Ok((cut(whole, piece), bytes));
        };
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(path, options).await?;
        collect(got.into_stream(), range.end - range.start, piece.max(1)).await
    }

    async fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<Listing, ObjectError> {
        let asked = Asked {
            doing: "list",
            key: prefix,
        };
        self.log_in(&asked).await?;
        let root = &self.address.prefix;
        let whole = format!("{root}{prefix}");
        let after = after.map(|after| format!("{root}{after}"));
        // Stores list what is in a folder; a prefix may end within a name.
        let folder = whole.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = Path::parse(folder);
        let folder = folder.map_err(|error| asked.tell(&error.into()))?;
        let folder = Some(&folder).filter(|folder| !folder.is_root());
        let start = after.as_deref().and_then(|after| {
            let parsed = Path::parse(after).ok()?;
            // What is no name is compared here, and not by the store.
            (parsed.as_ref() == after).then_some(parsed)
        });
        let wanted = Wanted {
            prefix: &whole,
            after: after.as_deref(),
            at_most,
            sorted: self.sorted,
        };
        let listing = match (self.few(&wanted), &start) {
            (Some(few), _) => few,
            (None, Some(start)) => self.store.list_with_offset(folder, start),
            (None, None) => self.store.list(folder),
        };
        let page = wanted.page(listing, root.len()).await;
        page.map_err(|error| asked.tell(&error))
    }

    /// Asks for no more names than are wanted, where a store would else tell a whole page of its own.
    fn few(&self, wanted: &Wanted<'_>) -> Option<BoxStream<'static, Result<ObjectMeta, Error>>> {
        // Azure's emulator does not begin behind a name: it would be asked for all that comes before, a few each time.
        let begins = wanted.after.is_none() || self.address.keeper != Keeper::Azure;
        let paged = self.paged.as_ref().filter(|_| self.sorted && begins)?;
        wanted.few(paged)
    }

    /// The names of folders right below `folder`, which ends with `/` or is empty, in no order. One request for
    /// each 1,000 of them. A folder may be empty where the store is a file system.
    ///
    /// # Errors
    /// As those of a listing.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        let asked = Asked {
            doing: "list",
            key: folder,
        };
        self.log_in(&asked).await?;
        let whole = Path::parse(format!("{}{folder}", self.address.prefix));
        let whole = whole.map_err(|error| asked.tell(&error.into()))?;
        let below = Some(&whole).filter(|folder| !folder.is_root());
        let listed = self.store.list_with_delimiter(below).await;
        let listed = listed.map_err(|error| asked.tell(&error))?;
        let names = listed.common_prefixes.iter();
        Ok(names
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    async fn remove(&self, key: &str) -> Result<(), ObjectError> {
        let asked = Asked {
            doing: "delete",
            key,
        };
        let path = self.begin(&asked).await?;
        match self.store.delete(&path).await {
            Err(error) if meaning(&error) == ObjectFailure::NotFound => Ok(()),
            done => done.map_err(|error| asked.tell(&error)),
        }
    }
}

impl Objects for Bucket {
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        Box::pin(self.put(key, body))
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> ObjectWait<'a, Bytes> {
        Box::pin(async move {
            let mut pieces = self.get(key, range, None).await?;
            Ok(pieces.pop().unwrap_or_default())
        })
    }

    fn get_pieces<'a>(
        &'a self,
        key: &'a str,
        range: Range<u64>,
        piece: usize,
    ) -> ObjectWait<'a, Vec<Bytes>> {
        Box::pin(self.get(key, range, Some(piece)))
    }

    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead> {
        Box::pin(async move {
            let asked = Asked { doing: "head", key };
            let path = self.begin(&asked).await?;
            self.look(&asked, &path).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at_most: usize,
    ) -> ObjectWait<'a, Listing> {
        Box::pin(self.names(prefix, after, at_most))
    }

    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()> {
        Box::pin(self.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn collected(came: &[usize], expected: u64, piece: usize) -> (Vec<usize>, u64) {
        let mut next = 0_u8;
        let came: Vec<Result<Bytes, Error>> = came
            .iter()
            .map(|length| {
                let bytes: Vec<u8> = std::iter::repeat_with(|| {
                    next = next.wrapping_add(1);
                    next
                })
                .take(*length)
                .collect();
                Ok(bytes.into())
            })
            .collect();
        let (pieces, bytes) = collect(stream::iter(came), expected, piece)
            .await
            .expect("nothing fails");
        let all: Vec<u8> = pieces.iter().flatten().copied().collect();
        let in_order = (1..).take(all.len()).map(|n: usize| n.to_le_bytes()[0]);
        assert!(all.iter().copied().eq(in_order), "{all:?}");
        (pieces.iter().map(Bytes::len).collect(), bytes)
    }

    #[tokio::test]
    async fn pieces_are_cut_anew_wherever_answers_are_cut() {
        assert_eq!(collected(&[3, 4, 1, 2], 10, 4).await, (vec![4, 4, 2], 10));
        assert_eq!(
            collected(&[300], 300, 100).await,
            (vec![100, 100, 100], 300)
        );
        assert_eq!(collected(&[1; 7], 7, 3).await, (vec![3, 3, 1], 7));
        assert_eq!(collected(&[0, 2], 2, 8).await, (vec![2], 2));
        // Too little, and a store that does not stop.
        assert_eq!(collected(&[2], 9, 4).await, (vec![2], 2));
        assert_eq!(collected(&[8, 8, 8], 9, 4).await, (vec![4, 4, 4, 4], 16));
    }
}
