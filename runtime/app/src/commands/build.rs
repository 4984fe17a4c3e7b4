//! `pelton build`: from a project to a component that is known to run.

use crate::cli::BuildArgs;
use crate::exit::{Fail, Outcome};
use crate::project::grants::{ProjectGrants, Uses};
use crate::project::{Project, build, install, limits};
use pelton_core::shown::path as shown_path;
use pelton_host::HandlerSpec;
use std::collections::BTreeMap;

/// Builds and validates.
pub fn build(args: &BuildArgs) -> Outcome {
    let project = Project::find(&args.dir)?;
    install::ready(&project, args.install)?;
    limits::warn_if_watched(&project);
    let built = build::build(&project)?;
    let grants = ProjectGrants::of(&project, &Uses::default()).map_err(Fail::refused)?;
    let spec = HandlerSpec { grants: grants.with(&BTreeMap::new(), None), ..limits::spec(&project) };
    let harness = build::validate(&project, &spec)?;
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
