//! A store that speaks as Google's does, and what happens to it: an S3 server behind `tests/peers/gcs`, which
//! puts what Google says otherwise into Amazon's words, and asks for a service account's signature.

use std::path::Path;
use std::process::Command;

use freshet_env::contract::objects::examine_objects;
use freshet_objects::{Bucket, Limits};

use crate::cases::{self, open};
use crate::process::{Launch, Server, files, installed};
use crate::real::{Real, real_server};

const BUCKET: &str = "exam";

/// One server over a folder.
struct Google(Server);

impl Google {
    /// Starts one with an empty bucket.
    fn start() -> Self {
        Self::start_as(launch)
    }

    fn start_as(launch: Launch) -> Self {
        Self(Server::start(launch, Some("ready")))
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port())
    }

    /// Asked by whoever a service account's file says; it says of whom as well.
    fn at(&self, url: &str, account: &str, limits: &Limits) -> Bucket {
        let file = self.0.folder().join(account).display().to_string();
        open(url, &[("GOOGLE_SERVICE_ACCOUNT", &file)], limits)
    }
}

impl Real for Google {
    fn server(&mut self) -> &mut Server {
        &mut self.0
    }

    fn open(&self, below: &str, limits: &Limits) -> Bucket {
        self.at(&format!("gs://{BUCKET}/{below}"), "account.json", limits)
    }

    fn stranger(&self) -> Bucket {
        let url = format!("gs://{BUCKET}");
        self.at(&url, "stranger.json", &Limits::default())
    }

    fn nowhere(&self) -> Bucket {
        self.at("gs://nowhere", "account.json", &Limits::default())
    }

    fn parts(&self) -> Option<usize> {
        Some(files(&self.0.folder().join("data/exam/.sgwtmp")))
    }
}

fn launch(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(installed("gcs", "bin/gcs"));
    command
        .arg(folder)
        .args([&format!("127.0.0.1:{port}"), BUCKET])
        .arg(installed("s3", "bin/versitygw"));
    command
}

/// One that asks nobody who he is.
fn launch_open(folder: &Path, port: u16) -> Command {
    let mut command = launch(folder, port);
    command.env("GCS_OPEN", "1");
    command
}

real_server!(Google::start(), 1000);

/// Each way to say where the server is and who asks.
#[tokio::test]
#[ignore = "needs a server that speaks as Google's: cargo xtask test runs it"]
async fn is_found_by_each_of_its_names() {
    let url = "gs://exam/below";
    let closed = Google::start();
    let endpoint = closed.endpoint();
    let file = closed.0.folder().join("account.json").display().to_string();
    let account = [
        ("GOOGLE_APPLICATION_CREDENTIALS", file.as_str()),
        ("GOOGLE_BASE_URL", &endpoint),
    ];
    let store = open(url, &account, &Limits::default());
    examine_objects(&store, "credentials/").await;
    // Whoever asks an emulator shows nobody's credentials, whatever else is said.
    let emulator = [account[0], ("STORAGE_EMULATOR_HOST", &endpoint)];
    let store = open(url, &emulator, &Limits::default());
    let denied = [Some(freshet_env::objects::ObjectFailure::Denied); 5];
    assert_eq!(cases::failures(&store).await, denied);
    let asks_nobody = Google::start_as(launch_open);
    let (endpoint, host) = (
        asks_nobody.endpoint(),
        format!("127.0.0.1:{}", asks_nobody.0.port()),
    );
    for (nth, said) in [
        &[("STORAGE_EMULATOR_HOST", endpoint.as_str())][..],
        &[("STORAGE_EMULATOR_HOST", &host)],
        &[
            ("GOOGLE_BASE_URL", &endpoint),
            ("GOOGLE_SKIP_SIGNATURE", "true"),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let store = open(url, said, &Limits::default());
        examine_objects(&store, &format!("{nth}/")).await;
    }
}
