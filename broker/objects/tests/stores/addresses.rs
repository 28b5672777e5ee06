//! How stores are written down.

use freshet_objects::{Bucket, Limits};

fn open(url: &str, environment: &[(&str, &str)]) -> Result<Bucket, String> {
    let owned = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Bucket::open(url, owned, &Limits::default()).map_err(|error| error.to_string())
}

#[test]
fn a_bad_address_says_what_to_write() {
    for (url, says) in [
        ("", "it is no URL; write s3://bucket"),
        ("bucket", "it is no URL"),
        ("/var/tier", "it is no URL"),
        (
            "http://127.0.0.1:9000/bucket",
            "`http` is no kind of store; write s3://bucket",
        ),
        ("S3://bucket", "`S3` is no kind of store"),
        ("s3://", "it names no bucket; write s3://bucket"),
        ("s3:///prefix", "it names no bucket"),
        ("s3://127.0.0.1:9000/bucket", "AWS_ENDPOINT_URL"),
        ("s3://bucket/a/../b", "must not be empty, `.` or `..`"),
        ("s3://bucket/a//b", "must not be empty"),
        ("s3://bucket/a b?region=x", "it has '?'"),
        ("gs://bucket/%20", "nothing is escaped"),
        ("file://tier", "write file:///tier with the whole path"),
        ("file:///", "it names no folder"),
        (
            "file:///no/such/folder",
            "there is no such folder; make it, or mount",
        ),
    ] {
        let error = open(url, &[]).unwrap_err();
        assert!(error.contains(says), "{url}: {error}");
    }
}

#[test]
fn an_environment_that_contradicts_itself_is_told() {
    let half = open("s3://bucket", &[("AWS_ACCESS_KEY_ID", "id")]).unwrap_err();
    assert!(half.contains("SecretAccessKey; see AWS_*"), "{half}");
    let nobody = open("az://container", &[]).unwrap_err();
    assert!(
        nobody.contains("Account must be specified; see AZURE_*"),
        "{nobody}"
    );
}

#[test]
fn a_bundle_of_certificates_that_has_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let empty = empty.display().to_string();
    let half = "-----BEGIN CERTIFICATE-----\n";
    // Nobody writes into it: who opened it would wait for ever.
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let pipe = pipe.display().to_string();
    let long = folder.path().join("long.pem");
    std::fs::write(&long, vec![b'#'; (4 << 20) + 1]).unwrap();
    let long = long.display().to_string();
    for (bundle, says) in [
        (
            "/no/such/file",
            "/no/such/file cannot be read: No such file",
        ),
        (&empty, "empty.pem has no certificates as PEM"),
        (&pipe, "pipe cannot be read: it is no regular file"),
        (
            &long,
            "long.pem cannot be read: it is longer than 4194304 bytes",
        ),
        (half, "what it says has no certificates as PEM"),
    ] {
        let error = open("s3://bucket", &[("AWS_CA_BUNDLE", bundle)]).unwrap_err();
        assert!(error.contains(says), "{error}");
        let error = open("gs://bucket", &[("AWS_CA_BUNDLE", bundle)]).err();
        assert_eq!(error, None, "it is S3's");
    }
}

#[test]
fn secrets_are_never_shown() {
    for url in [
        "s3://id:TOPSECRET@bucket/prefix",
        "az://container/prefix?sig=TOPSECRET",
        "https://id:TOPSECRET@host/?x=TOPSECRET#TOPSECRET",
        "TOPSECRET@bucket",
    ] {
        let error = open(url, &[]).unwrap_err();
        assert!(!error.contains("TOPSECRET"), "{error}");
    }
    let keys = [
        ("AWS_ACCESS_KEY_ID", "TOPSECRET"),
        ("AWS_SECRET_ACCESS_KEY", "TOPSECRET"),
        ("AWS_SESSION_TOKEN", "TOPSECRET"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ];
    let store = open("s3://bucket/some/prefix/", &keys).unwrap();
    assert_eq!(store.to_string(), "s3://bucket/some/prefix");
    assert_eq!(format!("{store:?}"), "Bucket(s3://bucket/some/prefix)");
}

#[test]
fn every_kind_of_store_can_be_opened() {
    let google = [("GOOGLE_SKIP_SIGNATURE", "true")];
    assert_eq!(
        open("gs://bucket/a", &google).unwrap().to_string(),
        "gs://bucket/a"
    );
    let azure = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "somebody"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
    ];
    assert_eq!(
        open("az://container", &azure).unwrap().to_string(),
        "az://container"
    );
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/", folder.path().display());
    assert_eq!(
        open(&url, &[]).unwrap().to_string(),
        url.trim_end_matches('/')
    );
}
