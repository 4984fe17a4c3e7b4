//! Pointers to objects in S3, as the extended clients of SQS and SNS write them.

use super::Opened;
use super::json::Object;
use super::seen::Attributes;
use pelton_core::Message;
use pelton_core::shown::shown;

/// The headers that say how large the object is: that of today's clients, and that of the older ones.
const SIZE_HEADERS: [&str; 2] = ["ExtendedPayloadSize", "SQSLargePayloadSize"];
/// What the clients call what they write.
const CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The bucket.
    pub bucket: String,
    /// The key in it.
    pub key: String,
}

impl Pointer {
    /// What a message points to; none where it is itself.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        of_message(message).ok().flatten()
    }

    /// For people: cut, and without what a terminal obeys.
    #[must_use]
    pub fn describe(&self) -> String {
        let (bucket, key) = (shown(&self.bucket).at_most(64), shown(&self.key).at_most(256));
        format!("s3://{bucket}/{key}")
    }
}

/// What is to be read, or that the message is itself.
pub fn open(message: &Message) -> Result<Opened, String> {
    let pointer =
        of_message(message).map_err(|why| format!("it is no pointer to an object in S3: {why}"))?;
    Ok(pointer.map_or(Opened::AsItIs, Opened::Object))
}

/// The handler sees the object, and not how large it was said to be.
pub fn seen(message: &Message, object: &[u8]) -> Result<Opened, String> {
    // No fact has the empty name.
    let mut attributes = Attributes::new("s3-pointer-");
    SIZE_HEADERS.into_iter().for_each(|name| attributes.without(name));
    attributes.seen(message, object)
}

fn of_message(message: &Message) -> Result<Option<Pointer>, String> {
    let said = SIZE_HEADERS.into_iter().find(|name| message.headers().find(name).is_some());
    let text = std::str::from_utf8(message.body()).map(str::trim).unwrap_or_default();
    let named =
        CLASSES.iter().any(|class| text.get(..text.len().min(100)).is_some_and(|t| t.contains(class)));
    let Some(said) = said.or(named.then_some("its body")) else { return Ok(None) };
    let parts: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).map_err(|_| {
        format!("the header `{said}` is there, and the body is no list with a class and a place")
    })?;
    let [class, place] = parts[..] else {
        return Err(format!("the body is a list of {}, and not of a class and a place", parts.len()));
    };
    let class: String = serde_json::from_str(class.get()).map_err(|_| "the class is no text".to_owned())?;
    if !CLASSES.contains(&&*class) {
        return Err(format!("the class `{}` is not known", shown(&class).at_most(100)));
    }
    let place = Object::of(place.get()).map_err(|why| format!("the place {why}"))?;
    let required = |name| place.required(name).map_err(|why| format!("the place {why}"));
    let pointer = Pointer { bucket: required("s3BucketName")?, key: required("s3Key")? };
    if pointer.key.len() > 1_024 {
        return Err(format!("its key has {} bytes, and keys of S3 have 1024 at most", pointer.key.len()));
    }
    Ok(Some(pointer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{header, seen as opened, why};
    use super::*;
    use pelton_core::{Header, HeaderList, Parts};

    fn message(headers: &[(&str, &str)], body: &str) -> Message {
        let headers: Vec<Header> = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
        let headers: HeaderList = headers.iter().collect();
        Message::new(Parts { headers: headers.view(), body: body.as_bytes(), ..Parts::named("m") })
    }

    fn written(class: &str) -> String {
        format!(r#"["{class}",{{"s3BucketName":"payloads","s3Key":"a/b c"}}]"#)
    }

    #[test]
    fn both_headers_and_both_classes_are_known() {
        let place = Pointer { bucket: "payloads".to_owned(), key: "a/b c".to_owned() };
        for class in CLASSES {
            for headers in [&[("ExtendedPayloadSize", "7")][..], &[("SQSLargePayloadSize", "7")], &[]] {
                let found = open(&message(headers, &written(class)));
                assert!(
                    matches!(found, Ok(Opened::Object(found)) if found == place),
                    "{class} {headers:?}"
                );
            }
        }
        for body in ["small", "", "[1,2]", "{}"] {
            assert!(matches!(open(&message(&[], body)), Ok(Opened::AsItIs)), "{body}");
        }
        let seen = opened(seen(&message(&[("ExtendedPayloadSize", "7"), ("a", "1")], "x"), b"object"));
        assert_eq!((seen.body(), header(&seen, "a").as_deref()), (&b"object"[..], Some("1")));
        assert!(seen.headers().find("ExtendedPayloadSize").is_none());
    }

    #[test]
    fn what_is_none_says_so() {
        let sized = |body: &str| why(open(&message(&[("ExtendedPayloadSize", "7")], body)));
        for (body, words) in [
            ("small".to_owned(), "`ExtendedPayloadSize` is there, and the body is no list"),
            ("[1]".to_owned(), "a list of 1"),
            (r#"["x",{}]"#.to_owned(), "the class `x` is not known"),
            (written(CLASSES[0]).replace("s3Key", "key"), "the place has no `s3Key`"),
            (written(CLASSES[1]).replace("a/b c", &"k".repeat(1_025)), "its key has 1025 bytes"),
        ] {
            let said = sized(&body);
            assert!(said.contains(words), "{said}");
        }
    }
}
