//! What operators want of the pipelines of a fleet: an item for each ledger.

use crate::entry::KEY;
use crate::fault::Fault;
use crate::workers::read;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue as Value;
use pelton_core::database::SteeringChange;
use std::fmt::Debug;

/// The text itself, whose meaning only the program knows.
const WORDS: &str = "words";
/// What the service says when another has been quicker.
const REFUSED: &str = "ConditionalCheckFailedException";

fn key(ledger: &str) -> Value {
    Value::S(format!("steering/{ledger}"))
}

/// The text of a ledger.
pub(crate) async fn steering(client: &Client, table: &str, ledger: &str) -> Result<Option<String>, Fault> {
    let item = read(client, table, key(ledger)).await?;
    Ok(item.and_then(|item| item.get(WORDS)?.as_s().ok().cloned()))
}

/// Sets it where it is as it was; whether it was.
pub(crate) async fn steer(
    client: &Client,
    table: &str,
    ledger: &str,
    change: &SteeringChange,
) -> Result<bool, Fault> {
    let unchanged = match change.before {
        Some(_) => "#words = :before",
        None => "attribute_not_exists(#words)",
    };
    let before = change.before.clone().map(Value::S);
    match &change.after {
        Some(after) => {
            let put = client
                .put_item()
                .table_name(table)
                .item(KEY, key(ledger))
                .item(WORDS, Value::S(after.clone()))
                .condition_expression(unchanged)
                .expression_attribute_names("#words", WORDS);
            let put =
                before.into_iter().fold(put, |put, is| put.expression_attribute_values(":before", is));
            made(put.send().await)
        }
        None => {
            let delete = client
                .delete_item()
                .table_name(table)
                .key(KEY, key(ledger))
                .condition_expression(unchanged)
                .expression_attribute_names("#words", WORDS);
            let delete =
                before.into_iter().fold(delete, |one, is| one.expression_attribute_values(":before", is));
            made(delete.send().await)
        }
    }
}

fn made<T, E, R>(sent: Result<T, SdkError<E, R>>) -> Result<bool, Fault>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: Debug,
{
    match sent {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(REFUSED) => Ok(false),
        Err(error) => Err(Fault::of("noting what operators want", &error)),
    }
}
