//! What manifests and indexes say, as far as it is needed; and how one is written.

use super::reference::Selector;
use pelton_host::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An image's manifest, which other artefacts use too.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The component, and how older tools call it.
const COMPONENT: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A signature as `pelton sign` makes it, of the artefact that it refers to.
pub const SIGNATURE: &str = "application/vnd.pelton.signature.v1";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Bytes of a manifest, at most: what registries themselves take.
pub const MANIFEST_BYTES: usize = 4 << 20;

/// A thing that is known by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

/// A manifest, or an index: that has `manifests`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    pub manifests: Option<Vec<Descriptor>>,
    pub subject: Option<Descriptor>,
}

impl Descriptor {
    /// Of bytes that are at hand.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            platform: None,
            annotations: Map::new(),
        }
    }

    /// The bytes, if they are what it names.
    pub fn verified(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let found = digest(&bytes);
        if found == self.digest && bytes.len() as u64 == self.size {
            return Ok(bytes);
        }
        Err(format!(
            "gives {found} of {} bytes in place of {} of {} bytes",
            bytes.len(),
            self.digest,
            self.size
        ))
    }

    fn is_wasm(&self) -> bool {
        self.platform.as_ref().is_some_and(|platform| platform["architecture"] == "wasm")
    }
}

impl Document {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map_err(|error| format!("has a manifest that cannot be read: {error}"))
    }

    /// The one manifest of an index that is for WebAssembly, or the only one. None when this is no index.
    pub fn choice(&self) -> Option<Result<Selector, String>> {
        let all = self.manifests.as_ref()?;
        let wasm: Vec<&Descriptor> = all.iter().filter(|one| one.is_wasm()).collect();
        let chosen = match (wasm.as_slice(), all.as_slice()) {
            ([one], _) => Ok(Selector::Digest(one.digest.clone())),
            ([], [one]) => Ok(Selector::Digest(one.digest.clone())),
            _ => Err(format!(
                "is a list of {} manifests, {} of them for wasm; name one by its digest",
                all.len(),
                wasm.len()
            )),
        };
        Some(chosen)
    }

    /// The layer that is a component.
    pub fn component(&self) -> Result<&Descriptor, String> {
        let is = |layer: &&Descriptor| COMPONENT.contains(&layer.media_type.as_str());
        let found: Vec<&Descriptor> = self.layers.iter().filter(is).collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(format!(
                "has no layer of the type {}; push the component with `pelton push`",
                COMPONENT[0]
            )),
            more => Err(format!("has {} layers of components; one is wanted", more.len())),
        }
    }

    /// The layer that is a signature.
    pub fn signature(&self) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| layer.media_type == SIGNATURE)
    }
}

/// An artefact to be written: its blobs, and its manifest.
pub struct Written {
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
    pub manifest: Vec<u8>,
}

impl Written {
    fn new(
        mut manifest: Value,
        (config_type, config): (&str, Vec<u8>),
        (layer_type, layer): (&str, Vec<u8>),
    ) -> Self {
        let config = (Descriptor::of(config_type, &config), config);
        let layer = (Descriptor::of(layer_type, &layer), layer);
        manifest["schemaVersion"] = 2.into();
        manifest["mediaType"] = MANIFEST.into();
        manifest["config"] = json!(config.0);
        manifest["layers"] = json!([layer.0]);
        Self { blobs: vec![config, layer], manifest: manifest.to_string().into_bytes() }
    }

    /// A component. The same bytes always make the same manifest, so there is no time in it.
    pub fn component(bytes: Vec<u8>, imports: &[String], exports: &[String], title: &str) -> Self {
        let config = json!({
            "created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2",
            "layerDigests": [digest(&bytes)],
            "component": { "imports": imports, "exports": exports },
        });
        let annotations = json!({ "annotations": { "org.opencontainers.image.title": title } });
        Self::new(annotations, (CONFIG, config.to_string().into_bytes()), (COMPONENT[0], bytes))
    }

    /// A signature of what `subject` names.
    pub fn signature(line: &str, subject: &Descriptor) -> Self {
        let manifest = json!({ "artifactType": SIGNATURE, "subject": subject });
        Self::new(manifest, (EMPTY, b"{}".to_vec()), (SIGNATURE, line.as_bytes().to_vec()))
    }
}

/// An index with one more manifest in it, if that is not there yet.
pub fn with(index: Option<&[u8]>, entry: &Descriptor) -> Result<Vec<u8>, String> {
    let mut index: Value = match index {
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| format!("has an index that cannot be read: {error}"))?,
        None => json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }),
    };
    // It may be no object, which has no such place to write to.
    let Some(all) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err("has something else in the place of its list of signatures".to_owned());
    };
    if !all.iter().any(|one| one["digest"] == entry.digest) {
        all.push(json!(entry));
    }
    Ok(index.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let written = Written::component(b"bytes".to_vec(), &[], &[], "x.wasm");
        let document = Document::parse(&written.manifest).unwrap();
        assert_eq!(document.component().unwrap(), &Descriptor::of("application/wasm", b"bytes"));
        assert!(document.choice().is_none() && document.subject.is_none());
        assert!(written.blobs.iter().any(|(blob, _)| blob.media_type == CONFIG));
        let subject = Descriptor::of(MANIFEST, &written.manifest);
        let signature = Document::parse(&Written::signature("line", &subject).manifest).unwrap();
        assert_eq!(signature.subject.as_ref(), Some(&subject));
        assert_eq!(signature.signature().unwrap().size, 4);
        assert!(signature.component().is_err());
    }

    #[test]
    fn the_older_type_is_read_and_two_components_are_none() {
        let layer = |kind: &str| json!({ "mediaType": kind, "digest": digest(kind.as_bytes()), "size": 1 });
        let read =
            |layers: Value| Document::parse(json!({ "layers": layers }).to_string().as_bytes()).unwrap();
        assert!(read(json!([layer(COMPONENT[1])])).component().is_ok());
        assert!(read(json!([layer(COMPONENT[0]), layer("text/plain")])).component().is_ok());
        assert!(read(json!([layer(COMPONENT[0]), layer(COMPONENT[1])])).component().is_err());
    }

    #[test]
    fn of_an_index_the_one_for_wasm_is_taken() {
        let one = |architecture: &str| {
            let digest = digest(architecture.as_bytes());
            json!({
                "mediaType": MANIFEST, "digest": digest, "size": 1,
                "platform": { "architecture": architecture },
            })
        };
        let read = |all: Value| {
            Document::parse(json!({ "manifests": all }).to_string().as_bytes()).unwrap().choice().unwrap()
        };
        assert_eq!(read(json!([one("amd64"), one("wasm")])), Ok(Selector::Digest(digest(b"wasm"))));
        assert_eq!(read(json!([one("amd64")])), Ok(Selector::Digest(digest(b"amd64"))));
        assert!(read(json!([one("amd64"), one("arm64")])).is_err());
        assert!(read(json!([])).is_err());
    }

    #[test]
    fn bytes_are_believed_by_their_digest_only() {
        let descriptor = Descriptor::of("x", b"abc");
        assert!(descriptor.verified(b"abc".to_vec()).is_ok());
        assert!(descriptor.verified(b"abd".to_vec()).is_err());
        assert!(Descriptor { size: 4, ..descriptor }.verified(b"abc".to_vec()).is_err());
    }

    #[test]
    fn an_index_takes_an_entry_once() {
        let entry = Descriptor::of(MANIFEST, b"abc");
        let once = with(None, &entry).unwrap();
        assert_eq!(with(Some(&once), &entry).unwrap(), once);
        let twice = with(Some(&once), &Descriptor::of(MANIFEST, b"d")).unwrap();
        assert_eq!(Document::parse(&twice).unwrap().manifests.unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_index_takes_no_entry_whatever_it_is() {
        let entry = Descriptor::of(MANIFEST, b"abc");
        for odd in
            ["{}", "[]", "null", "1", "true", "\"\"", "[{\"manifests\":[]}]", "{\"manifests\":{}}", ""]
        {
            assert!(with(Some(odd.as_bytes()), &entry).is_err(), "{odd}");
        }
    }
}
