//! Events of Amazon EventBridge.

use super::Opened;
use super::json::Object;
use super::seen::Attributes;
use pelton_core::Message;

/// What the names of headers begin with.
const PREFIX: &str = "eventbridge-";

/// What EventBridge says of every event, and the headers of it. `resources` is a list.
const FACTS: [(&str, &str); 6] = [
    ("id", "id"),
    ("source", "source"),
    ("detail-type", "detail-type"),
    ("account", "account"),
    ("time", "time"),
    ("region", "region"),
];

/// What is in one: its `detail`, as it is written there.
pub fn open(message: &Message) -> Result<Opened, String> {
    let not_one = |why: String| {
        format!(
            "it is no event of EventBridge: {why}. Where the rule has an input transformer or an input path, \
             what arrives has no envelope: leave `decode.envelope` out then"
        )
    };
    let object = Object::parse(message.body()).map_err(|why| not_one(format!("the body {why}")))?;
    let member = |why: String| not_one(format!("the body {why}"));
    let detail = object.raw("detail").ok_or_else(|| member("has no `detail`".to_owned()))?;
    let mut attributes = Attributes::new(PREFIX);
    for name in ["id", "source", "detail-type"] {
        object.required(name).map_err(member)?;
    }
    for (name, fact) in FACTS {
        if let Some(value) = object.text(name).map_err(member)? {
            attributes.fact(fact, value);
        }
    }
    if let Some(replay) = object.text("replay-name").map_err(member)? {
        attributes.fact("replay-name", replay);
    }
    if let Some(resources) = object.raw("resources").filter(|list| *list != "[]") {
        attributes.fact("resources", resources);
    }
    attributes.seen(message, detail.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{header, of_body, seen, why};
    use super::open;

    const EVENT: &str = r#"{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","account":"111122223333",
        "time":"2026-12-01T09:31:00Z","region":"eu-west-1",
        "resources":["arn:aws:ec2:eu-west-1:111122223333:instance/i-0abc"],
        "detail":{"instance-id":"i-0abc",  "state":"terminated", "cost":1.10}}"#;

    #[test]
    fn the_handler_sees_the_detail_and_the_facts_as_headers() {
        let seen = seen(open(&of_body(EVENT)));
        assert_eq!(seen.body(), br#"{"instance-id":"i-0abc",  "state":"terminated", "cost":1.10}"#);
        assert_eq!(header(&seen, "eventbridge-source").as_deref(), Some("aws.ec2"));
        assert_eq!(header(&seen, "eventbridge-account").as_deref(), Some("111122223333"));
        let resources = header(&seen, "eventbridge-resources").unwrap();
        assert_eq!(resources, r#"["arn:aws:ec2:eu-west-1:111122223333:instance/i-0abc"]"#);
    }

    #[test]
    fn what_is_none_says_so() {
        for (body, words) in [
            ("{}", "has no `detail`"),
            (r#"{"detail":{}}"#, "has no `id`"),
            (r#"{"detail":{},"id":"1","source":7}"#, "has a `source` that is no text"),
            ("hello", "is no JSON object"),
        ] {
            let why = why(open(&of_body(body)));
            assert!(
                why.starts_with("it is no event of EventBridge: the body ") && why.contains(words),
                "{why}"
            );
        }
    }
}
