//! Letters in the database of a ledger: their numbers are told from those of the data directory.

use pelton_core::broker::{LetterQuery, LetterReader, OpenError};
use pelton_core::database::LETTER_PREFIX;
use pelton_core::letter::{LetterId, StoredLetter};

/// A reader whose letters have numbers, as one whose letters have the ids that commands show.
pub struct Numbered(pub Box<dyn LetterReader>);

fn shown(id: &LetterId) -> LetterId {
    match id {
        LetterId::Number(number) => LetterId::Message(format!("{LETTER_PREFIX}{number}")),
        LetterId::Place { .. } | LetterId::Message(_) => id.clone(),
    }
}

fn number(id: &LetterId) -> LetterId {
    let number = match id {
        LetterId::Message(text) => text.strip_prefix(LETTER_PREFIX).and_then(|text| text.parse().ok()),
        LetterId::Number(_) | LetterId::Place { .. } => None,
    };
    // A number is one of the data directory: no letter here has such an id.
    number.map_or_else(|| LetterId::Message(String::new()), LetterId::Number)
}

impl LetterReader for Numbered {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let id = query.id.as_ref().map(number);
        self.0.begin(&LetterQuery { id, ..query.clone() })
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let mut page = self.0.next(limit)?;
        page.iter_mut().for_each(|letter| letter.id = shown(&letter.id));
        Ok(page)
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let numbered: Vec<StoredLetter> = letters
            .iter()
            .map(|letter| StoredLetter { id: number(&letter.id), ..letter.clone() })
            .collect();
        self.0.remove(&numbered)
    }

    fn end(&mut self) {
        self.0.end();
    }
}
