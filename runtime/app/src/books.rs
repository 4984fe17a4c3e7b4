//! The books of one pipeline, as its broker asks for them; and the name of this worker.

use crate::config::Config;
use pelton_core::broker::{Books, BooksError, DoneLetters, KnownTopic, Publisher, SharedBooks, WorkerName};
use pelton_core::database::DatabasePipeline;
use pelton_core::ports::{BoxFuture, Claim, DeadLetters, ErrorClass, Ledger, Source};
use pelton_core::{Delivery, Letter, Panicked};
use pelton_host::file::{self, FileError};
use pelton_store::{NotedLetters, Options, PipelineStore, QueuePublisher, Store, StoreError};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The ledger of a pipeline, wherever it is, and what its data directory keeps in any case.
#[derive(Clone)]
pub struct PipelineLedger {
    /// What its data directory keeps: topics, letters, numbers, and the ledger where no database has it.
    pub own: PipelineStore,
    /// What a database keeps, where that has the ledger.
    pub part: Option<Arc<dyn DatabasePipeline>>,
}

impl PipelineLedger {
    /// As the engine asks it.
    pub fn port(&self) -> Arc<dyn Ledger> {
        self.part
            .as_ref()
            .map_or_else(|| Arc::new(self.own.clone()) as Arc<dyn Ledger>, |part| part.ledger())
    }

    /// The same, by which nothing is a duplicate. `Err` goes on where the pipeline's name stops.
    pub fn redoing(&self) -> Result<Arc<dyn Ledger>, String> {
        match &self.part {
            None => Ok(Arc::new(self.own.clone().redoing())),
            Some(part) => part.redoing().ok_or_else(|| {
                "has its ledger where nothing that is completed can be handled again: leave --redo out"
                    .to_owned()
            }),
        }
    }

    /// Notes letters that are durable elsewhere.
    fn noted(&self) -> Arc<dyn DeadLetters> {
        self.part.as_ref().map_or_else(
            || Arc::new(NotedLetters(self.own.clone())) as Arc<dyn DeadLetters>,
            |part| part.noted(),
        )
    }

    /// Keeps letters in the data directory, or an embedded queue.
    pub fn letters_here(&self) -> Arc<dyn DeadLetters> {
        match &self.part {
            None => Arc::new(self.own.clone()),
            Some(part) => Arc::new(WrittenThenNoted::new(Arc::new(self.own.clone()), part.noted())),
        }
    }
}

/// Letters that are written in one place, and end their messages in the ledger of another.
struct WrittenThenNoted {
    place: Arc<dyn DeadLetters>,
    noted: Arc<dyn DeadLetters>,
    /// Those that are written and could not be noted yet: they are not written again.
    written: Mutex<HashSet<Claim>>,
}

impl WrittenThenNoted {
    fn new(place: Arc<dyn DeadLetters>, noted: Arc<dyn DeadLetters>) -> Self {
        Self { place, noted, written: Mutex::default() }
    }

    fn written(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes those that are not there yet, without a word of the ledger that they come from.
    async fn write(&self, batch: &[Letter]) -> Vec<Result<(), ErrorClass>> {
        let is_there: Vec<bool> = {
            let written = self.written();
            batch.iter().map(|letter| letter.claim.is_some_and(|claim| written.contains(&claim))).collect()
        };
        let bare = |letter: &Letter| Letter { claim: None, identity: None, settle: None, ..letter.clone() };
        let new = batch.iter().zip(&is_there).filter(|(_, is_there)| !**is_there);
        let mut results =
            self.place.publish(new.map(|(letter, _)| bare(letter)).collect()).await.into_iter();
        let lost = || Err(ErrorClass::Transient);
        let result = |is_there: &bool| if *is_there { Ok(()) } else { results.next().unwrap_or_else(lost) };
        is_there.iter().map(result).collect()
    }
}

impl DeadLetters for WrittenThenNoted {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let mut results = self.write(&batch).await;
            let claims: Vec<Option<Claim>> = batch.iter().map(|letter| letter.claim).collect();
            let there = batch.into_iter().zip(&results).filter(|(_, result)| result.is_ok());
            let noted = self.noted.publish(there.map(|(letter, _)| letter).collect()).await;
            let was_there = results.iter_mut().zip(claims).filter(|(result, _)| result.is_ok());
            let mut written = self.written();
            for ((result, claim), noted) in was_there.zip(noted) {
                *result = noted;
                // Another error is final: nobody asks again.
                match (claim, noted) {
                    (Some(claim), Err(ErrorClass::Transient)) => drop(written.insert(claim)),
                    (Some(claim), _) => drop(written.remove(&claim)),
                    (None, _) => {}
                }
            }
            results
        })
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.place.panicked()
    }

    fn trouble(&self) -> Option<String> {
        self.noted.trouble()
    }
}

/// The books of a pipeline, as a worker keeps them.
pub struct PipelineBooks {
    store: Store,
    ledger: PipelineLedger,
    pipeline: String,
    name: NameFile,
}

impl PipelineBooks {
    /// `pipeline` is its name.
    pub fn new(config: &Config, pipeline: &str, store: &Store, ledger: &PipelineLedger) -> Self {
        let (store, ledger) = (store.clone(), ledger.clone());
        Self { store, ledger, pipeline: pipeline.to_owned(), name: NameFile::of(config) }
    }
}

impl Books for PipelineBooks {
    fn topic_number(&self, topic: &str) -> Result<u32, BooksError> {
        Ok(self.store.topic_number(&self.pipeline, topic)?)
    }

    fn has_read(&self, topic: &str, group: &str) -> Result<bool, BooksError> {
        Ok(self.store.has_read(&self.pipeline, topic, group)?)
    }

    fn forget_positions(&self, partition: u32) -> Option<usize> {
        self.ledger.own.forget_positions(partition)
    }

    fn settled_before(&self, partition: u32, offset: u64) {
        self.ledger.own.settled_before(partition, offset);
    }

    fn completed_from(&self, partition: u32, offset: u64) -> u64 {
        self.ledger.own.completed_from(partition, offset)
    }

    fn is_done(&self, partition: u32, offset: u64) -> bool {
        self.ledger.own.is_done(partition, offset)
    }

    fn give_up_on(&self, partition: u32, offset: u64) {
        self.ledger.own.give_up_on(partition, offset);
    }

    fn has_completed(&self, id: &str) -> bool {
        let known = self.store.ledger_show(&self.pipeline, None, id);
        known.ok().flatten().is_some_and(|known| known.completed)
    }

    fn topic_is(&self, number: u32, id: &str, group: &str) -> Option<KnownTopic> {
        let before = self.ledger.own.topic_is(number, id, group)?;
        Some(KnownTopic {
            met: before.id.is_some(),
            other: before.is_other_than(id),
            former_group: before.group.filter(|former| former != group),
        })
    }

    fn noted(&self) -> Arc<dyn DeadLetters> {
        self.ledger.noted()
    }

    fn kept(&self) -> Arc<dyn DeadLetters> {
        self.ledger.letters_here()
    }

    fn queue(&self, name: &str) -> Result<Arc<dyn Source>, BooksError> {
        Ok(Arc::new(self.store.queue(&self.ledger.own, name)?))
    }

    fn queued(&self, queue: &str, id: &str) -> Result<Option<Delivery>, BooksError> {
        Ok(self.store.queued(&self.pipeline, queue, id)?)
    }

    fn worker_name(&self) -> &dyn WorkerName {
        &self.name
    }
}

/// What of a pipeline's books a command may use. The store is opened when it is first asked for: a command
/// that needs none of it makes no data directory.
pub struct StoreBooks {
    dir: PathBuf,
    options: Options,
    pipeline: String,
    store: OnceLock<Store>,
}

impl StoreBooks {
    /// `pipeline` is its name.
    pub fn new(dir: &Path, options: Options, pipeline: &str) -> Self {
        let (dir, pipeline) = (dir.to_owned(), pipeline.to_owned());
        Self { dir, options, pipeline, store: OnceLock::new() }
    }

    /// With a store that is open already.
    pub fn sharing(self, store: &Store) -> Self {
        Self { store: store.clone().into(), ..self }
    }

    /// The store, beside a worker that may be running.
    pub fn store(&self) -> Result<&Store, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open_beside(&self.dir, self.options.clone())?;
        Ok(self.store.get_or_init(|| store))
    }
}

impl SharedBooks for StoreBooks {
    fn queue_publisher(&self, name: &str) -> Result<Box<dyn Publisher>, BooksError> {
        Ok(Box::new(QueuePublisher::new(self.store()?.clone(), &self.pipeline, name)))
    }

    fn letters_done(&self, topic: &str) -> Result<Box<dyn DoneLetters>, BooksError> {
        Ok(Box::new(self.store()?.letters_done(&self.pipeline, topic)?))
    }

    fn letters_end(&self, topic: &str, places: &[(u32, u64)]) -> Result<(), BooksError> {
        Ok(self.store()?.letters_end(&self.pipeline, topic, places)?)
    }

    fn letters_anew(&self, topic: &str, partition: u32) -> Result<(), BooksError> {
        Ok(self.store()?.letters_anew(&self.pipeline, topic, partition)?)
    }

    fn letters_topic_is(&self, topic: &str, id: &str) -> Result<bool, BooksError> {
        Ok(self.store()?.letters_topic_is(&self.pipeline, topic, id)?)
    }
}

/// The file in the data directory with the name of its workers.
pub struct NameFile(PathBuf);

/// What it is called.
const NAME: &str = "worker-name";
/// Bytes of a name, at most.
const NAME_BYTES: usize = 4_096;

impl NameFile {
    /// Nothing is read yet.
    pub fn of(config: &Config) -> Self {
        Self(config.data_dir.join(NAME))
    }
}

impl WorkerName for NameFile {
    fn known(&self) -> Result<Option<String>, String> {
        match file::text(&self.0, NAME_BYTES) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(FileError::Missing) => Ok(None),
            // Another name would leave what this worker holds under its own.
            Err(why) => Err(format!("{} {why}. Mend that, or name a `consumer`", self.0.display())),
        }
    }

    fn made(&self) -> Result<String, String> {
        if let Some(name) = self.known()? {
            return Ok(name);
        }
        let host = file::text(Path::new("/proc/sys/kernel/hostname"), NAME_BYTES).unwrap_or_default();
        let host = if host.trim().is_empty() { "pelton" } else { host.trim() };
        let random = RandomState::new().hash_one(&self.0) & u64::from(u32::MAX);
        let name = format!("{host}-{random:08x}");
        // Renamed into place: half a name would be another's.
        let new = self.0.with_extension("new");
        std::fs::write(&new, &name).and_then(|()| std::fs::rename(&new, &self.0)).map_err(|error| {
            format!("{} cannot be written: {error}. Mend that, or name a `consumer`", self.0.display())
        })?;
        Ok(name)
    }
}
