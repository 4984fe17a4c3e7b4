//! The schemas of a pipeline, opened: what they are made of is read and compiled.

use crate::config::{PipelineConfig, Problem};
use crate::oci;
use pelton_decode::schemas::Schemas;
use pelton_host::file;
use std::path::Path;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, parse_pem};

/// Bytes of a file of certificates.
const CERTIFICATES: usize = 4 << 20;

/// What its registry says against it, asked now; none where there is none, or its configuration is wrong,
/// which has been said. Blocks.
pub fn diagnose(pipeline: &PipelineConfig) -> Option<Problem> {
    let schemas = open(pipeline).ok().flatten()?;
    let (key, what) = schemas.diagnose().err()?;
    Some(Problem::new(format!("pipelines.{}.decode.schema.{key}", pipeline.name), what))
}

/// Reads and compiles what is configured; none where nothing is. Asks no registry. Blocks.
pub fn open(pipeline: &PipelineConfig) -> Result<Option<Schemas>, Problem> {
    let Some(schema) = &pipeline.decode.schema else { return Ok(None) };
    // That there is neither has been said already, with the rest of the configuration.
    if schema.schemas.registry.is_none() && schema.schemas.file.is_none() {
        return Ok(None);
    }
    let problem = |key: &str, what: String| {
        Problem::new(format!("pipelines.{}.decode.schema.{key}", pipeline.name), what)
    };
    let plain = schema.schemas.registry.as_ref().is_none_or(|registry| registry.url.starts_with("http://"));
    let agent = match &schema.ca_file {
        None => oci::agent(plain).map_err(|why| problem("registry", why))?,
        Some(file) => trusting(file, plain).map_err(|why| problem("ca_file", why))?,
    };
    let read = |path: &Path, most: usize| file::read(path, most).map_err(|why| why.to_string());
    let opened = Schemas::open(&schema.schemas, agent, &read);
    opened.map(Some).map_err(|why| {
        let file = schema.schemas.file.as_deref().unwrap_or(Path::new(""));
        problem("file", format!("is {}, which {why}", pelton_core::shown::path(file)))
    })
}

/// With the certificates of a file beside the system's.
fn trusting(file: &Path, plain: bool) -> Result<Agent, String> {
    let shown = pelton_core::shown::path(file);
    let bytes = file::read(file, CERTIFICATES).map_err(|why| format!("is {shown}, which {why}"))?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(one) =
            item.map_err(|why| format!("is {shown}, which is no PEM: {why}"))?
        {
            found.push(one);
        }
    }
    if found.is_empty() {
        return Err(format!("is {shown}, which has no certificate"));
    }
    oci::agent_trusting(plain, found)
}
