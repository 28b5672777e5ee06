//! What goes into an image from this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Contents, Part};
use crate::place;
use crate::process::{command, read};

/// Where distributions keep the certificates of public authorities.
const AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];
/// Where they are in an image: the first place that programs look at.
const AUTHORITIES_INSIDE: &str = "etc/ssl/certs/ca-certificates.crt";

/// A program, put into a folder of the image.
pub(super) fn program(file: &Path, folder: &Path) -> Result<Part> {
    let name = file.file_name().context("a program has a name")?;
    Ok(Part {
        path: folder.join(name).display().to_string(),
        contents: Contents::Program(bytes(file)?),
    })
}

/// All libraries that programs are linked with, and the loader that joins them, where they are here.
pub(super) fn libraries(programs: &[PathBuf]) -> Result<Vec<Part>> {
    let mut found = BTreeMap::new();
    for program in programs {
        let program = program.display().to_string();
        // It complains, and ends badly, about a program that is linked with nothing.
        let mut ldd = command(place::root(), "ldd", &[&program]);
        let listed = match read(&mut ldd) {
            Ok(listed) => listed,
            Err(error) if format!("{error:#}").contains("not a dynamic executable") => continue,
            Err(error) => return Err(error),
        };
        for path in linked(&listed).with_context(|| format!("{program} does not run here"))? {
            let part = Part {
                path: path.trim_start_matches('/').to_owned(),
                contents: Contents::Program(bytes(Path::new(&path))?),
            };
            found.insert(path, part);
        }
    }
    Ok(found.into_values().collect())
}

/// The files that `ldd` lists: `name => /path (address)`, or `/path (address)` for the loader. The kernel's
/// own library has no path.
fn linked(listed: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in listed.lines().map(str::trim) {
        if line.ends_with("not found") {
            bail!("a library is missing: {line}");
        }
        let file = line.split_once("=> ").map_or(line, |(_, file)| file);
        let path = file.split(' ').next().unwrap_or_default();
        if path.starts_with('/') {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}

/// The certificates of public authorities: object stores are reached by TLS.
pub(super) fn authorities() -> Result<Part> {
    let found = AUTHORITIES.iter().find(|file| Path::new(file).exists());
    let found = found.context("this machine has no certificates of public authorities")?;
    Ok(Part {
        path: AUTHORITIES_INSIDE.into(),
        contents: Contents::Text(bytes(Path::new(found))?),
    })
}

/// Names for root and the user that the programs run as.
pub(super) fn users(user: u32) -> [Part; 2] {
    let file = |path: &str, text: String| Part {
        path: path.into(),
        contents: Contents::Text(text.into_bytes()),
    };
    let users =
        format!("root:x:0:0:root:/:/nonexistent\nnonroot:x:{user}:{user}:nonroot:/:/nonexistent\n");
    let groups = format!("root:x:0:\nnonroot:x:{user}:\n");
    [file("etc/passwd", users), file("etc/group", groups)]
}

fn bytes(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_read_from_a_list() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                      \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f10)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f20)\n";
        assert_eq!(
            linked(listed).expect("a list"),
            [
                "/lib/x86_64-linux-gnu/libgcc_s.so.1",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(linked("\tstatically linked\n").expect("none").is_empty());
        assert!(linked("\tlibx.so.1 => not found\n").is_err());
    }

    #[test]
    fn a_program_brings_the_loader_that_it_names() {
        let here = std::env::current_exe().expect("this program");
        let paths: Vec<_> = libraries(&[here]).expect("libraries");
        assert!(paths.iter().any(|part| part.path.contains("ld-")));
    }
}
