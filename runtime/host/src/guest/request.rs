//! What a worker reads from its standard input: requests; docs/handlers/plain-programs.md describes them.

use crate::guest::protocol::Version;
use pelton_core::ports::Work;

/// The request for these messages: a line that counts them, then their fields. The body is the last of each.
pub(crate) fn request(work: &[Work], version: Version) -> Vec<u8> {
    let weight: usize = work.iter().map(|work| work.message.weight() + 512).sum();
    let mut out = Vec::with_capacity(weight);
    let version = match version {
        Version::One => 1,
        Version::Two => 2,
    };
    out.extend_from_slice(format!("pelton {version} {}\n", work.len()).as_bytes());
    for work in work {
        message(&mut out, work);
    }
    out
}

fn message(out: &mut Vec<u8>, work: &Work) {
    let message = &work.message;
    field(out, "id", message.id().text().as_bytes());
    field(out, "pipeline", message.pipeline().as_bytes());
    field(out, "origin", message.origin().as_bytes());
    field(out, "idempotency-key", work.idempotency_key().to_string().as_bytes());
    field(out, "attempt", work.attempt.to_string().as_bytes());
    if let Some(key) = message.key() {
        field(out, "key", key);
    }
    if let Some(ms) = message.published_at_ms() {
        field(out, "published-at-ms", ms.to_string().as_bytes());
    }
    if message.replayed() {
        field(out, "replayed", b"true");
    }
    if message.tombstone() {
        field(out, "tombstone", b"true");
    }
    for header in message.headers().iter() {
        field(out, "header-name", header.name.as_bytes());
        field(out, "header-value", header.value);
    }
    field(out, "body", message.body());
}

/// `NAME LENGTH`, a line feed, the bytes, a line feed.
fn field(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.extend_from_slice(format!("{name} {}\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::work;
    use pelton_core::{Header, HeaderList, Message, Parts};

    #[test]
    fn a_request_is_these_bytes() {
        let mut one = work("m");
        one.message = Message::new(Parts {
            key: Some(b""),
            headers: [Header::new("h", [0, 10])].iter().collect::<HeaderList>().view(),
            body: b"a\nb",
            ..one.message.parts()
        });
        let wanted = b"pelton 1 1\nid 1\nm\npipeline 1\np\norigin 1\nq\nidempotency-key 3\np:m\nattempt \
            1\n1\nkey 0\n\nheader-name 1\nh\nheader-value 2\n\0\n\nbody 3\na\nb\n";
        assert_eq!(request(std::slice::from_ref(&one), Version::One), wanted);
        assert!(request(&[one], Version::Two).starts_with(b"pelton 2 1\nid 1\nm\n"));
    }
}
