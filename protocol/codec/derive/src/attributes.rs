//! From attributes to a checked declaration.

use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Fields, Ident, LitInt, LitStr, Result, Type};

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

impl Versions {
    const ALL: Self = Self {
        first: 0,
        last: i16::MAX,
    };

    /// Reads `3+`, `0-5` or `7`.
    fn parse(text: &LitStr) -> Result<Self> {
        let value = text.value();
        let number = |part: &str| {
            part.parse::<i16>()
                .map_err(|_| Error::new(text.span(), "versions look like \"3+\", \"0-5\" or \"7\""))
        };
        let range = if let Some(first) = value.strip_suffix('+') {
            Self {
                first: number(first)?,
                last: i16::MAX,
            }
        } else if let Some((first, last)) = value.split_once('-') {
            Self {
                first: number(first)?,
                last: number(last)?,
            }
        } else {
            let only = number(&value)?;
            Self {
                first: only,
                last: only,
            }
        };
        if range.first < 0 || range.first > range.last {
            return Err(Error::new(
                text.span(),
                "the first version is above the last",
            ));
        }
        Ok(range)
    }
}

/// A struct with its attributes.
pub(crate) struct Declaration {
    pub(crate) name: Ident,
    /// Absent for a nested struct.
    pub(crate) message: Option<MessageAttributes>,
    pub(crate) fields: Vec<FieldDeclaration>,
}

/// `#[message(..)]`.
pub(crate) struct MessageAttributes {
    pub(crate) versions: Versions,
    /// The first flexible version.
    pub(crate) flexible: Option<i16>,
}

/// A field with its attributes.
pub(crate) struct FieldDeclaration {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) is_option: bool,
    /// `None`: wherever the struct exists.
    pub(crate) versions: Option<Versions>,
    pub(crate) nullable: Option<Versions>,
    pub(crate) tag: Option<u32>,
    pub(crate) default: Option<Expr>,
    pub(crate) ignorable: bool,
    pub(crate) classic: bool,
}

impl Declaration {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.span(), "a message is a struct"));
        };
        if !input.generics.params.is_empty() {
            return Err(Error::new(
                input.generics.span(),
                "a message has no type parameters",
            ));
        }
        let named = match &data.fields {
            Fields::Named(fields) => fields.named.iter().collect(),
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => return Err(Error::new(input.span(), "fields need names")),
        };
        let fields = named
            .into_iter()
            .map(FieldDeclaration::parse)
            .collect::<Result<Vec<_>>>()?;
        for (i, field) in fields.iter().enumerate() {
            let same = |other: &FieldDeclaration| other.tag.is_some() && other.tag == field.tag;
            if fields[..i].iter().any(same) {
                return Err(Error::new(field.name.span(), "this tag is taken"));
            }
        }
        Ok(Self {
            name: input.ident.clone(),
            message: MessageAttributes::parse(input)?,
            fields,
        })
    }
}

impl MessageAttributes {
    fn parse(input: &DeriveInput) -> Result<Option<Self>> {
        let Some(attribute) = input.attrs.iter().find(|a| a.path().is_ident("message")) else {
            return Ok(None);
        };
        let (mut versions, mut flexible) = (None, None);
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("versions") {
                versions = Some(Versions::parse(&meta.value()?.parse()?)?);
            } else if meta.path.is_ident("flexible") {
                flexible = Some(Versions::parse(&meta.value()?.parse()?)?.first);
            } else {
                return Err(meta.error("expected `versions` or `flexible`"));
            }
            Ok(())
        })?;
        let versions =
            versions.ok_or_else(|| Error::new(attribute.span(), "`versions` is missing"))?;
        if versions.last == i16::MAX {
            return Err(Error::new(attribute.span(), "a message has a last version"));
        }
        Ok(Some(Self { versions, flexible }))
    }
}

impl FieldDeclaration {
    fn parse(field: &syn::Field) -> Result<Self> {
        let name = field
            .ident
            .clone()
            .ok_or_else(|| Error::new(field.span(), "no name"))?;
        let mut parsed = Self {
            name,
            ty: field.ty.clone(),
            is_option: is_option(&field.ty),
            versions: None,
            nullable: None,
            tag: None,
            default: None,
            ignorable: false,
            classic: false,
        };
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("field")) {
            attribute.parse_nested_meta(|meta| parsed.take(&meta))?;
        }
        if parsed.nullable.is_some() && !parsed.is_option {
            return Err(Error::new(
                field.ty.span(),
                "a nullable field is an `Option`",
            ));
        }
        Ok(parsed)
    }

    fn take(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("versions") {
            let versions = Versions::parse(&meta.value()?.parse()?)?;
            self.versions = Some(versions).filter(|v| *v != Versions::ALL);
        } else if meta.path.is_ident("nullable") {
            self.nullable = Some(Versions::parse(&meta.value()?.parse()?)?);
        } else if meta.path.is_ident("tag") {
            self.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
        } else if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("ignorable") {
            self.ignorable = true;
        } else if meta.path.is_ident("classic") {
            self.classic = true;
        } else {
            return Err(meta.error(
                "expected `versions`, `nullable`, `tag`, `default`, `ignorable` or `classic`",
            ));
        }
        Ok(())
    }
}

fn is_option(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|s| s.ident == "Option"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn refused(input: DeriveInput) -> String {
        Declaration::parse(&input)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn versions_are_ranges() {
        let parse = |text: &str| {
            let text = LitStr::new(text, proc_macro2::Span::call_site());
            Versions::parse(&text)
                .map(|versions| (versions.first, versions.last))
                .ok()
        };
        assert_eq!(parse("3+"), Some((3, i16::MAX)));
        assert_eq!(parse("0-13"), Some((0, 13)));
        assert_eq!(parse("7"), Some((7, 7)));
        for wrong in ["", "+", "3-1", "-1", "a", "1-", "70000"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_nested_struct_has_no_versions_of_its_own() {
        let declaration = Declaration::parse(&parse_quote! {
            struct Inner {
                #[field(versions = "1+", ignorable)]
                name: Option<String>,
            }
        });
        let declaration = declaration.unwrap();
        assert!(declaration.message.is_none());
        let field = &declaration.fields[0];
        assert!(field.is_option && field.ignorable && !field.classic);
    }

    #[test]
    fn contradictions_are_refused() {
        let message = refused(parse_quote! { #[message(flexible = "1+")] struct A; });
        assert_eq!(message, "`versions` is missing");
        let message = refused(parse_quote! { #[message(versions = "1+")] struct A; });
        assert_eq!(message, "a message has a last version");
        let message = refused(parse_quote! { struct A { #[field(nullable = "1+")] a: i8 } });
        assert_eq!(message, "a nullable field is an `Option`");
        let message =
            refused(parse_quote! { struct A { #[field(tag = 0)] a: i8, #[field(tag = 0)] b: i8 } });
        assert_eq!(message, "this tag is taken");
        let message = refused(parse_quote! { struct A { #[field(optional)] a: i8 } });
        assert!(message.starts_with("expected `versions`"));
        assert_eq!(refused(parse_quote! { struct A(i8); }), "fields need names");
        assert_eq!(refused(parse_quote! { enum A {} }), "a message is a struct");
    }
}
