//! A folder in the OCI image layout: an artefact without a registry.

use super::Repository;
use super::manifest::{Descriptor, Document, MANIFEST_BYTES};
use super::reference::{Selector, is_digest, is_tag};
use pelton_host::digest;
use pelton_host::file::{FileError, Links, Regular};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The annotation that names a manifest of a layout.
const NAME: &str = "org.opencontainers.image.ref.name";

/// An opened folder.
pub struct Layout {
    dir: PathBuf,
    all: Vec<Descriptor>,
}

/// Whether a path is meant to be a layout: a folder with the file that makes it one, perhaps with `:TAG` or
/// `@sha256:DIGEST` behind it.
pub fn find(path: &Path) -> Option<(PathBuf, Selector)> {
    let is = |dir: &Path| dir.join("oci-layout").is_file();
    if is(path) {
        return Some((path.to_owned(), Selector::Only));
    }
    // What is behind the path is text, and the path itself need not be.
    let bytes = path.as_os_str().as_bytes();
    let at = bytes.iter().rposition(|byte| *byte == b':')?;
    let behind = std::str::from_utf8(&bytes[at + 1..]).ok()?;
    let dir = Path::new(OsStr::from_bytes(bytes[..at].strip_suffix(b"@sha256").unwrap_or(&bytes[..at])));
    if !is(dir) {
        return None;
    }
    if bytes[..at].ends_with(b"@sha256") {
        return Some((dir.to_owned(), Selector::Digest(format!("sha256:{behind}"))));
    }
    is_tag(behind).then(|| (dir.to_owned(), Selector::Tag(behind.to_owned())))
}

impl Layout {
    /// Reads its index.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let index = read(&dir.join("index.json"), MANIFEST_BYTES)?;
        let all = Document::parse(&index)?.manifests.unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), all })
    }

    /// Whether it is about another artefact, as a signature is. Its type alone does not tell: a component may
    /// have one too.
    fn refers(&self, one: &Descriptor) -> bool {
        let manifest = self.bytes(&one.digest, MANIFEST_BYTES).and_then(|bytes| Document::parse(&bytes));
        manifest.is_ok_and(|manifest| manifest.subject.is_some())
    }

    fn bytes(&self, digest: &str, max: usize) -> Result<Vec<u8>, String> {
        if !is_digest(digest) {
            return Err("names a blob by something else than sha256".to_owned());
        }
        read(&self.dir.join("blobs/sha256").join(digest.trim_start_matches("sha256:")), max)
    }
}

impl Repository for Layout {
    fn manifest(&self, selector: &Selector) -> Result<(String, Vec<u8>), String> {
        let name =
            |one: &Descriptor| one.annotations.get(NAME).and_then(|name| name.as_str()).map(str::to_owned);
        let named: Vec<&Descriptor> = match selector {
            Selector::Tag(tag) => self.all.iter().filter(|one| name(one).as_ref() == Some(tag)).collect(),
            Selector::Only if self.all.len() == 1 => self.all.iter().collect(),
            // What refers to others is no component.
            Selector::Only => self.all.iter().filter(|one| !self.refers(one)).collect(),
            Selector::Digest(_) => Vec::new(),
        };
        let wanted = match (selector, named.as_slice()) {
            (Selector::Digest(digest), _) => digest.clone(),
            (_, [one]) => one.digest.clone(),
            (Selector::Tag(tag), _) => {
                return Err(format!("has {} manifests with the name `{tag}`", named.len()));
            }
            _ => {
                return Err(format!(
                    "is a layout with {} manifests; name one: FOLDER:TAG, or FOLDER@sha256:DIGEST",
                    named.len()
                ));
            }
        };
        let bytes = self.bytes(&wanted, MANIFEST_BYTES)?;
        let found = digest(&bytes);
        if found == wanted {
            Ok((found, bytes))
        } else {
            Err(format!("has a damaged manifest: {wanted} is {found}"))
        }
    }

    fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, String> {
        let max = usize::try_from(blob.size).unwrap_or(usize::MAX);
        blob.verified(self.bytes(&blob.digest, max)?)
    }

    fn referrers(&self, _: &str) -> Result<Vec<Descriptor>, String> {
        Ok(self.all.clone())
    }
}

/// The bytes of a file, at most so many; links are not followed.
fn read(path: &Path, max: usize) -> Result<Vec<u8>, String> {
    let shown = path.display();
    Regular::open(path, Links::Refused).and_then(|mut file| file.read(max)).map_err(|why| match why {
        FileError::NotAFile(kind) => format!("has {kind} instead of a file at {shown}"),
        FileError::TooLarge { max } => format!("has more than {max} bytes at {shown}"),
        why => format!("has no {shown} that could be read: it {why}"),
    })
}
