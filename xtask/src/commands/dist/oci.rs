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
use super::layout::{Blob, CONFIG, INDEX, LAYER, MANIFEST, digest, names, size, verify};
use crate::commands::install;
use crate::error::Error;
use crate::process::{Output, create_folder, on_path, probe, write};

/// The user of the process. It has no file and no right in the image.
const USER: u32 = 65532;

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
}
