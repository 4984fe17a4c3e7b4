//! `pelton state`: the key-value state of a pipeline's handler, beside a worker that may be running.

mod lines;

use super::encoded::text_or_base64;
use super::{Home, find, load, open_beside, table};
use crate::cli::{StateCommand, StoreOf};
use crate::config::{Config, OWN_STORE, PipelineConfig};
use crate::exit::{Fail, Outcome, is_read};
use crate::input::{self, Unread};
use crate::output;
use crate::worker::assemble::open_fail;
use pelton_core::broker::OpenError;
use pelton_core::effects::{Bucket, StateEntry};
use pelton_core::shown::{Keep, path as shown_path, shown};
use serde_json::{Value, json};
use std::path::Path;

/// Keys that are read at once.
const PAGE: usize = 1_000;
/// Bytes of a key and of a value, at most: as for handlers.
const KEY_BYTES: usize = 512;
const VALUE_BYTES: usize = 1 << 20;
/// Bytes of a key that are shown in a sentence.
const WORD: usize = 512;

/// Performs one of its commands.
pub fn state(file: &Path, command: &StateCommand) -> Outcome {
    let config = load(file)?;
    let asked = Asked::open(&config, command.of())?;
    match command {
        StateCommand::List { json, .. } => asked.list(*json),
        StateCommand::Get { key, file, json, .. } => asked.get(key, file.as_deref(), *json),
        StateCommand::Set { key, value, file, .. } => asked.set(key, value.as_deref(), file.as_deref()),
        StateCommand::Delete { key, .. } => match key {
            Some(key) => asked.delete(key),
            None => asked.delete_all(),
        },
        StateCommand::Export { .. } => asked.export(),
        StateCommand::Import { lines, .. } => asked.import(lines),
    }
}

/// What is asked of which store.
struct Asked<'c> {
    pipeline: &'c PipelineConfig,
    name: &'c str,
    home: Home<'c>,
    /// Bytes that the store may hold, at most.
    max_bytes: Option<u64>,
}

impl<'c> Asked<'c> {
    fn open(config: &'c Config, of: &'c StoreOf) -> Result<Self, Fail> {
        let pipeline = find(config, &of.pipeline)?;
        let name = of.store.as_str();
        if name != OWN_STORE && !config.stores.iter().any(|store| store.name == name) {
            let shared = config.stores.iter().map(|store| store.name.as_str());
            let all: Vec<&str> = [OWN_STORE].into_iter().chain(shared).collect();
            return Err(Fail::usage(format!(
                "there is no store `{}`; the configuration has {}",
                shown(name).at_most(WORD),
                all.join(", ")
            )));
        }
        let home = match of.data_dir {
            true => Home::in_data_dir(open_beside(config)?, &pipeline.name),
            false => Home::open(config, pipeline)?,
        };
        let max_bytes =
            config.stores.iter().find(|store| store.name == name).and_then(|store| store.max_bytes);
        Ok(Self { pipeline, name, home, max_bytes })
    }

    fn is_shared(&self) -> bool {
        self.name != OWN_STORE
    }

    /// Whose it is; nobody's where it is shared.
    fn owner(&self) -> Option<&'c str> {
        (!self.is_shared()).then_some(self.home.owner)
    }

    fn fail(&self) -> impl Fn(OpenError) -> Fail + 'c {
        let name = &*self.pipeline.name;
        move |error| open_fail(name, error)
    }

    /// None when nobody has written there yet.
    fn known(&self) -> Result<Option<Bucket>, Fail> {
        self.home.books.known_bucket(self.owner(), self.name).map_err(self.fail())
    }

    /// Made when it is not there yet.
    fn made(&self) -> Result<Bucket, Fail> {
        if !self.pipeline.grants.state.iter().any(|granted| granted == self.name) {
            note!(
                "warning: `{}` does not grant its handler the store `{}`, so that it does not see what is \
                 written here; see `grants.state`",
                self.pipeline.name,
                self.name
            );
        }
        self.home.books.make_bucket(self.owner(), self.name).map_err(self.fail())
    }

    /// `the store default of orders`.
    fn place(&self) -> String {
        if self.is_shared() {
            format!("the store {}", self.name)
        } else {
            format!("the store {} of {}", self.name, self.pipeline.name)
        }
    }

    fn list(&self, json: bool) -> Outcome {
        let (mut after, mut count) = (None::<Vec<u8>>, 0);
        if let Some(bucket) = self.known()? {
            loop {
                let page =
                    self.home.books.state_keys(bucket, after.as_deref(), PAGE).map_err(self.fail())?;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                count += page.len();
                for key in page {
                    if json {
                        output::json(&json_of_key(&key));
                    } else {
                        say!("{}", shown(&key));
                    }
                }
                is_read()?;
            }
        }
        if count == 0 && !json {
            say!("{} has no keys", self.place());
        }
        self.says_how_full()
    }

    /// Of a store that has a bound.
    fn says_how_full(&self) -> Outcome {
        let Some(max) = self.max_bytes else { return Ok(()) };
        let bytes = match self.known()? {
            Some(bucket) => self.home.books.state_size(bucket).map_err(self.fail())?,
            None => 0,
        };
        let (bytes, max) = (table::number(bytes), table::number(max));
        note!("{} holds {bytes} bytes of keys and values, of {max} at most", self.place());
        Ok(())
    }

    fn get(&self, key: &str, file: Option<&Path>, json: bool) -> Outcome {
        let value = match self.known()? {
            Some(bucket) => self.home.books.state_get(bucket, key.as_bytes()).map_err(self.fail())?,
            None => None,
        };
        let value = value.ok_or_else(|| self.missing(key))?;
        if let Some(file) = file {
            let failed = |error| Fail::refused(format!("{} cannot be written: {error}", shown_path(file)));
            std::fs::write(file, &value).map_err(failed)?;
            note!("wrote {} bytes to {}", value.len(), shown_path(file));
        } else if json {
            output::json(&json_of(key.as_bytes(), &value));
        } else {
            let text = std::str::from_utf8(&value).map_err(|_| {
                Fail::refused(format!(
                    "the value has {} bytes, which are no text: say --file FILE to have them in a file, or \
                     --json",
                    value.len()
                ))
            })?;
            say!("{}", shown(text).keeping(Keep::Lines));
        }
        Ok(())
    }

    fn missing(&self, key: &str) -> Fail {
        let key = shown(key).at_most(WORD);
        Fail::refused(format!(
            "{} has no key `{key}`; `pelton state list {}` shows those there are",
            self.place(),
            self.pipeline.name
        ))
    }

    fn set(&self, key: &str, value: Option<&str>, file: Option<&Path>) -> Outcome {
        is_key(key.as_bytes()).map_err(Fail::usage)?;
        let value = match (value, file) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, file) => read(file)?,
        };
        is_value(&value).map_err(Fail::refused)?;
        let entry = StateEntry { key: key.as_bytes().to_vec(), value };
        let bucket = self.made()?;
        self.home.books.state_set(bucket, std::slice::from_ref(&entry)).map_err(self.fail())?;
        say!("set `{}` in {}", shown(key).at_most(WORD), self.place());
        Ok(())
    }

    fn delete(&self, key: &str) -> Outcome {
        let gone = match self.known()? {
            Some(bucket) => {
                let keys = [key.as_bytes().to_vec()];
                self.home.books.state_delete(bucket, &keys).map_err(self.fail())?
            }
            None => 0,
        };
        if gone == 0 {
            return Err(self.missing(key));
        }
        say!("removed `{}` from {}", shown(key).at_most(WORD), self.place());
        Ok(())
    }

    fn delete_all(&self) -> Outcome {
        let mut gone = 0;
        if let Some(bucket) = self.known()? {
            loop {
                let keys = self.home.books.state_keys(bucket, None, PAGE).map_err(self.fail())?;
                if keys.is_empty() {
                    break;
                }
                gone += self.home.books.state_delete(bucket, &keys).map_err(self.fail())?;
            }
        }
        let keys = if gone == 1 { "key" } else { "keys" };
        say!("removed {} {keys} from {}", table::number(gone), self.place());
        Ok(())
    }

    fn export(&self) -> Outcome {
        let Some(bucket) = self.known()? else { return Ok(()) };
        let mut after = None::<Vec<u8>>;
        loop {
            let page =
                self.home.books.state_entries(bucket, after.as_deref(), PAGE).map_err(self.fail())?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            page.iter().for_each(|entry| output::json(&json_of(&entry.key, &entry.value)));
            is_read()?;
        }
    }

    fn import(&self, file: &Path) -> Outcome {
        let mut lines = lines::StateLines::open(file)?;
        let bucket = self.made()?;
        let done =
            lines.each_chunk(|entries| self.home.books.state_set(bucket, entries).map_err(self.fail()));
        lines.bar.clear();
        let (set, refused) = (table::number(lines.set), table::number(lines.refused));
        if let Err(fail) = done {
            note!("{set} keys were set before that");
            return Err(fail);
        }
        say!("set {set} keys in {}", self.place());
        if lines.refused > 0 {
            return Err(Fail::refused(format!(
                "{refused} lines were refused, as said above; all others were set"
            )));
        }
        Ok(())
    }
}

/// A value from a file, or from standard input.
fn read(file: Option<&Path>) -> Result<Vec<u8>, Fail> {
    let read = match file {
        Some(path) => input::file(path, VALUE_BYTES),
        None => input::standard(VALUE_BYTES),
    };
    read.map_err(|why| {
        let name = file.map_or_else(|| "standard input".to_owned(), |path| shown_path(path).to_string());
        match why {
            Unread::TooLarge { max } => Fail::refused(format!(
                "{name} has more bytes than a value may have, which is {max}: keep the data elsewhere, and a \
                 reference to it here"
            )),
            Unread::Failed(_) => Fail::refused(format!("{name} {why}")),
        }
    })
}

/// What is wrong with a key, in words.
fn is_key(key: &[u8]) -> Result<(), String> {
    if !(1..=KEY_BYTES).contains(&key.len()) {
        return Err(format!("the key has {} bytes, and 1 to {KEY_BYTES} are allowed", key.len()));
    }
    if std::str::from_utf8(key).is_err() {
        return Err("the key is no text in UTF-8".to_owned());
    }
    Ok(())
}

/// What is wrong with a value, in words.
fn is_value(value: &[u8]) -> Result<(), String> {
    let size = value.len();
    if size > VALUE_BYTES {
        return Err(format!("the value has {size} bytes, and {VALUE_BYTES} is the most"));
    }
    Ok(())
}

fn json_of_key(key: &[u8]) -> Value {
    let (key, key_encoding) = text_or_base64(key);
    json!({ "key": key, "key_encoding": key_encoding })
}

/// A key and its value: what `export` writes and `import` reads.
fn json_of(key: &[u8], value: &[u8]) -> Value {
    let mut object = json_of_key(key);
    let (value, encoding) = text_or_base64(value);
    object["value"] = value.into();
    object["value_encoding"] = encoding.into();
    object
}
