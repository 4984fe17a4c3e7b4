//! `pelton test`: a project's own unit tests, then its cases on the real component.

use crate::cli::TestArgs;
use crate::exit::{Fail, REFUSED};
use crate::harness::time;
use crate::output;
use crate::project::cases::{Case, Ran, Runner, read_all};
use crate::project::grants::{ProjectGrants, Uses};
use crate::project::sql::{self, CaseDatabase, TrialDatabase};
use crate::project::{Project, build, install, limits, shell};
use pelton_core::shown::path as shown_path;
use serde_json::{Value, json};
use std::path::Path;

/// Runs all there is; the exit code is 1 when anything fails.
pub fn test(args: &TestArgs) -> Result<u8, Fail> {
    let project = Project::find(&args.dir)?.tried_as(args.pipeline.as_ref());
    limits::has_pipeline(&project)?;
    let name = &project.manifest.name;
    // Before what takes long: a case that cannot be read is found at once.
    let mut cases = read_all(&project.dir, name)?;
    if let Some(only) = &args.only {
        cases.retain(|case| case.name.contains(only));
        if cases.is_empty() {
            return Err(Fail::usage(format!("no case has \"{only}\" in its name")));
        }
    }
    if !args.no_build || args.only.is_none() {
        install::ready(&project, args.install)?;
    }
    if !args.no_build {
        limits::warn_if_watched(&project);
        print(args, &format!("building: {}", project.manifest.build));
        build::build(&project)?;
    }
    let units = units(&project, args)?;
    // Before the runner, whose handlers run their statements in it.
    let database = database(&project, args, &cases)?;
    let mut runner = Runner::new(&project, &cases, database.as_ref().map(|(cases, _)| cases))?;
    let mut ran = Vec::new();
    let mut file = None;
    for case in &cases {
        if file != Some(&case.file) {
            print(args, "");
            print(args, &format!("cases: {}", shown_path(&case.file)));
            file = Some(&case.file);
        }
        let one = runner.run(case)?;
        show(args, case, &one);
        ran.push(one);
    }
    let failed = ran.iter().filter(|one| !one.problems.is_empty()).count();
    let good = failed == 0 && units != Some(false);
    if args.json {
        output::json(&as_json(&project, units, &cases, &ran));
    } else {
        summary(units, cases.len(), failed);
    }
    Ok(if good { 0 } else { REFUSED })
}

/// The database of the cases, where the handler runs statements, with the server that may be its own.
fn database(
    project: &Project,
    args: &TestArgs,
    cases: &[Case],
) -> Result<Option<(CaseDatabase, TrialDatabase)>, Fail> {
    let grants = ProjectGrants::of(project, &Uses::default()).map_err(Fail::refused)?;
    let says = || project.manifest.sql.is_some() || cases.iter().any(|case| !case.effects.sql.is_empty());
    // Where no pipeline says it, the project does.
    let Some(name) = grants.database().filter(|_| !cases.is_empty() && (!grants.is_open() || says()))
    else {
        return Ok(None);
    };
    let found = TrialDatabase::find(&args.sql, None)?.ok_or_else(|| sql::nowhere("test"))?;
    let home = sql::home(project, name, &found.url)?;
    print(args, "");
    print(args, &format!("database: {}; what a case does there is rolled back", sql::named(&home, &found)));
    let opened = CaseDatabase::open(project, &home, limits::spec(project).timeout)?;
    Ok(Some((opened, found)))
}

/// Whether the language's own tests hold; none, where there are none or they are not asked for.
fn units(project: &Project, args: &TestArgs) -> Result<Option<bool>, Fail> {
    let Some(line) = project.manifest.test.as_ref().filter(|_| args.only.is_none()) else {
        return Ok(None);
    };
    print(args, &format!("unit tests: {line}"));
    Ok(Some(shell::run(project, line)?.success()))
}

/// For people; nothing on standard output where a program reads it.
fn print(args: &TestArgs, text: &str) {
    if args.json { note!("{text}") } else { say!("{text}") }
}

fn show(args: &TestArgs, case: &Case, ran: &Ran) {
    let took = time(ran.took);
    if ran.problems.is_empty() {
        return print(args, &format!("  ok      {} ({took})", case.name));
    }
    print(args, &format!("  FAILED  {} ({took})", case.name));
    for line in ran.problems.iter().flat_map(|text| text.lines()) {
        print(args, &format!("          {line}"));
    }
    for line in &ran.logs {
        print(args, &format!("          {:<7} {}", line.stream, line.text));
    }
}

fn summary(units: Option<bool>, count: usize, failed: usize) {
    let units = match units {
        Some(true) => "unit tests passed; ",
        Some(false) => "unit tests FAILED; ",
        None => "",
    };
    let cases = match (count, failed) {
        (0, _) => "there are no cases: write some into tests/*.toml".to_owned(),
        (count, 0) => format!("{count} cases passed"),
        (count, failed) => format!("{failed} of {count} cases FAILED"),
    };
    say!("");
    say!("{units}{cases}");
}

fn as_json(project: &Project, units: Option<bool>, cases: &[Case], ran: &[Ran]) -> Value {
    let file = |path: &Path| path.display().to_string();
    let one = |(case, ran): (&Case, &Ran)| {
        let lines: Vec<Value> = ran
            .logs
            .iter()
            .map(|line| json!({ "stream": line.stream, "message_id": line.message_id, "text": line.text }))
            .collect();
        json!({
            "file": file(&case.file), "name": case.name, "ok": ran.problems.is_empty(),
            "problems": ran.problems, "took_us": ran.took.as_secs_f64() * 1e6, "logs": lines,
        })
    };
    let failed = ran.iter().filter(|one| !one.problems.is_empty()).count();
    json!({
        "name": project.manifest.name, "language": project.manifest.language, "unit_tests_ok": units,
        "passed": ran.len() - failed, "failed": failed,
        "cases": cases.iter().zip(ran).map(one).collect::<Vec<_>>(),
    })
}
