//! An image as one file.
//!
//! The file is an OCI layout (`oci-layout`, `index.json`, blobs by their digest) and also says in
//! `manifest.json` what a `docker load` wants to know, so containerd, podman and docker all read it. Nothing
//! in it depends on when or where it was made: times are 0, owners are root, entries are sorted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// What an image is made of.
pub(crate) struct Image {
    /// `registry/name:tag`.
    pub(crate) reference: String,
    pub(crate) layers: Vec<Vec<Part>>,
    pub(crate) entrypoint: Vec<String>,
    /// `user:group`, as numbers.
    pub(crate) user: String,
    pub(crate) labels: Vec<(String, String)>,
}

/// One file of an image.
pub(crate) struct Part {
    /// From the root of the image, without a slash before it.
    pub(crate) path: String,
    pub(crate) contents: Contents,
}

/// What a file holds, and thereby whether it may be run.
pub(crate) enum Contents {
    Program(Vec<u8>),
    Text(Vec<u8>),
}

const LAYOUT: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The time of everything.
const EPOCH: &str = "1970-01-01T00:00:00Z";

impl Image {
    /// Writes the archive and returns the digest of the image's manifest.
    pub(crate) fn write(&self, file: &Path) -> Result<String> {
        let write = || {
            // It gets its name when it is whole.
            let draft = file.with_extension("draft");
            let mut out = BufWriter::new(File::create(&draft)?);
            let digest = self.write_to(&mut out)?;
            out.into_inner()?.sync_all()?;
            fs::rename(&draft, file)?;
            Ok(digest)
        };
        let write: Result<String> = write();
        write.with_context(|| format!("cannot write the image {}", file.display()))
    }

    fn write_to(&self, out: &mut impl Write) -> Result<String> {
        let mut files = BTreeMap::new();
        let mut blob = |bytes: Vec<u8>| {
            let digest = sha256(&bytes);
            let size = bytes.len();
            files.insert(blob_path(&digest), bytes);
            (digest, size)
        };
        let mut layers = Vec::new();
        for layer in &self.layers {
            layers.push(blob(layer_of(layer)?));
        }
        let config = self.config(layers.iter().map(|(digest, _)| digest));
        let config = blob(serde_json::to_vec(&config)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": layers.iter().map(|layer| descriptor(LAYOUT, layer)).collect::<Vec<_>>(),
        });
        let manifest = blob(serde_json::to_vec(&manifest)?);
        let paths: Vec<_> = layers.iter().map(|(digest, _)| blob_path(digest)).collect();
        let docker = json!([{
            "Config": blob_path(&config.0),
            "RepoTags": [self.reference],
            "Layers": paths,
        }]);
        files.insert(
            "index.json".into(),
            serde_json::to_vec(&self.index(&manifest)?)?,
        );
        files.insert("manifest.json".into(), serde_json::to_vec(&docker)?);
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        files.insert("oci-layout".into(), serde_json::to_vec(&version)?);
        pack(
            files
                .iter()
                .map(|(path, bytes)| (path.as_str(), 0o644, &bytes[..])),
            out,
        )?;
        Ok(manifest.0)
    }

    fn config<'a>(&self, layers: impl Iterator<Item = &'a String>) -> Value {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let labels: BTreeMap<_, _> = self.labels.iter().cloned().collect();
        let history = json!({ "created": EPOCH, "created_by": "cargo xtask image" });
        json!({
            "architecture": architecture,
            "os": "linux",
            "created": EPOCH,
            "config": {
                "User": self.user,
                "Env": ["PATH=/usr/local/bin"],
                "Entrypoint": self.entrypoint,
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": { "type": "layers", "diff_ids": layers.collect::<Vec<_>>() },
            "history": vec![history; self.layers.len()],
        })
    }

    fn index(&self, manifest: &(String, usize)) -> Result<Value> {
        let (_, tag) = self
            .reference
            .rsplit_once(':')
            .with_context(|| format!("{} has no tag", self.reference))?;
        let mut descriptor = descriptor(MANIFEST, manifest);
        descriptor["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": tag,
        });
        Ok(json!({ "schemaVersion": 2, "manifests": [descriptor] }))
    }
}

fn descriptor(kind: &str, (digest, size): &(String, usize)) -> Value {
    json!({ "mediaType": kind, "digest": digest, "size": size })
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// A layer: its files sorted, each after the folders that it is in.
fn layer_of(parts: &[Part]) -> Result<Vec<u8>> {
    let mut entries = BTreeMap::new();
    for part in parts {
        let (mode, bytes) = match &part.contents {
            Contents::Program(bytes) => (0o755, bytes),
            Contents::Text(bytes) => (0o644, bytes),
        };
        let path = &part.path;
        let odd = |step: &str| matches!(step, "" | "." | "..");
        if path.split('/').any(odd) {
            bail!("`{path}` is no path of an image");
        }
        for (at, _) in path.match_indices('/') {
            entries.insert(path[..=at].to_owned(), (0o755, &[][..]));
        }
        if entries.insert(path.clone(), (mode, &bytes[..])).is_some() {
            bail!("`{path}` is twice in a layer");
        }
    }
    let mut layer = Vec::new();
    let entries = entries.iter();
    pack(
        entries.map(|(path, (mode, bytes))| (path.as_str(), *mode, *bytes)),
        &mut layer,
    )?;
    Ok(layer)
}

/// A tar of entries; a path that ends with a slash is a folder.
fn pack<'a>(
    entries: impl Iterator<Item = (&'a str, u32, &'a [u8])>,
    out: &mut impl Write,
) -> Result<()> {
    let mut tar = Builder::new(out);
    for (path, mode, bytes) in entries {
        let mut header = Header::new_gnu();
        let folder = path.ends_with('/');
        header.set_entry_type(if folder {
            EntryType::Directory
        } else {
            EntryType::Regular
        });
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes)
            .with_context(|| format!("cannot pack {path}"))?;
    }
    tar.finish().context("cannot end an archive")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn part(path: &str, text: &str) -> Part {
        Part {
            path: path.into(),
            contents: Contents::Text(text.into()),
        }
    }

    fn image(layers: Vec<Vec<Part>>) -> Image {
        Image {
            reference: "freshet.dev/test:1".into(),
            layers,
            entrypoint: vec!["/bin/test".into()],
            user: "65532:65532".into(),
            labels: vec![("version".into(), "1".into())],
        }
    }

    fn written(image: &Image) -> (Vec<u8>, String) {
        let mut bytes = Vec::new();
        let digest = image.write_to(&mut bytes).expect("an archive");
        (bytes, digest)
    }

    fn unpacked(bytes: &[u8]) -> Vec<(String, Vec<u8>, Header)> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().expect("an archive").map(|entry| {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            (path, bytes, entry.header().clone())
        });
        entries.collect()
    }

    #[test]
    fn the_same_parts_in_any_order_give_the_same_bytes() {
        let one = image(vec![vec![part("etc/a", "1"), part("bin/b", "2")]]);
        let other = image(vec![vec![part("bin/b", "2"), part("etc/a", "1")]]);
        assert_eq!(written(&one), written(&other));
        let changed = image(vec![vec![part("bin/b", "2"), part("etc/a", "x")]]);
        assert_ne!(written(&one).1, written(&changed).1);
    }

    #[test]
    fn every_blob_is_called_by_its_digest_and_every_reference_leads_to_one() {
        let (bytes, digest) = written(&image(vec![vec![part("a", "1")], vec![part("b", "2")]]));
        let files: BTreeMap<_, _> = unpacked(&bytes)
            .into_iter()
            .map(|(path, bytes, _)| (path, bytes))
            .collect();
        for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(*path, blob_path(&sha256(bytes)));
        }
        let read = |path: &str| -> Value { serde_json::from_slice(&files[path]).expect("JSON") };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let index = read("index.json");
        assert_eq!(index["manifests"][0]["digest"], digest);
        let manifest = read(&blob_path(&digest));
        let config = text(&manifest["config"]["digest"]);
        let layers = manifest["layers"].as_array().expect("layers");
        let layers: Vec<_> = layers.iter().map(|layer| text(&layer["digest"])).collect();
        let config = read(&blob_path(&config));
        assert_eq!(config["rootfs"]["diff_ids"], json!(layers));
        assert_eq!(config["config"]["User"], "65532:65532");
        let docker = read("manifest.json");
        assert_eq!(docker[0]["RepoTags"], json!(["freshet.dev/test:1"]));
        for layer in docker[0]["Layers"].as_array().expect("layers") {
            assert!(files.contains_key(&text(layer)));
        }
    }

    #[test]
    fn a_layer_has_folders_before_files_and_no_time_and_no_owner() {
        let layer = layer_of(&[part("etc/ssl/a", "1"), part("etc/b", "2")]).expect("a layer");
        let entries = unpacked(&layer);
        let paths: Vec<_> = entries.iter().map(|(path, _, _)| path.as_str()).collect();
        assert_eq!(paths, ["etc/", "etc/b", "etc/ssl/", "etc/ssl/a"]);
        for (_, _, header) in &entries {
            assert_eq!(header.mtime().expect("a time"), 0);
            assert_eq!(header.uid().expect("an owner"), 0);
            assert_eq!(header.mode().expect("a mode") & 0o022, 0);
        }
    }

    #[test]
    fn a_path_out_of_the_image_or_twice_in_it_is_refused() {
        for bad in ["/etc/a", "../a", "a//b", "a/./b", ""] {
            assert!(layer_of(&[part(bad, "")]).is_err(), "{bad}");
        }
        assert!(layer_of(&[part("a", ""), part("a", "")]).is_err());
    }
}
