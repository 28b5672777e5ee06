//! Keys, region and endpoint that are in files of the AWS tools, and nowhere in the environment.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::bucket::gateway::OTHER_SECRET;
use crate::bucket::stage::{RECOVERY, broker};
use crate::bucket::{Book, Gateway, REGION, SECRET, USER};
use crate::raw::Raw;

/// As the tools do it: nobody reads half a file.
fn write(home: &Path, name: &str, text: &str) -> Result<()> {
    let folder = home.join(".aws");
    fs::create_dir_all(&folder)?;
    let new = folder.join("new");
    fs::write(&new, text)?;
    fs::rename(new, folder.join(name)).context("in its place")
}

fn keys(secret: &str) -> String {
    format!("[default]\naws_access_key_id = {USER}\naws_secret_access_key = {secret}\n")
}

/// A broker that has nothing but a home copies and reads, also when the keys in it have changed.
pub(super) fn at_home() -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut gateway = Gateway::start()?;
    let endpoint = format!("http://{}", gateway.address());
    let config = format!("[default]\nregion = {REGION}\nendpoint_url = {endpoint}\n");
    let environment = [("HOME".to_owned(), home.path().display().to_string())];
    for (credentials, said) in [
        ("[default]\nTOPSECRET", "credentials:2: no `name = value`"),
        (
            "[default]\ncredential_process = TOPSECRET\n",
            "credentials:2: credential_process of the profile default",
        ),
    ] {
        write(home.path(), "credentials", credentials)?;
        let why = match broker(&environment) {
            Ok(_) => bail!("it starts with {credentials}"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(why.contains(said), "{said} is not in {why}");
        ensure!(!why.contains("TOPSECRET"), "a secret is shown: {why}");
    }
    write(home.path(), "credentials", &keys(SECRET))?;
    write(home.path(), "config", &config)?;
    let mut broker = broker(&environment)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let mut book = Book::small("t").make(&mut raw)?;
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    gateway.change_secret(true)?;
    write(home.path(), "credentials", &keys(OTHER_SECRET))?;
    book.write(&mut raw, 2)?;
    book.await_cold(&mut raw, RECOVERY)?;
    book.read(&mut raw, &[], RECOVERY)?;
    let printed = broker.process().printed();
    let shown = [SECRET, OTHER_SECRET]
        .into_iter()
        .find(|it| printed.contains(it));
    ensure!(shown.is_none(), "it prints a secret");
    Ok(())
}
