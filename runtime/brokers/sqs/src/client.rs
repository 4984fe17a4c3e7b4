//! The way to the service: credentials, region and address by the SDK's usual chain.

use super::options::LONGEST_WAIT;
use super::place::{Door, QueueAddress};
use super::requests::{Counting, Requests};
use aws_config::ConfigLoader;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
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
    /// Where it was said to be; none for where the queue's own address says.
    endpoint_url: Option<String>,
    region: Option<String>,
    door: Door,
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
        let place = QueueAddress::of(queue_url);
        let endpoint_url = endpoint_url.map(str::to_owned);
        let region = region.map(str::to_owned).or(place.region);
        let (client, receiver, requests) = Default::default();
        Self { endpoint_url, region, door: place.door, client, receiver, requests, answer: ANSWER.1 }
    }

    /// A client that was made elsewhere. What it is asked is not counted.
    #[must_use]
    pub fn with(client: Client) -> Self {
        let client = Arc::new(OnceCell::new_with(Some(client)));
        let receiver = Arc::default();
        let (requests, door) = (Arc::default(), Door::Usual);
        Self { endpoint_url: None, region: None, door, client, receiver, requests, answer: ANSWER.1 }
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

    /// A receive had no answer. Other connections of its client may lead nowhere too, and each would be
    /// found out only by the whole wait of a receive: the next one makes new ones.
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
        let address = match (&self.endpoint_url, &self.door) {
            (Some(said), _) => Some(said),
            (None, Door::Address { origin, .. }) => Some(origin),
            (None, Door::Usual | Door::Special { .. }) => None,
        };
        loader = match (address, &self.door) {
            (Some(address), _) => at(loader, address),
            (None, Door::Special { fips, dual_stack }) => special(loader, *fips, *dual_stack),
            (None, _) => loader,
        };
        match (&self.region, address) {
            (Some(region), _) => loader = loader.region(Region::new(region.clone())),
            // An emulator has none; to ask the machine that we may not be on takes seconds.
            (None, Some(_)) => {
                let said = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
                let said = said.or_else(ProfileFileRegionProvider::new());
                loader = loader.region(said.or_else(Region::new(SOME_REGION)));
            }
            (None, None) => {}
        }
        let config = Builder::from(&loader.load().await).interceptor(Counting(self.requests.clone()));
        Client::from_conf(config.build())
    }
}

/// An address says by itself whether it speaks both protocols. One that is no FIPS endpoint the SDK refuses
/// where the environment asks for such: that is not gone round.
fn at(loader: ConfigLoader, address: &str) -> ConfigLoader {
    let loader = loader.endpoint_url(address).use_dual_stack(false);
    if QueueAddress::of(address).is_fips() { loader.use_fips(false) } else { loader }
}

/// Endpoints that the SDK has beside the usual one of a region. What is not asked for here the environment
/// may ask for.
fn special(loader: ConfigLoader, fips: bool, dual_stack: bool) -> ConfigLoader {
    let loader = if fips { loader.use_fips(true) } else { loader };
    if dual_stack { loader.use_dual_stack(true) } else { loader }
}

/// For a receive: its answer may take as long as it waits.
pub(super) fn patient(wait: Duration) -> Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(patience(wait));
    Config::builder().timeout_config(timeouts.build())
}

fn patience(wait: Duration) -> Duration {
    wait.min(LONGEST_WAIT) + ANSWER.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_sdk_sqs::config::interceptors::BeforeTransmitInterceptorContextRef;
    use aws_sdk_sqs::config::{ConfigBag, Credentials, Intercept, RuntimeComponents};
    use aws_sdk_sqs::error::BoxError;

    /// Sees where a request goes and what it is signed for, and lets none out.
    #[derive(Debug, Default, Clone)]
    struct Last(Arc<Mutex<(String, String)>>);

    impl Intercept for Last {
        fn name(&self) -> &'static str {
            "last"
        }

        fn read_before_transmit(
            &self,
            context: &BeforeTransmitInterceptorContextRef<'_>,
            _: &RuntimeComponents,
            _: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            let request = context.request();
            let signed = request.headers().get("authorization").unwrap_or_default();
            let region = signed.split('/').nth(2).unwrap_or_default();
            *self.0.lock().unwrap() = (request.uri().to_owned(), region.to_owned());
            Err("nothing leaves a test".into())
        }
    }

    async fn asked(queue_url: &str, endpoint_url: Option<&str>, region: Option<&str>) -> (String, String) {
        let connection = Connection::usual(queue_url, endpoint_url, region);
        let (client, last) = (connection.client().await, Last::default());
        let login = Credentials::new("tests", "tests", None, None, "tests");
        let config = Config::builder().credentials_provider(login).retry_config(RetryConfig::disabled());
        let call = client.receive_message().queue_url(queue_url).customize();
        let call = call.config_override(config).interceptor(last.clone());
        assert!(call.send().await.is_err());
        last.0.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn the_host_of_a_queue_is_asked_and_its_region_is_signed_for() {
        for (host, region) in [
            ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
            ("sqs-fips.us-east-2.amazonaws.com", "us-east-2"),
            ("sqs.us-east-2.api.aws", "us-east-2"),
            ("sqs-fips.us-east-2.api.aws", "us-east-2"),
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("vpce-0a-1b.sqs.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
            ("vpce-0a-1b.sqs-fips.us-east-1.vpce.amazonaws.com", "us-east-1"),
            ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
            ("queue.amazonaws.com", "us-east-1"),
        ] {
            let url = format!("https://{host}/123456789012/orders");
            assert_eq!(asked(&url, None, None).await, (format!("https://{host}/"), region.to_owned()));
        }
        let real = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
        let (at, region) = asked(real, Some("http://localhost:1"), Some("eu-west-9")).await;
        assert_eq!((&*at, &*region), ("http://localhost:1/", "eu-west-9"));
        let (_, region) = asked(real, Some("http://localhost:1"), None).await;
        assert_eq!(region, "eu-central-1", "where the queue is counts, not where the environment is");
    }
}
