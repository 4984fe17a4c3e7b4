//! Why a message was not handled, and how the usual errors become that.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a message was not handled: worth another try, or never to succeed.
///
/// `?` turns every [`std::error::Error`] into a retry that carries the error's text and the text of
/// its sources, because most errors of a working handler are of a passing kind: something it
/// depends on is down. What can never succeed has to be said, with [`Failure::reject`] or
/// [`OrReject::or_reject`].
///
/// ```
/// use pelton_sdk::{Failure, Message, OrReject};
/// use std::time::Duration;
///
/// fn handle(message: Message) -> Result<(), Failure> {
///     let amount: i64 = message.text()?.trim().parse().or_reject("amount")?;
///     if amount < 0 {
///         return Err(Failure::reject("the amount is negative"));
///     }
///     if amount > 1_000 && message.attempt == 1 {
///         return Err(Failure::retry("large amounts wait a little").after(Duration::from_secs(5)));
///     }
///     Ok(())
/// }
///
/// let failure = handle(Message::builder().body("-3").build()).unwrap_err();
/// assert_eq!(failure, Failure::reject("the amount is negative"));
/// let failure = handle(Message::builder().body("three").build()).unwrap_err();
/// assert_eq!(failure.reason(), "amount: invalid digit found in string");
/// ```
///
/// It is no `std::error::Error` itself: that is what lets `?` convert all that are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try. The message is a dead letter when the pipeline's attempts are used up.
    Retry {
        /// What an operator reads, in logs and in the dead letter.
        reason: String,
        /// Wait at least this long. `None` leaves it to the pipeline's retry policy, whose wait
        /// also counts when it is the longer one.
        after: Option<Duration>,
    },
    /// Will never succeed: a dead letter at once.
    Reject {
        /// What an operator reads in the dead letter.
        reason: String,
    },
}

impl Failure {
    /// Worth another try, because of `reason`.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// Will never succeed, because of `reason`.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject { reason: reason.into() }
    }

    /// Try again no sooner than `wait` from now. A reject is not tried again, so it stays as it is.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Self::Retry { after, .. } = &mut self {
            *after = Some(wait);
        }
        self
    }

    /// The reason, for either kind.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry { reason, .. } | Self::Reject { reason } => reason,
        }
    }

    /// The wait asked for, as the runtime is told: in milliseconds, rounded up. `None` when none is
    /// asked for, and for a reject.
    #[must_use]
    pub fn after_ms(&self) -> Option<u64> {
        match self {
            Self::Retry { after, .. } => after.map(|wait| {
                let ms = wait.as_nanos().div_ceil(1_000_000);
                u64::try_from(ms).unwrap_or(u64::MAX)
            }),
            Self::Reject { .. } => None,
        }
    }

    /// True when the message can never succeed.
    #[must_use]
    pub fn is_reject(&self) -> bool {
        matches!(self, Self::Reject { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_reject() { "reject" } else { "retry" };
        write!(f, "{kind}: {}", self.reason())
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::retry(with_sources(&error))
    }
}

/// The error's text and those of its sources, outermost first, as `outer: middle: inner`.
///
/// Many errors print their source themselves; such a text is not said twice.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !text.ends_with(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        source = error.source();
    }
    text
}

/// Turns an error, or a value that is not there, into a reject: the message can never succeed.
///
/// ```
/// use pelton_sdk::{Failure, Message, OrReject};
///
/// fn tenant(message: &Message) -> Result<u32, Failure> {
///     message
///         .header("tenant")
///         .or_reject("the header `tenant` is missing")?
///         .parse()
///         .or_reject("the header `tenant` is not a number")
/// }
///
/// assert_eq!(tenant(&Message::builder().header("tenant", "7").build()), Ok(7));
/// assert_eq!(
///     tenant(&Message::builder().build()),
///     Err(Failure::reject("the header `tenant` is missing"))
/// );
/// ```
pub trait OrReject<T> {
    /// The value, or a reject whose reason is `what`, followed by the error's text if there is one.
    ///
    /// # Errors
    /// [`Failure::Reject`] when `self` holds no value.
    fn or_reject(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrReject<T> for Result<T, E> {
    fn or_reject(self, what: impl fmt::Display) -> Result<T, Failure> {
        // The alternate form is the one in which `anyhow` prints the whole chain.
        self.map_err(|error| Failure::reject(format!("{what}: {error:#}")))
    }
}

impl<T> OrReject<T> for Option<T> {
    fn or_reject(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.ok_or_else(|| Failure::reject(what.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.text)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.source.as_deref().map(|layer| layer as _)
        }
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().expect("at least one layer");
        let source = (!rest.is_empty()).then(|| Box::new(layers(rest)));
        Layer { text, source }
    }

    #[test]
    fn an_error_is_a_retry_with_the_texts_of_its_sources() {
        let failure = Failure::from(layers(&["store the order", "connect", "refused"]));
        assert_eq!(failure, Failure::retry("store the order: connect: refused"));
    }

    #[test]
    fn a_source_that_is_printed_already_is_not_said_twice() {
        let failure = Failure::from(layers(&["connect: refused", "refused"]));
        assert_eq!(failure, Failure::retry("connect: refused"));
    }

    #[test]
    fn only_a_retry_waits() {
        let wait = Duration::from_secs(3);
        let retry = Failure::retry("busy").after(wait);
        assert_eq!(retry, Failure::Retry { reason: "busy".into(), after: Some(wait) });
        let reject = Failure::reject("malformed");
        assert_eq!(reject.clone().after(wait), reject);
        assert_eq!(reject.after_ms(), None);
    }

    #[test]
    fn a_wait_is_never_shortened_to_whole_milliseconds() {
        let asked = |wait| Failure::retry("busy").after(wait).after_ms();
        assert_eq!(asked(Duration::from_micros(1_500)), Some(2));
        assert_eq!(asked(Duration::from_millis(250)), Some(250));
        assert_eq!(asked(Duration::MAX), Some(u64::MAX));
        assert_eq!(Failure::retry("busy").after_ms(), None);
    }

    #[test]
    fn a_failure_reads_as_its_kind_and_reason() {
        assert_eq!(Failure::retry("busy").to_string(), "retry: busy");
        assert_eq!(Failure::reject("empty").to_string(), "reject: empty");
    }
}
