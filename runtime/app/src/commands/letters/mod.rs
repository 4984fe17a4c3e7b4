//! The dead letters of a pipeline, wherever they are kept.

mod back;
pub mod letter;
mod refused;
mod stored;

use crate::commands::books;
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::progress::Progress;
use crate::worker::assemble::open_fail;
use crate::worker::store::store_fail;
use back::Back;
use pelton_core::broker::{LetterQuery, LetterReader, Listener, OpenError};
use pelton_core::letter::{LetterId, NEW_KEY, StoredLetter};
use pelton_core::{Cause, Header};
use pelton_store::Store;
use refused::RefusedLetters;
pub use refused::is_of_outbox;
use std::cell::RefCell;
use std::sync::Arc;
use stored::StoredLetters;

/// Reads, replays and removes the letters of a pipeline. All of it blocks.
pub struct Letters<'c> {
    pipeline: &'c PipelineConfig,
    /// Where the pipeline keeps them: in the data directory, or an embedded queue; or what a broker did not
    /// take. Nothing where all are left to the broker.
    here: Option<StoredLetters<'c>>,
    /// Where a broker keeps them.
    there: Option<Box<dyn LetterReader + 'c>>,
    /// What targets of its outbox have refused.
    refused: RefusedLetters<'c>,
    leaves_outbox: bool,
    gives_new_keys: bool,
    back: Back<'c>,
}

impl<'c> Letters<'c> {
    /// Opens them. `heard` is told what a broker has to say of them.
    pub fn open(
        config: &'c Config,
        pipeline: &'c PipelineConfig,
        heard: &'c dyn Listener,
    ) -> Result<Self, Fail> {
        let books = Arc::new(books(config, pipeline));
        let store = books.store().map_err(store_fail)?.clone();
        let there = match pipeline.dead_letters.place() {
            Some(place) => {
                let source = pipeline.source.broker();
                let reader = place.reader(source, &pipeline.name, books.clone(), heard);
                Some(reader.map_err(|error| open_fail(&pipeline.name, error))?)
            }
            None => None,
        };
        let is_here = !pipeline.dead_letters.is_redrive();
        let here = is_here.then(|| StoredLetters::of(pipeline, store.clone()));
        let refused = RefusedLetters::of(pipeline, store);
        let back = Back::of(pipeline, books);
        Ok(Self { pipeline, here, there, refused, leaves_outbox: false, gives_new_keys: false, back })
    }

    /// Those of the outbox are not met, unless they are asked for by id or cause.
    pub fn leave_outbox(&mut self) {
        self.leaves_outbox = true;
    }

    /// What is replayed has another idempotency key then.
    pub fn give_new_keys(&mut self) {
        self.gives_new_keys = true;
    }

    /// Every letter that is meant and was there when this was called, each once, in pages of at most `limit`;
    /// how many there were. A page is of one place.
    pub fn each(
        &mut self,
        query: &LetterQuery,
        limit: usize,
        mut see: impl FnMut(&mut Self, Vec<StoredLetter>) -> Outcome,
    ) -> Result<u64, Fail> {
        let seen = self.walk(query, limit, &mut see);
        if let Some(there) = &mut self.there {
            there.end();
        }
        seen
    }

    fn walk(
        &mut self,
        query: &LetterQuery,
        limit: usize,
        see: &mut dyn FnMut(&mut Self, Vec<StoredLetter>) -> Outcome,
    ) -> Result<u64, Fail> {
        // All before the first letter is seen: what goes back from the one may fail into the other.
        let is_of_outbox = query.id.as_ref().is_some_and(is_of_outbox)
            || query.cause.as_deref() == Some(Cause::Outbox.as_str());
        let places = match query.id {
            _ if is_of_outbox => &[KeptBy::Outbox][..],
            Some(LetterId::Number(_)) if self.here.is_some() => &[KeptBy::Here],
            _ if self.leaves_outbox => &[KeptBy::Here, KeptBy::There],
            _ => &[KeptBy::Here, KeptBy::There, KeptBy::Outbox],
        };
        let begun: Vec<_> = places.iter().map(|place| (*place, self.begin(*place, query))).collect();
        let mut seen = 0;
        for (place, begun) in begun {
            // What is here is met also when the broker cannot be asked.
            begun.map_err(|error| self.fail(error))?;
            loop {
                let page = self.next(place, limit).map_err(|error| self.fail(error))?;
                if page.is_empty() {
                    break;
                }
                seen += page.len() as u64;
                see(self, page)?;
            }
        }
        Ok(seen)
    }

    fn begin(&mut self, place: KeptBy, query: &LetterQuery) -> Result<(), OpenError> {
        self.at(place).map_or(Ok(()), |reader| reader.begin(query))
    }

    fn next(&mut self, place: KeptBy, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        self.at(place).map_or_else(|| Ok(Vec::new()), |reader| reader.next(limit))
    }

    fn at(&mut self, place: KeptBy) -> Option<&mut (dyn LetterReader + 'c)> {
        match place {
            KeptBy::Here => self.here.as_mut().map(|here| here as &mut dyn LetterReader),
            KeptBy::There => self.there.as_deref_mut(),
            KeptBy::Outbox => Some(&mut self.refused),
        }
    }

    fn fail(&self, error: OpenError) -> Fail {
        open_fail(&self.pipeline.name, error)
    }

    /// Puts letters of a page back where they came from and removes them; how many were still there.
    pub fn replay(&mut self, mut letters: Vec<StoredLetter>) -> Result<u64, Fail> {
        if self.gives_new_keys {
            letters.iter_mut().for_each(give_new_key);
        }
        if let KeptBy::Outbox = KeptBy::of(&letters) {
            return self.send_again(&letters);
        }
        // Whoever keeps them now: when they fail again it may be the other.
        if let Some(there) = &mut self.there {
            there.goes_back(&letters);
        }
        if let (KeptBy::Here, Some(here), true) = (KeptBy::of(&letters), &self.here, self.back.is_here()) {
            return Ok(here.replay(letters)?);
        }
        let (gone, refused) = self.back.put(letters)?;
        let count = self.purge(&gone)?;
        refused.map(|()| count)
    }

    /// Into the outbox of their targets.
    fn send_again(&self, letters: &[StoredLetter]) -> Result<u64, Fail> {
        let is_gone = |letter: &&StoredLetter| self.refused.destination(letter).is_none();
        if let Some(letter) = letters.iter().find(is_gone) {
            let (name, target) = (&self.pipeline.name, &letter.origin);
            return Err(Fail::refused(format!(
                "letter {} is for the target `{target}`, which `{name}` does not have any more: write it \
                 into `grants.outbox` again, or remove the letter with `pelton dlq purge {name} --id {}`",
                letter.id, letter.id
            )));
        }
        self.refused.replay(letters).map_err(store_fail)
    }

    /// How many letters of the outbox are not met.
    pub fn left(&self) -> Result<u64, Fail> {
        if self.leaves_outbox { self.refused.count().map_err(store_fail) } else { Ok(0) }
    }

    /// Removes letters of a page for good; how many were still there.
    pub fn purge(&mut self, letters: &[StoredLetter]) -> Result<u64, Fail> {
        let removed = self.at(KeptBy::of(letters)).map_or(Ok(0), |reader| reader.remove(letters));
        removed.map_err(|error| self.fail(error))
    }

    /// Where a replay would put a letter, in words.
    pub fn destination(&self, letter: &StoredLetter) -> String {
        if is_of_outbox(&letter.id) {
            let gone = || format!("nowhere: there is no target {} any more", letter.origin);
            return self.refused.destination(letter).unwrap_or_else(gone);
        }
        self.back.destination(letter)
    }
}

/// The time that it failed: each letter of a message has another.
fn give_new_key(letter: &mut StoredLetter) {
    letter.headers.retain(|header| header.name != NEW_KEY);
    letter.headers.push(Header::new(NEW_KEY, letter.failed_at_ms.to_string()));
}

/// Who keeps letters.
#[derive(Clone, Copy)]
enum KeptBy {
    Here,
    There,
    Outbox,
}

impl KeptBy {
    /// Of a page. The ids tell.
    fn of(page: &[StoredLetter]) -> Self {
        match page.first().map(|letter| &letter.id) {
            Some(LetterId::Number(_)) => Self::Here,
            Some(id) if is_of_outbox(id) => Self::Outbox,
            _ => Self::There,
        }
    }
}

/// Says on standard error what is to be said of letters, and how far they are read.
#[derive(Default)]
pub struct Said(RefCell<Option<Progress>>);

impl Listener for Said {
    fn line(&self, line: &str) {
        note!("{line}");
    }

    fn looked_at(&self, count: u64, all: u64) {
        let mut shown = self.0.borrow_mut();
        if count >= all {
            shown.take().inspect(Progress::clear);
            return;
        }
        shown.get_or_insert_with(|| Progress::of("read", Some(all))).shows(count);
    }
}

/// How many letters a pipeline has, where a broker keeps them; none when none does, or does not say, which is
/// said. Blocks.
pub fn count(config: &Config, pipeline: &PipelineConfig, store: &Store) -> Option<u64> {
    let place = pipeline.dead_letters.place()?;
    let books = books(config, pipeline).sharing(store);
    let there = place.count(pipeline.source.broker(), &books, &Said::default());
    let there = there.map_err(|error| open_fail(&pipeline.name, error).words());
    let warning = |why: &String| {
        note!("warning: pipelines.{}.dead_letter: letters are not counted: {why}", pipeline.name);
    };
    let there = there.inspect_err(warning).ok()?;
    // Those that the broker did not take.
    let status = store.status(&pipeline.name, None, None);
    let here = if pipeline.dead_letters.is_redrive() { 0 } else { status.map_or(0, |s| s.dead_letters) };
    Some(there.saturating_add(here))
}
