//! Outgoing messages: `pelton:effects/outbox`, `wasi:messaging/producer` and the worker's `outbox.send`. A
//! message is staged here, commits with the completion, and is sent after that.

use crate::grants::{Grants, OutboxGrant, Outlet};
use crate::guest::bindings::incoming::wasi::messaging::producer as standard;
use crate::guest::bindings::incoming::wasi::messaging::types::Error as StandardError;
use crate::guest::link::is_number;
use crate::guest::messaging::{Client, Envelope, Sent};
use crate::guest::state::GuestState;
use crate::interfaces::caller::{Caller, NoMessage};
use crate::interfaces::counts::Refused;
use crate::interfaces::staging::OverBounds;
use crate::interfaces::{Interface, effect_id, staging};
use pelton_core::Header;
use pelton_core::effects::StagedMessage;
use pelton_core::ports::Work;
use pelton_core::shown::shown;
use pelton_core::trace;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, Resource};

#[allow(missing_docs)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/effects",
        inline: "package pelton:host-outbox; world outbox { import pelton:effects/outbox@0.1.0; }",
        world: "pelton:host-outbox/outbox",
        imports: { default: trappable },
    });
}

use bindings::pelton::effects::outbox::{Error, Host, Outgoing};

/// The outbox, as pipelines grant it.
pub(crate) const INTERFACE: Interface = Interface {
    name: "the outbox",
    provides,
    is_granted: |grants: &Grants| grants.outbox.is_some(),
    lines: "[pipelines.PIPELINE.grants.outbox]\nTARGET = { type = \"embedded\", queue = \"QUEUE\" }\n",
    link,
};

const OUTBOX: &str = "pelton:effects/outbox@0.1.";
const PRODUCER: &str = "wasi:messaging/producer@0.2.0-draft";

/// Bytes of a message with all that belongs to it.
const MESSAGE_BYTES: usize = 1 << 20;
/// Bytes of a header's name, and of a topic.
const NAME_BYTES: usize = 512;
/// Bytes of a name that are shown in a sentence.
const NAME_SHOWN: usize = 64;
/// The longest delay: a year.
const DELAY_MS: u64 = 366 * 24 * 3_600 * 1_000;
/// The host's own headers begin so.
const OWN: &str = "pelton-";
/// What another outbox has called a message. One that is handed on has its own.
const ID: &str = "pelton-id";
/// By this one a handler of batches names the message that causes another.
const CAUSE: &str = "pelton-message";

/// A message to send, as a handler says it.
#[derive(Debug, Default)]
pub(crate) struct OutboxMessage {
    pub(crate) topic: Option<String>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay_ms: Option<u64>,
}

/// Why a message is not staged, in words for the handler.
#[derive(Debug, PartialEq)]
pub(crate) enum SendFailure {
    NotGranted,
    UnknownTarget(String),
    Refused(String),
    Limit(String),
}

impl From<NoMessage> for SendFailure {
    fn from(_: NoMessage) -> Self {
        Self::Refused(NoMessage::WORDS.to_owned())
    }
}

impl From<OverBounds> for SendFailure {
    fn from(over: OverBounds) -> Self {
        Self::Limit(over.0)
    }
}

fn provides(import: &str) -> bool {
    import == PRODUCER || import.strip_prefix(OUTBOX).is_some_and(is_number)
}

fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    // The standard's producer is linked with the types that every handler of it has.
    bindings::Outbox::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut GuestState| state)
}

/// The target of a name.
fn outlet<'a>(caller: &Caller<'a>, name: &str) -> Result<&'a Outlet, SendFailure> {
    let OutboxGrant { targets } = caller.grants.outbox.as_ref().ok_or(SendFailure::NotGranted)?;
    targets.iter().find(|outlet| outlet.name == name).ok_or_else(|| {
        let granted: Vec<String> = targets.iter().map(|outlet| format!("`{}`", outlet.name)).collect();
        let name = shown(name).at_most(NAME_SHOWN);
        SendFailure::UnknownTarget(format!(
            "the pipeline has no target `{name}` in its outbox; it has {}",
            granted.join(", ")
        ))
    })
}

/// Stages a message for a target; the id that it will have.
pub(crate) fn send(
    caller: &Caller<'_>,
    target: &str,
    message: OutboxMessage,
) -> Result<Arc<str>, SendFailure> {
    caller.counted(Refused::Sends, stage(caller, target, message))
}

fn stage(caller: &Caller<'_>, target: &str, message: OutboxMessage) -> Result<Arc<str>, SendFailure> {
    let outlet = outlet(caller, target)?;
    let call = caller.call()?;
    let mut message = message;
    let place = cause(call.messages(), &mut message.headers)?;
    // Where its trace began is said anew, if it ever is a letter.
    let is_handed_on = |name: &str| [ID, trace::ORIGIN].iter().any(|own| name.eq_ignore_ascii_case(own));
    message.headers.retain(|header| !is_handed_on(&header.name));
    check(&message)?;
    let work = &call.messages()[place];
    let bounds = caller.bounds()?;
    caller.with(|staging| {
        let ordinal = staging.ordinal(place, outlet.target).to_string();
        let parts = [Some(target), Some(&*ordinal), work.redo.as_deref()];
        let parts: Vec<&[u8]> = parts.into_iter().flatten().map(str::as_bytes).collect();
        let id: Arc<str> = effect_id::of("outbox", work, &parts).into();
        let OutboxMessage { topic, key, headers, body, delay_ms } = message;
        let mut staged = StagedMessage {
            target: outlet.target,
            id: Arc::clone(&id),
            topic,
            key,
            headers,
            body,
            delay_ms,
        };
        hand_on_trace(&mut staged, work, outlet);
        let weight = staging::weight(&staged);
        if weight > MESSAGE_BYTES {
            return Err(refused(format!(
                "a message of the outbox has at most {MESSAGE_BYTES} bytes with its key and headers, and \
                 this one has {weight}"
            )));
        }
        if let Some(words) = (outlet.refuses)(&staged) {
            return Err(refused(format!("the target `{target}` cannot carry it: {words}")));
        }
        staging.send(place, staged, bounds)?;
        Ok(id)
    })
}

/// It is a part of its cause's trace, unless the handler says another. Where there is no room for that it
/// goes without.
fn hand_on_trace(staged: &mut StagedMessage, work: &Work, outlet: &Outlet) {
    let has = |staged: &StagedMessage, name: &str| {
        staged.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
    };
    if has(staged, trace::TRACEPARENT) {
        return;
    }
    let own = staged.headers.len();
    for (name, value) in trace::continued(work.message.headers()) {
        if !has(staged, name) {
            staged.headers.push(Header::new(name, value));
        }
    }
    let is_more = staged.headers.len() > own;
    if is_more && (staging::weight(staged) > MESSAGE_BYTES || (outlet.refuses)(staged).is_some()) {
        staged.headers.truncate(own);
    }
}

/// Which of the messages in work causes it: the one that its header names, else the first. The header goes.
fn cause(messages: &[Work], headers: &mut Vec<Header>) -> Result<usize, SendFailure> {
    let Some(at) = headers.iter().position(|header| header.name.eq_ignore_ascii_case(CAUSE)) else {
        return Ok(0);
    };
    let named = headers.remove(at).value;
    let is_named = |work: &Work| work.idempotency_key().to_string().as_bytes() == named;
    messages.iter().position(is_named).ok_or_else(|| {
        refused(format!(
            "its header `{CAUSE}` names no message in work: it must be the idempotency key of one"
        ))
    })
}

fn check(message: &OutboxMessage) -> Result<(), SendFailure> {
    let is_text =
        |text: &str| !text.is_empty() && text.len() <= NAME_BYTES && !text.contains(char::is_control);
    for header in &message.headers {
        let name = shown(&header.name).at_most(NAME_SHOWN);
        if !is_text(&header.name) {
            return Err(refused(format!(
                "the header `{name}` cannot be sent: a name has 1 to {NAME_BYTES} bytes, and no line feed \
                 or other control character"
            )));
        }
        let start = header.name.as_bytes().get(..OWN.len()).unwrap_or_default();
        if start.eq_ignore_ascii_case(OWN.as_bytes()) {
            return Err(refused(format!(
                "the header `{name}` cannot be sent: names that begin with `{OWN}` are Pelton's own; leave \
                 it out"
            )));
        }
    }
    if message.topic.as_deref().is_some_and(|topic| !is_text(topic)) {
        return Err(refused(format!(
            "its topic cannot be one: it has 1 to {NAME_BYTES} bytes, and no control characters"
        )));
    }
    if message.delay_ms.is_some_and(|ms| ms > DELAY_MS) {
        return Err(refused("its delay is longer than a year".to_owned()));
    }
    Ok(())
}

fn refused(words: String) -> SendFailure {
    SendFailure::Refused(words)
}

impl Host for GuestState {
    fn send(&mut self, target: String, message: Outgoing) -> wasmtime::Result<Result<String, Error>> {
        let headers = message.headers.into_iter().map(|header| Header::new(header.name, header.value));
        let message = OutboxMessage {
            topic: message.topic,
            key: message.key,
            headers: headers.collect(),
            body: message.body,
            delay_ms: message.delay_ms,
        };
        let sent = send(&self.caller(), &target, message);
        self.charge_staged()?;
        Ok(match sent {
            Ok(id) => Ok(id.to_string()),
            Err(SendFailure::UnknownTarget(words)) => Err(Error::UnknownTarget(words)),
            Err(SendFailure::Refused(words)) => Err(Error::Refused(words)),
            Err(SendFailure::Limit(words)) => Err(Error::Limit(words)),
            Err(SendFailure::NotGranted) => Err(Error::UnknownTarget(NOT_GRANTED.to_owned())),
        })
    }
}

/// What a handler hears that is granted no outbox at all.
pub(crate) const NOT_GRANTED: &str = "the pipeline grants no outbox";

impl SendFailure {
    fn into_standard(self) -> StandardError {
        match self {
            Self::NotGranted => StandardError::PermissionDenied(NOT_GRANTED.to_owned()),
            Self::UnknownTarget(words) => StandardError::PermissionDenied(words),
            Self::Refused(words) | Self::Limit(words) => StandardError::Other(words),
        }
    }
}

impl GuestState {
    /// The standard's client is the name of a target.
    pub(crate) fn connect_to(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Client>, StandardError>> {
        if let Err(failure) = outlet(&self.caller(), &name) {
            return Ok(Err(failure.into_standard()));
        }
        Ok(Ok(self.push_client(name)?))
    }
}

impl standard::Host for GuestState {
    fn send(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Envelope>,
    ) -> wasmtime::Result<Result<(), StandardError>> {
        let Sent { target, message } = self.take_sent(&client, topic, message)?;
        let message = match message {
            Ok(message) => message,
            Err(words) => return Ok(Err(StandardError::Other(words))),
        };
        let sent = send(&self.caller(), &target, message);
        self.charge_staged()?;
        Ok(sent.map(drop).map_err(SendFailure::into_standard))
    }
}
