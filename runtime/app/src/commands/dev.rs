//! `pelton dev`: build on save, run, show what becomes of each message.

use crate::cli::DevArgs;
use crate::exit::Outcome;
use crate::project::{Project, dev, limits};

/// Runs until it is told to stop.
pub fn dev(args: &DevArgs) -> Outcome {
    let project = Project::find(&args.dir)?.tried_as(args.pipeline.as_ref());
    limits::has_pipeline(&project)?;
    dev::run(&project, args.install, &args.sql)
}
