//! A ledger in a DynamoDB table, of a real server that speaks its protocol.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use pelton_core::database::{DatabaseHome, DatabasePipeline, DatabaseUse, WorkerIdentity};
use pelton_core::ports::{BoxFuture, DeadLetters, Ledger};
use pelton_dynamodb::DynamoConfig;
use pelton_tests::contract::ledgers::{LedgerDescription, LedgerFixture, LedgerSubject, LedgerWorker};
use pelton_tests::dynalite::Dynalite;
use pelton_tests::proxy::Proxy;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How tables are made: all of them on one server.
pub struct DynamoDb;

/// It ends with the last table that is in use.
fn server() -> Arc<Dynalite> {
    static SERVER: Mutex<Weak<Dynalite>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Dynalite::start());
        *server = Arc::downgrade(&started);
        started
    })
}

/// A new number for a table, or a data directory.
fn number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Relaxed)
}

impl LedgerSubject for DynamoDb {
    fn name(&self) -> &'static str {
        "dynamodb"
    }

    fn description(&self) -> LedgerDescription {
        LedgerDescription { shared: true, remote: true, gives_back: false, claim_timeout: CLAIM_TIMEOUT }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn LedgerFixture>> {
        Box::pin(async {
            let config =
                DynamoConfig { table: format!("ledger-{}", number()), region: None, endpoint_url: None };
            let server = server();
            config.init_with(&client(&server.url())).await.expect("the table is made");
            Box::new(Table(config, server)) as Box<dyn LedgerFixture>
        })
    }
}

/// Soon enough for a test, and long enough for a machine that does ten other things.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);

struct Table(DynamoConfig, Arc<Dynalite>);

impl LedgerFixture for Table {
    fn worker(&mut self) -> BoxFuture<'_, Box<dyn LedgerWorker>> {
        let (config, proxy) = (self.0.clone(), Proxy::plain(&self.1.address));
        let directory: Arc<str> = format!("{:032x}", number()).into();
        Box::pin(async move {
            let open = Some(opened(&config, &proxy, &directory));
            Box::new(Worker { config, proxy, directory, open }) as Box<dyn LedgerWorker>
        })
    }
}

struct Worker {
    config: DynamoConfig,
    proxy: Proxy,
    directory: Arc<str>,
    open: Option<(Arc<dyn DatabaseHome>, Arc<dyn DatabasePipeline>)>,
}

fn client(address: &str) -> Client {
    let answer = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("key", "secret", None, None, "tests"))
        .region(Region::new("us-east-1"))
        .endpoint_url(address)
        .timeout_config(answer);
    Client::from_conf(config.build())
}

fn opened(
    config: &DynamoConfig,
    proxy: &Proxy,
    directory: &Arc<str>,
) -> (Arc<dyn DatabaseHome>, Arc<dyn DatabasePipeline>) {
    let worker = WorkerIdentity { data_dir: directory.clone(), name: "a test".to_owned() };
    let home = config.open_with(client(&format!("http://{}", proxy.address)), &worker);
    let wants = DatabaseUse {
        ledger: "orders".into(),
        source: "a test".to_owned(),
        expires_after_ms: Some(86_400_000),
        claim_timeout_ms: u64::try_from(CLAIM_TIMEOUT.as_millis()).expect("it is short"),
        connections: 0,
        timeout_ms: 30_000,
        per_chunk: false,
        letters: false,
        state: false,
        outbox: false,
    };
    let pipeline = home.pipeline(wants).expect("nothing stands against it");
    (home, pipeline)
}

impl Worker {
    fn pipeline(&self) -> &Arc<dyn DatabasePipeline> {
        &self.open.as_ref().expect("it is open between calls").1
    }
}

impl LedgerWorker for Worker {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.pipeline().ledger()
    }

    fn home(&self) -> Option<Arc<dyn DatabaseHome>> {
        self.open.as_ref().map(|(home, _)| home.clone())
    }

    fn letters(&self) -> Arc<dyn DeadLetters> {
        self.pipeline().noted()
    }

    fn die(&mut self) -> BoxFuture<'_, ()> {
        // What it has asked may come to the server still, as of a process that was killed.
        self.open = None;
        Box::pin(std::future::ready(()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        let open = self.open.take();
        Box::pin(async move {
            if let Some((home, _)) = open {
                home.close().await;
            }
        })
    }

    fn begin(&mut self) -> BoxFuture<'_, ()> {
        self.open = Some(opened(&self.config, &self.proxy, &self.directory));
        Box::pin(std::future::ready(()))
    }

    fn stand_still(&self) {
        self.proxy.stall();
    }

    fn go_on(&self) {
        self.proxy.flow();
    }

    fn cut(&self) {
        self.proxy.cut();
    }

    fn mend(&self) {
        self.proxy.mend();
    }
}
