//! Who sends it: what OpenTelemetry calls a resource.

use crate::config::TelemetryConfig;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use pelton_host::file;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// The names and their meaning: this version of OpenTelemetry's semantic conventions.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
/// Bytes of a host's name.
const HOST_BYTES: usize = 256;

/// An attribute that is a text.
pub fn text_attribute(name: &str, text: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(text.into()))
}

/// An attribute.
pub fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// This worker. What is configured wins.
pub fn of(config: &TelemetryConfig) -> Resource {
    let host = file::text(Path::new("/proc/sys/kernel/hostname"), HOST_BYTES).unwrap_or_default();
    let own = [
        ("service.name", config.service_name.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance()),
        ("host.name", host.trim().to_owned()),
        ("telemetry.sdk.name", "pelton".to_owned()),
        ("telemetry.sdk.language", "rust".to_owned()),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let is_said = |name: &str| config.attributes.iter().any(|(said, _)| said == name);
    let own = own.iter().filter(|(name, value)| !value.is_empty() && !is_said(name));
    let own = own.map(|(name, value)| text_attribute(name, value.as_str()));
    let said = config.attributes.iter().map(|(name, value)| text_attribute(name, value.as_str()));
    Resource { attributes: own.chain(said).collect(), ..Resource::default() }
}

/// What tells this process from every other: random, in the form of a UUID.
fn instance() -> String {
    let draw = || RandomState::new().hash_one(std::process::id());
    let (a, b) = (draw(), draw());
    let (a, b) = (a & !0xf000 | 0x4000, b & !(0b11 << 62) | (0b10 << 62));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    )
}

/// Whose measurements these are.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "pelton".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
