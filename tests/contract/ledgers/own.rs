//! The ledger of a data directory: one worker's own.

use pelton_core::ports::{BoxFuture, DeadLetters, Ledger};
use pelton_store::{PipelineStore, Store};
use pelton_tests::contract::folder;
use pelton_tests::contract::ledgers::{LedgerDescription, LedgerFixture, LedgerSubject, LedgerWorker};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How data directories are made.
pub struct DataDirectory;

impl LedgerSubject for DataDirectory {
    fn name(&self) -> &'static str {
        "data_directory"
    }

    fn description(&self) -> LedgerDescription {
        LedgerDescription { shared: false, remote: false, gives_back: false, claim_timeout: Duration::ZERO }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn LedgerFixture>> {
        Box::pin(async { Box::new(Folders) as Box<dyn LedgerFixture> })
    }
}

struct Folders;

impl LedgerFixture for Folders {
    fn worker(&mut self) -> BoxFuture<'_, Box<dyn LedgerWorker>> {
        Box::pin(async { Box::new(Folder::open(folder::empty())) as Box<dyn LedgerWorker> })
    }
}

struct Folder {
    open: Option<(Store, Arc<PipelineStore>)>,
    /// Last, so that it is removed when nothing uses it any more.
    dir: TempDir,
}

impl Folder {
    fn open(dir: TempDir) -> Self {
        let (store, pipeline) = folder::ledger(dir.path());
        Self { open: Some((store, Arc::new(pipeline))), dir }
    }

    fn pipeline(&self) -> Arc<PipelineStore> {
        self.open.as_ref().expect("it is open between calls").1.clone()
    }
}

impl LedgerWorker for Folder {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.pipeline()
    }

    fn letters(&self) -> Arc<dyn DeadLetters> {
        self.pipeline()
    }

    fn die(&mut self) -> BoxFuture<'_, ()> {
        let left = folder::left_behind(self.dir.path());
        self.open = None;
        self.dir = left;
        Box::pin(std::future::ready(()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        if let Some((store, pipeline)) = self.open.take() {
            drop(pipeline);
            store.close();
        }
        Box::pin(std::future::ready(()))
    }

    fn begin(&mut self) -> BoxFuture<'_, ()> {
        let (store, pipeline) = folder::ledger(self.dir.path());
        self.open = Some((store, Arc::new(pipeline)));
        Box::pin(std::future::ready(()))
    }
}
