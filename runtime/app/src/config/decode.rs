//! How messages are decoded before a handler sees them: their envelope, then their schema.

#[cfg(feature = "schemas")]
use super::schema::{PipelineSchema, schema};
use crate::settings::Section;
use pelton_decode::{Envelope, ObjectsConfig};
use std::path::Path;

/// The section `decode` of a pipeline.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecodeConfig {
    /// What messages come in; none where they come as they are.
    pub envelope: Option<Envelope>,
    /// What messages may point to, with `s3-pointer`.
    pub objects: Option<ObjectsConfig>,
    /// What is in it is checked by.
    #[cfg(feature = "schemas")]
    pub schema: Option<PipelineSchema>,
}

impl DecodeConfig {
    /// Whether a handler sees messages as their broker has them.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what a handler sees is more than what is in an envelope: an object of S3, or what a schema
    /// makes of a body.
    pub fn makes_another_body(&self) -> bool {
        #[cfg(feature = "schemas")]
        if self.schema.as_ref().is_some_and(PipelineSchema::makes_another_body) {
            return true;
        }
        self.objects.is_some()
    }
}

/// Reads the section; files are relative to `base`.
pub fn decode(section: Section<'_>, base: &Path, max_message_bytes: usize) -> DecodeConfig {
    let envelope = envelope(&section);
    let decode = DecodeConfig {
        envelope,
        objects: objects(&section, envelope, max_message_bytes),
        #[cfg(feature = "schemas")]
        schema: schema(&section, base, max_message_bytes),
    };
    #[cfg(not(feature = "schemas"))]
    if section.has("schema") {
        let _: (&Path, usize) = (base, max_message_bytes);
        section.problem("schema", "is not in this build: it was made without the feature `schemas`");
    }
    section.finish();
    decode
}

fn envelope(section: &Section<'_>) -> Option<Envelope> {
    let words = [
        ("none", None),
        ("sns", Some(Envelope::Sns { raw: true })),
        ("eventbridge", Some(Envelope::EventBridge)),
        ("cloudevents", Some(Envelope::CloudEvents)),
        ("celery-base64", Some(Envelope::CeleryBase64)),
        ("s3-pointer", Some(Envelope::S3Pointer)),
    ];
    let envelope = section.word("envelope", &words, None);
    let raw = section.flag("raw", true);
    match envelope {
        Some(Envelope::Sns { .. }) => Some(Envelope::Sns { raw }),
        other => {
            if section.has("raw") {
                section.problem("raw", "is given without `envelope = \"sns\"`; leave it out");
            }
            other
        }
    }
}

fn objects(section: &Section<'_>, envelope: Option<Envelope>, max_bytes: usize) -> Option<ObjectsConfig> {
    const KEYS: [&str; 4] = ["buckets", "delete", "region", "endpoint_url"];
    if envelope != Some(Envelope::S3Pointer) {
        for key in KEYS.into_iter().filter(|key| section.has(key)) {
            section.problem(key, "is given without `envelope = \"s3-pointer\"`; leave it out");
        }
        return None;
    }
    #[cfg(not(feature = "s3"))]
    section.problem("envelope", "is `s3-pointer`, which this build leaves out; build with `--features s3`");
    let buckets = section.texts("buckets");
    if buckets.is_empty() {
        let what = "is missing: list the buckets that messages may point to, such as [\"orders-payloads\"]";
        section.problem("buckets", what);
    }
    for bucket in buckets.iter().filter(|bucket| !is_bucket(bucket)) {
        section.problem("buckets", format!("names `{bucket}`, which is no name of a bucket"));
    }
    let endpoint_url = section.text("endpoint_url");
    let is_http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    if endpoint_url.as_deref().is_some_and(|url| !is_http(url)) {
        section.problem("endpoint_url", "must begin with http:// or https://; leave it out for S3 itself");
    }
    let region = section.text("region");
    if region.as_deref().is_some_and(|region| !is_region(region)) {
        section.problem("region", "is no region, such as \"eu-central-1\"");
    }
    Some(ObjectsConfig { buckets, delete: section.flag("delete", false), region, endpoint_url, max_bytes })
}

/// It becomes part of a host's name, or of a path.
fn is_bucket(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (3..=63).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_region(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(allowed)
}
