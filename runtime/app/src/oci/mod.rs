//! Components as OCI artefacts: in a registry, or in a folder with the image layout.
//!
//! What is taken is known by digests twice: the manifest by its own, and the component by the one that the
//! manifest names, which is the digest of the version. So a tag is no more than a way to find a digest.

mod challenge;
mod credentials;
mod http;
pub mod layout;
mod manifest;
pub mod reference;
mod registry;

pub use http::{agent, agent_trusting};
use layout::Layout;
use manifest::{Descriptor, Document, Written};
use pelton_host::Description;
pub use reference::Reference;
use reference::Selector;
use registry::Registry;
use std::path::Path;

/// Signatures of one artefact that are looked at.
const SIGNATURES: usize = 16;
/// Bytes of one.
const SIGNATURE_BYTES: u64 = 1024;

/// Where artefacts are. What fails is said in words that go on where the artefact's name stops.
trait Repository {
    /// A manifest and its digest, which is verified.
    fn manifest(&self, selector: &Selector) -> Result<(String, Vec<u8>), String>;
    /// A blob, verified.
    fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, String>;
    /// What may refer to a manifest; others may be among it.
    fn referrers(&self, digest: &str) -> Result<Vec<Descriptor>, String>;
}

/// A component that was taken from somewhere.
pub struct Pulled {
    pub bytes: Vec<u8>,
    /// Of the manifest that was asked for.
    pub manifest: String,
    /// Of the digest of the bytes; unchecked.
    pub signatures: Vec<String>,
}

/// A component and the manifest that names it.
struct Found {
    bytes: Vec<u8>,
    asked: String,
    manifest: Descriptor,
}

/// Takes a component from a registry, with its signatures if they are wanted. Blocks, for three minutes at
/// most.
pub fn pull(reference: &Reference, max: usize, signed: bool) -> Result<Pulled, String> {
    let registry = Registry::to_pull(reference);
    let pulled = registry.and_then(|registry| take(&registry, &reference.selector(), max, signed));
    pulled.map_err(|why| in_a_sentence(reference, why))
}

/// What a registry is to blame for begins with its name, and is to go on behind that of the artefact.
fn in_a_sentence(reference: &Reference, why: String) -> String {
    if why.starts_with(&reference.registry) { format!("cannot be had: {why}") } else { why }
}

/// Takes a component from a folder.
pub fn open(dir: &Path, selector: &Selector, max: usize, signed: bool) -> Result<Pulled, String> {
    take(&Layout::open(dir)?, selector, max, signed)
}

fn take(place: &dyn Repository, selector: &Selector, max: usize, signed: bool) -> Result<Pulled, String> {
    let found = find(place, selector, max)?;
    let signatures = if signed { signatures(place, &found.manifest.digest)? } else { Vec::new() };
    Ok(Pulled { bytes: found.bytes, manifest: found.asked, signatures })
}

fn find(place: &dyn Repository, selector: &Selector, max: usize) -> Result<Found, String> {
    let (asked, bytes) = place.manifest(selector)?;
    let document = Document::parse(&bytes)?;
    let (bytes, document) = match document.choice() {
        None => (bytes, document),
        Some(one) => {
            let (_, bytes) = place.manifest(&one?)?;
            let document = Document::parse(&bytes)?;
            (bytes, document)
        }
    };
    let layer = document.component()?;
    if layer.size > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(format!(
            "has a component of {} bytes, more than `max_component_bytes` ({max})",
            layer.size
        ));
    }
    let manifest = Descriptor::of(manifest::MANIFEST, &bytes);
    Ok(Found { bytes: place.blob(layer)?, asked, manifest })
}

/// The signatures that refer to a manifest. What is none is passed over: anybody may refer to anything.
fn signatures(place: &dyn Repository, digest: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let all = place.referrers(digest)?;
    let meant =
        |one: &&Descriptor| one.artifact_type.as_deref().is_none_or(|kind| kind == manifest::SIGNATURE);
    for one in all.iter().filter(|one| one.digest != digest).filter(meant).take(SIGNATURES) {
        let (_, bytes) = place.manifest(&Selector::Digest(one.digest.clone()))?;
        let Ok(document) = Document::parse(&bytes) else { continue };
        let refers = document.subject.as_ref().is_some_and(|subject| subject.digest == digest);
        let signature = document.signature().filter(|layer| refers && layer.size <= SIGNATURE_BYTES);
        if let Some(layer) = signature {
            let line = String::from_utf8(place.blob(layer)?).unwrap_or_default();
            found.push(line.trim().to_owned());
        }
    }
    Ok(found)
}

/// Writes a component to a registry, under its tag, with its signature if it has one; the digest of its
/// manifest. Blocks, for three minutes at most.
pub fn push(
    reference: &Reference,
    bytes: Vec<u8>,
    found: &Description,
    title: &str,
    signature: Option<&str>,
) -> Result<String, String> {
    let (Some(tag), None) = (&reference.tag, &reference.digest) else {
        return Err("must name a tag and no digest to be pushed to: oci://REGISTRY/NAME:TAG".to_owned());
    };
    let registry = Registry::to_push(reference)?;
    let written = Written::component(bytes, &found.imports, &found.exports, title);
    write(&registry, &written, tag)?;
    let subject = Descriptor::of(manifest::MANIFEST, &written.manifest);
    if let Some(signature) = signature {
        attach(&registry, &subject, signature)?;
    }
    Ok(subject.digest)
}

/// Signs a component in a registry: `sign` makes a signature of a digest.
pub fn sign(
    reference: &Reference,
    max: usize,
    sign: impl FnOnce(&str) -> Result<String, String>,
) -> Result<String, String> {
    let signed = || -> Result<String, String> {
        let registry = Registry::to_push(reference)?;
        let found = find(&registry, &reference.selector(), max)?;
        let digest = pelton_host::digest(&found.bytes);
        attach(&registry, &found.manifest, &sign(&digest)?)?;
        Ok(digest)
    };
    signed().map_err(|why| in_a_sentence(reference, why))
}

fn attach(registry: &Registry, subject: &Descriptor, signature: &str) -> Result<(), String> {
    let written = Written::signature(signature, subject);
    let mut referrer = Descriptor::of(manifest::MANIFEST, &written.manifest);
    referrer.artifact_type = Some(manifest::SIGNATURE.to_owned());
    if write(registry, &written, &referrer.digest)? {
        Ok(())
    } else {
        registry.note_referrer(&subject.digest, &referrer)
    }
}

fn write(registry: &Registry, written: &Written, name: &str) -> Result<bool, String> {
    for (descriptor, bytes) in &written.blobs {
        registry.put_blob(descriptor, bytes)?;
    }
    registry.put_manifest(name, manifest::MANIFEST, &written.manifest)
}

/// What others say, safe to be shown: no control bytes, and not too long.
fn clean(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}
