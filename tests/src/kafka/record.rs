//! A record of Kafka, as tests produce and see it.

use rdkafka::message::{BorrowedMessage, Headers, Message};

/// One record to produce.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its partition; the producer's choice when there is none.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch; now when there is none.
    pub timestamp: Option<i64>,
}

impl Record {
    /// The value of a header, as text.
    ///
    /// # Panics
    /// When there is none, or one that is no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        let (_, value) = found.unwrap_or_else(|| panic!("it has a header {name}: {:?}", self.headers));
        std::str::from_utf8(value).expect("it is text")
    }

    /// Its value, as text.
    ///
    /// # Panics
    /// When it has none, or one that is no text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.value.clone().expect("it has a value")).expect("it is text")
    }
}

pub(super) fn seen(record: &BorrowedMessage<'_>) -> Record {
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    Record {
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
        partition: Some(record.partition()),
        timestamp: record.timestamp().to_millis(),
    }
}
