//! What the library for `wasi:http` asks of us.

use super::outgoing::Outgoing;
use crate::guest::state::{About, GuestState};
use http::uri::Scheme;
use std::sync::Arc;
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Bytes of headers of one request, with what the host needs to keep them.
const FIELD_BYTES: usize = 64 << 10;
/// Bytes that a guest may write at once to a body. The host holds up to two such parts.
pub(super) const CHUNK_BYTES: usize = 16 << 10;

/// What a store has.
pub(crate) struct InStore {
    context: WasiHttpCtx,
    hooks: Hooks,
    pub(super) charges: super::types::Charges,
}

struct Hooks {
    outgoing: Arc<Outgoing>,
    about: About,
}

impl InStore {
    pub(crate) fn new(outgoing: &Arc<Outgoing>, about: &About) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELD_BYTES);
        let hooks = Hooks { outgoing: Arc::clone(outgoing), about: about.clone() };
        Self { context, hooks, charges: super::types::Charges::default() }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let InStore { context, hooks, .. } = &mut self.http;
        WasiHttpCtxView { hooks, table: self.wasi.ctx().table, ctx: context }
    }
}

/// What ends when there is nothing more to send of a request: here, at once.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _fut: Rest,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Rest)>> + Send> {
        let sent = self.outgoing.send(request, options.unwrap_or_default(), &self.about);
        Box::new(async move {
            let answer = sent.await.map_err(|failed| failed.to_wasi())?;
            Ok((answer, Box::new(async { Ok(()) }) as Rest))
        })
    }

    /// Each is looked at by its grant, and denied in words there.
    fn is_supported_scheme(&mut self, _scheme: &Scheme) -> bool {
        true
    }

    /// It is made from the address that was looked at.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}
