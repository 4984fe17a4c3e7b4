//! The dead letters of a pipeline, wherever they are kept.

mod back;
mod keys;
pub mod letter;
mod numbered;
mod refused;
mod stored;

use crate::commands::fleet::FleetLedger;
use crate::commands::{Home, books};
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::progress::Progress;
use crate::worker::assemble::{database_fail, open_fail};
use crate::worker::store::store_fail;
use back::Back;
use keys::{KeyedLetter, LetterKeys};
use numbered::Numbered;
use pelton_core::broker::{DeadLetterPlace, LetterQuery, LetterReader, Listener, OpenError};
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
    /// take. Behind that are places of some causes there. Nothing where all are left to the broker.
    here: Vec<StoredLetters<'c>>,
    /// Where brokers keep them, or the database of the ledger.
    there: Vec<Box<dyn LetterReader + 'c>>,
    /// Whose page was given last.
    given: KeptBy,
    /// What targets of its outbox have refused.
    refused: RefusedLetters<'c>,
    leaves_outbox: bool,
    gives_new_keys: bool,
    back: Back<'c>,
    keys: LetterKeys<'c>,
    config: &'c Config,
    /// Opened when a letter goes back into a queue: its message has the id that it had.
    fleet: Option<FleetLedger<'c>>,
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
        let mut there: Vec<Box<dyn LetterReader>> = Vec::new();
        for place in pipeline.letter_places() {
            if let Some(place) = place.place() {
                let reader = place.reader(pipeline.source.broker(), &pipeline.name, books.clone(), heard);
                there.push(reader.map_err(|error| open_fail(&pipeline.name, error))?);
            }
            if place.database().is_some() {
                there.extend(database_letters(pipeline)?);
            }
        }
        let here = StoredLetters::all(pipeline, &store);
        let refused = RefusedLetters::of(pipeline, Home::beside(store, pipeline)?);
        let (back, keys) = (Back::of(pipeline, books), LetterKeys::of(pipeline));
        let (leaves_outbox, gives_new_keys, fleet) = (false, false, None);
        let given = KeptBy::Outbox;
        Ok(Self {
            pipeline,
            here,
            there,
            given,
            refused,
            leaves_outbox,
            gives_new_keys,
            back,
            keys,
            config,
            fleet,
        })
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
        self.there.iter_mut().for_each(|there| there.end());
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
        let here = (0..self.here.len()).map(KeptBy::Here);
        let all = here.clone().chain((0..self.there.len()).map(KeptBy::There));
        let places: Vec<KeptBy> = match query.id {
            _ if is_of_outbox => vec![KeptBy::Outbox],
            Some(LetterId::Number(_)) if !self.here.is_empty() => here.take(1).collect(),
            _ if self.leaves_outbox => all.collect(),
            _ => all.chain([KeptBy::Outbox]).collect(),
        };
        let begun: Vec<_> = places.into_iter().map(|place| (place, self.begin(place, query))).collect();
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
                self.given = place;
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
            KeptBy::Here(number) => self.here.get_mut(number).map(|here| here as &mut dyn LetterReader),
            KeptBy::There(number) => match self.there.get_mut(number) {
                Some(there) => Some(&mut **there),
                None => None,
            },
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
        if letters.is_empty() {
            return Ok(0);
        }
        if let KeptBy::Outbox = self.given {
            return self.send_again(&letters);
        }
        let keys = self.keys_of(&letters)?;
        // Whoever keeps them now: when they fail again it may be another.
        self.there.iter_mut().for_each(|there| there.goes_back(&letters));
        let letters: Vec<KeyedLetter> = letters.into_iter().zip(keys).collect();
        self.open_again(&letters)?;
        if let (KeptBy::Here(number), true) = (self.given, self.back.is_here())
            && let Some(here) = self.here.get(number)
        {
            return Ok(here.replay(letters)?);
        }
        let (gone, refused) = self.back.put(letters)?;
        let count = self.purge(&gone)?;
        refused.map(|()| count)
    }

    /// What the ledger knows their messages by. Only the books of a queue here ask for it.
    fn keys_of(&self, letters: &[StoredLetter]) -> Result<Vec<Option<Vec<u8>>>, Fail> {
        if self.back.is_here() { self.keys.ledger_keys(letters) } else { Ok(vec![None; letters.len()]) }
    }

    /// The dedup key of a letter, as `pelton ledger` takes it.
    pub fn dedup_key(&self, letter: &StoredLetter) -> Option<String> {
        self.keys.shown(letter)
    }

    /// A message that goes back into an embedded queue is the one that it was: a ledger in a database
    /// forgets it first. Brokers make another of it.
    fn open_again(&mut self, letters: &[KeyedLetter]) -> Outcome {
        if !self.back.is_here() {
            return Ok(());
        }
        if self.fleet.is_none() {
            self.fleet = FleetLedger::open(self.config, self.pipeline)?;
        }
        let Some(fleet) = &mut self.fleet else { return Ok(()) };
        for (letter, key) in letters {
            fleet.forget(key.as_deref().unwrap_or(letter.message_id.as_bytes()))?;
        }
        Ok(())
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
        self.refused.replay(letters).map_err(|error| self.fail(error))
    }

    /// How many letters of the outbox are not met.
    pub fn left(&self) -> Result<u64, Fail> {
        if self.leaves_outbox { self.refused.count().map_err(|error| self.fail(error)) } else { Ok(0) }
    }

    /// Removes letters of a page for good; how many were still there.
    pub fn purge(&mut self, letters: &[StoredLetter]) -> Result<u64, Fail> {
        if letters.is_empty() {
            return Ok(0);
        }
        let removed = self.at(self.given).map_or(Ok(0), |reader| reader.remove(letters));
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

/// Those that the database of the ledger keeps.
fn database_letters(pipeline: &PipelineConfig) -> Result<Option<Box<dyn LetterReader>>, Fail> {
    let Some(home) = pipeline.ledger.home.as_ref() else { return Ok(None) };
    let letters = home.database.books().and_then(|books| books.letters(&pipeline.ledger.name));
    let numbered = |letters| Some(Box::new(Numbered(letters)) as Box<dyn LetterReader>);
    letters.map(numbered).map_err(|error| database_fail(pipeline, error))
}

/// The time that it failed: each letter of a message has another.
fn give_new_key(letter: &mut StoredLetter) {
    letter.headers.retain(|header| header.name != NEW_KEY);
    letter.headers.push(Header::new(NEW_KEY, letter.failed_at_ms.to_string()));
}

/// Who keeps letters; of several by number.
#[derive(Clone, Copy)]
enum KeptBy {
    Here(usize),
    There(usize),
    Outbox,
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
    let places = pipeline.letter_places();
    if places.iter().all(|place| place.place().is_none()) {
        return None;
    }
    let books = books(config, pipeline).sharing(store);
    let of = |place: &dyn DeadLetterPlace| {
        let count = place.count(pipeline.source.broker(), &books, &Said::default());
        count.map_err(|error| open_fail(&pipeline.name, error).words())
    };
    let there = places.iter().filter_map(|place| place.place()).map(of);
    // What is here is also what a broker did not take.
    let here = StoredLetters::all(pipeline, store);
    let here = here.iter().map(|here| here.count().map_err(|error| error.to_string()));
    let counted = there.chain(here).sum::<Result<u64, String>>();
    let warning = |why: &String| {
        note!("warning: pipelines.{}.dead_letter: letters are not counted: {why}", pipeline.name);
    };
    counted.inspect_err(warning).ok()
}
