//! State as components ask for it: what both versions say alike.

use super::{OpenStore, StateFailure, get, get_many, increment, store, write};
use crate::guest::state::GuestState;
use pelton_core::effects::Bucket;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;

impl GuestState {
    pub(super) fn bucket(&mut self, store: &Resource<OpenStore>) -> wasmtime::Result<Bucket> {
        Ok(self.ctx().table.get(store)?.bucket)
    }

    pub(super) fn open_store(
        &mut self,
        name: &str,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, StateFailure>> {
        match store(&self.caller(), name) {
            Ok(bucket) => Ok(Ok(self.ctx().table.push(OpenStore { bucket, listed: None })?)),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Writes, and counts what is kept for it from now on.
    pub(super) async fn write_state(
        &mut self,
        store: &Resource<OpenStore>,
        writes: Vec<(String, Option<Vec<u8>>)>,
    ) -> wasmtime::Result<Result<(), StateFailure>> {
        let bucket = self.bucket(store)?;
        let written = write(&self.caller(), bucket, writes).await;
        self.charge_staged()?;
        Ok(written)
    }

    pub(super) async fn read_state(
        &mut self,
        store: &Resource<OpenStore>,
        key: &str,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, StateFailure>> {
        let bucket = self.bucket(store)?;
        let read = get(&self.caller(), bucket, key).await;
        self.charge_staged()?;
        Ok(read)
    }

    pub(super) async fn read_states(
        &mut self,
        store: &Resource<OpenStore>,
        keys: &[String],
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, StateFailure>> {
        let bucket = self.bucket(store)?;
        let read = get_many(&self.caller(), bucket, keys).await;
        self.charge_staged()?;
        Ok(read)
    }

    pub(super) async fn increment_state(
        &mut self,
        store: &Resource<OpenStore>,
        key: &str,
        by: i128,
        min: i64,
    ) -> wasmtime::Result<Result<i64, StateFailure>> {
        let bucket = self.bucket(store)?;
        let next = increment(&self.caller(), bucket, key, by, min).await;
        self.charge_staged()?;
        Ok(next)
    }
}

/// What both versions say alike: everything but listing, counters and swaps.
macro_rules! same_in_all_versions {
    ($bindings:path, $list:ident) => {
        use version::store::{Error, Host, HostBucket};
        use $bindings as version;

        impl From<StateFailure> for Error {
            fn from(failure: StateFailure) -> Self {
                match failure {
                    StateFailure::NotGranted => Self::AccessDenied,
                    StateFailure::NoSuchStore(_) => Self::NoSuchStore,
                    other => Self::Other(other.words()),
                }
            }
        }

        impl Host for GuestState {
            async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<OpenStore>, Error>> {
                Ok(self.open_store(&name)?.map_err(Error::from))
            }
        }

        impl HostBucket for GuestState {
            async fn get(
                &mut self,
                store: Resource<OpenStore>,
                key: String,
            ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
                Ok(self.read_state(&store, &key).await?.map_err(Error::from))
            }

            async fn set(
                &mut self,
                store: Resource<OpenStore>,
                key: String,
                value: Vec<u8>,
            ) -> wasmtime::Result<Result<(), Error>> {
                Ok(self.write_state(&store, vec![(key, Some(value))]).await?.map_err(Error::from))
            }

            async fn delete(
                &mut self,
                store: Resource<OpenStore>,
                key: String,
            ) -> wasmtime::Result<Result<(), Error>> {
                Ok(self.write_state(&store, vec![(key, None)]).await?.map_err(Error::from))
            }

            async fn exists(
                &mut self,
                store: Resource<OpenStore>,
                key: String,
            ) -> wasmtime::Result<Result<bool, Error>> {
                let read = self.read_state(&store, &key).await?;
                Ok(read.map(|value| value.is_some()).map_err(Error::from))
            }

            async fn list_keys(
                &mut self,
                store: Resource<OpenStore>,
                cursor: Option<Cursor>,
            ) -> wasmtime::Result<Result<KeyResponse, Error>> {
                self.$list(store, cursor).await
            }

            async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
                self.ctx().table.delete(store)?;
                Ok(())
            }
        }
    };
}
pub(crate) use same_in_all_versions;
