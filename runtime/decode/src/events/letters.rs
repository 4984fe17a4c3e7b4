//! A place of dead letters whose letters are events.

use super::form::Form;
use super::letter::{unwrap, unwrapped, wrapped};
use pelton_core::broker::{
    Books, BooksError, Broker, DeadLetterPlace, Diagnosis, KnownTopic, LetterQuery, LetterReader, Listener,
    OpenError, PipelineView, SharedBooks, WorkerName,
};
use pelton_core::letter::StoredLetter;
use pelton_core::ports::{BoxFuture, Counted, DeadLetters, ErrorClass, Source};
use pelton_core::{Delivery, Letter, Panicked};
use std::sync::Arc;

/// Writes events where `place` keeps letters, and reads the letters in them.
#[derive(Debug)]
pub struct EventLetters {
    place: Arc<dyn DeadLetterPlace>,
    form: Form,
}

impl EventLetters {
    /// Letters are events of this form there.
    #[must_use]
    pub fn new(place: Arc<dyn DeadLetterPlace>, form: Form) -> Self {
        Self { place, form }
    }
}

impl DeadLetterPlace for EventLetters {
    fn is_same(&self, other: &dyn DeadLetterPlace) -> bool {
        other.of::<Self>().is_some_and(|other| self.form == other.form && self.place.is_same(&*other.place))
    }

    fn open(
        &self,
        source: &dyn Broker,
        pipeline: &PipelineView,
        books: &dyn Books,
    ) -> Result<Arc<dyn DeadLetters>, OpenError> {
        let letters = self.place.open(source, pipeline, &WholeBooks(books))?;
        Ok(Arc::new(Events { letters, form: self.form, pipeline: pipeline.name.clone() }))
    }

    fn probe(&self, source: &dyn Broker) -> Vec<String> {
        self.place.probe(source)
    }

    fn diagnose(&self, source: &dyn Broker, pipeline: &PipelineView) -> Diagnosis {
        self.place.diagnose(source, pipeline)
    }

    fn rights(&self, source: &dyn Broker) -> Diagnosis {
        self.place.rights(source)
    }

    fn is_diagnosed_at_start(&self) -> bool {
        self.place.is_diagnosed_at_start()
    }

    fn is_of_source(&self) -> bool {
        self.place.is_of_source()
    }

    fn reader<'a>(
        &'a self,
        source: &'a dyn Broker,
        pipeline: &'a str,
        books: Arc<dyn SharedBooks>,
        listener: &'a dyn Listener,
    ) -> Result<Box<dyn LetterReader + 'a>, OpenError> {
        Ok(Box::new(Opened(self.place.reader(source, pipeline, books, listener)?)))
    }

    fn count(
        &self,
        source: &dyn Broker,
        books: &dyn SharedBooks,
        listener: &dyn Listener,
    ) -> Result<u64, OpenError> {
        self.place.count(source, books, listener)
    }
}

/// Makes events of letters.
struct Events {
    letters: Arc<dyn DeadLetters>,
    form: Form,
    pipeline: Arc<str>,
}

impl DeadLetters for Events {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let wrap = |letter| wrapped(self.form, &self.pipeline, letter);
        self.letters.publish(batch.into_iter().map(wrap).collect())
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.letters.panicked()
    }

    fn counted(&self) -> Counted {
        self.letters.counted()
    }

    fn trouble(&self) -> Option<String> {
        self.letters.trouble()
    }
}

/// Reads the letters in events.
struct Opened<'r>(Box<dyn LetterReader + 'r>);

impl LetterReader for Opened<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        self.0.begin(query)
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let mut page = self.0.next(limit)?;
        page.iter_mut().for_each(|letter| unwrap(&mut letter.headers, &mut letter.body));
        Ok(page)
    }

    fn goes_back(&mut self, letters: &[StoredLetter]) {
        self.0.goes_back(letters);
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        self.0.remove(letters)
    }

    fn end(&mut self) {
        self.0.end();
    }
}

/// The books of a pipeline, which keep the message of a letter and no event: what a broker does not take is
/// replayed from them as it was.
struct WholeBooks<'b>(&'b dyn Books);

struct Whole(Arc<dyn DeadLetters>);

impl DeadLetters for Whole {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.0.publish(batch.into_iter().map(unwrapped).collect())
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.0.panicked()
    }

    fn counted(&self) -> Counted {
        self.0.counted()
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}

impl Books for WholeBooks<'_> {
    fn kept(&self) -> Arc<dyn DeadLetters> {
        Arc::new(Whole(self.0.kept()))
    }

    fn topic_number(&self, topic: &str) -> Result<u32, BooksError> {
        self.0.topic_number(topic)
    }

    fn has_read(&self, topic: &str, group: &str) -> Result<bool, BooksError> {
        self.0.has_read(topic, group)
    }

    fn forget_positions(&self, partition: u32) -> Option<usize> {
        self.0.forget_positions(partition)
    }

    fn settled_before(&self, partition: u32, offset: u64) {
        self.0.settled_before(partition, offset);
    }

    fn completed_from(&self, partition: u32, offset: u64) -> u64 {
        self.0.completed_from(partition, offset)
    }

    fn is_done(&self, partition: u32, offset: u64) -> bool {
        self.0.is_done(partition, offset)
    }

    fn give_up_on(&self, partition: u32, offset: u64) {
        self.0.give_up_on(partition, offset);
    }

    fn has_completed(&self, id: &str) -> bool {
        self.0.has_completed(id)
    }

    fn topic_is(&self, number: u32, id: &str, group: &str) -> Option<KnownTopic> {
        self.0.topic_is(number, id, group)
    }

    fn noted(&self) -> Arc<dyn DeadLetters> {
        self.0.noted()
    }

    fn queue(&self, name: &str) -> Result<Arc<dyn Source>, BooksError> {
        self.0.queue(name)
    }

    fn queued(&self, queue: &str, id: &str) -> Result<Option<Delivery>, BooksError> {
        self.0.queued(queue, id)
    }

    fn worker_name(&self) -> &dyn WorkerName {
        self.0.worker_name()
    }
}
