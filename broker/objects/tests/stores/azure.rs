//! An Azure server as a store, and what happens to it: Azurite.
//!
//! Its blocks that came to nothing are thrown away by Azure itself, a week later: there is no request that
//! would, and so nothing is counted here.

use std::path::Path;
use std::process::Command;

use freshet_env::contract::objects::examine_objects;
use freshet_objects::{Bucket, Limits};

use crate::cases::open;
use crate::process::{Server, installed};
use crate::real::{Real, real_server};

const CONTAINER: &str = "exam";
const ACCOUNT: &str = "freshet";
const KEY: &str = "YSBzZWNyZXQgb2YgdGhpcyB0ZXN0";
const OTHER_KEY: &str = "YW5vdGhlciBzZWNyZXQ=";

/// One server over a folder.
struct Azurite(Server);

impl Azurite {
    /// Starts one with an empty container.
    fn start() -> Self {
        Self(Server::start(launch, Some("ready")))
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.0.port())
    }

    fn at(&self, url: &str, key: &str, limits: &Limits) -> Bucket {
        let environment = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", key),
            ("AZURE_STORAGE_ENDPOINT", &self.endpoint()),
        ];
        open(url, &environment, limits)
    }
}

impl Real for Azurite {
    fn server(&mut self) -> &mut Server {
        &mut self.0
    }

    fn open(&self, below: &str, limits: &Limits) -> Bucket {
        self.at(&format!("az://{CONTAINER}/{below}"), KEY, limits)
    }

    fn stranger(&self) -> Bucket {
        let url = format!("az://{CONTAINER}");
        self.at(&url, OTHER_KEY, &Limits::default())
    }

    fn nowhere(&self) -> Bucket {
        self.at("az://nowhere", KEY, &Limits::default())
    }

    fn parts(&self) -> Option<usize> {
        None
    }

    fn forgets(&self) -> Option<&'static str> {
        Some("Azurite answers at once, and writes down every five seconds what it has")
    }
}

fn launch(folder: &Path, port: u16) -> Command {
    let program = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/peers/azure/serve.js"
    );
    let mut command = Command::new("node");
    command
        .arg(program)
        .arg(folder)
        .args([&port.to_string(), CONTAINER])
        .env("NODE_PATH", installed("azure", "node_modules"))
        .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
    command
}

real_server!(Azurite::start(), 5000);

/// Each way to say where the server is and who asks.
#[tokio::test]
#[ignore = "needs an Azure server: cargo xtask test runs it"]
async fn is_found_by_each_of_its_names() {
    let azurite = Azurite::start();
    let endpoint = azurite.endpoint();
    let connection = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint}/;");
    for (nth, said) in [
        &[("AZURE_STORAGE_CONNECTION_STRING", connection.as_str())][..],
        &[
            ("AZURE_STORAGE_ACCOUNT", ACCOUNT),
            ("AZURE_STORAGE_KEY", KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ],
        // What is said by itself wins.
        &[
            (
                "AZURE_STORAGE_CONNECTION_STRING",
                "AccountName=x;AccountKey=eA==",
            ),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCESS_KEY", KEY),
            ("AZURE_ENDPOINT", &endpoint),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let store = open("az://exam/below", said, &Limits::default());
        examine_objects(&store, &format!("{nth}/")).await;
    }
}
