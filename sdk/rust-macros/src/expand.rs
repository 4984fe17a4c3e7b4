//! From the user's function to the function, a check of its type, and the export.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, Type};

/// Which of the two worlds the function is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One message at a time.
    Message,
    /// Many at a time.
    Batch,
}

impl Form {
    fn attribute(self) -> &'static str {
        match self {
            Self::Message => "#[pelton_sdk::handler]",
            Self::Batch => "#[pelton_sdk::batch_handler]",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Message => "fn handle(message: Message) -> Result<(), Failure>",
            Self::Batch => "fn handle(messages: Vec<Message>) -> Vec<Result<(), Failure>>",
        }
    }

    /// An error that shows what the function has to look like.
    fn error(self, at: impl Spanned, what: &str) -> Error {
        let text = format!("{what}; {} goes on `{}`", self.attribute(), self.shape());
        Error::new(at.span(), text)
    }
}

/// What the attribute expands to: the function and its glue, or a compile error beside it.
///
/// The function is kept in the error's case too, so that its callers do not fail as well.
pub(crate) fn expand(form: Form, arguments: &TokenStream, item: TokenStream) -> TokenStream {
    match glue(form, arguments, &item) {
        Ok(glue) => quote! { #item #glue },
        Err(error) => {
            let error = error.to_compile_error();
            quote! { #item #error }
        }
    }
}

fn glue(form: Form, arguments: &TokenStream, item: &TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(form.error(arguments, "the attribute takes no arguments"));
    }
    let function: ItemFn =
        syn::parse2(item.clone()).map_err(|_| form.error(item, "this is not a function"))?;
    check(form, &function)?;
    let name = &function.sig.ident;
    let signature = signature(form);
    let export = export(form, name);
    // Natively the check of the type is also what makes the function used, so that a private one
    // is no dead code.
    let check = quote_spanned! { function.sig.span() => const _: #signature = #name; };
    Ok(quote! { #check #export })
}

/// Says in words what the check of the type would say in terms of function pointers.
fn check(form: Form, function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(form.error(token, "a handler is not async: it returns when it is done"));
    }
    if let Some(token) = &signature.unsafety {
        return Err(form.error(token, "a handler is not unsafe"));
    }
    if !signature.generics.params.is_empty() {
        return Err(form.error(&signature.generics, "a handler is not generic"));
    }
    let mut inputs = signature.inputs.iter();
    let (Some(FnArg::Typed(argument)), None) = (inputs.next(), inputs.next()) else {
        return Err(form.error(signature, "a handler takes one argument"));
    };
    match (form, is_vec(&argument.ty)) {
        (Form::Message, true) => {
            Err(form.error(&argument.ty, "for many messages at a time use #[pelton_sdk::batch_handler]"))
        }
        (Form::Batch, false) => {
            Err(form.error(&argument.ty, "for one message at a time use #[pelton_sdk::handler]"))
        }
        _ => Ok(()),
    }
}

fn is_vec(argument: &Type) -> bool {
    let Type::Path(path) = argument else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|segment| segment.ident == "Vec")
}

fn signature(form: Form) -> TokenStream {
    let result = quote! { ::core::result::Result<(), ::pelton_sdk::Failure> };
    match form {
        Form::Message => quote! { fn(::pelton_sdk::Message) -> #result },
        Form::Batch => quote! {
            fn(::std::vec::Vec<::pelton_sdk::Message>) -> ::std::vec::Vec<#result>
        },
    }
}

/// The glue that is compiled for WebAssembly only.
fn export(form: Form, name: &syn::Ident) -> TokenStream {
    let types = quote! { ::pelton_sdk::wire::types };
    let result = quote! { ::core::result::Result<(), #types::Failure> };
    let (body, export) = match form {
        Form::Message => (
            quote! {
                impl ::pelton_sdk::wire::MessageHandler for Component {
                    fn handle(message: #types::Message) -> #result {
                        ::pelton_sdk::wire::handle(#name, message)
                    }
                }
            },
            quote! { ::pelton_sdk::wire::message::export_handler!(Component); },
        ),
        Form::Batch => (
            quote! {
                impl ::pelton_sdk::wire::BatchHandler for Component {
                    fn handle_batch(
                        messages: ::std::vec::Vec<#types::Message>,
                    ) -> ::std::vec::Vec<#result> {
                        ::pelton_sdk::wire::handle_batch(#name, messages)
                    }
                }
            },
            quote! { ::pelton_sdk::wire::batch::export_batch_handler!(Component); },
        ),
    };
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;
            #body
            #export
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(form: Form, item: TokenStream) -> String {
        expand(form, &TokenStream::new(), item).to_string()
    }

    #[track_caller]
    fn refused(form: Form, item: TokenStream, because: &str) {
        let text = expanded(form, item.clone());
        assert!(text.starts_with(&item.to_string()), "kept: {text}");
        assert!(text.contains("compile_error"), "refused: {text}");
        assert!(text.contains(because), "{because}: {text}");
        assert!(text.contains(form.shape()), "says how: {text}");
    }

    #[test]
    fn the_function_is_kept_and_exported() {
        let function = quote! { pub fn work(m: Message) -> Result<(), Failure> { drop(m); Ok(()) } };
        let text = expanded(Form::Message, function.clone());
        assert!(text.starts_with(&function.to_string()));
        assert!(text.contains("target_family"));
        assert!(text.contains("export_handler !"));
        assert!(text.contains("wire :: handle (work , message)"));
    }

    #[test]
    fn a_batch_is_exported_to_the_other_world() {
        let function = quote! {
            fn work(all: std::vec::Vec<Message>) -> Vec<Result<(), Failure>> { todo!() }
        };
        let text = expanded(Form::Batch, function);
        assert!(text.contains("export_batch_handler !"));
        assert!(text.contains("wire :: handle_batch (work , messages)"));
    }

    #[test]
    fn each_form_points_to_the_other() {
        let many = quote! { fn work(all: Vec<Message>) -> Vec<Result<(), Failure>> { vec![] } };
        refused(Form::Message, many, "use #[pelton_sdk::batch_handler]");
        let one = quote! { fn work(m: Message) -> Result<(), Failure> { Ok(()) } };
        refused(Form::Batch, one, "use #[pelton_sdk::handler]");
    }

    #[test]
    fn what_is_no_handler_is_refused_in_words() {
        refused(Form::Message, quote! { struct Work; }, "not a function");
        refused(Form::Message, quote! { async fn work(m: Message) {} }, "not async");
        refused(Form::Message, quote! { unsafe fn work(m: Message) {} }, "not unsafe");
        refused(Form::Message, quote! { fn work<T>(m: T) {} }, "not generic");
        refused(Form::Message, quote! { fn work() {} }, "takes one argument");
        refused(Form::Batch, quote! { fn work(a: Vec<M>, b: u8) {} }, "takes one argument");
        refused(Form::Message, quote! { fn work(self) {} }, "takes one argument");
    }

    #[test]
    fn arguments_of_the_attribute_are_refused() {
        let item = quote! { fn work(m: Message) -> Result<(), Failure> { Ok(()) } };
        let text = expand(Form::Message, &quote! { batch }, item).to_string();
        assert!(text.contains("takes no arguments"), "{text}");
    }
}
