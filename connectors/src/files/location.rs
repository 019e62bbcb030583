//! Where files are: a folder, file or glob pattern on the local disk or in an object store, and how it is written.
//!
//! Inside, a path is plain text from the root of its store, parts joined by `/`, such as `/data/in/a b.json`. In logs and
//! splits it is a URI as Spark writes it: `file:///data/in/a%20b.json`. Java escapes what a URI may not hold and leaves
//! letters of other languages alone, so [`encode`] does too, and names made by either engine are equal.

use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use millstream_engine::{Error, Result};
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::glob::Glob;
use super::local_listing;

/// A place for files: the local disk, or one object store.
#[derive(Clone, Debug)]
pub(super) enum Store {
    /// The local disk.
    Local,
    /// An object store.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// Its URL without a path, such as `s3://bucket`.
        base: String,
    },
}

/// A path in a store.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// Where the path is.
    pub(super) store: Store,
    /// The path, from the root, without a slash at the end.
    pub(super) path: String,
}

/// A file that a listing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Its path, from the root.
    pub(super) path: String,
    /// Its length.
    pub(super) size_bytes: u64,
    /// When it was last changed, in milliseconds since the epoch.
    pub(super) modified_ms: i64,
}

impl Location {
    /// Reads what a user wrote: a path, absolute or relative to the working directory, or a URL.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = scheme_of(text) else {
            let absolute = std::path::absolute(text)
                .map_err(|e| Error::invalid(format!("'{text}' is not a path: {e}")).with_source(e))?;
            return Ok(Self { store: Store::Local, path: normal(&absolute.to_string_lossy()) });
        };
        if scheme.eq_ignore_ascii_case("file") {
            // As in Hadoop, nothing in a user's URL is an escape.
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Self { store: Store::Local, path: normal(path) }),
                false => Err(Error::invalid(format!("'{text}' must name an absolute path, as in file:///data"))),
            };
        }
        let after = rest.strip_prefix("//").unwrap_or(rest);
        let (host, path) = after.split_once('/').unwrap_or((after, ""));
        Ok(Self { store: open_store(&format!("{scheme}://{host}"))?, path: normal(path) })
    }

    /// Reads what [`uri`](Self::uri) or Spark wrote into a log.
    pub(super) fn from_uri(uri: &str) -> Result<Self> {
        let plain = decode(uri).ok_or_else(|| Error::corrupt(format!("'{uri}' is not the URI of a file")))?;
        Self::parse(&plain)
    }

    /// The path as Spark writes it in its logs: `file:///data/a%20b`.
    pub(super) fn uri(&self) -> String {
        self.store.uri(&self.path)
    }

    /// The path as Hadoop prints it: `file:/data/a b`.
    pub(super) fn display(&self) -> String {
        match &self.store {
            Store::Local => format!("file:{}", self.path),
            Store::Object { base, .. } => format!("{base}{}", self.path),
        }
    }

    /// The path as it may be opened again: a plain one of the local disk, or a URL.
    pub(super) fn text(&self) -> String {
        match &self.store {
            Store::Local => self.path.clone(),
            Store::Object { base, .. } => format!("{base}{}", self.path),
        }
    }

    /// The folder or file `name` in this one.
    pub(super) fn child(&self, name: &str) -> Self {
        Self { store: self.store.clone(), path: format!("{}/{name}", self.path.trim_end_matches('/')) }
    }

    /// The pattern that the path is, where it is one.
    pub(super) fn glob(&self) -> Result<Option<Glob>> {
        Glob::parse(&self.path)
    }
}

impl Store {
    /// The path as a URI, as Spark's logs have it.
    pub(super) fn uri(&self, path: &str) -> String {
        match self {
            Self::Local => format!("file://{}", encode(path)),
            Self::Object { base, .. } => format!("{base}{}", encode(path)),
        }
    }

    /// The path as one of the local disk, where the store is that.
    pub(super) fn local_path(&self, path: &str) -> Option<PathBuf> {
        matches!(self, Self::Local).then(|| PathBuf::from(path))
    }

    /// Whether both are the same store.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local, Self::Local) => true,
            (Self::Object { base: a, .. }, Self::Object { base: b, .. }) => a == b,
            _ => false,
        }
    }

    /// The files under `folder`, at any depth, in order of their paths; a hidden name hides what is below it. `None`
    /// where there is no such folder. A path that is a file gives that file.
    pub(super) async fn list(&self, folder: &str) -> Result<Option<Vec<FoundFile>>> {
        match self {
            Self::Local => {
                let folder = folder.to_string();
                blocking(move || local_listing::list(&folder)).await
            }
            Self::Object { store, base } => list_objects(store, base, folder).await,
        }
    }

    /// The names of the folders and files directly in `folder`, hidden ones too.
    pub(super) async fn children(&self, folder: &str) -> Result<Vec<String>> {
        match self {
            Self::Local => {
                let folder = folder.to_string();
                blocking(move || local_listing::children(&folder)).await
            }
            Self::Object { store, base } => {
                let listing = store.list_with_delimiter(Some(&object_path(folder))).await;
                let listing = listing.map_err(|e| store_error(base, folder, e))?;
                let folders = listing.common_prefixes.iter().filter_map(|path| path.filename());
                let files = listing.objects.iter().filter_map(|object| object.location.filename());
                Ok(folders.chain(files).map(str::to_string).collect())
            }
        }
    }

    /// Whether there is a file or folder of this path.
    pub(super) async fn exists(&self, path: &str) -> Result<bool> {
        match self {
            Self::Local => {
                let path = PathBuf::from(path);
                blocking(move || Ok(path.exists())).await
            }
            Self::Object { store, base } => {
                let target = object_path(path);
                match store.head(&target).await {
                    Ok(_) => Ok(true),
                    Err(object_store::Error::NotFound { .. }) => {
                        let first = store.list(Some(&target)).next().await.transpose();
                        first.map(|object| object.is_some()).map_err(|e| store_error(base, path, e))
                    }
                    Err(e) => Err(store_error(base, path, e)),
                }
            }
        }
    }

    /// The length of an object; `None` for a local file, or where the store does not tell.
    pub(super) async fn size_bytes(&self, path: &str) -> Option<u64> {
        match self {
            Self::Local => None,
            Self::Object { store, .. } => store.head(&object_path(path)).await.ok().map(|object| object.size),
        }
    }
}

/// Runs blocking work where it holds nobody up: on a blocking thread, or here where there is no runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(result) => result,
            Err(e) => Err(Error::internal(format!("a file operation did not end: {e}")).with_source(e)),
        },
        Err(_) => work(),
    }
}

/// Whether readers pass over a file or folder of this name: those that start with `.`, those that start with `_` unless
/// they are partitions, and copies in the making.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) || name.ends_with("._COPYING_")
}

/// The object of this path.
pub(super) fn object_path(path: &str) -> object_store::path::Path {
    path.split('/').filter(|part| !part.is_empty()).fold(object_store::path::Path::default(), |at, part| at.join(part))
}

/// An object store's error about `path`, with the kind that fits who must act.
pub(super) fn store_error(base: &str, path: &str, error: object_store::Error) -> Error {
    use object_store::Error as Cause;
    let message = format!("{base}{path}: {error}");
    let ours = match &error {
        Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } | Cause::InvalidPath { .. } => {
            Error::invalid(message)
        }
        Cause::NotSupported { .. } | Cause::NotImplemented { .. } => Error::unsupported(message),
        _ => Error::unavailable(message),
    };
    ours.with_source(error)
}

/// An I/O error of the local disk about `path`, while doing `what`.
pub(super) fn disk_error(what: &str, path: &std::path::Path, error: std::io::Error) -> Error {
    millstream_engine::state::Error::io(what, path.display().to_string(), error).into()
}

async fn list_objects(store: &Arc<dyn ObjectStore>, base: &str, folder: &str) -> Result<Option<Vec<FoundFile>>> {
    let prefix = object_path(folder);
    let objects: Vec<object_store::ObjectMeta> =
        store.list(Some(&prefix)).try_collect().await.map_err(|e| store_error(base, folder, e))?;
    let found = |object: &object_store::ObjectMeta| FoundFile {
        path: format!("/{}", object.location),
        size_bytes: object.size,
        modified_ms: object.last_modified.timestamp_millis(),
    };
    if objects.is_empty() {
        return match store.head(&prefix).await {
            Ok(object) => Ok(Some(vec![found(&object)])),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error(base, folder, e)),
        };
    }
    let mut files: Vec<FoundFile> = objects.iter().map(found).collect();
    files.retain(|file| !file.path.strip_prefix(folder).unwrap_or(&file.path).split('/').any(is_hidden));
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(files))
}

fn open_store(base: &str) -> Result<Store> {
    let url = Url::parse(&format!("{base}/"))
        .map_err(|e| Error::invalid(format!("'{base}' is not a URL: {e}")).with_source(e))?;
    let (store, _) = millstream_engine::state::open_object_store(&url, &[])?;
    Ok(Store::Object { store, base: base.to_string() })
}

/// The scheme of a URL and what follows its colon. A scheme has at least two letters, so that `c:\data` is a path.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && rest.starts_with('/')
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some((scheme, rest))
}

/// Without doubled slashes, `.` and `..` parts, and a slash at the end.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Escapes what Java's `URI` escapes in a path.
fn encode(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut bytes = [0; 4];
    for c in path.chars() {
        let is_plain = match c.is_ascii() {
            true => c.is_ascii_alphanumeric() || "/-_.!~'()*:@&=+$,;".contains(c),
            false => !c.is_control() && !c.is_whitespace(),
        };
        if is_plain {
            text.push(c);
        } else {
            for byte in c.encode_utf8(&mut bytes).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

/// Undoes [`encode`]; `None` where an escape is broken.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            plain.push(u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok()?);
            at += 3;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_java_writes_them() {
        // The third as a Spark source log has it.
        for (path, uri) in [
            ("/data/in/a.json", "file:///data/in/a.json"),
            ("/d/a b#c?d", "file:///d/a%20b%23c%3Fd"),
            ("/tmp/qx/in/k=1/a b%é.json", "file:///tmp/qx/in/k=1/a%20b%25é.json"),
            ("/d/x[1]{2}^`|\\\"<>", "file:///d/x%5B1%5D%7B2%7D%5E%60%7C%5C%22%3C%3E"),
        ] {
            let location = Location { store: Store::Local, path: path.to_string() };
            assert_eq!(location.uri(), uri);
            assert_eq!(Location::from_uri(uri).map(|l| l.path).ok().as_deref(), Some(path));
        }
        assert!(Location::from_uri("file:///a%2").is_err());
        assert!(Location::from_uri("file:///a%FF").is_err());
    }

    #[test]
    fn users_write_paths_in_many_ways() {
        for (text, display) in [
            ("/data//in/", "file:/data/in"),
            ("file:///data/in", "file:/data/in"),
            ("file:/data/./x/../in", "file:/data/in"),
            ("memory://box/data/in", "memory://box/data/in"),
            ("memory:///data/in", "memory:///data/in"),
        ] {
            assert_eq!(Location::parse(text).map(|l| l.display()).ok().as_deref(), Some(display), "{text}");
        }
    }
}
