//! What can go wrong at the service, in words that end with what to do.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use pelton_core::shown::shown;
use std::error::Error;
use std::fmt::Debug;

/// Bytes of the service's own words that are shown.
const WORDS: usize = 400;

/// An error of the service. All of them may pass: a table may be made, a right given, a limit raised.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) words: String,
    /// The table is not there.
    pub(crate) no_table: bool,
    /// The service, or what stands for it, does not know how.
    pub(crate) unknown: bool,
}

impl Fault {
    pub(crate) fn of<E, R>(doing: &str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: Debug,
    {
        let code = error.code().unwrap_or_default();
        let next = match code {
            "ResourceNotFoundException" => "make the table with `pelton db init`, or see `--print`",
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "MissingAuthenticationTokenException" => {
                "give this user the right, or the worker other credentials"
            }
            "ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded" => {
                "it is asked again; a table that is paid by request, or a higher limit, takes more"
            }
            _ => "it is asked again",
        };
        let said = match error.message() {
            Some(message) => format!("{code}: {message}"),
            None if error.code().is_some() => code.to_owned(),
            None => DisplayErrorContext(error).to_string(),
        };
        let words = format!("{doing}: {}; {next}", shown(&said).at_most(WORDS));
        Self {
            words,
            no_table: code == "ResourceNotFoundException",
            unknown: code == "UnknownOperationException",
        }
    }

    /// One that no service has said.
    pub(crate) fn new(words: String) -> Self {
        Self { words, no_table: false, unknown: false }
    }
}
