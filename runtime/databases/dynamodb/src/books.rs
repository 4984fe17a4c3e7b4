//! What commands look at and change in a table, beside the workers that use it.

use crate::config::DynamoConfig;
use crate::entry::{Entry, Fate, Item, KEY, key_of};
use crate::fault::Fault;
use crate::home::has_expired;
use crate::steering;
use crate::workers;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue as Value;
use pelton_core::broker::{LetterReader, OpenError};
use pelton_core::database::{DatabaseBooks, FleetStatus, KnownMessage, SteeringChange};
use pelton_core::ports::ClaimItem;

pub(crate) struct Books(pub(crate) DynamoConfig);

impl DatabaseBooks for Books {
    fn known(&mut self, ledger: &str, item: &ClaimItem) -> Result<Option<KnownMessage>, OpenError> {
        self.0.ask(async |client| {
            let found = workers::read(&client, &self.0.table, key(ledger, item)).await?;
            let entry = found.as_ref().and_then(Entry::read).filter(|entry| !has_expired(entry));
            match entry {
                Some(entry) => known(&client, &self.0.table, entry).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn forget(&mut self, ledger: &str, item: &ClaimItem) -> Result<bool, OpenError> {
        self.0.ask(async |client| forget(&client, &self.0.table, key(ledger, item)).await)
    }

    fn letters(self: Box<Self>, _ledger: &str) -> Result<Box<dyn LetterReader>, OpenError> {
        Err(OpenError::Settings("dynamodb keeps no letters".to_owned()))
    }

    fn letter_count(&mut self, _ledger: &str) -> Result<u64, OpenError> {
        Err(OpenError::Settings("dynamodb keeps no letters".to_owned()))
    }

    fn steering(&mut self, ledger: &str) -> Result<Option<String>, OpenError> {
        self.0.ask(async |client| steering::steering(&client, &self.0.table, ledger).await)
    }

    fn steer(&mut self, ledger: &str, change: &SteeringChange) -> Result<bool, OpenError> {
        self.0.ask(async |client| steering::steer(&client, &self.0.table, ledger, change).await)
    }

    /// Who uses it and how much they have would be told by reading the whole table: nothing is said of it.
    fn status(&mut self, _ledger: &str) -> Result<FleetStatus, OpenError> {
        self.0.ask(async |client| {
            let table = client.describe_table().table_name(&self.0.table).send().await;
            table.map_err(|error| Fault::of("asking for the table", &error))?;
            Ok(FleetStatus::default())
        })
    }
}

fn key(ledger: &str, item: &ClaimItem) -> Value {
    Value::S(key_of(ledger, item))
}

async fn known(client: &Client, table: &str, entry: Entry) -> Result<KnownMessage, Fault> {
    let worker = match &entry.fate {
        Fate::Claimed => {
            let name = workers::name(client, table, &entry.worker).await?;
            Some(name.unwrap_or_else(|| format!("a worker that has ended ({})", entry.worker)))
        }
        Fate::Free | Fate::Done | Fate::Lettered(_) => None,
    };
    let is_done = entry.fate == Fate::Done;
    Ok(KnownMessage {
        completed_at_ms: is_done.then_some(entry.at_ms),
        attempts: if is_done { 0 } else { entry.attempts },
        worker,
        lettered: matches!(entry.fate, Fate::Lettered(_)),
    })
}

/// Removes what is known of a message, unless a worker has it.
async fn forget(client: &Client, table: &str, key: Value) -> Result<bool, Fault> {
    let (condition, names, values) = Fate::not_claimed();
    let delete = client
        .delete_item()
        .table_name(table)
        .key(KEY, key)
        .condition_expression(condition)
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values))
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld);
    let error = match delete.send().await {
        Ok(deleted) => return Ok(deleted.attributes.is_some_and(|item: Item| !item.is_empty())),
        Err(error) => error,
    };
    match error.as_service_error() {
        Some(DeleteItemError::ConditionalCheckFailedException(_)) => Err(Fault::new(
            "a worker has this message in work: wait until it is done with it, and forget it then"
                .to_owned(),
        )),
        _ => Err(Fault::of("forgetting", &error)),
    }
}
