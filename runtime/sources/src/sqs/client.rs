//! The way to the service: credentials, region and address by the SDK's usual chain.

use super::options::LONGEST_WAIT;
use super::requests::{Counting, Requests};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Builder, Config, Region, StalledStreamProtectionConfig};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long the service may take for one answer, beside what a receive waits for: at least, and at most.
const ANSWER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
const CONNECT: Duration = Duration::from_secs(3);
/// How often the SDK itself tries, a little later each time.
const TRIES: u32 = 3;
/// What emulators are signed for when nothing is said.
const SOME_REGION: &str = "us-east-1";

/// How the service is reached. Cheap to clone: clones share one client.
#[derive(Debug, Clone)]
pub struct Connection {
    endpoint_url: Option<String>,
    region: Option<String>,
    client: Arc<OnceCell<Client>>,
    /// None until the next receive makes one.
    receiver: Arc<Mutex<Option<Client>>>,
    requests: Arc<Requests>,
    /// How long the service may take for one answer, beside what a receive waits for.
    answer: Duration,
}

impl Connection {
    /// The SDK's usual chain. A region and an address that are given stand above it; so do those that
    /// the address of the queue names.
    #[must_use]
    pub fn usual(queue_url: &str, endpoint_url: Option<&str>, region: Option<&str>) -> Self {
        let (origin, host) = origin(queue_url);
        let of_service = host.split(':').next().is_some_and(is_of_service);
        let endpoint_url = endpoint_url.or((!of_service).then_some(origin)).map(str::to_owned);
        let named = || host.split('.').nth(1).filter(|_| of_service && host.starts_with("sqs."));
        let region = region.or_else(named).map(str::to_owned);
        let (client, receiver) = (Arc::default(), Arc::default());
        Self { endpoint_url, region, client, receiver, requests: Arc::default(), answer: ANSWER.1 }
    }

    /// A client that was made elsewhere. What it is asked is not counted.
    #[must_use]
    pub fn with(client: Client) -> Self {
        let client = Arc::new(OnceCell::new_with(Some(client)));
        let receiver = Arc::default();
        let requests = Arc::default();
        Self { endpoint_url: None, region: None, client, receiver, requests, answer: ANSWER.1 }
    }

    /// For messages that are held for so long: a call on a connection that leads nowhere is made again while
    /// they are. Before the first call.
    #[must_use]
    pub(super) fn holding(self, visibility: Duration) -> Self {
        Self { answer: (visibility / 4).clamp(ANSWER.0, ANSWER.1), ..self }
    }

    /// The client; made for the first who asks. Nothing is sent for that.
    pub(super) async fn client(&self) -> &Client {
        self.client.get_or_init(|| self.make()).await
    }

    /// The same for receives, which wait: an answer may take as long, and when to ask again is decided by
    /// who asks. A client of its own, so that nothing is put together for each call.
    pub(super) async fn receiver(&self, wait: Duration) -> Client {
        let config = self.client().await.config();
        let make = || {
            let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT);
            let timeouts = timeouts.operation_attempt_timeout(patience(wait)).build();
            let config = config.to_builder().timeout_config(timeouts).retry_config(RetryConfig::disabled());
            // Answers are whole or late: the timeout ends what stalls.
            let config = config.stalled_stream_protection(StalledStreamProtectionConfig::disabled());
            Client::from_conf(config.build())
        };
        self.kept_receiver().get_or_insert_with(make).clone()
    }

    /// A receive had no answer. Other connections of its client may lead nowhere too, and each would be found out
    /// only by the whole wait of a receive: the next one makes new ones.
    pub(super) fn distrust_receiver(&self) {
        *self.kept_receiver() = None;
    }

    fn kept_receiver(&self) -> MutexGuard<'_, Option<Client>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked by way of it.
    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }

    async fn make(&self) -> Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(self.answer)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint_url) = &self.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        match (&self.region, &self.endpoint_url) {
            (Some(region), _) => loader = loader.region(Region::new(region.clone())),
            // An emulator has none; to ask the machine that we may not be on takes seconds.
            (None, Some(_)) => {
                let said = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
                loader = loader.region(said.or_else(Region::new(SOME_REGION)));
            }
            (None, None) => {}
        }
        let config = Builder::from(&loader.load().await).interceptor(Counting(self.requests.clone()));
        Client::from_conf(config.build())
    }
}

/// For a receive: its answer may take as long as it waits.
pub(super) fn patient(wait: Duration) -> Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(patience(wait));
    Config::builder().timeout_config(timeouts.build())
}

fn patience(wait: Duration) -> Duration {
    wait.min(LONGEST_WAIT) + ANSWER.1
}

/// Scheme, host and port of an address; and host and port.
fn origin(url: &str) -> (&str, &str) {
    let from = url.find("://").map_or(0, |at| at + 3);
    let to = url[from..].find('/').map_or(url.len(), |at| from + at);
    (&url[..to], &url[from..to])
}

fn is_of_service(host: &str) -> bool {
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_queue_says_where_it_is() {
        let way = |url, endpoint, region| {
            let way = Connection::usual(url, endpoint, region);
            (way.endpoint_url, way.region)
        };
        let real = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
        assert_eq!(way(real, None, None), (None, Some("eu-central-1".into())));
        assert_eq!(way(real, None, Some("x")), (None, Some("x".into())));
        let local = "http://localhost:9324/000000000000/orders";
        assert_eq!(way(local, None, None), (Some("http://localhost:9324".into()), None));
        assert_eq!(way(local, Some("http://a"), None), (Some("http://a".into()), None));
    }
}
