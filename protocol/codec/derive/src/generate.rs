//! From a declaration to code.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, Lit};

use crate::attributes::{Declaration, FieldDeclaration, Versions};

/// All implementations for one struct.
pub(crate) fn implementations(declaration: &Declaration) -> TokenStream {
    let parts = [
        default_impl(declaration),
        field_impl(declaration),
        nullable_impl(declaration),
        message_impl(declaration),
        sample_impl(declaration),
    ];
    quote! { #(#parts)* }
}

fn default_impl(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let fields = declaration.fields.iter().map(|field| {
        let (name, default) = (&field.name, default_of(field));
        quote! { #name: #default }
    });
    quote! {
        #[automatically_derived]
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#fields,)* }
            }
        }
    }
}

fn field_impl(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let (smallest, read, write) = (
        smallest_body(declaration),
        read_body(declaration),
        write_body(declaration),
    );
    quote! {
        #[automatically_derived]
        impl ::freshet_codec::Field for #name {
            fn smallest(at: ::freshet_codec::Shape) -> usize {
                #smallest
            }
            #[allow(clippy::too_many_lines, reason = "as long as the message has fields")]
            fn read(
                r: &mut ::freshet_codec::Reader,
                at: ::freshet_codec::Shape,
            ) -> ::core::result::Result<Self, ::freshet_codec::DecodeError> {
                #read
            }
            #[allow(clippy::too_many_lines, reason = "as long as the message has fields")]
            fn write(
                &self,
                w: &mut ::freshet_codec::Writer,
                at: ::freshet_codec::Shape,
            ) -> ::core::result::Result<(), ::freshet_codec::EncodeError> {
                #write
                ::core::result::Result::Ok(())
            }
        }
    }
}

/// Every struct can stand in an `Option`: one byte before it, 1 or -1 for null.
fn nullable_impl(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    quote! {
        #[automatically_derived]
        impl ::freshet_codec::Nullable for #name {
            fn smallest_nullable(_: ::freshet_codec::Shape) -> usize {
                1
            }
            fn read_nullable(
                r: &mut ::freshet_codec::Reader,
                at: ::freshet_codec::Shape,
            ) -> ::core::result::Result<::core::option::Option<Self>, ::freshet_codec::DecodeError>
            {
                if r.i8()? < 0 {
                    return ::core::result::Result::Ok(::core::option::Option::None);
                }
                ::freshet_codec::Field::read(r, at).map(::core::option::Option::Some)
            }
            fn write_nullable(
                value: ::core::option::Option<&Self>,
                w: &mut ::freshet_codec::Writer,
                at: ::freshet_codec::Shape,
            ) -> ::core::result::Result<(), ::freshet_codec::EncodeError> {
                match value {
                    ::core::option::Option::Some(value) => {
                        w.i8(1);
                        ::freshet_codec::Field::write(value, w, at)
                    }
                    ::core::option::Option::None => {
                        w.i8(-1);
                        ::core::result::Result::Ok(())
                    }
                }
            }
        }
    }
}

fn message_impl(declaration: &Declaration) -> TokenStream {
    let Some(message) = &declaration.message else {
        return TokenStream::new();
    };
    let name = &declaration.name;
    let text = name.to_string();
    let Versions { first, last } = message.versions;
    let flexible = message.flexible.unwrap_or(i16::MAX);
    quote! {
        #[automatically_derived]
        impl ::freshet_codec::Message for #name {
            const NAME: &'static str = #text;
            const VERSIONS: ::core::ops::RangeInclusive<i16> = #first..=#last;
            const FLEXIBLE: i16 = #flexible;
        }
    }
}

fn sample_impl(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let fields = declaration.fields.iter().map(|field| {
        let (name, ty, default) = (&field.name, &field.ty, default_of(field));
        let present = present(field).unwrap_or_else(|| quote! { true });
        let mut value = quote! { <#ty as ::freshet_codec::Sample>::sample(s, at) };
        if let Some(nullable) = field.nullable.and_then(range_test) {
            value = quote! {
                if #nullable { #value } else {
                    ::core::option::Option::Some(::freshet_codec::Sample::sample(s, at))
                }
            };
        }
        // Tagged fields are left at their default now and then, because that takes another path.
        let keep = match field.tag {
            Some(_) => quote! { && at.flexible && !s.one_in(3) },
            None => TokenStream::new(),
        };
        quote! { #name: if #present #keep { #value } else { #default } }
    });
    quote! {
        ::freshet_codec::testing! {
            #[automatically_derived]
            impl ::freshet_codec::Sample for #name {
                #[allow(
                    clippy::needless_bool, clippy::too_many_lines, unused_variables,
                    reason = "one shape for all messages; some need only a part of it"
                )]
                fn sample(s: &mut ::freshet_codec::Sampler, at: ::freshet_codec::Shape) -> Self {
                    Self { #(#fields,)* }
                }
            }
        }
    }
}

fn smallest_body(declaration: &Declaration) -> TokenStream {
    let sizes = plain(declaration).map(|field| {
        let (ty, shape) = (&field.ty, shape_of(field));
        let size = quote! { <#ty as ::freshet_codec::Field>::smallest(#shape) };
        match present(field) {
            Some(test) => quote! { + if #test { #size } else { 0 } },
            None => quote! { + #size },
        }
    });
    quote! { usize::from(at.flexible) #(#sizes)* }
}

fn read_body(declaration: &Declaration) -> TokenStream {
    let plain_reads = plain(declaration).map(|field| {
        let (name, ty, shape, default) =
            (&field.name, &field.ty, shape_of(field), default_of(field));
        let mut read = quote! { <#ty as ::freshet_codec::Field>::read(r, #shape)? };
        if let Some(nullable) = field.nullable.and_then(range_test) {
            read = quote! {
                if #nullable { #read } else {
                    ::core::option::Option::Some(::freshet_codec::Field::read(r, #shape)?)
                }
            };
        }
        match present(field) {
            Some(test) => quote! { let #name = if #test { #read } else { #default }; },
            None => quote! { let #name = #read; },
        }
    });
    let tagged_defaults = tagged(declaration).map(|(field, _)| {
        let (name, default) = (&field.name, default_of(field));
        quote! { let mut #name = #default; }
    });
    let arms = tagged(declaration).map(|(field, tag)| {
        let (name, shape) = (&field.name, shape_of(field));
        let guard = present(field).map(|test| quote! { if #test });
        quote! { #tag #guard => #name = ::freshet_codec::Field::read(r, #shape)?, }
    });
    let section = if tagged(declaration).next().is_some() {
        quote! {
            r.tagged_fields(|r, tag| {
                match tag {
                    #(#arms)*
                    _ => return ::core::result::Result::Ok(false),
                }
                ::core::result::Result::Ok(true)
            })?;
        }
    } else {
        quote! { r.tagged_fields(|_, _| ::core::result::Result::Ok(false))?; }
    };
    let names = declaration.fields.iter().map(|field| &field.name);
    quote! {
        #(#plain_reads)*
        #(#tagged_defaults)*
        if at.flexible {
            #section
        }
        ::core::result::Result::Ok(Self { #(#names,)* })
    }
}

fn write_body(declaration: &Declaration) -> TokenStream {
    let plain_writes = plain(declaration).map(|field| {
        let write = write_plain(declaration, field);
        match present(field) {
            Some(test) => {
                let otherwise = refuse_unless_default(declaration, field);
                quote! { if #test { #write } #otherwise }
            }
            None => write,
        }
    });
    let counts = tagged(declaration).map(|(field, _)| {
        let test = must_be_written(field);
        quote! { + u32::from(#test) }
    });
    let mut in_order: Vec<_> = tagged(declaration).collect();
    in_order.sort_by_key(|(_, tag)| *tag);
    let tagged_writes = in_order.into_iter().map(|(field, tag)| {
        let (name, test, shape) = (&field.name, must_be_written(field), shape_of(field));
        quote! {
            if #test {
                w.tagged(#tag, |w| ::freshet_codec::Field::write(&self.#name, w, #shape))?;
            }
        }
    });
    let refusals = tagged(declaration).filter_map(|(field, _)| {
        let otherwise = refuse_unless_default(declaration, field)?;
        let test = present(field).map(|test| quote! { && #test });
        Some(quote! { if at.flexible #test {} #otherwise })
    });
    quote! {
        #(#plain_writes)*
        #(#refusals)*
        if at.flexible {
            w.uvarint(0 #(#counts)*);
            #(#tagged_writes)*
        }
    }
}

fn write_plain(declaration: &Declaration, field: &FieldDeclaration) -> TokenStream {
    let (name, shape) = (&field.name, shape_of(field));
    let write = quote! { ::freshet_codec::Field::write(&self.#name, w, #shape)?; };
    let Some(nullable) = field.nullable.and_then(range_test) else {
        return write;
    };
    let path = path_of(declaration, field);
    quote! {
        if #nullable {
            #write
        } else {
            match &self.#name {
                ::core::option::Option::Some(value) => {
                    ::freshet_codec::Field::write(value, w, #shape)?;
                }
                ::core::option::Option::None => {
                    return ::core::result::Result::Err(::freshet_codec::EncodeError::Null {
                        field: #path,
                        version: at.version,
                    });
                }
            }
        }
    }
}

/// `else if the value is not the default { return Err }`, unless it may be dropped.
fn refuse_unless_default(
    declaration: &Declaration,
    field: &FieldDeclaration,
) -> Option<TokenStream> {
    if field.ignorable {
        return None;
    }
    let (differs, path) = (differs(field), path_of(declaration, field));
    Some(quote! {
        else if #differs {
            return ::core::result::Result::Err(::freshet_codec::EncodeError::Field {
                field: #path,
                version: at.version,
            });
        }
    })
}

/// Whether a tagged field goes into the section.
fn must_be_written(field: &FieldDeclaration) -> TokenStream {
    let differs = differs(field);
    let test = present(field).map(|test| quote! { #test && });
    quote! { (#test #differs) }
}

/// Whether the field is not its default; a string is compared without making another.
fn differs(field: &FieldDeclaration) -> TokenStream {
    let (name, default) = (&field.name, default_of(field));
    match &field.default {
        Some(text) if is_text(text) && field.is_option => {
            quote! { self.#name.as_deref() != ::core::option::Option::Some(#text) }
        }
        Some(text) if is_text(text) => quote! { self.#name.as_str() != #text },
        _ => quote! { self.#name != #default },
    }
}

fn is_text(default: &Expr) -> bool {
    matches!(default, Expr::Lit(lit) if matches!(lit.lit, Lit::Str(_)))
}

fn plain(declaration: &Declaration) -> impl Iterator<Item = &FieldDeclaration> {
    declaration
        .fields
        .iter()
        .filter(|field| field.tag.is_none())
}

fn tagged(declaration: &Declaration) -> impl Iterator<Item = (&FieldDeclaration, u32)> {
    declaration
        .fields
        .iter()
        .filter_map(|field| Some((field, field.tag?)))
}

/// The test whether the field exists, or `None` if it always does.
fn present(field: &FieldDeclaration) -> Option<TokenStream> {
    field.versions.and_then(range_test)
}

fn range_test(Versions { first, last }: Versions) -> Option<TokenStream> {
    match (first, last) {
        (0, i16::MAX) => None,
        (first, i16::MAX) => Some(quote! { (at.version >= #first) }),
        (0, last) => Some(quote! { (at.version <= #last) }),
        (first, last) if first == last => Some(quote! { (at.version == #first) }),
        (first, last) => Some(quote! { (#first..=#last).contains(&at.version) }),
    }
}

fn shape_of(field: &FieldDeclaration) -> TokenStream {
    if field.classic {
        quote! { at.classic() }
    } else {
        quote! { at }
    }
}

fn path_of(declaration: &Declaration, field: &FieldDeclaration) -> String {
    format!("{}.{}", declaration.name, field.name)
}

/// The default as an expression of the field's type.
fn default_of(field: &FieldDeclaration) -> TokenStream {
    let ty = &field.ty;
    let Some(default) = &field.default else {
        return quote! { <#ty as ::core::default::Default>::default() };
    };
    let value = if is_text(default) {
        quote! { ::std::string::String::from(#default) }
    } else {
        quote! { #default }
    };
    let is_none = matches!(default, Expr::Path(path) if path.path.is_ident("None"));
    if field.is_option && !is_none {
        quote! { ::core::option::Option::Some(#value) }
    } else {
        value
    }
}
