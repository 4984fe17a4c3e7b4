//! Components that export the handler of `wasi:messaging`. They know nothing of us: ok is ok, an error is a
//! retry.

use crate::guest::bindings::incoming::{Incoming, IncomingIndices};
use crate::guest::messaging::{Envelope, reason};
use crate::guest::state::{self, About, GuestState};
use crate::kinds::{Answers, Handles, NotMade, Setting};
use crate::run::clock::FIRST_TICKS;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};
use wasmtime_wasi::WasiView;

/// A linked component, and where its handler is.
pub(crate) struct Template {
    linked: InstancePre<GuestState>,
    indices: IncomingIndices,
}

/// An instance.
pub(crate) struct Standard {
    store: Store<GuestState>,
    exports: Incoming,
    over: bool,
}

impl Template {
    /// Finds the handler; its signature is compared when an instance is made.
    pub(crate) fn new(linked: InstancePre<GuestState>) -> Result<Self> {
        let indices = IncomingIndices::new(&linked)?;
        Ok(Self { linked, indices })
    }
}

impl Standard {
    /// Makes an instance; runs what the component runs at its start.
    pub(crate) async fn make(
        setting: &Setting,
        about: &About,
        template: &Template,
    ) -> std::result::Result<Self, NotMade> {
        let mut store = state::store(setting, about.clone(), None);
        store.set_epoch_deadline(FIRST_TICKS);
        let instance = template.linked.instantiate_async(&mut store).await.map_err(NotMade::Start)?;
        let exports = template.indices.load(&mut store, &instance).map_err(NotMade::Type)?;
        Ok(Self { store, exports, over: false })
    }
}

impl Handles for Standard {
    async fn call(&mut self, work: &[Work]) -> Result<Answers> {
        let [work, ..] = work else { return Ok(Answers::Many(Vec::new())) };
        self.store.set_epoch_deadline(FIRST_TICKS);
        self.store.data_mut().release_staged()?;
        let message = self.store.data_mut().ctx().table.push(Envelope::of(work))?;
        let given = message.rep();
        let handler = self.exports.wasi_messaging_incoming_handler();
        let answer = handler.call_handle(&mut self.store, message).await?;
        // One that keeps what it is given until its memory is full has done its work: the next one starts
        // anew.
        self.over = self.store.data_mut().keep(given).is_err();
        Ok(Answers::One(match answer {
            Ok(()) => Outcome::Ok(None),
            Err(error) => {
                let output = &self.store.data().about.output;
                Outcome::Retry { reason: output.reason(&reason(&error)), after_ms: None }
            }
        }))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
