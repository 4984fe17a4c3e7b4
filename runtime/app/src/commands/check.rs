//! `pelton check`: everything that is wrong, at once.

use super::table;
use crate::config::{self, Config, Invalid, Problem};
use crate::exit::{CONFIG, Fail, Outcome};
use std::path::Path;

/// Checks the file, then every component as far as that goes without compiling it.
pub fn check(file: &Path) -> Outcome {
    let (config, mut problems) = config::load_loose(file).map_err(|invalid| Fail::new(CONFIG, invalid))?;
    let mut rows = Vec::new();
    for pipeline in &config.pipelines {
        let spec = &pipeline.handler.spec;
        let path = &pipeline.handler.component;
        let key = format!("pipelines.{}.handler.component", pipeline.name);
        if problems.iter().any(|p| p.path == key) {
            continue;
        }
        match pelton_host::inspect_file(path, config.max_component_bytes, spec.digest.as_deref()) {
            Ok(info) => rows.push(vec![
                pipeline.name.clone(),
                pipeline.queue.clone(),
                path.display().to_string(),
                format!("{:?}", spec.timeout),
                format!("{} x {} MiB", spec.concurrency, spec.memory >> 20),
                info.digest,
            ]),
            Err(error) => problems.push(Problem { path: key, what: format!("{} {error}", path.display()) }),
        }
    }
    if !problems.is_empty() {
        return Err(Fail::new(CONFIG, Invalid { file: file.to_owned(), problems }));
    }
    table::print(&["pipeline", "queue", "component", "timeout", "memory", "digest"], &rows)?;
    println!(
        "\n{} is good. All handlers together use at most {} MiB.",
        file.display(),
        bound(&config) >> 20
    );
    Ok(())
}

/// What all instances can take together.
fn bound(config: &Config) -> usize {
    config.pipelines.iter().map(|p| p.handler.spec.concurrency * p.handler.spec.memory).sum()
}
