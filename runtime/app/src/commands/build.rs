//! `pelton build`: from a project to a component that is known to run.

use crate::cli::BuildArgs;
use crate::exit::Outcome;
use crate::project::{Project, build, install, limits};
use pelton_core::shown::path as shown_path;

/// Builds and validates.
pub fn build(args: &BuildArgs) -> Outcome {
    let project = Project::find(&args.dir)?;
    install::ready(&project, args.install)?;
    limits::warn_if_watched(&project);
    let built = build::build(&project)?;
    let harness = build::validate(&project, &limits::spec(&project))?;
    let info = harness.info();
    say!(
        "{} is a {}: {}, built in {:.1?}",
        shown_path(&project.manifest.component),
        info.kind.words(),
        size(built.size),
        built.took
    );
    say!("digest {}", info.digest);
    Ok(())
}

pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
