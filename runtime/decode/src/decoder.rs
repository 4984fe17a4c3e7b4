//! The decoder of one pipeline: first its envelope, then its schema.

use crate::envelopes::{Opened, Opening, pointer};
use crate::objects::ObjectStore;
use crate::schema::{Schema, Verdict};
use pelton_core::ports::{BoxFuture, Counted, Decoded, Decoder};
use pelton_core::{Message, Parts};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Opens envelopes and checks schemas, where a pipeline has them.
#[derive(Default)]
pub struct MessageDecoder {
    opening: Option<Arc<Opening>>,
    objects: Option<Arc<dyn ObjectStore>>,
    schema: Option<Arc<dyn Schema>>,
    invalid: AtomicU64,
}

impl MessageDecoder {
    /// One that hands on what it is given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens envelopes.
    #[must_use]
    pub fn opening(self, opening: Opening) -> Self {
        Self { opening: Some(Arc::new(opening)), ..self }
    }

    /// Reads the objects that messages point to.
    #[must_use]
    pub fn objects(self, objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects: Some(objects), ..self }
    }

    /// Checks what is in the envelope, or the message where there is none.
    #[must_use]
    pub fn schema(self, schema: Arc<dyn Schema>) -> Self {
        Self { schema: Some(schema), ..self }
    }

    async fn open(&self, messages: &[Message]) -> Vec<Decoded> {
        let Some(opening) = self.opening.clone() else { return vec![Decoded::AsItIs; messages.len()] };
        let (all, at_work) = (messages.to_vec(), opening.clone());
        let open = move || all.iter().map(|message| at_work.open(message)).collect::<Vec<Opened>>();
        let mut opened = match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            // Each message is contained: what ended was the runtime, and with it the worker.
            Err(_) => return std::future::pending().await,
        };
        self.read(messages, &mut opened).await;
        opened.into_iter().map(Decoded::from).collect()
    }

    /// Reads what messages point to.
    async fn read(&self, messages: &[Message], opened: &mut [Opened]) {
        let Some(objects) = &self.objects else { return };
        let (mut places, mut pointers) = (Vec::new(), Vec::new());
        for (place, opened) in opened.iter().enumerate() {
            if let Opened::Object(pointer) = opened {
                places.push(place);
                pointers.push(pointer.clone());
            }
        }
        if pointers.is_empty() {
            return;
        }
        for (place, read) in places.into_iter().zip(objects.get(pointers).await) {
            let seen = read.and_then(|object| pointer::seen(&messages[place], &object));
            opened[place] = seen.unwrap_or_else(Opened::Invalid);
        }
    }

    /// Checks what can be, and puts the verdicts where they belong.
    async fn check(&self, messages: &[Message], decoded: &mut [Decoded]) {
        let Some(schema) = &self.schema else { return };
        let (mut places, mut seen) = (Vec::new(), Vec::new());
        for (place, (message, decoded)) in messages.iter().zip(&*decoded).enumerate() {
            let message = match decoded {
                Decoded::AsItIs => message,
                Decoded::Seen(message) => message,
                Decoded::Nothing | Decoded::Invalid(_) => continue,
            };
            places.push(place);
            seen.push(message.clone());
        }
        if seen.is_empty() {
            return;
        }
        let verdicts = schema.check(seen.clone()).await;
        debug_assert_eq!(verdicts.len(), seen.len(), "a schema has a verdict for each message");
        let unsaid = || Verdict::Invalid("its schema has said nothing of it".to_owned());
        let verdicts = verdicts.into_iter().chain(std::iter::repeat_with(unsaid));
        for ((place, message), verdict) in places.into_iter().zip(seen).zip(verdicts) {
            match verdict {
                Verdict::Valid => {}
                Verdict::Body(body) => {
                    let parts = Parts { body: &body, tombstone: false, ..message.parts() };
                    decoded[place] = Decoded::Seen(Message::new(parts));
                }
                Verdict::Invalid(why) => decoded[place] = Decoded::Invalid(why),
            }
        }
    }
}

impl Decoder for MessageDecoder {
    fn decode(&self, messages: Vec<Message>) -> BoxFuture<'_, Vec<Decoded>> {
        Box::pin(async move {
            let mut decoded = self.open(&messages).await;
            self.check(&messages, &mut decoded).await;
            let invalid = decoded.iter().filter(|one| matches!(one, Decoded::Invalid(_))).count();
            self.invalid.fetch_add(u64::try_from(invalid).unwrap_or(u64::MAX), Ordering::Relaxed);
            decoded
        })
    }

    fn trouble(&self) -> Option<String> {
        let objects = self.objects.as_ref().and_then(|objects| objects.trouble());
        objects.or_else(|| self.schema.as_ref().and_then(|schema| schema.trouble()))
    }

    fn counted(&self) -> Counted {
        let mut all = vec![("decode_invalid", self.invalid.load(Ordering::Relaxed))];
        all.extend(self.opening.iter().flat_map(|opening| opening.counted()));
        all.extend(self.objects.iter().flat_map(|objects| objects.counted()));
        all.extend(self.schema.iter().flat_map(|schema| schema.counted()));
        all
    }
}
