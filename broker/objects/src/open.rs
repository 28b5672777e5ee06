//! From an address and an environment to a client.

mod names;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use freshet_env::objects::RequestCounts;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::local::LocalFileSystem;
use object_store::{
    BackoffConfig, ClientOptions, CredentialProvider, Error, ObjectStore, Result, RetryConfig,
    StaticCredentialProvider,
};

use crate::address::{Address, Keeper, OpenError};
use crate::answer::Connector;
use crate::bucket::Limits;
use crate::failure::words;
use crate::keys;
use crate::trust::{BUNDLE, trusting};
use crate::{mounted, profile};
use names::value_of;

/// The SDKs' name for what `object_store` calls AWS_METADATA_ENDPOINT.
const METADATA: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// A client of a store.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same, where it can be told how many names are wanted.
    pub(crate) paged: Option<Arc<dyn PaginatedListStore>>,
    /// Who gives it credentials; files need none, and a public bucket does not.
    pub(crate) login: Option<Box<dyn Login>>,
    /// Whether it lists names in the order of their bytes.
    pub(crate) sorted: bool,
}

/// Gets credentials, or has them.
#[async_trait]
pub(crate) trait Login: Send + Sync {
    /// Whether there are some that are still good.
    async fn ask(&self) -> Result<()>;
}

struct Keys<T>(Arc<dyn CredentialProvider<Credential = T>>);

#[async_trait]
impl<T: Send + Sync + 'static> Login for Keys<T> {
    async fn ask(&self) -> Result<()> {
        self.0.get_credential().await.map(drop)
    }
}

fn login<T: Send + Sync + 'static>(
    provider: &Arc<dyn CredentialProvider<Credential = T>>,
    anonymous: Option<String>,
) -> Option<Box<dyn Login>> {
    if is_true(anonymous.as_deref()) {
        return None;
    }
    Some(Box::new(Keys(Arc::clone(provider))))
}

fn is_true(said: Option<&str>) -> bool {
    said == Some("true")
}

/// Makes the client. Nothing is asked of the store yet; what is, is counted.
pub(crate) fn open(
    address: &Address,
    environment: impl IntoIterator<Item = (String, String)>,
    limits: &Limits,
    counts: &Arc<RequestCounts>,
) -> Result<Opened, OpenError> {
    let mut said = mounted::said(environment).map_err(|why| wrong(address, why))?;
    let mut keys = None;
    if address.keeper == Keeper::S3 {
        let of_profile = profile::consult(&mut said.names, |why| {
            tracing::warn!(why, "files of the AWS tools are left out");
        });
        let of_profile = of_profile.map_err(|why| wrong(address, why))?;
        keys = said.folder.as_ref().and_then(mounted::keys).or(of_profile);
    }
    let environment = &said.names;
    if address.keeper != Keeper::Files {
        // reqwest takes whichever is installed; another one that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut options = ClientOptions::new()
        .with_timeout(limits.request)
        .with_connect_timeout(limits.connect);
    let bundle = value_of(environment, BUNDLE).filter(|_| address.keeper == Keeper::S3);
    if let Some(bundle) = bundle {
        options = trusting(options, bundle).map_err(|why| wrong(address, why))?;
    }
    let connector = Connector::new(counts);
    let (opened, names) = match address.keeper {
        Keeper::Files => return files(address),
        Keeper::S3 => (
            s3(address, environment, keys, (options, connector)),
            "AWS_*",
        ),
        Keeper::Google => (
            google(address, environment, (options, connector)),
            "GOOGLE_*",
        ),
        Keeper::Azure => {
            let begun = azure_as_told(environment, options);
            let begun = begun.map_err(|why| wrong(address, why))?;
            (azure(address, begun, connector), "AZURE_*")
        }
    };
    opened.map_err(|error| {
        let why = format!("{}; see {names} in the environment", words(&error));
        wrong(address, why)
    })
}

fn wrong(address: &Address, why: String) -> OpenError {
    let url = address.to_string();
    OpenError { url, why }
}

/// Whoever asks decides whether to ask again, knowing what may have been done.
fn never_again() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: std::time::Duration::ZERO,
    }
}

/// Tells a builder what the environment says under names that begin so, as far as `object_store` knows
/// them.
fn told<B, K: FromStr>(
    builder: B,
    environment: &[(String, String)],
    start: &str,
    with: impl Fn(B, K, &str) -> B,
) -> B {
    let said = environment
        .iter()
        .filter(|(name, _)| name.starts_with(start));
    said.fold(builder, |builder, (name, value)| {
        match name.to_ascii_lowercase().parse() {
            Ok(key) => with(builder, key, value),
            Err(_) => builder,
        }
    })
}

/// Whether an endpoint asks for a connection without TLS.
fn is_plain(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|url| url.trim_start().starts_with("http://"))
}

fn files(address: &Address) -> Result<Opened, OpenError> {
    let folder = Path::new(&address.bucket);
    if !folder.is_dir() {
        // Made by us it would lie on whatever disk is there when a mount is missing.
        let why = "there is no such folder; make it, or mount what belongs there";
        return Err(wrong(address, why.to_owned()));
    }
    let store = LocalFileSystem::new_with_prefix(folder);
    let store = store.map_err(|error| wrong(address, words(&error)))?;
    Ok(Opened {
        store: Arc::new(store.with_fsync(true).with_automatic_cleanup(true)),
        paged: None,
        login: None,
        sorted: false,
    })
}

fn s3(
    address: &Address,
    environment: &[(String, String)],
    of_files: Option<keys::Keys>,
    (options, connector): (ClientOptions, Connector),
) -> Result<Opened> {
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_unsigned_payload(true);
    builder = told(builder, environment, "AWS_", |builder, key, value| {
        builder.with_config(key, value)
    });
    if let Some(endpoint) = value_of(environment, METADATA) {
        builder = builder.with_metadata_endpoint(endpoint.trim_end_matches('/'));
    }
    let config = |key| builder.get_config_value(&key);
    for (key, name) in [
        (AmazonS3ConfigKey::AccessKeyId, keys::KEY_ID),
        (AmazonS3ConfigKey::SecretAccessKey, keys::KEY),
        (AmazonS3ConfigKey::Token, keys::TOKEN),
        (AmazonS3ConfigKey::Region, keys::REGION),
    ] {
        let fits = keys::must_fit(name, config(key).as_deref());
        fits.map_err(|why| Error::Generic {
            store: "S3",
            source: why.into(),
        })?;
    }
    let endpoint = config(AmazonS3ConfigKey::S3Endpoint);
    let plain = is_plain(endpoint.or(config(AmazonS3ConfigKey::Endpoint)));
    let anonymous = config(AmazonS3ConfigKey::SkipSignature);
    // Its directory buckets list in no order.
    let express = config(AmazonS3ConfigKey::S3Express).is_some_and(|text| text == "true");
    let is_summed = config(AmazonS3ConfigKey::Checksum).is_some();
    let is_said = is_summed || value_of(environment, "AWS_UNSIGNED_PAYLOAD").is_some();
    if plain {
        builder = builder.with_allow_http(true);
    }
    if plain && !is_said {
        // TLS would see a bit that flips on the way; here the server has to.
        builder = builder.with_checksum_algorithm(Checksum::CRC64NVME);
    }
    if let Some(keys) = of_files {
        builder = builder.with_credentials(Arc::new(keys));
    }
    let store = builder
        .with_bucket_name(&address.bucket)
        .with_retry(never_again())
        // Not every server has DeleteObjects.
        .with_disable_bulk_delete(true)
        .with_http_connector(connector)
        .build()?;
    let store = Arc::new(store);
    Ok(Opened {
        login: login(store.credentials(), anonymous),
        paged: Some(Arc::clone(&store) as _),
        store,
        sorted: !express,
    })
}

fn google(
    address: &Address,
    environment: &[(String, String)],
    (options, connector): (ClientOptions, Connector),
) -> Result<Opened> {
    // Where it is may stand in the service account's file, so only `object_store` knows whether TLS is spoken.
    let options = options.with_allow_http(true);
    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(options);
    let emulator = names::emulator(environment);
    if let Some(url) = &emulator {
        builder = builder.with_base_url(url);
    }
    if let Some(path) = value_of(environment, "SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(path);
    }
    builder = told(builder, environment, "GOOGLE_", |builder, key, value| {
        builder.with_config(key, value)
    });
    let anonymous = builder.get_config_value(&GoogleConfigKey::SkipSignature);
    if emulator.is_some() || is_true(anonymous.as_deref()) {
        // A put asks for credentials all the same.
        let bearer = String::new();
        let nobody = StaticCredentialProvider::new(GcpCredential { bearer });
        builder = builder.with_credentials(Arc::new(nobody));
    }
    let store = builder
        .with_bucket_name(&address.bucket)
        .with_retry(never_again())
        .with_http_connector(connector)
        .build()?;
    let store = Arc::new(store);
    Ok(Opened {
        login: login(store.credentials(), anonymous),
        paged: Some(Arc::clone(&store) as _),
        store,
        sorted: true,
    })
}

/// What the environment says, as far as Azure's tools or `object_store` know it. These have the last word.
fn azure_as_told(
    environment: &[(String, String)],
    options: ClientOptions,
) -> Result<MicrosoftAzureBuilder, String> {
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(options);
    for (key, value) in names::azure(environment)? {
        builder = builder.with_config(key, value);
    }
    builder = told(builder, environment, "AZURE_", |builder, key, value| {
        builder.with_config(key, value)
    });
    if let Some(endpoint) = value_of(environment, "IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    Ok(builder)
}

fn azure(
    address: &Address,
    mut builder: MicrosoftAzureBuilder,
    connector: Connector,
) -> Result<Opened> {
    if is_plain(builder.get_config_value(&AzureConfigKey::Endpoint)) {
        builder = builder.with_allow_http(true);
    }
    let anonymous = builder.get_config_value(&AzureConfigKey::SkipSignature);
    let store = builder
        .with_container_name(&address.bucket)
        .with_retry(never_again())
        .with_http_connector(connector)
        .build()?;
    let store = Arc::new(store);
    Ok(Opened {
        login: login(store.credentials(), anonymous),
        paged: Some(Arc::clone(&store) as _),
        store,
        sorted: true,
    })
}
