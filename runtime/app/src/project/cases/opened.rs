//! The messages of a case as its handler sees them, where the pipeline has them decoded; and those that no
//! handler sees.

use super::judge;
use super::read::Wanted;
use crate::exit::Fail;
use crate::harness::{Answered, Decoding, Given, told};
use pelton_core::ports::Decoded;

/// What became of the messages of a step before the handler.
pub struct Opened {
    /// Those that are handed over, in their order.
    pub handed: Vec<(Given, Wanted)>,
    /// What became of each message of the step.
    fates: Vec<Fate>,
}

enum Fate {
    Handed,
    Invalid(String),
    Skipped,
}

impl Opened {
    /// Decodes a step as a worker would.
    ///
    /// # Errors
    /// Whoever has to be asked for that does not answer.
    pub fn of(step: &[(Given, Wanted)], decoding: Option<&Decoding>) -> Result<Self, Fail> {
        let raw: Vec<&Given> =
            step.iter().filter(|(_, wanted)| !wanted.decoded).map(|(one, _)| one).collect();
        let messages = raw.iter().map(|given| given.message()).collect();
        let decoded = decoding.map(|decoding| decoding.decode(messages)).transpose()?;
        let mut decoded = decoded.into_iter().flatten();
        let mut opened = Self { handed: Vec::new(), fates: Vec::new() };
        for (given, wanted) in step {
            let one = if wanted.decoded { None } else { decoded.next() };
            let seen = match one {
                None | Some(Decoded::AsItIs) => None,
                Some(Decoded::Seen(message)) => Some(message),
                Some(Decoded::Nothing) => {
                    opened.fates.push(Fate::Skipped);
                    continue;
                }
                Some(Decoded::Invalid(why)) => {
                    opened.fates.push(Fate::Invalid(why));
                    continue;
                }
            };
            opened.handed.push((Given { seen, ..given.clone() }, wanted.clone()));
            opened.fates.push(Fate::Handed);
        }
        Ok(opened)
    }

    /// What is wrong with each message of the step; none where nothing is.
    pub fn problems(&self, step: &[(Given, Wanted)], answered: &Answered) -> Vec<Option<String>> {
        let mut outcomes = answered.outcomes.iter();
        let problem = |((given, wanted), fate): (&(Given, Wanted), &Fate)| {
            let got = match fate {
                Fate::Handed => outcomes.next().map(told),
                Fate::Invalid(why) => Some(("invalid", Some(why.as_str()), None)),
                Fate::Skipped => Some(("skipped", None, None)),
            };
            let outcome = got.and_then(|got| judge::outcome(wanted, got));
            outcome.or_else(|| judge::lines_of(wanted, &given.id, &answered.logs))
        };
        step.iter().zip(&self.fates).map(problem).collect()
    }
}
