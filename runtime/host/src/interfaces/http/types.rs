//! What the library for `wasi:http` leaves open: memory that a guest makes the host keep counts as its own,
//! and what ended a body has a code.

use super::hooks::CHUNK_BYTES;
use crate::guest::state::GuestState;
use std::collections::HashMap;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    self, ErrorCode, HeaderError, HostFields as _, HostOutgoingRequest as _, IoError,
};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{Error, FieldMap, FieldMapError, WasiHttpView};

/// The interface, in the library's version.
const TYPES: &str = "wasi:http/types@0.2.12";
/// What a header takes beside its name and value.
const HEADER_COST: usize = 64;
/// Charges after which those of what is gone are taken back.
const FEW: usize = 8;

/// What headers, requests and bodies of a store count for in its memory, by their handles.
#[derive(Default)]
pub(super) struct Charges {
    each: HashMap<u32, usize>,
    sweep_at: usize,
}

type Cx<'a> = StoreContextMut<'a, GuestState>;

/// In place of the library's own functions of these names.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut instance = linker.instance(TYPES)?;
    instance.func_wrap("http-error-code", |mut cx: Cx<'_>, (error,): (Resource<IoError>,)| {
        let error = cx.data_mut().ctx().table.get(&error)?;
        let known = error.downcast_ref::<ErrorCode>().cloned();
        Ok((known.or_else(|| error.downcast_ref::<Error>().map(code_of)),))
    })?;
    fields(&mut instance)?;
    requests(&mut instance)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn fields(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "[static]fields.from-list",
        |mut cx: Cx<'_>, (entries,): (Vec<(String, Vec<u8>)>,)| {
            let made = header(cx.data_mut().http().from_list(entries))?;
            if let Ok(fields) = &made {
                charge_fields(cx.data_mut(), fields.rep())?;
            }
            Ok((made,))
        },
    )?;
    instance.func_wrap(
        "[method]fields.set",
        |mut cx: Cx<'_>, (fields, name, values): (Resource<FieldMap>, String, Vec<Vec<u8>>)| {
            let rep = fields.rep();
            let set = header(cx.data_mut().http().set(fields, name, values))?;
            charge_fields(cx.data_mut(), rep)?;
            Ok((set,))
        },
    )?;
    instance.func_wrap(
        "[method]fields.append",
        |mut cx: Cx<'_>, (fields, name, value): (Resource<FieldMap>, String, Vec<u8>)| {
            let rep = fields.rep();
            let appended = header(cx.data_mut().http().append(fields, name, value))?;
            charge_fields(cx.data_mut(), rep)?;
            Ok((appended,))
        },
    )?;
    instance.func_wrap("[method]fields.clone", |mut cx: Cx<'_>, (fields,): (Resource<FieldMap>,)| {
        let cloned = types::HostFields::clone(&mut cx.data_mut().http(), fields)?;
        charge_fields(cx.data_mut(), cloned.rep())?;
        Ok((cloned,))
    })
}

fn requests(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "[constructor]outgoing-request",
        |mut cx: Cx<'_>, (headers,): (Resource<FieldMap>,)| {
            let size = size_of_fields(cx.data_mut(), headers.rep());
            let request = types::HostOutgoingRequest::new(&mut cx.data_mut().http(), headers)?;
            charge(cx.data_mut(), request.rep(), size)?;
            Ok((request,))
        },
    )?;
    instance.func_wrap(
        "[method]outgoing-request.body",
        |mut cx: Cx<'_>, (request,): (Resource<HostOutgoingRequest>,)| {
            let body = cx.data_mut().http().body(request)?;
            if let Ok(body) = &body {
                charge(cx.data_mut(), body.rep(), 2 * CHUNK_BYTES)?;
            }
            Ok((body,))
        },
    )
}

/// The guest's part of a result; headers that are too large are its matter too, and no trap.
fn header<T>(result: HeaderResult<T>) -> wasmtime::Result<Result<T, HeaderError>> {
    let Err(error) = result else { return Ok(result.map_err(|_| HeaderError::Forbidden)) };
    match error.downcast() {
        Ok(error) => Ok(Err(error)),
        Err(error) => match error.downcast_ref::<FieldMapError>() {
            Some(FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig) => {
                Ok(Err(HeaderError::Forbidden))
            }
            _ => Err(error),
        },
    }
}

fn charge_fields(state: &mut GuestState, rep: u32) -> wasmtime::Result<()> {
    let size = size_of_fields(state, rep);
    charge(state, rep, size)
}

fn size_of_fields(state: &mut GuestState, rep: u32) -> usize {
    let table = state.ctx().table;
    let fields = table.get(&Resource::<FieldMap>::new_borrow(rep));
    fields.map_or(0, |fields| {
        fields.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_COST).sum()
    })
}

/// What this handle stands for takes so many bytes of the host.
fn charge(state: &mut GuestState, rep: u32, size: usize) -> wasmtime::Result<()> {
    let charges = &mut state.http.charges;
    if charges.each.len() >= charges.sweep_at.max(FEW) || !state.limits.has_room_for(size) {
        sweep(state)?;
    }
    let before = state.http.charges.each.insert(rep, size).unwrap_or(0);
    state.limits.host(before, size)
}

/// Takes back what is charged for handles that are gone.
fn sweep(state: &mut GuestState) -> wasmtime::Result<()> {
    let mut each = std::mem::take(&mut state.http.charges.each);
    let mut gone = 0;
    let table = state.ctx().table;
    each.retain(|rep, size| {
        let lives = table.get(&Resource::<FieldMap>::new_borrow(*rep)).is_ok()
            || table.get(&Resource::<HostOutgoingRequest>::new_borrow(*rep)).is_ok()
            || table.get(&Resource::<HostOutgoingBody>::new_borrow(*rep)).is_ok();
        gone += if lives { 0 } else { *size };
        lives
    });
    state.http.charges.sweep_at = 2 * each.len();
    state.http.charges.each = each;
    state.limits.host(gone, 0)
}

/// What ended a body, as the guest's library knows it.
fn code_of(error: &Error) -> ErrorCode {
    match error {
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
