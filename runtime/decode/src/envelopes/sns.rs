//! Notifications of Amazon SNS, as they stand in a queue.

use super::json::{Object, string};
use super::seen::Attributes;
use super::{Opened, base64, notifications};
use pelton_core::Message;
use pelton_core::shown::shown;

/// What SNS calls the messages that it sends.
const NOTIFICATION: &str = "Notification";
const CONFIRMATIONS: [&str; 2] = ["SubscriptionConfirmation", "UnsubscribeConfirmation"];

/// The header with the id that SNS gave, which is the same in every queue.
pub const PREFIX: &str = "sns-";

/// What is in one. Without an envelope it is one of raw delivery, where that is taken.
pub fn open(message: &Message, raw: bool) -> Result<Opened, String> {
    let object = match Object::parse(message.body()) {
        Ok(object) if is_of_sns(&object) => object,
        Ok(_) if raw => return Ok(as_it_is(message)),
        Err(_) if raw => return Ok(as_it_is(message)),
        Ok(_) => return Err(not_one("it has no `TopicArn`")),
        Err(why) => return Err(not_one(&format!("the body {why}"))),
    };
    let damaged = |why: String| format!("the notification of SNS {why}: it is damaged, or not from SNS");
    let kind = object.required("Type").map_err(damaged)?;
    if CONFIRMATIONS.contains(&&*kind) {
        return Err(confirmation(&kind, &object));
    }
    if kind != NOTIFICATION {
        return Err(damaged(format!("is of the unknown type `{}`", shown(&kind).at_most(64))));
    }
    let text = object.text("Message").map_err(damaged)?;
    let text = text.ok_or_else(|| damaged("has no `Message`".to_owned()))?;
    if notifications::is_test(text.as_bytes()) {
        return Ok(Opened::Skipped);
    }
    let mut attributes = Attributes::new(PREFIX);
    attributes.fact("message-id", object.required("MessageId").map_err(damaged)?);
    attributes.fact("topic-arn", object.required("TopicArn").map_err(damaged)?);
    for (name, fact) in
        [("Subject", "subject"), ("Timestamp", "timestamp"), ("SequenceNumber", "sequence-number")]
    {
        if let Some(value) = object.text(name).map_err(damaged)? {
            attributes.fact(fact, value);
        }
    }
    if let Some(written) = object.raw("MessageAttributes") {
        senders(&mut attributes, written)
            .map_err(|why| damaged(format!("has attributes, of which {why}")))?;
    }
    attributes.seen(message, text.as_bytes())
}

/// Whether somebody says that it is SNS's.
fn is_of_sns(object: &Object<'_>) -> bool {
    object.raw("TopicArn").is_some() && object.raw("Type").is_some()
}

/// A message of raw delivery. What its sender calls as if it was said by SNS is left out.
fn as_it_is(message: &Message) -> Opened {
    if notifications::is_test(message.body()) {
        return Opened::Skipped;
    }
    if message.headers().iter().all(|header| !header.name.starts_with(PREFIX)) {
        return Opened::AsItIs;
    }
    Attributes::new(PREFIX).seen(message, message.body()).unwrap_or(Opened::AsItIs)
}

fn not_one(why: &str) -> String {
    format!(
        "it is no notification of SNS: {why}. Raw delivery is refused here: turn it off for the \
         subscription, \
         or set `raw = true` in `decode`, then replay the letter"
    )
}

/// Somebody has to answer it.
fn confirmation(kind: &str, object: &Object<'_>) -> String {
    let topic = object.text("TopicArn").ok().flatten().unwrap_or_default();
    let topic = shown(&topic).at_most(256).to_string();
    if kind == "UnsubscribeConfirmation" {
        return format!(
            "it is an UnsubscribeConfirmation of {topic}: the queue gets no more of this topic. Discard the \
             letter, or open the `SubscribeURL` in it to subscribe again"
        );
    }
    format!(
        "it is a SubscriptionConfirmation of {topic}: no message comes of this topic before somebody \
         confirms. Look whether you want it, open the `SubscribeURL` in the letter (or call \
         ConfirmSubscription with its \
         `Token`), then discard the letter"
    )
}

/// Message attributes become headers. `Err` goes on behind "of which".
fn senders(attributes: &mut Attributes, written: &str) -> Result<(), String> {
    let all = Object::of(written).map_err(|why| format!("the list {why}"))?;
    for (name, written) in all.members() {
        let of = |why: String| format!("`{}` {why}", shown(name).at_most(64));
        let attribute = Object::of(written).map_err(of)?;
        let kind = attribute.required("Type").map_err(of)?;
        let value = attribute.raw("Value").ok_or_else(|| of("has no `Value`".to_owned()))?;
        let value = string(value).map_err(|why| of(format!("has a `Value` that {why}")))?;
        // What is behind the point is a label of the sender's.
        let value = match kind.split('.').next() {
            Some("Binary") => base64::decode(value).map_err(|why| of(format!("is binary, and {why}")))?,
            _ => value.into_bytes(),
        };
        attributes.senders(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
