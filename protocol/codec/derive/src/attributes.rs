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
