//! The way to the service: credentials, region and address by the SDK's usual chain.

use crate::config::DynamoConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(3);
/// How long one try may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often the SDK itself tries, a little later each time: throttling passes.
const TRIES: u32 = 4;
/// What emulators are signed for when nothing is said.
const SOME_REGION: &str = "us-east-1";

/// A client. Asks for credentials, and nothing else.
pub(crate) async fn make(config: &DynamoConfig) -> Client {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(timeouts);
    let said = config.region.clone().or_else(|| std::env::var("AWS_REGION").ok());
    match (said, &config.endpoint_url) {
        (Some(region), _) => loader = loader.region(Region::new(region)),
        // An emulator has none; to ask the machine that we may not be on takes seconds.
        (None, Some(_)) => loader = loader.region(Region::new(SOME_REGION)),
        (None, None) => {}
    }
    if let Some(address) = &config.endpoint_url {
        loader = loader.endpoint_url(address);
    }
    Client::new(&loader.load().await)
}
