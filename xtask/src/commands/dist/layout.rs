// SPDX-License-Identifier: BSD-3-Clause
//! The parts of an OCI image layout, and whether one is as the specification asks for: [`verify`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::commands::install;
use crate::error::Error;
use crate::process::{Output, read};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A blob, as others point to it.
pub(super) struct Blob {
    pub(super) media: &'static str,
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Blob {
    pub(super) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media, "digest": self.digest, "size": self.size })
    }
}

/// What of a layout is not as the specification asks for.
pub(super) fn verify(layout: &Path, output: &mut Output) -> Result<Vec<String>, Error> {
    let mut check = Check { layout, problems: Vec::new(), reached: BTreeSet::new(), output };
    let version = check.document(&layout.join("oci-layout"))?;
    check
        .holds(*at(&version, "/imageLayoutVersion") == "1.0.0", "oci-layout has the version 1.0.0");
    let index = check.document(&layout.join("index.json"))?;
    check.holds(
        *at(&index, "/schemaVersion") == 2 && *at(&index, "/mediaType") == INDEX,
        "index.json is an index",
    );
    let manifests = at(&index, "/manifests").as_array().cloned().unwrap_or_default();
    check.holds(!manifests.is_empty(), "the index has a manifest");
    for descriptor in &manifests {
        check.manifest(descriptor)?;
    }
    for name in names(&layout.join("blobs").join("sha256"))? {
        let is_reached = check.reached.contains(&name);
        check.holds(is_reached, &format!("blob {name} is reachable from the index"));
    }
    Ok(check.problems)
}

/// What of a document is there; `null` if it is not.
fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}

struct Check<'a> {
    layout: &'a Path,
    problems: Vec<String>,
    /// The names of the blobs that are pointed to.
    reached: BTreeSet<String>,
    output: &'a mut Output,
}

impl Check<'_> {
    fn holds(&mut self, is_so: bool, rule: &str) {
        if !is_so {
            self.problems.push(rule.to_owned());
        }
    }

    fn document(&mut self, file: &Path) -> Result<Value, Error> {
        let document = serde_json::from_str(&read(file)?);
        self.holds(document.is_ok(), &format!("{} is JSON", file.display()));
        Ok(document.unwrap_or_default())
    }

    /// The file that a descriptor points to, if that is as it says.
    fn blob(&mut self, descriptor: &Value, media: &str) -> Result<Option<PathBuf>, Error> {
        let digest = at(descriptor, "/digest").as_str().unwrap_or_default().to_owned();
        let name = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_digest = name.len() == 64 && name.bytes().all(is_hex);
        self.holds(is_digest, &format!("`{digest}` is a digest"));
        let is_media = *at(descriptor, "/mediaType") == media;
        self.holds(is_media, &format!("{digest} has the media type {media}"));
        let file = self.layout.join("blobs").join("sha256").join(name);
        if !is_digest || !file.is_file() {
            self.holds(false, &format!("{digest} is there"));
            return Ok(None);
        }
        let is_sized = at(descriptor, "/size").as_u64() == Some(size(&file)?);
        self.holds(is_sized, &format!("{digest} has the size of its descriptor"));
        let is_named = self::digest(&file, self.output)? == digest;
        self.holds(is_named, &format!("{digest} has this digest"));
        self.reached.insert(name.to_owned());
        Ok(Some(file))
    }

    fn manifest(&mut self, descriptor: &Value) -> Result<(), Error> {
        let Some(file) = self.blob(descriptor, MANIFEST)? else { return Ok(()) };
        let manifest = self.document(&file)?;
        self.holds(*at(&manifest, "/schemaVersion") == 2, "the manifest has the schema version 2");
        self.holds(*at(&manifest, "/mediaType") == MANIFEST, "the manifest has its own media type");
        let mut diffs = Vec::new();
        for layer in at(&manifest, "/layers").as_array().into_iter().flatten() {
            let Some(file) = self.blob(layer, LAYER)? else { continue };
            let unpacked = self.layout.with_extension("unpacked");
            let packed = self.layout.with_extension("unpacked.gz");
            install::copy(&file, &packed)?;
            self.output.run(Command::new("gzip").arg("-df").arg(&packed))?;
            diffs.push(Value::from(digest(&unpacked, self.output)?));
            // What is left of it is overwritten by the next.
            let _ = fs::remove_file(&unpacked);
        }
        let Some(file) = self.blob(at(&manifest, "/config"), CONFIG)? else { return Ok(()) };
        let config = self.document(&file)?;
        self.holds(!diffs.is_empty(), "the image has a layer");
        let is_same = *at(&config, "/rootfs/diff_ids") == Value::from(diffs.clone());
        self.holds(is_same, "the config has the digests of the layers before they were packed");
        let history = at(&config, "/history").as_array().map_or(0, Vec::len);
        self.holds(history == diffs.len(), "the history has each layer");
        let same = at(descriptor, "/platform/architecture") == at(&config, "/architecture");
        self.holds(
            same && *at(&config, "/os") == "linux",
            "index and config name the same platform",
        );
        Ok(())
    }
}

/// What a folder has, in order.
pub(super) fn names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let list = |source| Error::File { action: "list", path: folder.to_owned(), source };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry.map_err(list)?.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(folder).map_err(list)?.map(name).collect()
}

pub(super) fn size(file: &Path) -> Result<u64, Error> {
    let about = fs::metadata(file);
    about.map(|about| about.len()).map_err(|source| Error::File {
        action: "read",
        path: file.to_owned(),
        source,
    })
}

pub(super) fn digest(file: &Path, output: &mut Output) -> Result<String, Error> {
    let sum = output.read(Command::new("sha256sum").arg("--").arg(file))?;
    // A `\` stands before a line whose name is escaped.
    let sum = sum.split(' ').next().unwrap_or_default().trim_start_matches('\\');
    Ok(format!("sha256:{sum}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layout of one layer, which is written by this test alone.
    fn layout() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = folder.path().join("a.oci");
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("folders");
        let mut output = Output::log(folder.path().join("log")).expect("a log");
        let tar = folder.path().join("layer.tar");
        fs::write(&tar, "a layer").expect("a file");
        let diff = digest(&tar, &mut output).expect("a digest");
        output.run(Command::new("gzip").arg("-n").arg(&tar)).expect("gzip");
        let mut put = |media: &'static str, file: &Path| {
            let digest = digest(file, &mut output).expect("a digest");
            let size = size(file).expect("a size");
            fs::rename(file, blobs.join(digest.trim_start_matches("sha256:"))).expect("moved");
            Blob { media, digest, size }.descriptor()
        };
        let layer = put(LAYER, &tar.with_extension("tar.gz"));
        let file = folder.path().join("json");
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [diff] }, "history": [{}],
        });
        fs::write(&file, config.to_string()).expect("a file");
        let config = put(CONFIG, &file);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        fs::write(&file, manifest.to_string()).expect("a file");
        let mut manifest = put(MANIFEST, &file);
        manifest["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
        fs::write(layout.join("index.json"), index.to_string()).expect("a file");
        fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("a file");
        (folder, layout)
    }

    fn problems(folder: &tempfile::TempDir, layout: &Path) -> Vec<String> {
        let mut output = Output::log(folder.path().join("log")).expect("a log");
        verify(layout, &mut output).expect("to be read")
    }

    #[test]
    fn each_defect_of_a_layout_is_found() {
        let (folder, layout) = layout();
        assert_eq!(problems(&folder, &layout), Vec::<String>::new());
        let index = read(&layout.join("index.json")).expect("the index");
        for (from, to, rule) in [
            ("\"schemaVersion\":2", "\"schemaVersion\":1", "index.json is an index"),
            ("amd64", "arm64", "the same platform"),
            ("\"size\":", "\"size\":1", "the size of its descriptor"),
            ("sha256:", "sha256:0", "is a digest"),
            (MANIFEST, CONFIG, "the media type"),
        ] {
            assert!(index.contains(from), "{from}: {index}");
            fs::write(layout.join("index.json"), index.replace(from, to)).expect("a file");
            let found = problems(&folder, &layout);
            assert!(found.iter().any(|found| found.contains(rule)), "{rule}: {found:?}");
        }
        fs::write(layout.join("index.json"), &index).expect("a file");
        let blobs = layout.join("blobs/sha256");
        fs::write(blobs.join("0".repeat(64)), "more").expect("a file");
        let found = problems(&folder, &layout);
        assert!(found.iter().any(|found| found.contains("reachable")), "{found:?}");
        fs::remove_file(blobs.join("0".repeat(64))).expect("removed");
        for entry in fs::read_dir(&blobs).expect("a folder") {
            let file = entry.expect("an entry").path();
            let whole = fs::read(&file).expect("a blob");
            let mut changed = whole.clone();
            if let Some(last) = changed.last_mut() {
                *last ^= 1;
            }
            fs::write(&file, &changed).expect("a file");
            let mut output = Output::log(folder.path().join("log")).expect("a log");
            // gzip may find it first.
            let found = verify(&layout, &mut output);
            let is_found = match &found {
                Ok(found) => found.iter().any(|found| found.contains("has this digest")),
                Err(Error::Failed { .. }) => true,
                Err(_) => false,
            };
            assert!(is_found, "{}: {found:?}", file.display());
            fs::write(&file, &whole).expect("a file");
        }
        assert_eq!(problems(&folder, &layout), Vec::<String>::new());
    }
}
