//! Manifests and indexes of a registry or a layout, and references.
#![no_main]
#![allow(dead_code, unused_imports, missing_docs)]

#[path = "../../runtime/app/src/oci/manifest.rs"]
mod manifest;
#[path = "../../runtime/app/src/oci/reference.rs"]
mod reference;

use manifest::{Descriptor, Document, with};
use reference::{Reference, is_digest, is_tag};
use std::hint::black_box;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Document::parse(bytes) {
        drop(document.choice());
        drop(document.component().map(|blob| blob.verified(bytes.to_vec())));
        black_box(document.signature());
    }
    let entry = Descriptor::of("application/wasm", b"x");
    if let Ok(once) = with(Some(bytes), &entry) {
        assert_eq!(with(Some(&once), &entry), Ok(once), "an index takes an entry once");
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(reference) = Reference::parse(text) {
            drop(reference.selector());
            let pinned = reference.at(&entry.digest);
            assert!(
                Reference::parse(&pinned).is_ok_and(|pinned| pinned.name == reference.name),
                "{pinned}"
            );
        }
        black_box((is_tag(text), is_digest(text), Reference::is_meant(text)));
    }
});
