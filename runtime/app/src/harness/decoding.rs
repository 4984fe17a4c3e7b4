//! What messages become before a handler sees them, where a pipeline has them decoded. A worker waits for
//! what is away; a command has somebody who waits for it.

use crate::config::PipelineConfig;
use crate::decoders;
use crate::exit::Fail;
use pelton_core::Message;
use pelton_core::ports::{Decoded, Decoder};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Between two looks at whether it is known why an answer takes its time.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often it is looked, at most: in all, longer than one question to a registry of schemas takes.
const POLLS: u32 = 600;

/// The decoder of a pipeline, for who has no engine.
pub struct Decoding {
    decoder: Arc<dyn Decoder>,
    /// None once it ends.
    runtime: Option<Runtime>,
}

impl Decoding {
    /// That of a pipeline; none where its handler sees messages as they are. Asks nobody.
    ///
    /// # Errors
    /// A schema's file cannot be read, or is none.
    pub fn of(pipeline: &PipelineConfig) -> Result<Option<Self>, Fail> {
        let Some(decoder) = decoders::open(pipeline)? else { return Ok(None) };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Some(Self { decoder, runtime: Some(runtime) }))
    }

    /// What the handler sees of each message, in their order. Blocks.
    ///
    /// # Errors
    /// Whoever has to be asked for that does not answer: a registry of schemas, S3.
    pub fn decode(&self, messages: Vec<Message>) -> Result<Vec<Decoded>, Fail> {
        let mut decoding = self.decoder.decode(messages);
        let answer = async {
            for _ in 0..POLLS {
                match tokio::time::timeout(POLL_INTERVAL, &mut decoding).await {
                    Ok(decoded) => return Some(decoded),
                    Err(_) if self.decoder.trouble().is_some() => return None,
                    Err(_) => {}
                }
            }
            None
        };
        let answer = self.runtime.as_ref().and_then(|runtime| runtime.block_on(answer));
        answer.ok_or_else(|| {
            let why = self.decoder.trouble().unwrap_or_else(|| "nobody answers".to_owned());
            Fail::refused(format!("the message cannot be decoded: {why}"))
        })
    }
}

impl Drop for Decoding {
    /// A question that nobody waits for any more is left to itself.
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
