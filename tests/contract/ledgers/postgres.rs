//! The ledger of a fleet in PostgreSQL, with a proxy between each worker and the server.

use pelton_core::database::{DatabaseConfig, DatabaseHome, DatabasePipeline};
use pelton_core::ports::{BoxFuture, DeadLetters, Ledger};
use pelton_tests::contract::ledgers::{LedgerDescription, LedgerFixture, LedgerSubject, LedgerWorker};
use pelton_tests::member::{Member, configured, wants};
use pelton_tests::postgres::{Db, Postgres as Server};
use pelton_tests::proxy::Proxy;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// From when workers that are not heard of are taken for dead.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(1);

/// How databases are made.
pub struct Postgres;

/// The server of all tests that run at a time: it ends with the last of them.
fn server() -> Arc<Server> {
    static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start());
        *running = Arc::downgrade(&server);
        server
    })
}

impl LedgerSubject for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn description(&self) -> LedgerDescription {
        LedgerDescription { shared: true, remote: true, gives_back: true, claim_timeout: CLAIM_TIMEOUT }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn LedgerFixture>> {
        Box::pin(async {
            let made = tokio::task::spawn_blocking(|| {
                let server = server();
                let db = server.database();
                configured(&db).init().expect("the tables can be made");
                Fleet { server, db, workers: 0 }
            });
            Box::new(made.await.expect("it does not panic")) as Box<dyn LedgerFixture>
        })
    }
}

fn opened(db: &Db, name: &str) -> Member {
    let timeout = u64::try_from(CLAIM_TIMEOUT.as_millis()).unwrap_or(1_000);
    Member::open(&configured(db), name, wants(timeout))
}

struct Fleet {
    server: Arc<Server>,
    db: Db,
    workers: u32,
}

impl LedgerFixture for Fleet {
    fn worker(&mut self) -> BoxFuture<'_, Box<dyn LedgerWorker>> {
        self.workers += 1;
        let proxy = Proxy::plain(&self.server.address);
        let db = self.db.by(&proxy.address);
        let name = format!("worker-{}", self.workers);
        let worker =
            Worker { open: Some(opened(&db, &name)), db, name, proxy, _server: self.server.clone() };
        Box::pin(std::future::ready(Box::new(worker) as Box<dyn LedgerWorker>))
    }
}

struct Worker {
    open: Option<Member>,
    db: Db,
    name: String,
    proxy: Proxy,
    _server: Arc<Server>,
}

impl Worker {
    fn pipeline(&self) -> &Arc<dyn DatabasePipeline> {
        &self.open.as_ref().expect("it is open between calls").pipeline
    }
}

impl LedgerWorker for Worker {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.pipeline().ledger()
    }

    fn home(&self) -> Option<Arc<dyn DatabaseHome>> {
        self.open.as_ref().map(|open| open.home.clone())
    }

    fn letters(&self) -> Arc<dyn DeadLetters> {
        self.pipeline().noted()
    }

    fn die(&mut self) -> BoxFuture<'_, ()> {
        self.open = None;
        Box::pin(std::future::ready(()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        let open = self.open.take();
        Box::pin(async move {
            if let Some(open) = open {
                open.home.close().await;
            }
        })
    }

    fn begin(&mut self) -> BoxFuture<'_, ()> {
        self.open = Some(opened(&self.db, &self.name));
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
