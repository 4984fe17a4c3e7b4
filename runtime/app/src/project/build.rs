//! Building: the project's command succeeds, and what it made is a handler.

use super::{Project, module, shell};
use crate::exit::Fail;
use crate::harness::Harness;
use anyhow::Context;
use pelton_host::HandlerSpec;
use std::path::Path;
use std::time::{Duration, Instant};

/// What was made.
#[derive(Debug)]
pub struct Built {
    /// Bytes of the component.
    pub size: u64,
    /// What the command took.
    pub took: Duration,
}

/// Builds a project and leaves its component in its place. What the command prints goes to standard error.
/// Blocks until it is done.
///
/// # Errors
/// With the code 1: the command failed, or it made nothing.
pub fn build(project: &Project) -> Result<Built, Fail> {
    let component = project.component();
    if let Some(folder) = component.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let began = Instant::now();
    let status = shell::run(project, &project.manifest.build)?;
    if !status.success() {
        return Err(Fail::refused(format!(
            "the build failed: `{}` ended with {status}",
            project.manifest.build
        )));
    }
    if let Some(module) = &project.manifest.module {
        let module = project.dir.join(module);
        made(project, &module, "module")?;
        module::place(&module, &component, project.manifest.kind).map_err(Fail::refused_by)?;
    }
    Ok(Built { size: made(project, &component, "component")?, took: began.elapsed() })
}

/// The size in bytes of what was made.
fn made(project: &Project, file: &Path, key: &str) -> Result<u64, Fail> {
    let found = std::fs::metadata(file).map_err(|_| {
        Fail::refused(format!(
            "`{}` made no {}: `{key}` in handler.toml says where it is",
            project.manifest.build,
            file.display()
        ))
    })?;
    Ok(found.len())
}

/// Loads what was built as a worker would: checked, compiled, linked and started once.
///
/// # Errors
/// With the code 1: why it is no handler.
pub fn validate(project: &Project, spec: &HandlerSpec) -> Result<Harness, Fail> {
    Harness::load(&project.manifest.name, &project.component(), spec)
}
