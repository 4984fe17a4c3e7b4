//! Databases, and what a core is told of them, that break one rule each.

/// What is broken of the database, or of what is told to a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetMutant {
    /// 17: whoever completes is believed.
    CompletesUnfenced,
    /// 17: a COMMIT without an answer is taken for one that came to nothing.
    RunsAgainWhatIsInDoubt,
    /// 18: it is taken for one that came to pass.
    BelievesWhatIsInDoubt,
    /// 18: the COMMIT of a transaction that was aborted is taken for good.
    BelievesAnAbortedCommit,
    /// 18: what another worker has is taken for done.
    AcksWhatIsElsewhere,
    /// 19: claims of workers that live are taken over.
    TakesOverTheLiving,
    /// 20: the starts of a worker that died are forgotten.
    ForgetsStartsOfOthers,
    /// 13: what is behind a message in its lane does not wait for that to commit.
    CommitsOutOfOrder,
    /// 8: lanes are not kept.
    IgnoresLanes,
}

impl FleetMutant {
    /// Each with the rule that catches it.
    pub const ALL: [(u8, Self); 9] = [
        (17, Self::CompletesUnfenced),
        (17, Self::RunsAgainWhatIsInDoubt),
        (18, Self::BelievesWhatIsInDoubt),
        (18, Self::BelievesAnAbortedCommit),
        (18, Self::AcksWhatIsElsewhere),
        (19, Self::TakesOverTheLiving),
        (20, Self::ForgetsStartsOfOthers),
        (13, Self::CommitsOutOfOrder),
        (8, Self::IgnoresLanes),
    ];
}
