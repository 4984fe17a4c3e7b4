//! `wasi:keyvalue@0.2.0-draft`: cursors are numbers, and counters have no sign.

use super::component::same_in_all_versions;
use super::{OpenStore, StateFailure, list};
use crate::guest::state::GuestState;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;

#[allow(missing_docs)]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue.wit",
        world: "draft",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::interfaces::state::OpenStore },
    });
}

use bindings::wasi::keyvalue0_2_0_draft::store::KeyResponse;
use bindings::wasi::keyvalue0_2_0_draft::{atomics, batch};

/// How many keys there were before.
type Cursor = u64;

same_in_all_versions!(super::draft::bindings::wasi::keyvalue0_2_0_draft, list_by_number);

impl GuestState {
    /// The cursor is the number of keys before. The store that was listed last knows where that was; for
    /// another one they are passed over again.
    async fn list_by_number(
        &mut self,
        store: Resource<OpenStore>,
        cursor: Option<Cursor>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let open = self.ctx().table.get(&store)?;
        let (bucket, listed) = (open.bucket, open.listed.clone());
        let passed = cursor.unwrap_or(0);
        let caller = self.caller();
        let after = match listed {
            Some((number, key)) if number == passed => Ok(Some(key)),
            _ => list::skip(&caller, bucket, passed).await,
        };
        let page = match after {
            Ok(after) => list(&caller, bucket, after, list::PAGE).await,
            Err(failure) => Err(failure),
        };
        let page = match page {
            Ok(page) => page,
            Err(failure) => return Ok(Err(failure.into())),
        };
        let number = passed.saturating_add(page.keys.len() as u64);
        let cursor = page.next.is_some().then_some(number);
        self.ctx().table.get_mut(&store)?.listed = page.next.map(|next| (number, next));
        let keys = page.keys.into_iter().map(|key| String::from_utf8_lossy(&key).into_owned()).collect();
        Ok(Ok(KeyResponse { keys, cursor }))
    }
}

impl atomics::Host for GuestState {
    async fn increment(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
        by: u64,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let next = self.increment_state(&store, &key, by.into(), 0).await?;
        Ok(next.map(i64::unsigned_abs).map_err(Error::from))
    }
}

impl batch::Host for GuestState {
    async fn get_many(
        &mut self,
        store: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<(String, Vec<u8>)>>, Error>> {
        let read = self.read_states(&store, &keys).await?;
        let pairs = |values: Vec<Option<Vec<u8>>>| {
            keys.into_iter().zip(values).map(|(key, value)| value.map(|value| (key, value))).collect()
        };
        Ok(read.map(pairs).map_err(Error::from))
    }

    async fn set_many(
        &mut self,
        store: Resource<OpenStore>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let writes = pairs.into_iter().map(|(key, value)| (key, Some(value))).collect();
        Ok(self.write_state(&store, writes).await?.map_err(Error::from))
    }

    async fn delete_many(
        &mut self,
        store: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let writes = keys.into_iter().map(|key| (key, None)).collect();
        Ok(self.write_state(&store, writes).await?.map_err(Error::from))
    }
}
