//! Runs cases, one after another, on instances that stay warm as in a worker.

use super::judge;
use super::read::{Case, Step};
use crate::exit::Fail;
use crate::harness::{Harness, Line};
use crate::project::{Project, build, limits};
use pelton_core::Outcome;
use pelton_host::{HandlerSpec, Isolation};
use std::time::Duration;

/// What became of a case.
#[derive(Debug)]
pub struct Ran {
    /// What is wrong, each over several lines; nothing when the case holds.
    pub problems: Vec<String>,
    pub logs: Vec<Line>,
    pub took: Duration,
}

/// Keeps the handlers that are loaded: one for each set of limits that cases ask for.
pub struct Runner<'p> {
    project: &'p Project,
    usual: HandlerSpec,
    loaded: Vec<(HandlerSpec, Harness)>,
}

impl<'p> Runner<'p> {
    /// Loads the component with the project's usual limits.
    ///
    /// # Errors
    /// It is no handler.
    pub fn new(project: &'p Project) -> Result<Self, Fail> {
        let usual = limits::spec(project);
        let harness = build::validate(project, &usual)?;
        Ok(Self { project, usual: usual.clone(), loaded: vec![(usual, harness)] })
    }

    /// Runs a case to its end.
    ///
    /// # Errors
    /// The host cannot: the case is not to blame.
    pub fn run(&mut self, case: &Case) -> Result<Ran, Fail> {
        let harness = self.harness(case)?;
        let mut ran = Ran { problems: Vec::new(), logs: Vec::new(), took: Duration::ZERO };
        let many = case.steps.iter().map(Vec::len).sum::<usize>() > 1;
        let mut number = 0;
        for step in &case.steps {
            let answered = harness.handle(step.iter().map(|(given, _)| given.clone().work()).collect())?;
            ran.took += answered.took;
            for (problem, place) in problems(step, &answered.outcomes, &answered.logs).zip(1..) {
                let at = if many { format!("message {}\n", number + place) } else { String::new() };
                ran.problems.extend(problem.map(|text| format!("{at}{text}")));
            }
            number += step.len();
            ran.logs.extend(answered.logs);
        }
        ran.problems.extend(judge::whole(case, &ran.logs, ran.took));
        Ok(ran)
    }

    fn harness(&mut self, case: &Case) -> Result<&Harness, Fail> {
        let mut spec = limits::within(&self.usual, case.timeout, case.memory);
        if case.fresh {
            spec.isolation = Isolation::Batch;
        }
        let place = match self.loaded.iter().position(|(loaded, _)| *loaded == spec) {
            Some(place) => place,
            None => {
                let harness = build::validate(self.project, &spec)?;
                self.loaded.push((spec, harness));
                self.loaded.len() - 1
            }
        };
        Ok(&self.loaded[place].1)
    }
}

fn problems<'a>(
    step: &'a Step,
    outcomes: &'a [Outcome],
    lines: &'a [Line],
) -> impl Iterator<Item = Option<String>> + 'a {
    step.iter().zip(outcomes).map(|((given, wanted), outcome)| {
        judge::outcome(wanted, outcome).or_else(|| judge::lines_of(wanted, &given.id, lines))
    })
}
