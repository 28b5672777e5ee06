//! `#[derive(Message)]`: reading, writing, defaults and random samples of a declared struct. The
//! attributes are described in `freshet_codec`.

mod attributes;
mod generate;

use proc_macro::TokenStream;

/// See the documentation of `freshet_codec`.
#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    attributes::Declaration::parse(&input)
        .map(|declaration| generate::implementations(&declaration))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
