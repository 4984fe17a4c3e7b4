//! `pelton new`: a handler's project from a template.

use crate::cli::{NewArgs, ProjectKind};
use crate::exit::{Fail, Outcome};
use crate::project::template::Language;
use crate::project::{Project, install, template};
use pelton_core::shown::path as shown_path;
use std::path::Path;

/// Makes the folder and says what to type next.
pub fn new(args: &NewArgs) -> Outcome {
    let name = &args.name;
    if let Some(why) = template::misnamed(name) {
        return Err(Fail::usage(format!("the name \"{name}\" {why}; an example is order-emails")));
    }
    if args.batch && !template::has_batches(&args.language) {
        return Err(Fail::usage(format!(
            "{} has no form for batches: a command is run once for each message. Leave --batch out, or \
             take another language",
            Language::of(&args.language).words
        )));
    }
    let language = Language::of(&args.language);
    let with = template::Filling { name, kind: kind(args.kind, &language)? };
    let folder = Path::new(name);
    template::write(folder, &template::files(&args.language, with, args.batch))?;
    let project = Project::find(folder)?;
    let form = if args.batch { "batches of messages" } else { "messages" };
    say!("{name}/ is a handler of {form}, in {}. Next:", language.words);
    say!("");
    let mut steps = vec![(format!("cd {name}"), "")];
    steps.extend(missing(&project));
    steps.push((
        "pelton test".to_owned(),
        "builds it, runs its unit tests, then tests/cases.toml on the component",
    ));
    steps.push((
        "pelton dev".to_owned(),
        "builds on every save and runs it: each line you type is a message",
    ));
    let widths = steps.iter().filter(|(_, what)| !what.is_empty()).map(|(line, _)| line.len());
    let width = widths.filter(|width| *width < 30).max().unwrap_or(0);
    for (line, what) in steps {
        let what = if what.is_empty() { String::new() } else { format!("   # {what}") };
        say!("{}", format!("    {line:<width$}{what}").trim_end());
    }
    if let Some(source) = &project.manifest.source {
        say!("");
        say!("The handler is {name}/{}.", shown_path(source));
    }
    say!(
        "{name}/pelton.toml says how it is run (`pelton run`), {name}/handler.toml how it is built; \
         vendor/ holds the SDK."
    );
    Ok(())
}

/// What is to be done before the first build, where something is missing.
fn missing(project: &Project) -> Vec<(String, &'static str)> {
    let (steps, is_run) = install::steps(project);
    if is_run {
        let what = "installs what is missing on this machine; without --install it says what it would run";
        return vec![("pelton build --install".to_owned(), what)];
    }
    steps.into_iter().map(|line| (line, "what is missing on this machine")).collect()
}

/// The kind that is asked for, or else the usual one.
fn kind(asked: Option<ProjectKind>, language: &Language) -> Result<ProjectKind, Fail> {
    let kinds = &language.kinds;
    let kind = asked.or(kinds.first().copied()).unwrap_or(ProjectKind::Component);
    if kinds.contains(&kind) {
        return Ok(kind);
    }
    let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
    Err(Fail::usage(format!(
        "a handler in {} is a {}, not a {}: leave --kind out, or take another language",
        language.words,
        words.join(" or a "),
        kind.word()
    )))
}
