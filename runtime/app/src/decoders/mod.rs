//! What stands between a pipeline's messages and its handler, opened as it is configured. The worker has it,
//! and so do the commands that try a handler out or look for what a letter is known by.

#[cfg(feature = "schemas")]
pub mod schemas;

use crate::config::{PipelineConfig, Problem};
use crate::exit::{CONFIG, Fail};
use crate::oci;
use pelton_core::ports::Decoder;
use pelton_decode::{MessageDecoder, ObjectStore, Opening};
use std::sync::Arc;

/// What its handler sees of messages, where that is not what its broker has. Asks nobody. Blocks.
pub fn open(pipeline: &PipelineConfig) -> Result<Option<Arc<dyn Decoder>>, Fail> {
    open_with(pipeline, objects(pipeline)?)
}

/// The same, for who has opened the objects for itself.
pub fn open_with(
    pipeline: &PipelineConfig,
    objects: Option<Arc<dyn ObjectStore>>,
) -> Result<Option<Arc<dyn Decoder>>, Fail> {
    if pipeline.decode.is_nothing() {
        return Ok(None);
    }
    let mut decoder = MessageDecoder::new();
    if let Some(envelope) = pipeline.decode.envelope {
        decoder = decoder.opening(Opening::new(envelope));
    }
    if let Some(objects) = objects {
        decoder = decoder.objects(objects);
    }
    #[cfg(feature = "schemas")]
    if let Some(schemas) = schemas::open(pipeline).map_err(fail)? {
        decoder = decoder.schema(Arc::new(schemas));
    }
    Ok(Some(Arc::new(decoder)))
}

/// How a pipeline reads the objects that its messages point to; none where they do not. Asks nobody. Blocks.
pub fn objects(pipeline: &PipelineConfig) -> Result<Option<Arc<dyn ObjectStore>>, Fail> {
    let Some(objects) = &pipeline.decode.objects else { return Ok(None) };
    let path = format!("pipelines.{}.decode.endpoint_url", pipeline.name);
    let plain = objects.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    let agent = oci::agent(plain).map_err(|why| fail(Problem::new(&path, why)))?;
    #[cfg(feature = "s3")]
    return Ok(Some(Arc::new(pelton_decode::S3Objects::new(objects.clone(), agent))));
    #[cfg(not(feature = "s3"))]
    {
        drop(agent);
        let what = "is of S3, which this build leaves out; build with `--features s3`";
        Err(fail(Problem::new(path, what)))
    }
}

fn fail(problem: Problem) -> Fail {
    Fail::new(CONFIG, anyhow::anyhow!("{}: {}", problem.path, problem.what))
}
