#![expect(
    clippy::disallowed_methods,
    reason = "the files of a home are real ones"
)]

use std::fs;
use std::path::Path;

use object_store::CredentialProvider as _;
use tempfile::TempDir;

use super::*;

const SECRET: &str = "TOPSECRET";

/// A home with these two files; an empty text is no file.
fn home(credentials: &str, config: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".aws");
    fs::create_dir(&folder).unwrap();
    for (name, text) in [("credentials", credentials), ("config", config)] {
        if !text.is_empty() {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    home
}

fn names(home: &Path, more: &[(&str, &str)]) -> Names {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut names: Names = more.iter().map(own).collect();
    names.push(("HOME".to_owned(), home.display().to_string()));
    names
}

/// What is said in the end, and the id of the keys of files.
async fn told(home: &TempDir, more: &[(&str, &str)]) -> Result<(Names, Option<String>), String> {
    let mut names = names(home.path(), more);
    let keys = consult(&mut names, |why| panic!("{why}"))?;
    names.retain(|(name, _)| name != "HOME");
    names.sort();
    let id = match keys {
        Some(keys) => Some(keys.get_credential().await.unwrap().key_id.clone()),
        None => None,
    };
    Ok((names, id))
}

fn own(all: &[(&str, &str)]) -> Names {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    all.iter().map(own).collect()
}

const KEYS: &str = "[default]\naws_access_key_id=one\naws_secret_access_key=TOPSECRET\n\
                    [other]\naws_access_key_id=two\naws_secret_access_key=TOPSECRET\naws_session_token=t\n";
const CONFIG: &str = "[default]\nregion = eu-1\nendpoint_url = http://all\nservices = mine\n\
                      [profile other]\nregion = eu-2\nendpoint_url = http://two\ns3 =\n  endpoint_url = http://no\n\
                      [services mine]\ns3 =\n  endpoint_url = http://s3\n";

#[tokio::test]
async fn a_profile_says_what_the_environment_does_not() {
    let home = home(KEYS, CONFIG);
    let (says, id) = told(&home, &[]).await.unwrap();
    assert_eq!(id.as_deref(), Some("one"));
    assert_eq!(
        says,
        own(&[("AWS_ENDPOINT_URL", "http://s3"), ("AWS_REGION", "eu-1")])
    );
    let (says, id) = told(&home, &[("AWS_PROFILE", "other")]).await.unwrap();
    assert_eq!(id.as_deref(), Some("two"));
    let expected = [
        ("AWS_ENDPOINT_URL", "http://two"),
        ("AWS_PROFILE", "other"),
        ("AWS_REGION", "eu-2"),
    ];
    assert_eq!(says, own(&expected));
    let around = [
        ("AWS_DEFAULT_REGION", "x"),
        ("AWS_ENDPOINT_URL_S3", "http://y"),
        ("AWS_ACCESS_KEY_ID", "three"),
    ];
    assert_eq!(told(&home, &around).await.unwrap(), {
        let mut all = own(&around);
        all.sort();
        (all, None)
    });
    let ignored = [
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("AWS_REGION", "x"),
    ];
    assert_eq!(told(&home, &ignored).await.unwrap().0, own(&ignored));
}

#[tokio::test]
async fn the_order_is_that_of_the_aws_tools() {
    let role = "role_arn = arn:r\nweb_identity_token_file = /token\n";
    let config =
        format!("[default]\n{role}role_session_name = s\n[profile default]\nregion = late\n");
    let home = home(KEYS, &config);
    let web = [
        ("AWS_ROLE_ARN", "arn:r"),
        ("AWS_ROLE_SESSION_NAME", "s"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
    ];
    let mut expected = own(&web);
    expected.insert(0, ("AWS_REGION".to_owned(), "late".to_owned()));
    assert_eq!(
        told(&home, &[]).await.unwrap(),
        (expected, None),
        "a role is before keys"
    );
    let around = [
        ("AWS_ROLE_ARN", "arn:x"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/x"),
    ];
    let (says, _) = told(&home, &around).await.unwrap();
    assert!(
        says.contains(&("AWS_ROLE_ARN".to_owned(), "arn:x".to_owned())),
        "{says:?}"
    );
    // Before what a container is given, since those are asked where there are no keys.
    let around = [
        ("AWS_PROFILE", "other"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"),
    ];
    assert_eq!(
        told(&home, &around).await.unwrap().1.as_deref(),
        Some("two")
    );
}

#[tokio::test]
async fn who_has_no_files_needs_none() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(told(&empty, &[]).await.unwrap(), (Names::new(), None));
    let mut nobody = own(&[("AWS_REGION", "x")]);
    assert!(consult(&mut nobody, |_| ()).unwrap().is_none());
    // The AWS tools leave such files behind.
    let bare = home("[default]\n", "[default]\nregion=r\n");
    assert_eq!(
        told(&bare, &[]).await.unwrap(),
        (own(&[("AWS_REGION", "r")]), None)
    );
    let off = [("AWS_CONFIG_FILE", "/dev/null")];
    assert_eq!(told(&empty, &off).await.unwrap(), (own(&off), None));
    let file = empty.path().join("mine");
    fs::write(&file, KEYS).unwrap();
    let path = file.display().to_string();
    for path in [path.as_str(), "~/mine"] {
        let at = [("AWS_SHARED_CREDENTIALS_FILE", path)];
        assert_eq!(told(&empty, &at).await.unwrap().1.as_deref(), Some("one"));
    }
}

/// A home, what is said beside it, and words that are told.
type Case<'a> = (TempDir, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[tokio::test]
async fn what_is_wrong_is_told_with_file_and_line() {
    let keys = |text: &str| home(text, "");
    let config = |text: &str| home("", text);
    let cases: [Case; 15] = [
        (
            keys("[default]\nTOPSECRET\n"),
            &[],
            &["/.aws/credentials:2: no `name = value`"],
        ),
        (
            config("region = x\n"),
            &[],
            &["/.aws/config:1: it stands before"],
        ),
        (
            keys("[default]\naws_access_key_id = a\n"),
            &[],
            &["credentials:2:", "there is no aws_secret_access_key"],
        ),
        (
            keys("[default]\naws_access_key_id=a\naws_secret_access_key = TOPSECRET\n  and more\n"),
            &[],
            &["credentials:3: aws_secret_access_key", "no key has"],
        ),
        (
            keys("[default]\naws_access_key_id=\naws_secret_access_key = TOPSECRET\n"),
            &[],
            &["credentials:2: aws_access_key_id", "it is empty"],
        ),
        (
            keys(KEYS),
            &[("AWS_PROFILE", "mine")],
            &["AWS_PROFILE=mine", "/.aws/config and ", "/.aws/credentials"],
        ),
        (
            config("[profile p]\nregion=r\nsso_session = s\n"),
            &[("AWS_PROFILE", "p")],
            &[
                "config:3: sso_session of the profile p",
                "not built in",
                "AWS_PROFILE",
            ],
        ),
        (
            config("[default]\ncredential_process = /x TOPSECRET\n"),
            &[],
            &["config:2: credential_process"],
        ),
        (
            config("[default]\nrole_arn = a\nsource_profile = b\n"),
            &[],
            &["config:3: source_profile"],
        ),
        (
            config("[default]\nrole_arn = a\n"),
            &[],
            &["config:2: role_arn", "web_identity_token_file"],
        ),
        (
            config("[default]\nservices = s\n"),
            &[],
            &["config:2: services", "[services s]"],
        ),
        (
            config("[default]\nregion = eu\n  TOPSECRET\n"),
            &[],
            &["config:2: region of the profile default", "no region has"],
        ),
        (
            keys(""),
            &[("AWS_CONFIG_FILE", "/no/such")],
            &["/no/such cannot be read: No such file"],
        ),
        (
            keys(""),
            &[("AWS_CONFIG_FILE", "/")],
            &["/ cannot be read: it is no regular file"],
        ),
        (
            keys(""),
            &[("AWS_CONFIG_FILE", "/dev/zero")],
            &["/dev/zero cannot be read: it is no regular file"],
        ),
    ];
    for (home, more, says) in cases {
        let why = told(&home, more).await.unwrap_err();
        assert!(
            says.iter().all(|word| why.contains(word)),
            "{says:?}: {why}"
        );
        assert!(!why.contains(SECRET), "{why}");
    }
    let odd = keys("x");
    fs::write(odd.path().join(".aws/credentials"), b"[default]\n\xff\n").unwrap();
    let why = told(&odd, &[]).await.unwrap_err();
    assert!(
        why.contains("credentials cannot be read") && why.contains("UTF-8"),
        "{why}"
    );
}

#[tokio::test]
async fn keys_of_a_profile_are_read_again_and_never_shown() {
    let home = home(KEYS, "");
    let keys = consult(&mut names(home.path(), &[]), |_| ())
        .unwrap()
        .unwrap();
    let first = keys.get_credential().await.unwrap();
    assert_eq!(
        (first.key_id.as_str(), first.secret_key.as_str()),
        ("one", SECRET)
    );
    assert!(!format!("{keys:?}").contains(SECRET));
    let path = home.path().join(".aws/credentials");
    let put = |text: &str| {
        let new = home.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
    };
    put(&KEYS.replace("=one", "=rotated"));
    assert_eq!(keys.get_credential().await.unwrap().key_id, "rotated");
    put("[default]\nTOPSECRET");
    let why = keys.get_credential().await.unwrap_err().to_string();
    assert!(
        why.contains("credentials:2:") && !why.contains(SECRET),
        "{why}"
    );
    put("[other]\n");
    let why = keys.get_credential().await.unwrap_err().to_string();
    assert!(
        why.contains("no keys any more of the profile default"),
        "{why}"
    );
    put(KEYS);
    assert_eq!(keys.get_credential().await.unwrap().key_id, "one");
}

#[test]
fn broken_files_that_nobody_asks_for_are_left_out() {
    let told = ("AWS_ACCESS_KEY_ID", "a");
    let bad_line = home("", "[default]\nendpoint_url = http://x\nTOPSECRET\n");
    let bad_region = home(
        "",
        "[default]\nendpoint_url = http://x\nregion = eu\n  TOPSECRET\n",
    );
    for home in [bad_line, bad_region] {
        let file = home.path().join(".aws/config").display().to_string();
        for (more, goes_on) in [
            (vec![told], true),
            (vec![], false),
            (vec![told, ("AWS_PROFILE", "default")], false),
            (vec![told, ("AWS_DEFAULT_PROFILE", "default")], false),
            (vec![told, ("AWS_CONFIG_FILE", file.as_str())], false),
            (
                vec![told, ("AWS_SHARED_CREDENTIALS_FILE", file.as_str())],
                false,
            ),
        ] {
            let before = names(home.path(), &more);
            let (mut after, mut warned) = (before.clone(), None);
            let keys = consult(&mut after, |why| warned = Some(why.to_owned()));
            assert_eq!(keys.is_ok(), goes_on, "{more:?}");
            assert_eq!(after, before);
            let why = keys.err().xor(warned).unwrap();
            assert!(why.contains("config:3: ") && !why.contains(SECRET), "{why}");
        }
    }
}

#[tokio::test]
async fn keys_of_one_file_are_not_mixed_with_those_of_the_other() {
    let own = "[default]\naws_access_key_id=one\naws_secret_access_key=TOPSECRET\n";
    let old =
        "[default]\naws_access_key_id=old\naws_secret_access_key=old\naws_session_token=old\n";
    for (credentials, config, id, token) in [
        (own, old, "one", None),
        ("[other]\n", old, "old", Some("old")),
    ] {
        let home = home(credentials, config);
        let keys = consult(&mut names(home.path(), &[]), |_| ()).unwrap();
        let keys = keys.unwrap().get_credential().await.unwrap();
        assert_eq!((keys.key_id.as_str(), keys.token.as_deref()), (id, token));
    }
}
