//! Cores that break one invariant each, to show that the checker sees it.

/// How the core's commands, or what it is told, are tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// 1: the broker is told before the ledger.
    AcksBeforeCompleting,
    /// 2: a letter is never written, and its original acknowledged.
    LosesLetters,
    /// 3: leases are not looked at.
    IgnoresLeases,
    /// 4: the newest receipt is committed, whatever is open before it.
    CommitsTooFar,
    /// 5: a delivery is dropped.
    DropsDeliveries,
    /// 6: starts are not counted.
    DoesNotCount,
    /// 7: claims of failed attempts stay.
    NeverReleases,
    /// 8: lanes are not kept.
    IgnoresLanes,
    /// 9: twice as much is asked for as there is room.
    IgnoresLimits,
    /// 11: letters name the handler that is there when they are written.
    NamesTheNewest,
    /// 12: what others received is believed whole, and leaves no start here.
    BelievesReceives,
    /// 13: what is behind a message in its lane does not wait for that to commit.
    CommitsOutOfOrder,
    /// 14: the ledger does not see whether what was read still stands.
    LooksAtNoStamp,
    /// 15: the ledger commits what it can of a call.
    CommitsHalfOfACall,
    /// 16: what was staged is kept, whatever has become of its message.
    KeepsWhatWasStaged,
    /// 17: the rate of the pipeline is not kept.
    IgnoresRates,
    /// 18: the rate of a key is not kept.
    IgnoresKeyRates,
    /// 19: nobody tells it what an operator wants.
    IgnoresPauses,
    /// 20: it has no breaker.
    IgnoresBreakers,
    /// 21: what fails while the breaker is open is an attempt.
    CountsWhatIsExcused,
}

impl Mutant {
    /// One for each invariant; the place is its number less one.
    pub const ALL: [Self; 9] = [
        Self::AcksBeforeCompleting,
        Self::LosesLetters,
        Self::IgnoresLeases,
        Self::CommitsTooFar,
        Self::DropsDeliveries,
        Self::DoesNotCount,
        Self::NeverReleases,
        Self::IgnoresLanes,
        Self::IgnoresLimits,
    ];

    /// One for each rule from the eleventh on.
    pub const MORE: [Self; 11] = [
        Self::NamesTheNewest,
        Self::BelievesReceives,
        Self::CommitsOutOfOrder,
        Self::LooksAtNoStamp,
        Self::CommitsHalfOfACall,
        Self::KeepsWhatWasStaged,
        Self::IgnoresRates,
        Self::IgnoresKeyRates,
        Self::IgnoresPauses,
        Self::IgnoresBreakers,
        Self::CountsWhatIsExcused,
    ];
}
