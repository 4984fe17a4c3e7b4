//! Runs cases, one after another, on instances that stay warm as in a worker.

use super::effects::Stores;
use super::opened::Opened;
use super::read::{Case, Step, Wanted};
use super::script::Script;
use super::{judge, judge_effects, judge_sql};
use crate::exit::Fail;
use crate::harness::{Answered, Committed, Decoding, Given, Harness, Line};
use crate::project::grants::{ProjectGrants, Uses};
use crate::project::sql::CaseDatabase;
use crate::project::{Project, build, limits};
use pelton_core::Outcome;
use pelton_core::effects::Staged;
use pelton_host::{ClockSwitch, HandlerKind, HandlerSpec, Isolation, RandomSwitch};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a message runs again when what it has read no longer stands, as in a worker.
const CONFLICTS: usize = 10;

/// What became of a case.
#[derive(Debug)]
pub struct Ran {
    /// What is wrong, each over several lines; nothing when the case holds.
    pub problems: Vec<String>,
    pub logs: Vec<Line>,
    pub took: Duration,
}

/// Keeps the handlers that are loaded: one for each set of limits and configuration that cases ask for.
pub struct Runner<'p> {
    project: &'p Project,
    usual: HandlerSpec,
    grants: ProjectGrants,
    script: Arc<Script>,
    loaded: Vec<(HandlerSpec, Harness)>,
    /// What statements run in, where the handler runs any.
    database: Option<&'p CaseDatabase>,
    /// What its messages are read with before they are handed over, where the pipeline has that.
    decoding: Option<Decoding>,
}

/// Messages that are handed over together.
type Messages = [(Given, Wanted)];

impl<'p> Runner<'p> {
    /// Loads the component with the project's usual limits, and what these cases need to be granted.
    ///
    /// # Errors
    /// It is no handler, or a case cannot be granted what it wants.
    pub fn new(
        project: &'p Project,
        cases: &[Case],
        database: Option<&'p CaseDatabase>,
    ) -> Result<Self, Fail> {
        let mut grants = ProjectGrants::of(project, &uses(cases)).map_err(Fail::refused)?;
        if let Some(database) = database {
            grants.run_in(database.database());
        }
        let script: Arc<Script> = Arc::default();
        let usual = HandlerSpec {
            grants: grants.with(&BTreeMap::new(), Some(script.clone())),
            ..limits::spec(project)
        };
        let harness = build::validate(project, &usual)?;
        let pipeline = limits::pipeline(project);
        let decoding = pipeline.map(|pipeline| Decoding::of(&pipeline.config)).transpose()?.flatten();
        let loaded = vec![(usual.clone(), harness)];
        Ok(Self { project, usual, grants, script, loaded, database, decoding })
    }

    /// Runs a case to its end.
    ///
    /// # Errors
    /// The host cannot: the case is not to blame.
    pub fn run(&mut self, case: &Case) -> Result<Ran, Fail> {
        let place = self.load(case)?;
        let harness = &self.loaded[place].1;
        let mut problems = judge_effects::not_granted(&case.effects, &self.grants);
        problems.extend(self.begin(case)?);
        let mut ran = Ran { problems, logs: Vec::new(), took: Duration::ZERO };
        if !ran.problems.is_empty() && self.database.is_some() {
            return Ok(ran);
        }
        let mut committed = Committed::default();
        let many = case.steps.iter().map(Vec::len).sum::<usize>() > 1;
        let mut number = 0;
        for (step, later) in self.pieces(case, harness) {
            let opened = Opened::of(step, self.decoding.as_ref())?;
            self.script.next_delivery();
            let work = opened.handed.iter().map(|(given, _)| given.clone().work()).collect();
            let mut answered = harness.handle(work)?;
            self.commit(harness, &opened.handed, later, &mut answered, &mut committed)?;
            ran.took += answered.took;
            for (problem, place) in opened.problems(step, &answered).into_iter().zip(1..) {
                let at = if many { format!("message {}\n", number + place) } else { String::new() };
                ran.problems.extend(problem.map(|text| format!("{at}{text}")));
            }
            number += step.len();
            ran.logs.extend(answered.logs);
        }
        ran.problems.extend(self.script.problems());
        ran.problems.extend(self.effects_problems(case, &committed));
        ran.problems.extend(
            self.database.iter().flat_map(|database| judge_sql::after(&case.effects.sql, database)),
        );
        ran.problems.extend(judge::whole(case, &ran.logs, ran.took));
        Ok(ran)
    }

    /// The messages of a case as they are handed over, with those that come later. Each message of its own
    /// commits before the next one starts where it runs statements.
    fn pieces<'c>(&self, case: &'c Case, harness: &Harness) -> Vec<(&'c Messages, &'c [Step])> {
        let is_batch = harness.info().kind == HandlerKind::Batch;
        let most = if self.database.is_some() && !is_batch { 1 } else { usize::MAX };
        let steps = case.steps.iter().zip(1..);
        steps
            .flat_map(|(step, next)| step.chunks(most).map(move |piece| (piece, &case.steps[next..])))
            .collect()
    }

    /// What is wrong with what it begins with.
    fn begin(&self, case: &Case) -> Result<Vec<String>, Fail> {
        let mut entries = Vec::new();
        for (store, keys) in &case.effects.before {
            entries.extend(keys.iter().map(|(key, value)| (store.clone(), key.clone(), value.clone())));
        }
        self.grants.world.begin(entries);
        self.script.begin(&case.effects.http, self.grants.key_headers());
        let Some(database) = self.database else { return Ok(Vec::new()) };
        database.begin().map_err(|why| Fail::in_lines(&why))?;
        Ok(judge_sql::before(&case.effects.sql, database))
    }

    /// Commits what the messages of a step have staged. A message that comes again had not completed: the
    /// worker died after its handler. Nothing of what its call has staged is there then.
    fn commit(
        &self,
        harness: &Harness,
        step: &Messages,
        later: &[Step],
        answered: &mut Answered,
        committed: &mut Committed,
    ) -> Result<(), Fail> {
        let comes_again =
            |place: usize| later.iter().flatten().any(|(given, _)| given.id == step[place].0.id);
        for _ in 0..CONFLICTS {
            let mut conflicts = Vec::new();
            for (staged, places) in calls(&mut answered.outcomes) {
                if places.iter().any(|place| comes_again(*place)) {
                    continue;
                }
                if let Some(Err(why)) = self.database.map(|database| database.holds(&staged.effects)) {
                    // The ledger does the same: the transaction is rolled back, and the message fails by it.
                    for place in places {
                        answered.outcomes[place] = Outcome::Retry { reason: why.clone(), after_ms: None };
                    }
                    continue;
                }
                match self.grants.world.commit(&staged) {
                    Ok(done) => {
                        committed.add(done);
                        self.database.inspect(|database| database.keep(&staged.effects));
                    }
                    Err(_) => conflicts.extend(places),
                }
            }
            if conflicts.is_empty() {
                return Ok(());
            }
            let work = conflicts.iter().map(|place| step[*place].0.clone().work()).collect();
            let again = harness.handle(work)?;
            answered.took += again.took;
            answered.logs.extend(again.logs);
            for (place, outcome) in conflicts.into_iter().zip(again.outcomes) {
                answered.outcomes[place] = outcome;
            }
        }
        Ok(())
    }

    fn effects_problems(&self, case: &Case, committed: &Committed) -> Vec<String> {
        let mut stores = Stores::new();
        for (store, key, value) in self.grants.world.entries() {
            stores.entry(store).or_default().insert(key, value);
        }
        let state = judge_effects::state_problems(&case.effects, &stores, &committed.written);
        state.into_iter().chain(judge_effects::sent_problems(&case.effects, &committed.sent)).collect()
    }

    /// The place of the handler with what this case asks for.
    fn load(&mut self, case: &Case) -> Result<usize, Fail> {
        let mut spec = limits::within(&self.usual, case.timeout, case.memory);
        spec.grants = self.grants.with(&case.effects.config, Some(self.script.clone()));
        let given = (case.now_ms.map(Duration::from_millis), case.seed);
        if given != (None, None) {
            let grants = Arc::make_mut(&mut spec.grants);
            grants.clock = given.0.map_or(ClockSwitch::Real, ClockSwitch::Given);
            grants.random = given.1.map_or(RandomSwitch::Real, RandomSwitch::Given);
        }
        // What is given to it begins anew with each instance.
        if case.fresh || case.seed.is_some() {
            spec.isolation = Isolation::Batch;
        }
        if let Some(place) = self.loaded.iter().position(|(loaded, _)| *loaded == spec) {
            return Ok(place);
        }
        let harness = build::validate(self.project, &spec)?;
        self.loaded.push((spec, harness));
        Ok(self.loaded.len() - 1)
    }
}

/// What the cases use, for a project that no pipeline grants anything.
fn uses(cases: &[Case]) -> Uses {
    let effects = || cases.iter().map(|case| &case.effects);
    Uses {
        stores: effects().flat_map(|case| case.stores()).map(str::to_owned).collect(),
        targets: effects().flat_map(|case| &case.sent).map(|sent| sent.target.clone()).collect(),
        origins: effects().flat_map(|case| &case.http).map(|one| one.origin().to_owned()).collect(),
    }
}

/// Takes what was staged out of outcomes: for each call its effects, and the places of its messages.
fn calls(outcomes: &mut [Outcome]) -> Vec<(Staged, Vec<usize>)> {
    let mut calls: Vec<(Staged, Vec<usize>)> = Vec::new();
    for (place, outcome) in outcomes.iter_mut().enumerate() {
        let Outcome::Ok(staged) = outcome else { continue };
        let Some(staged) = staged.take() else { continue };
        match calls.iter_mut().find(|(call, _)| *call == staged) {
            Some((_, places)) => places.push(place),
            None => calls.push((staged, vec![place])),
        }
    }
    calls
}
