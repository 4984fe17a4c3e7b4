//! The table: how it is made, and what stands against using it.

use crate::config::DynamoConfig;
use crate::entry::KEY;
use crate::fault::Fault;
use crate::home::{REMOVED_BY, SOURCE, other_source, source_key};
use crate::workers;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue as Value, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use pelton_core::broker::Diagnosis;
use pelton_core::database::DatabaseUse;
use serde_json::json;
use std::time::Duration;

/// What is said of an emulator.
const NEVER_REMOVED: &str = "this service removes no old items, so that the table grows: what has expired \
    counts as gone all the same";

/// How often it is looked whether a new table is there.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// So often at most.
const MOST_POLLS: usize = 240;

/// The commands that make the table, for those who may not do it from here.
pub(crate) fn commands(config: &DynamoConfig) -> String {
    let table = json!({
        "TableName": config.table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": KEY, "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": KEY, "KeyType": "HASH" }],
    });
    let mut place = String::new();
    if let Some(region) = &config.region {
        place = format!(" --region {}", quoted(region));
    }
    if let Some(address) = &config.endpoint_url {
        place += &format!(" --endpoint-url {}", quoted(address));
    }
    let (create, name) = (quoted(&table.to_string()), quoted(&config.table));
    format!(
        "aws dynamodb create-table{place} --cli-input-json {create}\n\
         aws dynamodb wait table-exists{place} --table-name {name}\n\
         aws dynamodb update-time-to-live{place} --table-name {name} --time-to-live-specification \
         'Enabled=true,AttributeName={REMOVED_BY}'\n"
    )
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Makes the table where it is missing, and has old items removed.
pub(crate) async fn init(client: &Client, table: &str) -> Result<Vec<String>, Fault> {
    let mut done = Vec::new();
    if create(client, table).await? {
        done.push(format!("made the table {table}"));
    }
    wait(client, table).await?;
    if !is_tidied(client, table).await? {
        let rule = TimeToLiveSpecification::builder().enabled(true).attribute_name(REMOVED_BY).build();
        let rule = rule.map_err(|error| Fault::new(error.to_string()))?;
        let update = client.update_time_to_live().table_name(table).time_to_live_specification(rule);
        match update.send().await.map_err(|error| Fault::of("having old items removed", &error)) {
            Ok(_) => done.push(format!("items are removed by `{REMOVED_BY}`")),
            // An emulator: what has expired counts as gone all the same.
            Err(fault) if fault.unknown => done.push(NEVER_REMOVED.to_owned()),
            Err(fault) => return Err(fault),
        }
    }
    Ok(done)
}

async fn create(client: &Client, table: &str) -> Result<bool, Fault> {
    let wrong = |error: aws_sdk_dynamodb::error::BuildError| Fault::new(error.to_string());
    let column = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash);
    let create = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(column.build().map_err(wrong)?)
        .key_schema(key.build().map_err(wrong)?);
    let Err(error) = create.send().await else { return Ok(true) };
    match error.as_service_error() {
        Some(CreateTableError::ResourceInUseException(_)) => Ok(false),
        _ => Err(Fault::of("making the table", &error)),
    }
}

async fn wait(client: &Client, table: &str) -> Result<(), Fault> {
    for _ in 0..MOST_POLLS {
        let described = client.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| Fault::of("asking for the table", &error))?;
        if described.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(Fault::new("the table is not ready yet: try again in a while".to_owned()))
}

async fn is_tidied(client: &Client, table: &str) -> Result<bool, Fault> {
    let described = client.describe_time_to_live().table_name(table).send().await;
    let described = match described.map_err(|error| Fault::of("asking what removes old items", &error)) {
        Ok(described) => described,
        Err(fault) if fault.unknown => return Ok(false),
        Err(fault) => return Err(fault),
    };
    let rule = described.time_to_live_description;
    Ok(rule.is_some_and(|rule| {
        let is_on = matches!(
            rule.time_to_live_status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        );
        is_on && rule.attribute_name.as_deref() == Some(REMOVED_BY)
    }))
}

/// What stands against using the table. Nothing is changed.
pub(crate) async fn diagnose(
    client: &Client,
    table: &str,
    uses: &[DatabaseUse],
) -> Result<Diagnosis, Fault> {
    let mut found = Diagnosis::default();
    let described = client.describe_table().table_name(table).send().await;
    let described = match described.map_err(|error| Fault::of("asking for the table", &error)) {
        Ok(described) => described,
        Err(fault) if fault.no_table => {
            found.problems.push(format!("there is no table {table}: make it with `pelton db init`"));
            return Ok(found);
        }
        Err(fault) => return Err(fault),
    };
    let keys = described.table.and_then(|table| table.key_schema).unwrap_or_default();
    if !matches!(&keys[..], [key] if key.attribute_name == KEY) {
        let what = format!("the table {table} has another key than `{KEY}` alone: make one for Pelton");
        found.problems.push(what);
        return Ok(found);
    }
    if !is_tidied(client, table).await? {
        found.warnings.push(format!(
            "nothing removes old items from the table {table}: run `pelton db init`, or have `{REMOVED_BY}` \
             be its time to live"
        ));
    }
    if let Err(fault) = may_write(client, table).await {
        found.problems.push(fault.words);
    }
    for wanted in uses {
        let noted = workers::read(client, table, Value::S(source_key(&wanted.ledger))).await?;
        let noted = noted.and_then(|item| item.get(SOURCE)?.as_s().ok().cloned());
        if let Some(noted) = noted.filter(|noted| *noted != wanted.source) {
            found.problems.push(other_source(&wanted.ledger, &wanted.source, &noted));
        }
    }
    Ok(found)
}

/// Whether this user may write there: by a write that never counts.
async fn may_write(client: &Client, table: &str) -> Result<(), Fault> {
    let update = client
        .update_item()
        .table_name(table)
        .key(KEY, Value::S("nothing".to_owned()))
        .update_expression("SET #at = :one")
        .condition_expression("attribute_exists(#pk)")
        .expression_attribute_names("#at", "at_ms")
        .expression_attribute_names("#pk", KEY)
        .expression_attribute_values(":one", Value::N("1".to_owned()));
    let Err(error) = update.send().await else { return Ok(()) };
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
        _ => Err(Fault::of("trying to write", &error)),
    }
}
