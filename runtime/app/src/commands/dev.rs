//! `pelton dev`: build on save, run, show what becomes of each message.

use crate::cli::DevArgs;
use crate::exit::Outcome;
use crate::project::{Project, dev};

/// Runs until it is told to stop.
pub fn dev(args: &DevArgs) -> Outcome {
    dev::run(&Project::find(&args.dir)?, args.install, &args.sql)
}
