//! Manifests and indexes of a registry or a layout, and references.
#![no_main]
#![allow(dead_code, unused_imports, missing_docs)]

#[path = "../../runtime/app/src/oci/manifest.rs"]
mod manifest;
#[path = "../../runtime/app/src/oci/reference.rs"]
mod reference;

use manifest::{Descriptor, Document, with};
use reference::{Reference, is_digest, is_tag};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Document::parse(bytes) {
        drop(document.choice());
        drop(document.component().map(|blob| blob.verified(bytes.to_vec())));
        drop(document.signature());
    }
    drop(with(Some(bytes), &Descriptor::of("application/wasm", b"x")));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(Reference::parse(text).map(|reference| reference.selector()));
        drop((is_tag(text), is_digest(text), Reference::is_meant(text)));
    }
});
