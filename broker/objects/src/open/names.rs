//! What the stores' own tools and libraries read in an environment, and `object_store` does not.

use object_store::azure::AzureConfigKey::{
    self, AccessKey, AccountName, Endpoint, SasKey, UseEmulator,
};

/// As `az` and the Azure SDKs have it.
const CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
/// As `az` has them.
const ACCOUNT: &str = "AZURE_STORAGE_ACCOUNT";
const KEY: &str = "AZURE_STORAGE_KEY";
const SUFFIX: &str = "core.windows.net";

/// As Google's own libraries have it: a server that asks nobody who he is.
const EMULATOR: &str = "STORAGE_EMULATOR_HOST";
/// As `object_store` has it: a server that does.
const BASE: &str = "GOOGLE_BASE_URL";

pub(crate) fn value_of<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = environment.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// The server that is spoken to without credentials. Google's libraries take it with and without a scheme.
pub(crate) fn emulator(environment: &[(String, String)]) -> Option<String> {
    let host = value_of(environment, EMULATOR).map(str::trim)?;
    if host.is_empty() || value_of(environment, BASE).is_some() {
        return None;
    }
    let scheme = if host.contains("://") { "" } else { "http://" };
    Some(format!("{scheme}{}", host.trim_end_matches('/')))
}

/// What Azure's tools would be told, the least of it first: a connection string, and names of their own.
///
/// # Errors
/// The connection string is none. It is not shown: the key is in it.
pub(crate) fn azure(
    environment: &[(String, String)],
) -> Result<Vec<(AzureConfigKey, String)>, String> {
    let said = |name| value_of(environment, name).filter(|value| !value.is_empty());
    let mut told = match said(CONNECTION) {
        Some(text) => connection(text).map_err(|why| format!("{CONNECTION}: {why}"))?,
        None => Vec::new(),
    };
    for (name, key) in [(ACCOUNT, AccountName), (KEY, AccessKey)] {
        told.extend(said(name).map(|value| (key, value.to_owned())));
    }
    Ok(told)
}

/// Reads `Name=value;Name=value`.
fn connection(text: &str) -> Result<Vec<(AzureConfigKey, String)>, &'static str> {
    let mut said = Vec::new();
    for part in text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, value) = part
            .split_once('=')
            .ok_or("its parts are Name=value, with `;` between them")?;
        said.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let said = |name: &str| value_of(&said, name).filter(|value| !value.is_empty());
    if said("usedevelopmentstorage") == Some("true") {
        return Ok(vec![(UseEmulator, "true".to_owned())]);
    }
    let endpoint = said("blobendpoint").map(|url| url.trim_end_matches('/'));
    // With a signature for it the endpoint may be all that is said.
    let host = endpoint.and_then(|url| url.split_once("://"));
    let of_host = host.and_then(|(_, host)| host.split_once('.').map(|(account, _)| account));
    let account = said("accountname").or(of_host);
    let account =
        account.ok_or("it has neither AccountName nor a BlobEndpoint that begins with it")?;
    let made = || {
        let suffix = said("endpointsuffix").unwrap_or(SUFFIX);
        let scheme = said("defaultendpointsprotocol").unwrap_or("https");
        format!("{scheme}://{account}.blob.{suffix}")
    };
    let mut told = vec![
        (AccountName, account.to_owned()),
        (Endpoint, endpoint.map_or_else(made, str::to_owned)),
    ];
    for (name, key) in [("accountkey", AccessKey), ("sharedaccesssignature", SasKey)] {
        told.extend(said(name).map(|value| (key, value.to_owned())));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(said: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        said.iter().map(owned).collect()
    }

    #[test]
    fn connection_strings_say_account_key_and_endpoint() {
        for (text, expected) in [
            (
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
                &[
                    (AccountName, "a"),
                    (Endpoint, "https://a.blob.core.windows.net"),
                    (AccessKey, "a2V5=="),
                ][..],
            ),
            (
                "accountname=a; AccountKey=k ;BlobEndpoint=http://127.0.0.1:10000/a/;",
                &[
                    (AccountName, "a"),
                    (Endpoint, "http://127.0.0.1:10000/a"),
                    (AccessKey, "k"),
                ],
            ),
            (
                "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x%3D",
                &[
                    (AccountName, "a"),
                    (Endpoint, "https://a.blob.core.windows.net"),
                    (SasKey, "sv=1&sig=x%3D"),
                ],
            ),
            ("UseDevelopmentStorage=true", &[(UseEmulator, "true")]),
        ] {
            let told = connection(text).unwrap();
            let told: Vec<_> = told.iter().map(|(key, value)| (*key, &**value)).collect();
            assert_eq!(told, expected, "{text}");
        }
    }

    #[test]
    fn a_connection_string_that_is_none_is_told_and_not_shown() {
        for (text, says) in [
            ("TOPSECRET", "its parts are Name=value"),
            ("AccountKey=TOPSECRET", "neither AccountName nor"),
        ] {
            let why = azure(&environment(&[(CONNECTION, text)])).unwrap_err();
            let begins = why.starts_with("AZURE_STORAGE_CONNECTION_STRING: ");
            assert!(begins && why.contains(says), "{why}");
            assert!(!why.contains("TOPSECRET"), "{why}");
        }
    }

    #[test]
    fn what_is_empty_is_not_said() {
        let text = "AccountName=a;AccountKey=k";
        let empty = [(ACCOUNT, ""), (KEY, "")];
        let alone = azure(&environment(&[(CONNECTION, text)])).unwrap();
        let beside = [&[(CONNECTION, text)][..], &empty].concat();
        assert_eq!(azure(&environment(&beside)), Ok(alone));
        let all = [&[(CONNECTION, "")][..], &empty].concat();
        assert_eq!(azure(&environment(&all)), Ok(Vec::new()));
    }

    #[test]
    fn an_emulator_has_a_scheme_or_gets_one() {
        let at = |said: &[(&str, &str)]| emulator(&environment(said));
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[(EMULATOR, " ")]), None);
        let plain = Some("http://localhost:4443".to_owned());
        assert_eq!(at(&[(EMULATOR, "localhost:4443")]), plain);
        assert_eq!(at(&[(EMULATOR, "http://localhost:4443/")]), plain);
        let own = [(EMULATOR, "localhost:4443"), (BASE, "https://gcs.example")];
        assert_eq!(at(&own), None, "whoever is named there asks who it is");
    }
}
