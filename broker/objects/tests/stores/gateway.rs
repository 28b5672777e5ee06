//! A real S3 server: versitygw.

use std::path::Path;
use std::process::Command;

use freshet_objects::{Bucket, Limits};

use crate::cases::{one_by_one, open};
use crate::line::Line;
use crate::process::{Server, files, installed};
use crate::real::Real;

/// The bucket that is there.
pub(crate) const BUCKET: &str = "exam";
const SECRET: &str = "a secret of this test";

/// One server over a folder.
pub(crate) struct Gateway(Server);

impl Gateway {
    /// Starts one with an empty bucket.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for inside in ["data/exam", "meta"] {
            std::fs::create_dir_all(folder.path().join(inside)).unwrap();
        }
        Self(Server::start_in(folder, launch, None))
    }

    fn at(&self, url: &str, secret: &str, limits: &Limits) -> Bucket {
        let endpoint = format!("http://127.0.0.1:{}", self.0.port());
        open(url, &environment(secret, &endpoint), limits)
    }

    /// The bucket behind a line that flips a bit, with more said in the environment.
    pub(crate) fn behind(&self, line: &Line, more: &[(&str, &str)]) -> Bucket {
        let endpoint = format!("http://127.0.0.1:{}", line.port);
        let environment = [&environment(SECRET, &endpoint), more].concat();
        open(&format!("s3://{BUCKET}"), &environment, &one_by_one())
    }

    /// A line to it, see there.
    pub(crate) fn line(&self, flips_at: u64) -> Line {
        Line::to(self.0.port(), flips_at)
    }
}

impl Real for Gateway {
    fn server(&mut self) -> &mut Server {
        &mut self.0
    }

    fn open(&self, below: &str, limits: &Limits) -> Bucket {
        self.at(&format!("s3://{BUCKET}/{below}"), SECRET, limits)
    }

    fn stranger(&self) -> Bucket {
        let url = format!("s3://{BUCKET}");
        self.at(&url, "another secret", &Limits::default())
    }

    fn nowhere(&self) -> Bucket {
        self.at("s3://nowhere", SECRET, &Limits::default())
    }

    fn parts(&self) -> Option<usize> {
        Some(files(&self.0.folder().join("data/exam/.sgwtmp")))
    }
}

fn environment<'a>(secret: &'a str, endpoint: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", "freshet"),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint),
    ]
}

fn launch(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(installed("s3", "bin/versitygw"));
    command
        .args(["--port", &format!("127.0.0.1:{port}")])
        .args(["--region", "us-east-1", "posix", "--sidecar"])
        .arg(folder.join("meta"))
        .arg(folder.join("data"))
        .env("ROOT_ACCESS_KEY", "freshet")
        .env("ROOT_SECRET_KEY", SECRET);
    command
}
