//! The attributes of `pelton-sdk`: they turn a plain function into a component's handler.
//!
//! Owns the check of the function's shape and the glue around it: a type that implements the
//! bindings' trait, and the call that exports it. The glue is compiled for WebAssembly only; the
//! function itself is passed through untouched. It must not know what the bindings look like
//! inside: their names live in `pelton_sdk::wire`, and are used from here by path.

#![forbid(unsafe_code)]

mod expand;

use expand::Form;
use proc_macro::TokenStream;

/// See `pelton_sdk::handler`.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Form::Message, &arguments.into(), item.into()).into()
}

/// See `pelton_sdk::batch_handler`.
#[proc_macro_attribute]
pub fn batch_handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Form::Batch, &arguments.into(), item.into()).into()
}
