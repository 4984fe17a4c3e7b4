//! A door for the fuzz targets: what the service may send, read as the source and the letters read it.

use super::attributes::{pack, unpack};
use super::convert::{self, SYSTEM_PREFIX};
use super::dead_letter_record::kept;
use super::options::SqsOptions;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{Message as Received, MessageAttributeValue};
use pelton_core::{Header, letter};
use std::time::Duration;

/// A message with these attributes: name, type and value. Its headers come back from where they are sent to.
///
/// # Panics
/// When they do not.
pub fn message(body: &str, attributes: &[(String, String, Vec<u8>)]) {
    let attribute = |(name, kind, value): &(String, String, Vec<u8>)| {
        let made = MessageAttributeValue::builder().data_type(kind);
        let made = match std::str::from_utf8(value) {
            Ok(text) if !kind.starts_with("Binary") => made.string_value(text),
            _ => made.binary_value(Blob::new(value.clone())),
        };
        Some((name.clone(), made.build().ok()?))
    };
    let attributes = attributes.iter().filter_map(attribute).collect();
    let received = Received::builder().message_id("id").receipt_handle("handle").body(body);
    let received = received.set_message_attributes(Some(attributes)).build();
    let options = SqsOptions {
        pipeline: "p".into(),
        queue_url: "http://localhost/0/orders.fifo".to_owned(),
        wait: Duration::from_secs(1),
        visibility: Duration::from_secs(30),
        at_least: 1,
        at_most: 1,
    };
    drop(kept(&received));
    let headers =
        convert::message(&received, &options, &convert::channel(&options)).message.headers().to_vec();
    let sent = pack(&own(&headers), &[], &headers);
    assert_eq!(own(&headers), own(&unpack(&sent).0), "what is sent comes back");
}

/// Those of the message, by their names: the service keeps no order.
fn own(headers: &[Header]) -> Vec<Header> {
    let mut own: Vec<_> = letter::own(headers).filter(|h| !h.name.starts_with(SYSTEM_PREFIX)).collect();
    own.sort_by(|a, b| a.name.cmp(&b.name));
    own
}
