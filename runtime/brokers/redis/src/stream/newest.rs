//! Whether what comes as new has been here before: a group can be set back, and the ledger passes over what
//! is done with without a word.

use super::Stream;
use super::read::Entries;
use crate::fields::EntryId;
use pelton_core::contain::contain;

/// Entries of a page that the ledger is asked for: those before them may have failed.
const ASKED: usize = 50;

/// What came last as new. A group hands out ever larger ids, until somebody sets it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    /// Nothing yet, of this process: only the ledger knows what came before.
    Unknown,
    /// Nothing yet of a stream that is another one, or has lost entries, which was said.
    OfAnother,
    /// This one.
    Entry(EntryId),
}

impl Newest {
    /// Sees what comes as new, and says it when it is not.
    pub async fn see(&mut self, stream: &Stream, entries: &Entries) {
        let ids: Vec<EntryId> = entries.iter().filter_map(|(id, _)| EntryId::parse(id)).collect();
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return };
        let before = std::mem::replace(self, Self::Entry(*last));
        let was_here = match before {
            Self::OfAnother => false,
            Self::Entry(before) if before < *first => false,
            // What is known by keys of its own may be done with, too.
            Self::Entry(_) => completed(stream, &ids).await.unwrap_or(true),
            Self::Unknown => completed(stream, &ids).await == Some(true),
        };
        if was_here {
            warn(stream, *first);
        }
    }
}

async fn completed(stream: &Stream, ids: &[EntryId]) -> Option<bool> {
    let ask = stream.options.completed.clone();
    let ids: Vec<String> =
        ids.iter().take(ASKED).map(|id| format!("{}/{id}", stream.options.stream)).collect();
    let asked = tokio::task::spawn_blocking(move || contain(|| ask(&ids))).await.ok()?;
    asked.unwrap_or_else(|panicked| panicked.resume())
}

fn warn(stream: &Stream, first: EntryId) {
    let (pipeline, options) = (&*stream.shared.pipeline, &stream.options);
    tracing::warn!(
        pipeline,
        stream = options.stream,
        group = options.group,
        first = %first,
        "the group was set back: entries come as new that were here before. Those that the ledger has \
         completed are duplicates, \
         and pass without being handled. To handle them again: `pelton replay {pipeline} --from-id {first} \
         --redo`, or for \
         single ones `pelton ledger forget {pipeline} KEY`"
    );
}
