//! Letters that a broker has taken, or never will, or may take later: who is told of each.

use pelton_core::Letter;
use pelton_core::ports::{DeadLetters, ErrorClass};

/// Where a letter is, or is not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it.
    There,
    /// The broker never takes it.
    Refused,
    /// It is to be sent again.
    Unsent,
}

/// Has the ledger note the letters that the broker has, and keep those that it refuses.
pub async fn settle(
    batch: &[Letter],
    fates: Vec<Fate>,
    noted: &dyn DeadLetters,
    otherwise: &dyn DeadLetters,
) -> Vec<Result<(), ErrorClass>> {
    let of = |fate: Fate| {
        let these = batch.iter().zip(&fates).filter(|(_, its)| **its == fate);
        these.map(|(letter, _)| letter.clone()).collect::<Vec<_>>()
    };
    let mut there = stored(noted, of(Fate::There)).await;
    let mut kept = stored(otherwise, of(Fate::Refused)).await;
    let result = |fate| match fate {
        Fate::There => there.next(),
        Fate::Refused => kept.next(),
        Fate::Unsent => None,
    };
    fates.into_iter().map(result).map(|known| known.unwrap_or(Err(ErrorClass::Transient))).collect()
}

async fn stored(
    port: &dyn DeadLetters,
    letters: Vec<Letter>,
) -> std::vec::IntoIter<Result<(), ErrorClass>> {
    if letters.is_empty() { Vec::new().into_iter() } else { port.publish(letters).await.into_iter() }
}
