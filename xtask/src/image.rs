//! `cargo xtask image`: container images of our programs, made without a container daemon.
//!
//! An image is its programs, the libraries they are linked with, certificates of public authorities and a
//! user without rights: nothing to log in to and nothing to write to. The same inputs give the same bytes.

mod archive;
mod contents;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

pub(crate) use archive::{Contents, Image, Part};

use crate::place;
use crate::process::{self, cargo, say};

/// One image: the packages that its programs come from, and those programs. The first is what it runs.
struct Recipe {
    name: &'static str,
    programs: &'static [(&'static str, &'static str)],
}

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "broker",
        programs: &[
            ("freshet-broker", "freshet-broker"),
            ("freshet-cli", "freshet"),
        ],
    },
    Recipe {
        name: "operator",
        programs: &[("freshet-operator", "freshet-operator")],
    },
];

/// The user that the programs run as; Kubernetes wants a number to see that it is not root.
const USER: u32 = 65532;
/// Where the programs are in an image.
const PROGRAMS: &str = "usr/local/bin";

/// What `cargo xtask image` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make only these: broker, operator. Default: all whose packages there are.
    #[arg(value_name = "IMAGE")]
    only: Vec<String>,
    /// Take debug builds: quicker to build, slower to run, many times larger.
    #[arg(long)]
    debug: bool,
    /// The tag of the images [default: the version of the workspace]
    #[arg(long)]
    tag: Option<String>,
    /// Where the archives are written [default: target/images]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// An image that was made.
struct Made {
    archive: PathBuf,
    reference: String,
    /// Of the image's manifest: what a registry would call it by.
    digest: String,
}

/// Makes the images and prints one line for each: archive, reference, digest.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = metadata()?;
    let recipes = choose(&args.only, |package| has(&metadata, package))?;
    build(&recipes, args.debug)?;
    for recipe in recipes {
        let made = make(recipe, args, &metadata)?;
        println!(
            "{}\t{}\t{}",
            made.archive.display(),
            made.reference,
            made.digest
        );
    }
    Ok(())
}

/// The images as `cargo xtask test` takes them: the broker that its step `build` has built, once more by another
/// name, to be rolled out; and the operator, of which a debug build takes minutes less.
pub(crate) fn for_tests(debug_operator: bool) -> Result<Vec<PathBuf>> {
    let metadata = metadata()?;
    let mut made = Vec::new();
    for (recipe, debug) in [(&RECIPES[0], false), (&RECIPES[1], debug_operator)] {
        let mut args = Args {
            only: Vec::new(),
            debug,
            tag: None,
            out: None,
        };
        build(&[recipe], debug)?;
        made.push(make(recipe, &args, &metadata)?.archive);
        if recipe.name == "broker" {
            args.tag = Some(concat!(env!("CARGO_PKG_VERSION"), "-next").to_owned());
            made.push(make(recipe, &args, &metadata)?.archive);
        }
    }
    Ok(made)
}

fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(place::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")
}

fn has(metadata: &Metadata, package: &str) -> bool {
    let names = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str());
    names.into_iter().any(|name| name == package)
}

/// The recipes that were asked for. One that cannot be made is an error if it was named, and is only told
/// about if it was not.
fn choose(only: &[String], has: impl Fn(&str) -> bool) -> Result<Vec<&'static Recipe>> {
    for name in only {
        if !RECIPES.iter().any(|recipe| recipe.name == name) {
            let names: Vec<_> = RECIPES.iter().map(|recipe| recipe.name).collect();
            bail!(
                "no image is called `{name}`; there are {}",
                names.join(", ")
            );
        }
    }
    let mut chosen = Vec::new();
    for recipe in RECIPES {
        let named = only.iter().any(|name| name == recipe.name);
        if !named && !only.is_empty() {
            continue;
        }
        let missing = recipe.programs.iter().find(|(package, _)| !has(package));
        match missing {
            None => chosen.push(recipe),
            Some((package, _)) if named => {
                let name = recipe.name;
                bail!("the image {name} needs the package {package}, which the workspace has not");
            }
            Some((package, _)) => {
                let name = recipe.name;
                say(&format!(
                    "no image {name}: the workspace has no package {package}"
                ));
            }
        }
    }
    Ok(chosen)
}

fn make(recipe: &Recipe, args: &Args, metadata: &Metadata) -> Result<Made> {
    let version = metadata.packages.iter().find(|package| {
        let name = package.name.as_str();
        recipe.programs.iter().any(|(package, _)| *package == name)
    });
    let version = version.context("the package has just been there")?;
    let version = version.version.to_string();
    let tag = args.tag.as_ref().unwrap_or(&version);
    let out = match &args.out {
        Some(out) => out.clone(),
        None => place::target().join("images"),
    };
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let folder = place::target().join(if args.debug { "debug" } else { "release" });
    let programs = recipe.programs.iter();
    let programs: Vec<_> = programs.map(|(_, program)| folder.join(program)).collect();
    let image = assemble(recipe, &programs, tag, &version)?;
    let archive = out.join(format!("{}-{tag}.tar", recipe.name));
    let digest = image.write(&archive)?;
    let reference = image.reference;
    Ok(Made {
        archive,
        reference,
        digest,
    })
}

/// Builds the programs of all images at one time: Cargo would build what they share anew for each.
fn build(recipes: &[&Recipe], debug: bool) -> Result<()> {
    let mut args = vec!["build"];
    if !debug {
        args.push("--release");
    }
    for (package, _) in recipes.iter().flat_map(|recipe| recipe.programs) {
        args.extend(["--package", package]);
    }
    process::run(&mut cargo(place::root(), &args)).map(drop)
}

/// What is in an image: below, what changes seldom; above, the programs.
fn assemble(recipe: &Recipe, programs: &[PathBuf], tag: &str, version: &str) -> Result<Image> {
    let mut ground = contents::libraries(programs)?;
    ground.push(contents::authorities()?);
    ground.extend(contents::users(USER));
    let mut above = Vec::new();
    for program in programs {
        above.push(contents::program(program, Path::new(PROGRAMS))?);
    }
    let (_, first) = recipe.programs[0];
    let labels = [
        ("org.opencontainers.image.licenses", "Apache-2.0"),
        (
            "org.opencontainers.image.source",
            env!("CARGO_PKG_REPOSITORY"),
        ),
        ("org.opencontainers.image.version", version),
    ];
    Ok(Image {
        reference: format!("freshet.dev/{}:{tag}", recipe.name),
        layers: vec![ground, above],
        entrypoint: vec![format!("/{PROGRAMS}/{first}")],
        user: format!("{USER}:{USER}"),
        labels: labels.map(|(k, v)| (k.into(), v.into())).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_whose_package_is_missing_is_left_out_or_refused() {
        let no_operator = |package: &str| package != "freshet-operator";
        let names = |only: &[&str], has: &dyn Fn(&str) -> bool| {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            choose(&only, has).map(|found| found.iter().map(|r| r.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[], &no_operator).expect("one"), ["broker"]);
        assert_eq!(names(&[], &|_| true).expect("both"), ["broker", "operator"]);
        assert_eq!(names(&["broker"], &no_operator).expect("it"), ["broker"]);
        let refused = names(&["operator"], &no_operator).expect_err("it cannot be made");
        assert!(refused.to_string().contains("freshet-operator"));
        assert!(names(&["nothing"], &|_| true).is_err());
    }
}
