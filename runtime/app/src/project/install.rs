//! What a project lacks on this machine: said, and installed when somebody says so. Only lines that were
//! shown are run.

use super::tools::{Missing, Remedy};
use super::{Project, shell, tools};
use crate::exit::Fail;
use crate::input;
use crate::output;
use pelton_core::shown::path as shown_path;
use std::io::IsTerminal;

/// Sees that all is there which building and testing needs. With `install` what is missing is installed;
/// without, somebody at a terminal is asked.
///
/// # Errors
/// With the code 1: what is missing, and what to type; or a line that failed.
pub fn ready(project: &Project, install: bool) -> Result<(), Fail> {
    let missing = tools::missing(project);
    if missing.is_empty() {
        return Ok(());
    }
    let Some(lines) = lines(&missing).filter(|lines| install || is_wanted(project, &missing, lines)) else {
        return Err(refusal(project, &missing, install));
    };
    for line in lines {
        run(project, line)?;
    }
    let left = tools::missing(project);
    if left.is_empty() { Ok(()) } else { Err(refusal(project, &left, false)) }
}

/// What to type before the first build, if anything, and whether `pelton build --install` does it.
pub fn steps(project: &Project) -> (Vec<String>, bool) {
    let missing = tools::missing(project);
    let is_run = lines(&missing).is_some_and(|lines| !lines.is_empty());
    let mut all: Vec<String> = missing.iter().map(|missing| missing.remedy.text().to_owned()).collect();
    all.dedup();
    (all, is_run)
}

/// The lines that install all of it; none when something is to be done by hand, which may come first.
fn lines(missing: &[Missing]) -> Option<Vec<&str>> {
    let mut lines = Vec::new();
    for one in missing {
        match &one.remedy {
            Remedy::Line(line) => lines.push(line.as_str()),
            Remedy::Words(_) => return None,
        }
    }
    // Each once.
    lines.dedup();
    Some(lines)
}

/// Asks on a terminal; elsewhere nobody is there to say so.
fn is_wanted(project: &Project, missing: &[Missing], lines: &[&str]) -> bool {
    if !(std::io::stdin().is_terminal() && output::is_terminal_error()) {
        return false;
    }
    missing.iter().for_each(|missing| note!("{}", missing.what));
    note!("to install it, in {}:", shown_path(&project.dir));
    lines.iter().for_each(|line| note!("    {line}"));
    note!("run {} now? Type y for yes:", if lines.len() == 1 { "this line" } else { "these lines" });
    input::is_yes()
}

fn run(project: &Project, line: &str) -> Result<(), Fail> {
    note!("installing: {line}");
    let status = shell::run(project, line)?;
    if status.success() {
        return Ok(());
    }
    Err(Fail::refused(format!(
        "installing failed: `{line}` ended with {status}; what it printed is above. Mend that, then type \
         `pelton build --install` again, or the line itself in {}",
        shown_path(&project.dir)
    )))
}

fn refusal(project: &Project, missing: &[Missing], asked: bool) -> Fail {
    let dir = shown_path(&project.dir);
    let fail = Fail::refused(format!("this project cannot be built here yet, in {dir}:"));
    let mut said: Vec<String> = missing
        .iter()
        .flat_map(|one| [format!("  {}; to install it:", one.what), format!("      {}", one.remedy.text())])
        .collect();
    match lines(missing) {
        Some(lines) => {
            let them = if lines.len() == 1 { "this line" } else { "these lines" };
            said.push(format!("`pelton build --install` runs {them}"));
        }
        None if asked => said.push(
            "nothing was installed: not all of it is a line that could be run. Do that first, then ask again"
                .to_owned(),
        ),
        None => {}
    }
    fail.with(said)
}
