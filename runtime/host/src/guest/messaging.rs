//! `wasi:messaging`, as far as a handler of it needs: the message it is given, and those it makes.
//!
//! What a handler changes in its message concerns nobody else, unless it sends it: by a client, which is a
//! target of its pipeline's outbox.

use crate::guest::bindings::incoming::wasi::messaging::types::{
    Error, Host, HostClient, HostMessage, MetadataError,
};
use crate::guest::state::GuestState;
use crate::interfaces::outbox::OutboxMessage;
use pelton_core::Header;
use pelton_core::message::Message;
use pelton_core::ports::Work;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;

/// The header that is the standard's content type.
const CONTENT_TYPE: &str = "content-type";
/// Metadata for what the standard has no place for. Those that say what a message was given for concern no
/// other one.
const KEY: &str = "pelton-key";
const DELAY_MS: &str = "pelton-delay-ms";
const GIVEN: [&str; 3] = ["pelton-id", "pelton-attempt", "pelton-idempotency-key"];

/// A message of the standard.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    topic: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    metadata: Vec<(String, String)>,
    /// Bytes of it that count against the guest's memory now.
    charged: usize,
    /// Bytes of it that do not: of the message at hand, as long as it is at hand.
    free: usize,
}

/// What a message takes beside its texts, and each of its metadata: the structures, and the allocator's part.
const FIXED_BYTES: usize = 256;
const PAIR_BYTES: usize = 96;

/// A connection to a broker: the name of a target.
pub struct Client {
    target: String,
}

/// A message that is to be sent, and where to. In words what it cannot be sent for.
pub(crate) struct Sent {
    pub(crate) target: String,
    pub(crate) message: Result<OutboxMessage, String>,
}

impl Envelope {
    /// Headers become metadata, and so does what the standard has no place for, under names of our own.
    pub(crate) fn of(work: &Work) -> Self {
        let message: &Message = &work.message;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().iter().map(|header| (header.name.to_owned(), text(header.value)));
        let mut metadata: Vec<(String, String)> = headers.collect();
        let content_type = metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
        let content_type = content_type.map(|(_, value)| value.clone());
        let given =
            [message.id().to_string(), work.attempt.to_string(), work.idempotency_key().to_string()];
        metadata.extend(GIVEN.map(str::to_owned).into_iter().zip(given));
        if let Some(key) = message.key() {
            metadata.push((KEY.to_owned(), text(key)));
        }
        let topic = Some(message.origin().to_owned());
        let mut it =
            Self { topic, content_type, data: message.body().to_vec(), metadata, charged: 0, free: 0 };
        it.free = it.weight();
        it
    }

    fn weight(&self) -> usize {
        let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let pairs: usize = self.metadata.iter().map(|(k, v)| PAIR_BYTES + k.len() + v.len()).sum();
        FIXED_BYTES + of(&self.topic) + of(&self.content_type) + self.data.len() + pairs
    }

    /// As a message to send. In words why it is none.
    fn into_sent(self, topic: String) -> Result<OutboxMessage, String> {
        let mut message = OutboxMessage { body: self.data, ..OutboxMessage::default() };
        message.topic = (!topic.is_empty()).then_some(topic);
        let has_type = self.metadata.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
        let content_type = self.content_type.filter(|_| !has_type);
        for (name, value) in self.metadata {
            match &*name {
                KEY => message.key = Some(value.into_bytes()),
                DELAY_MS => {
                    let ms =
                        value.parse().map_err(|_| format!("`{DELAY_MS}` is no number of milliseconds"))?;
                    message.delay_ms = Some(ms);
                }
                given if GIVEN.contains(&given) => {}
                _ => message.headers.push(Header::new(name, value)),
            }
        }
        message.headers.extend(content_type.map(|value| Header::new(CONTENT_TYPE, value)));
        Ok(message)
    }

    /// Counts it anew: how much was charged, and how much is now.
    fn charge(&mut self) -> (usize, usize) {
        let after = self.weight().saturating_sub(self.free);
        (std::mem::replace(&mut self.charged, after), after)
    }
}

/// What the standard's errors say, for an operator.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Timeout => "timeout".to_owned(),
        Error::Connection(text) => format!("connection: {text}"),
        Error::PermissionDenied(text) => format!("permission denied: {text}"),
        Error::Other(text) => text.clone(),
    }
}

impl GuestState {
    fn envelope(&mut self, message: &Resource<Envelope>) -> wasmtime::Result<&mut Envelope> {
        Ok(self.ctx().table.get_mut(message)?)
    }

    /// Changes a message, and counts what it holds now.
    fn change(
        &mut self,
        message: &Resource<Envelope>,
        change: impl FnOnce(&mut Envelope),
    ) -> wasmtime::Result<()> {
        let envelope = self.envelope(message)?;
        change(envelope);
        let (before, after) = envelope.charge();
        self.limits.host(before, after)
    }

    pub(crate) fn push_client(&mut self, target: String) -> wasmtime::Result<Resource<Client>> {
        Ok(self.ctx().table.push(Client { target })?)
    }

    /// Takes a message that is to be sent, with the target that its client is.
    pub(crate) fn take_sent(
        &mut self,
        client: &Resource<Client>,
        topic: String,
        message: Resource<Envelope>,
    ) -> wasmtime::Result<Sent> {
        let target = self.ctx().table.get(client)?.target.clone();
        let envelope = self.ctx().table.delete(message)?;
        self.limits.host(envelope.charged, 0)?;
        Ok(Sent { target, message: envelope.into_sent(topic) })
    }

    /// The call has ended. What the guest keeps of the message that it was given is its own now; an error
    /// means that it keeps too much.
    pub(crate) fn keep(&mut self, given: u32) -> wasmtime::Result<()> {
        let given = Resource::new_borrow(given);
        // Dropped, as it should be; or another message has its place, and was counted when it was made.
        if self.envelope(&given).is_ok_and(|kept| kept.free > 0) {
            self.change(&given, |kept| kept.free = 0)?;
        }
        Ok(())
    }
}

impl Host for GuestState {}

impl HostClient for GuestState {
    fn connect(&mut self, name: String) -> wasmtime::Result<Result<Resource<Client>, Error>> {
        self.connect_to(name)
    }

    fn disconnect(&mut self, _client: Resource<Client>) -> wasmtime::Result<Result<(), Error>> {
        Ok(Ok(()))
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.ctx().table.delete(client)?;
        Ok(())
    }
}

impl HostMessage for GuestState {
    fn new(&mut self, data: Vec<u8>) -> wasmtime::Result<Resource<Envelope>> {
        let mut envelope = Envelope { data, ..Envelope::default() };
        let (before, after) = envelope.charge();
        self.limits.host(before, after)?;
        Ok(self.ctx().table.push(envelope)?)
    }

    fn topic(&mut self, message: Resource<Envelope>) -> wasmtime::Result<Option<String>> {
        Ok(self.envelope(&message)?.topic.clone())
    }

    fn content_type(&mut self, message: Resource<Envelope>) -> wasmtime::Result<Option<String>> {
        Ok(self.envelope(&message)?.content_type.clone())
    }

    fn set_content_type(
        &mut self,
        message: Resource<Envelope>,
        content_type: String,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.change(&message, |it| it.content_type = Some(content_type))?;
        Ok(Ok(()))
    }

    fn data(&mut self, message: Resource<Envelope>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.envelope(&message)?.data.clone())
    }

    fn set_data(&mut self, message: Resource<Envelope>, data: Vec<u8>) -> wasmtime::Result<()> {
        self.change(&message, |it| it.data = data)
    }

    fn metadata(&mut self, message: Resource<Envelope>) -> wasmtime::Result<Option<Vec<(String, String)>>> {
        Ok(Some(self.envelope(&message)?.metadata.clone()))
    }

    fn add_metadata(
        &mut self,
        message: Resource<Envelope>,
        key: String,
        value: String,
    ) -> wasmtime::Result<Result<(), MetadataError>> {
        self.change(&message, |it| {
            it.metadata.retain(|(name, _)| *name != key);
            it.metadata.push((key, value));
        })?;
        Ok(Ok(()))
    }

    fn set_metadata(
        &mut self,
        message: Resource<Envelope>,
        meta: Vec<(String, String)>,
    ) -> wasmtime::Result<Result<(), MetadataError>> {
        self.change(&message, |it| it.metadata = meta)?;
        Ok(Ok(()))
    }

    fn remove_metadata(&mut self, message: Resource<Envelope>, key: String) -> wasmtime::Result<()> {
        self.change(&message, |it| it.metadata.retain(|(name, _)| *name != key))
    }

    fn drop(&mut self, message: Resource<Envelope>) -> wasmtime::Result<()> {
        let gone = self.ctx().table.delete(message)?;
        self.limits.host(gone.charged, 0)
    }
}
