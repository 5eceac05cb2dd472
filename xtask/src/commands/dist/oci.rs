// SPDX-License-Identifier: BSD-3-Clause
//! The image of containers: the folder and the tarball of an OCI image layout (image-spec 1.1).
//!
//! ```text
//!   becket-VERSION-TARGET.oci.tar      what `skopeo`, `podman load` and `docker load` take
//!     oci-layout, index.json           index ─▶ manifest ─▶ config, layers
//!     blobs/sha256/…                   each named by its digest
//!
//!   layer 1   the loader, libc and what else the program is linked with, at their paths; /etc/passwd, /etc/group,
//!             /etc/nsswitch.conf; /tmp; usr/share/doc/becket: their versions and licences
//!   layer 2   usr/bin/becket, etc/becket/becket.toml, usr/share/doc/becket: README, LICENSE, DEPENDENCIES
//! ```
//!
//! The program is linked with the machine's libc, and that is in the image: plugins are shared libraries, which a
//! program that is linked statically cannot load. There is no shell and nothing else. The layer of libraries comes first, and
//! stays the same while the machine's do.
//!
//! # Invariants
//!
//! 1. The same files give the same bytes: names in order, user 0, the time of the commit, `gzip -n`.
//! 2. Every blob has the name of its digest and the size that its descriptor says, and each is reachable from the index:
//!    [`verify`], after each build.
//! 3. The program runs in the image alone: [`try_out`], where the user may change the root of a process.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Build;
use crate::commands::install;
use crate::error::Error;
use crate::process::{Output, create_folder, on_path, probe, read, write};

/// The user of the process. It has no file and no right in the image.
const USER: u32 = 65532;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The libraries that plugins need beside those of the program: `libm` is one of libc's.
const FOR_PLUGINS: [&str; 1] = ["libm.so.6"];

/// In the image, where it is changed by mounting another one.
const CONFIGURATION: &str = "\
# The configuration of the image. Mount your own over it, with your plugins in /plugins.
listen = \"0.0.0.0:8080\"
plugin_path = [\"/plugins\"]

# A container's port is reachable where it is published. What is shown here has no password.
[admin]
listen = \"0.0.0.0:9900\"
allow_remote = true

# The sample that is in the program: `curl -d hello http://127.0.0.1:8080/sample/echo`.
[plugins.sample]
linked = \"sample\"
";

/// A blob, as others point to it.
struct Blob {
    media: &'static str,
    digest: String,
    size: u64,
}

impl Blob {
    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media, "digest": self.digest, "size": self.size })
    }
}

/// A layer, and the digest of its tar before it was packed.
struct Layer {
    blob: Blob,
    diff: String,
    what: &'static str,
}

/// Makes the image in `folder`; the name of its tarball.
pub(super) fn make(
    build: &Build<'_>,
    folder: &Path,
    name: &str,
    output: &mut Output,
) -> Result<String, Error> {
    let image =
        Image { build, root: folder.join("oci"), layout: folder.join(format!("{name}.oci")) };
    install::remove_folder(&image.layout)?;
    install::remove_folder(&image.root)?;
    create_folder(&image.blobs())?;
    let layers = [image.libraries(output)?, image.program(output)?];
    image.index(&layers, output)?;
    let problems = verify(&image.layout, output)?;
    if !problems.is_empty() {
        return Err(Error::Rules(problems));
    }
    let tarball = format!("{name}.oci.tar");
    let names = ["blobs", "index.json", "oci-layout"];
    build.tar(&image.layout, &names, &folder.join(&tarball), output)?;
    Ok(tarball)
}

struct Image<'a> {
    build: &'a Build<'a>,
    /// The folders of the layers.
    root: PathBuf,
    layout: PathBuf,
}

impl Image<'_> {
    fn blobs(&self) -> PathBuf {
        self.layout.join("blobs").join("sha256")
    }

    fn libraries(&self, output: &mut Output) -> Result<Layer, Error> {
        let root = self.root.join("libraries");
        let becket = self.build.becket();
        let linked = output.read(Command::new("ldd").arg(&becket))?;
        let mut files: BTreeSet<String> = libraries(&linked).map(str::to_owned).collect();
        for name in FOR_PLUGINS {
            let mut compiler = crate::process::cc();
            let path = output.read(compiler.arg(format!("-print-file-name={name}")))?;
            let path = canonical(Path::new(path.trim()))?;
            // At the path at which the loader looks for it.
            let beside = files.iter().find(|file| file.ends_with("/libc.so.6"));
            let beside = beside.and_then(|libc| Path::new(libc).parent()).map(|it| it.join(name));
            install::copy(&path, &below(&root, beside.as_deref().unwrap_or(&path)))?;
            files.extend(beside.map(|path| path.display().to_string()));
        }
        for file in &files {
            install::copy(&canonical(Path::new(file))?, &below(&root, Path::new(file)))?;
        }
        let put = |text: &str, to: &str| install::write(text, &root.join(to)).map(drop);
        put(
            &format!(
                "root:x:0:0:root:/:/sbin/nologin\nbecket:x:{USER}:{USER}:becket:/tmp:/sbin/nologin\n"
            ),
            "etc/passwd",
        )?;
        put(&format!("root:x:0:\nbecket:x:{USER}:\n"), "etc/group")?;
        put("passwd: files\ngroup: files\nhosts: files dns\n", "etc/nsswitch.conf")?;
        self.licences(&root, &files)?;
        create_folder(&root.join("tmp"))?;
        create_folder(&root.join("plugins"))?;
        self.layer("libraries", "the loader, libc and the libraries of the program", output)
    }

    /// From which packages of the system the files come, and under what terms.
    fn licences(&self, root: &Path, files: &BTreeSet<String>) -> Result<(), Error> {
        let mut lines = BTreeSet::new();
        let mut packages = BTreeSet::new();
        for file in files {
            let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
            match owner(file) {
                Some(package) => {
                    let mut query = Command::new("dpkg-query");
                    let about = probe(query.args(["-W", "-f=${Package} ${Version}", &package]));
                    lines.insert(format!("{name}: {}\n", about.unwrap_or(package.clone()).trim()));
                    packages.insert(package);
                }
                None => _ = lines.insert(format!("{name}: of the system that built the image\n")),
            }
        }
        let documents = root.join("usr/share/doc");
        for package in packages {
            let package = package.split(':').next().unwrap_or_default();
            let terms = Path::new("/usr/share/doc").join(package).join("copyright");
            if terms.exists() {
                install::copy(&terms, &documents.join(package).join("copyright"))?;
            }
        }
        let text = lines.into_iter().collect::<String>();
        install::write(&text, &documents.join("becket/LIBRARIES")).map(drop)
    }

    fn program(&self, output: &mut Output) -> Result<Layer, Error> {
        let root = self.root.join("program");
        let context = self.build.context;
        install::copy(&self.build.becket(), &root.join("usr/bin/becket"))?;
        install::write(CONFIGURATION, &root.join("etc/becket/becket.toml"))?;
        for name in ["README.md", "LICENSE"] {
            install::copy(&context.path(name), &root.join("usr/share/doc/becket").join(name))?;
        }
        let dependencies = self.build.licences(output)?;
        install::write(&dependencies, &root.join("usr/share/doc/becket/DEPENDENCIES"))?;
        self.layer("program", "becket", output)
    }

    /// Packs the folder of this name.
    fn layer(&self, name: &str, what: &'static str, output: &mut Output) -> Result<Layer, Error> {
        let (folder, tar) = (self.root.join(name), self.root.join(format!("{name}.tar")));
        // For every user: its mode is another one than that of all else.
        let is_shared = |name: &String| name == "tmp";
        let (shared, other): (Vec<_>, Vec<_>) = names(&folder)?.into_iter().partition(is_shared);
        let other: Vec<_> = other.iter().map(String::as_str).collect();
        self.build.tar(&folder, &other, &tar, output)?;
        if !shared.is_empty() {
            let mut append = self.build.tar_command(&folder);
            append.args(["--mode=1777", "--append", "--file"]);
            output.run(append.arg(&tar).args(&shared))?;
        }
        let diff = digest(&tar, output)?;
        output.run(Command::new("gzip").env("GZIP", "").arg("-n9").arg("-f").arg(&tar))?;
        let packed = tar.with_extension("tar.gz");
        Ok(Layer { blob: self.blob(LAYER, &packed, output)?, diff, what })
    }

    /// Moves a file to where its digest says.
    fn blob(&self, media: &'static str, file: &Path, output: &mut Output) -> Result<Blob, Error> {
        let digest = digest(file, output)?;
        let size = size(file)?;
        let to = self.blobs().join(digest.trim_start_matches("sha256:"));
        fs::rename(file, &to).map_err(|source| Error::File { action: "move", path: to, source })?;
        Ok(Blob { media, digest, size })
    }

    fn json(&self, media: &'static str, value: &Value, output: &mut Output) -> Result<Blob, Error> {
        let file = self.root.join("blob.json");
        write(&file, &value.to_string())?;
        self.blob(media, &file, output)
    }

    fn index(&self, layers: &[Layer], output: &mut Output) -> Result<(), Error> {
        let (build, context) = (self.build, self.build.context);
        let created = output.read(
            Command::new("date")
                .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"])
                .arg(format!("@{}", build.time)),
        )?;
        let created = created.trim();
        let mut git = Command::new("git");
        let revision = git.current_dir(context.root()).args(["rev-parse", "HEAD"]);
        let revision = probe(revision).unwrap_or_default();
        let labels = json!({
            "org.opencontainers.image.title": "becket",
            "org.opencontainers.image.description":
                "Plugins over HTTP, inline or in processes of their own",
            "org.opencontainers.image.version": build.version,
            "org.opencontainers.image.revision": revision.trim(),
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.licenses": "BSD-3-Clause",
            "org.opencontainers.image.vendor": "The Becket authors",
        });
        let history =
            layers.iter().map(|layer| json!({ "created": created, "created_by": layer.what }));
        let config = json!({
            "created": created,
            "author": "The Becket authors",
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": format!("{USER}:{USER}"),
                "Env": ["PATH=/usr/bin"],
                "Entrypoint": ["/usr/bin/becket", "serve"],
                "Cmd": ["--config", "/etc/becket/becket.toml"],
                "ExposedPorts": { "8080/tcp": {}, "9900/tcp": {} },
                "WorkingDir": "/",
                "StopSignal": "SIGTERM",
                "Labels": labels,
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|layer| layer.diff.as_str()).collect::<Vec<_>>(),
            },
            "history": history.collect::<Vec<_>>(),
        });
        let config = self.json(CONFIG, &config, output)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(|layer| layer.blob.descriptor()).collect::<Vec<_>>(),
            "annotations": labels,
        });
        let mut manifest = self.json(MANIFEST, &manifest, output)?.descriptor();
        if let Some(descriptor) = manifest.as_object_mut() {
            let platform = json!({ "architecture": architecture(), "os": "linux" });
            descriptor.insert("platform".to_owned(), platform);
            // The first is the specification's, the second is what docker and containerd show as the name.
            let names = json!({
                "org.opencontainers.image.ref.name": build.version,
                "io.containerd.image.name": format!("docker.io/library/becket:{}", build.version),
            });
            descriptor.insert("annotations".to_owned(), names);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
        write(&self.layout.join("index.json"), &index.to_string())?;
        write(
            &self.layout.join("oci-layout"),
            &json!({ "imageLayoutVersion": "1.0.0" }).to_string(),
        )
    }
}

/// As OCI, that is Go, names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The files of `ldd`'s lines: `libc.so.6 => /lib/libc.so.6 (0x…)`, or the loader without an arrow.
fn libraries(linked: &str) -> impl Iterator<Item = &str> {
    linked.lines().filter_map(|line| {
        let line = line.trim();
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        let path = path.split(" (").next()?;
        path.starts_with('/').then_some(path)
    })
}

/// The package of Debian that a file comes from.
fn owner(file: &str) -> Option<String> {
    // It may be known below `/usr` alone, or without it.
    let known = [file.to_owned(), format!("/usr{file}"), file.replacen("/usr", "", 1)];
    known.iter().find_map(|file| {
        let found = probe(Command::new("dpkg-query").args(["-S", file]))?;
        Some(found.lines().next()?.split_once(": ")?.0.to_owned())
    })
}

/// What a folder has, in order.
fn names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let list = |source| Error::File { action: "list", path: folder.to_owned(), source };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry.map_err(list)?.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(folder).map_err(list)?.map(name).collect()
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|source| Error::File {
        action: "find",
        path: path.to_owned(),
        source,
    })
}

fn size(file: &Path) -> Result<u64, Error> {
    let about = fs::metadata(file);
    about.map(|about| about.len()).map_err(|source| Error::File {
        action: "read",
        path: file.to_owned(),
        source,
    })
}

fn digest(file: &Path, output: &mut Output) -> Result<String, Error> {
    let sum = output.read(Command::new("sha256sum").arg("--").arg(file))?;
    // A `\` stands before a line whose name is escaped.
    let sum = sum.split(' ').next().unwrap_or_default().trim_start_matches('\\');
    Ok(format!("sha256:{sum}"))
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

/// Runs the program with the layers as its whole file system. `None`: this user may not.
pub(super) fn try_out(folder: &Path, output: &mut Output) -> Result<Option<String>, Error> {
    let root = folder.join("oci").join("tried");
    install::remove_folder(&root)?;
    create_folder(&root)?;
    for layer in ["libraries", "program"] {
        let from = folder.join("oci").join(layer).join(".");
        output.run(Command::new("cp").arg("-a").arg(from).arg(&root))?;
    }
    if on_path("unshare").is_none() || probe(inside(&root).arg("--version")).is_none() {
        return Ok(None);
    }
    let checked =
        output.read(inside(&root).args(["config", "check", "/etc/becket/becket.toml"]))?;
    Ok(Some(checked.trim().to_owned()))
}

/// The program with another root, and without rights there.
fn inside(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--root"]).arg(root).arg("/usr/bin/becket");
    command.env_clear();
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_ldd_are_those_with_a_path() {
        let linked = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/x/libgcc_s.so.1 (0x1)\n\
                      \tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let files: Vec<_> = libraries(linked).collect();
        assert_eq!(
            files,
            ["/lib/x/libgcc_s.so.1", "/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
    }

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
