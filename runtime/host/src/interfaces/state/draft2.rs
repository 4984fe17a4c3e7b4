//! `wasi:keyvalue@0.2.0-draft2`: cursors are texts, counters have a sign, and there is compare-and-swap.

use super::component::same_in_all_versions;
use super::{OpenStore, StateFailure, list};
use crate::guest::state::GuestState;
use pelton_core::effects::{Bucket, Stamp};
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;

#[allow(missing_docs)]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue.wit",
        world: "draft2",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::interfaces::state::OpenStore,
            "wasi:keyvalue/atomics.cas": crate::interfaces::state::draft2::OpenSwap,
        },
    });
}

use bindings::wasi::keyvalue0_2_0_draft2::atomics::CasError;
use bindings::wasi::keyvalue0_2_0_draft2::store::KeyResponse;
use bindings::wasi::keyvalue0_2_0_draft2::{atomics, batch};

/// The last key before.
type Cursor = String;

same_in_all_versions!(super::draft2::bindings::wasi::keyvalue0_2_0_draft2, list_by_key);

/// A key that is to be swapped, if nobody has written it since.
#[derive(Debug)]
pub struct OpenSwap {
    bucket: Bucket,
    key: String,
    /// This call's own last write of it, when it was looked at.
    own: Option<Stamp>,
}

impl GuestState {
    async fn list_by_key(
        &mut self,
        store: Resource<OpenStore>,
        cursor: Option<Cursor>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let bucket = self.bucket(&store)?;
        let page = list(&self.caller(), bucket, cursor.map(String::into_bytes), list::PAGE).await;
        let text = |key: Vec<u8>| String::from_utf8_lossy(&key).into_owned();
        let said = |page: super::Listed| KeyResponse {
            keys: page.keys.into_iter().map(text).collect(),
            cursor: page.next.map(text),
        };
        Ok(page.map(said).map_err(Error::from))
    }

    /// Looks at a key for a swap. What others have written since is found out when the message completes.
    async fn look_at_key(
        &mut self,
        bucket: Bucket,
        key: &str,
    ) -> wasmtime::Result<Result<(Option<Vec<u8>>, Option<Stamp>), StateFailure>> {
        let caller = self.caller();
        let value = super::get(&caller, bucket, key).await;
        let own = own_stamp(&caller, bucket, key);
        self.charge_staged()?;
        Ok(value.map(|value| (value, own)))
    }

    async fn open_swap(
        &mut self,
        bucket: Bucket,
        key: String,
    ) -> wasmtime::Result<Result<Resource<OpenSwap>, StateFailure>> {
        match self.look_at_key(bucket, &key).await? {
            Ok((_, own)) => Ok(Ok(self.ctx().table.push(OpenSwap { bucket, key, own })?)),
            Err(failure) => Ok(Err(failure)),
        }
    }
}

fn own_stamp(caller: &crate::interfaces::caller::Caller<'_>, bucket: Bucket, key: &str) -> Option<Stamp> {
    let key = (bucket, key.as_bytes().to_vec());
    caller.with(|staging| staging.own(&key).map(|(_, stamp)| stamp))
}

impl atomics::HostCas for GuestState {
    async fn new(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<OpenSwap>, Error>> {
        let bucket = self.bucket(&store)?;
        Ok(self.open_swap(bucket, key).await?.map_err(Error::from))
    }

    async fn current(
        &mut self,
        swap: Resource<OpenSwap>,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let open = self.ctx().table.get(&swap)?;
        let (bucket, key) = (open.bucket, open.key.clone());
        match self.look_at_key(bucket, &key).await? {
            Ok((value, own)) => {
                self.ctx().table.get_mut(&swap)?.own = own;
                Ok(Ok(value))
            }
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    async fn drop(&mut self, swap: Resource<OpenSwap>) -> wasmtime::Result<()> {
        self.ctx().table.delete(swap)?;
        Ok(())
    }
}

impl atomics::Host for GuestState {
    async fn increment(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
        by: i64,
    ) -> wasmtime::Result<Result<i64, Error>> {
        Ok(self.increment_state(&store, &key, by.into(), i64::MIN).await?.map_err(Error::from))
    }

    async fn swap(
        &mut self,
        swap: Resource<OpenSwap>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CasError>> {
        let OpenSwap { bucket, key, own } = self.ctx().table.delete(swap)?;
        if own_stamp(&self.caller(), bucket, &key) != own {
            let anew = self.open_swap(bucket, key).await?;
            return Ok(Err(match anew {
                Ok(swap) => CasError::CasFailed(swap),
                Err(failure) => CasError::StoreError(failure.into()),
            }));
        }
        let written = super::write(&self.caller(), bucket, vec![(key, Some(value))]).await;
        self.charge_staged()?;
        Ok(written.map_err(|failure| CasError::StoreError(failure.into())))
    }
}

impl batch::Host for GuestState {
    async fn get_many(
        &mut self,
        store: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, Error>> {
        let read = self.read_states(&store, &keys).await?;
        Ok(read.map(|values| keys.into_iter().zip(values).collect()).map_err(Error::from))
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
