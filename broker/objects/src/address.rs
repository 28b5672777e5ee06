//! Where objects are: one URL, read once.

use std::fmt;

use object_store::path::Path;

/// How an address is written.
const FORMS: &str =
    "write s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder";

/// A store cannot be opened as it is written down. It never shows what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {url} as object storage: {why}")]
pub struct OpenError {
    /// The address, without anything that does not belong in one.
    pub url: String,
    /// What is wrong, and what to do.
    pub why: String,
}

/// Who keeps the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Local files.
    Files,
    /// Amazon S3, or a server that speaks like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// A parsed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) keeper: Keeper,
    /// The bucket or container; the folder of files.
    pub(crate) bucket: String,
    /// What all names begin with there: empty, or it ends with `/`.
    pub(crate) prefix: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.keeper {
            Keeper::Files => "file",
            Keeper::S3 => "s3",
            Keeper::Google => "gs",
            Keeper::Azure => "az",
        };
        let prefix = self.prefix.trim_end_matches('/');
        let between = if prefix.is_empty() { "" } else { "/" };
        write!(f, "{scheme}://{}{between}{prefix}", self.bucket)
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none; the text says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let text = text.trim();
        let shown = without_secrets(text);
        let wrong = |why: String| OpenError {
            url: shown.clone(),
            why,
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong(format!("it is no URL; {FORMS}")));
        };
        let keeper = match scheme {
            "file" => Keeper::Files,
            "s3" => Keeper::S3,
            "gs" => Keeper::Google,
            "az" => Keeper::Azure,
            other => return Err(wrong(format!("`{other}` is no kind of store; {FORMS}"))),
        };
        if rest.contains('@') {
            let why = "credentials do not belong in it: they come from the environment, or from \
                       where the broker runs";
            return Err(wrong(why.to_owned()));
        }
        let odd = |c: &char| matches!(c, '?' | '#' | '%' | '\\') || c.is_control();
        if let Some(odd) = rest.chars().find(odd) {
            return Err(wrong(format!(
                "it has {odd:?}; nothing is escaped in it, and options come from the environment"
            )));
        }
        let address = match keeper {
            Keeper::Files => Self::folder(rest),
            _ => Self::bucket(keeper, rest),
        };
        address.map_err(wrong)
    }

    fn folder(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!(
                "the folder is not absolute; write file:///{path} with the whole path"
            ));
        }
        let folder = path.trim_end_matches('/');
        if folder.is_empty() {
            return Err("it names no folder; write file:///folder".to_owned());
        }
        Ok(Self {
            keeper: Keeper::Files,
            bucket: folder.to_owned(),
            prefix: String::new(),
        })
    }

    fn bucket(keeper: Keeper, rest: &str) -> Result<Self, String> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("it names no bucket; {FORMS}"));
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
        if let Some(odd) = bucket.chars().find(|c| !named(*c)) {
            return Err(format!(
                "{bucket} is no bucket's name, it has {odd:?}; a server of one's own goes into \
                 AWS_ENDPOINT_URL"
            ));
        }
        let prefix = prefix.trim_matches('/');
        if Path::parse(prefix).is_err() {
            return Err(format!(
                "{prefix} is no prefix: its parts must not be empty, `.` or `..`"
            ));
        }
        let end = if prefix.is_empty() { "" } else { "/" };
        Ok(Self {
            keeper,
            bucket: bucket.to_owned(),
            prefix: format!("{prefix}{end}"),
        })
    }
}

/// An address to show: without what stands before `@` or behind `?`, where some write passwords.
fn without_secrets(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, behind)| behind);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let between = if scheme.is_empty() { "" } else { "://" };
    let shown: String = rest.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("{scheme}{between}{shown}")
}
