//! Plain WASI programs, of preview 1 (core modules) or preview 2 (components): started, run to their end.

use crate::guest::output::Output;
use crate::guest::state::GuestState;
use crate::run::clock::FIRST_TICKS;
use wasmtime::component;
use wasmtime::{InstancePre, Result, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

/// What a program is started by.
pub(crate) const START: &str = "_start";

/// A linked program.
#[derive(Clone)]
pub(crate) enum Program {
    Module(InstancePre<GuestState>),
    Component(CommandPre<GuestState>),
}

impl Program {
    /// Finds the entry of a component.
    pub(crate) fn of_component(linked: component::InstancePre<GuestState>) -> Result<Self> {
        CommandPre::new(linked).map(Self::Component)
    }

    /// Runs to the end; the exit code. Gives the store up, with all that is in it.
    pub(crate) async fn run(self, mut store: Store<GuestState>) -> Result<i32> {
        store.set_epoch_deadline(FIRST_TICKS);
        let ended = match self {
            Self::Module(linked) => {
                let instance = linked.instantiate_async(&mut store).await?;
                let start = instance.get_typed_func::<(), ()>(&mut store, START)?;
                start.call_async(&mut store, ()).await.map(Ok)
            }
            Self::Component(linked) => {
                let command = linked.instantiate_async(&mut store).await?;
                command.wasi_cli_run().call_run(&mut store).await
            }
        };
        match ended {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0),
                None => Err(error),
            },
        }
    }

    /// Makes an instance and does not run it.
    pub(crate) async fn instantiate(&self, store: &mut Store<GuestState>) -> Result<()> {
        store.set_epoch_deadline(FIRST_TICKS);
        match self {
            Self::Module(linked) => {
                let instance = linked.instantiate_async(&mut *store).await?;
                instance.get_typed_func::<(), ()>(store, START).map(drop)
            }
            Self::Component(linked) => linked.instantiate_async(store).await.map(drop),
        }
    }
}

/// An error with what the program said last.
pub(crate) fn failed(what: &str, output: &Output) -> wasmtime::Error {
    let said = output.tail();
    if said.is_empty() {
        return wasmtime::Error::msg(format!("{what}; it wrote nothing to standard error"));
    }
    wasmtime::Error::msg(format!("{what}:\n{said}"))
}
