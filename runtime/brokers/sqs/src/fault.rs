//! What the service's errors mean.

use super::action::Needs;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use pelton_core::ports::ErrorClass;
use std::error::Error;

/// An error, told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the engine needs to know.
    pub class: ErrorClass,
    /// What happened and what to do, in words.
    pub words: String,
    /// Nobody knows whether the service has done it.
    pub unanswered: bool,
}

impl Fault {
    pub fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Needs + 'static,
    {
        match error {
            SdkError::ServiceError(refused) => {
                let (code, message) = (refused.err().code(), refused.err().message());
                let status = refused.raw().status();
                let nameless = || format!("the service answered with status {}", status.as_u16());
                let code = code.map_or_else(nameless, str::to_owned);
                let message = message.unwrap_or_default();
                // A key of the service's other half is denied by another name, with advice of its own.
                let told = if is_denied(&code) {
                    Self::denied(&code, message, E::ACTION.advice())
                } else {
                    Self::told(&code, message)
                };
                // Something behind the one that answered may have done it.
                Self { unanswered: status.is_server_error(), ..told }
            }
            other => Self::unanswered(&chain(other)),
        }
    }

    /// By what the service said.
    pub fn told(code: &str, message: &str) -> Self {
        let class = if is_lost(code, message) { ErrorClass::LeaseLost } else { ErrorClass::Transient };
        let message = message.trim_end_matches('.');
        let what = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
        Self { class, words: format!("{what}. {}", advice(code)), unanswered: false }
    }

    /// The call panicked, which the pipeline is told.
    pub fn of_panic() -> Self {
        Self { class: ErrorClass::Transient, words: "it panicked".to_owned(), unanswered: true }
    }

    fn denied(code: &str, message: &str, advice: &str) -> Self {
        let message = message.trim_end_matches('.');
        Self {
            class: ErrorClass::Transient,
            words: format!("{code}: {message}. {advice}"),
            unanswered: false,
        }
    }

    fn unanswered(what: &str) -> Self {
        let advice = if what.contains("credentials") {
            "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
        } else if what.contains("region") {
            "Write `region` in the source, or set AWS_REGION"
        } else {
            "Check `queue_url`, `endpoint_url` and the network"
        };
        Self { class: ErrorClass::Transient, words: format!("{what}. {advice}"), unanswered: true }
    }
}

/// An error, with what is behind it: only the last of that says "connection refused".
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        // Some say what is behind them themselves.
        if !words.iter().any(|known| known.contains(&said)) {
            words.push(said);
        }
        next = error.source();
    }
    words.join(": ").trim_end_matches('.').to_owned()
}

/// The message is no longer ours: its handle has expired, or it is gone.
fn is_lost(code: &str, message: &str) -> bool {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    matches!(code, "ReceiptHandleIsInvalid" | "MessageNotInflight")
        || (code == "InvalidParameterValue" && message.contains("eceipt"))
}

/// This identity may not make the call.
pub fn is_denied(code: &str) -> bool {
    code.contains("AccessDenied") && !code.contains("Kms")
}

/// It is asked too much, or too often.
pub fn is_throttling(code: &str) -> bool {
    ["Throttl", "TooManyRequests", "OverLimit", "SlowDown", "LimitExceeded"]
        .iter()
        .any(|part| code.contains(part))
}

/// The service refuses what is said, and would each time. Emulators have names of their own for it.
pub fn is_of_content(code: &str) -> bool {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    let codes = [
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "MissingParameter",
        "InvalidMessageContents",
        "InvalidAttributeName",
        "InvalidAttributeValue",
        "InvalidIdFormat",
        "BatchRequestTooLong",
        "UnsupportedOperation",
    ];
    codes.contains(&code)
}

fn advice(code: &str) -> &'static str {
    let has = |part: &str| code.contains(part);
    if has("NonExistentQueue") || has("QueueDoesNotExist") {
        "Make the queue, or correct `queue_url`"
    } else if has("AccessDenied") {
        "Allow this identity sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, \
         sqs:SendMessage and \
         sqs:GetQueueAttributes on the queue"
    } else if has("Kms") {
        "Allow this identity to use the key that the queue is encrypted with (kms:Decrypt, \
         kms:GenerateDataKey)"
    } else if has("ExpiredToken") || has("RequestExpired") {
        "The credentials have expired: renew them; they are read again by themselves"
    } else if has("Token") || has("Signature") || has("UnrecognizedClient") {
        "Check the credentials, and the clock of this machine"
    } else if is_throttling(code) {
        "It is tried again more slowly"
    } else if is_of_content(code) {
        "The service takes no such thing"
    } else {
        "It is tried again"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_handles_are_lost_and_all_else_is_tried_again() {
        let class = |code, message| Fault::told(code, message).class;
        assert_eq!(
            class("ReceiptHandleIsInvalid", "The input receipt handle is invalid."),
            ErrorClass::LeaseLost
        );
        assert_eq!(class("AWS.SimpleQueueService.MessageNotInflight", ""), ErrorClass::LeaseLost);
        let expired =
            "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert_eq!(class("InvalidParameterValue", expired), ErrorClass::LeaseLost);
        for code in ["InternalError", "ThrottlingException", "AccessDenied", "QueueDoesNotExist"] {
            assert_eq!(class(code, ""), ErrorClass::Transient, "{code}");
        }
    }

    #[test]
    fn words_say_what_to_do() {
        let words = Fault::told("AWS.SimpleQueueService.NonExistentQueue", "No such queue.").words;
        assert_eq!(
            words,
            "AWS.SimpleQueueService.NonExistentQueue: No such queue. Make the queue, or correct `queue_url`"
        );
    }
}
