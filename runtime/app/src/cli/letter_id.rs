//! How letters are named on the command line.

use pelton_core::letter::LetterId;

/// Reads one.
pub fn letter_id(text: &str) -> Result<LetterId, String> {
    if let Ok(number) = text.parse() {
        return Ok(LetterId::Number(number));
    }
    let is_message = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if text.contains('-') && text.bytes().all(is_message) {
        return Ok(LetterId::Message(text.to_owned()));
    }
    let mut parts = text.rsplitn(3, '/');
    let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
    let numbers = offset.and_then(|o| o.parse().ok()).zip(partition.and_then(|p| p.parse().ok()));
    let wanted = || {
        "must be an id as `dlq list` shows it: a number, topic/partition/offset, or that of a message"
            .to_owned()
    };
    let (topic, (offset, partition)) = topic.zip(numbers).ok_or_else(wanted)?;
    Ok(LetterId::Place { topic: topic.to_owned(), partition, offset })
}
