// SPDX-License-Identifier: BSD-3-Clause
//! Plugins compiled from C in the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// What makes a plugin of a `vtable`.
const AROUND: &str = r#"
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("test");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    return &info;
}
"#;

/// A folder of freshly compiled plugins.
pub struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    /// One that stays as long as this program, and is removed when it has ended, however it ended.
    pub fn lasting() -> &'static Self {
        let workshop = Box::leak(Box::new(Self::new()));
        // Its standard input is a pipe whose other end this program alone has.
        let remover = Command::new("sh")
            .args(["-c", r#"cat > /dev/null; rm -rf "$0""#])
            .arg(workshop.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell runs");
        Box::leak(Box::new(remover));
        workshop
    }

    /// Where a file of this name is or may be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Compiles `source` to `NAME.so` and moves it into place, over what was there.
    pub fn build(&self, name: &str, source: &str) -> PathBuf {
        let file = self.file(name).with_extension("c");
        fs::write(&file, source).expect("the source is written");
        compile(&file, &self.place(name))
    }

    /// The same, of source that has a `vtable` and no more.
    pub fn build_around(&self, name: &str, vtable: &str) -> PathBuf {
        let headers = "#include \"becket.h\"\n#include \"nylon_ring.h\"\n";
        self.build(name, &format!("{headers}{vtable}{AROUND}"))
    }

    /// Where the plugin of this name is.
    pub fn place(&self, name: &str) -> PathBuf {
        self.file(name).with_extension("so")
    }
}

/// Compiles a C or C++ file to a shared library and moves that into place.
pub fn compile(source: &Path, place: &Path) -> PathBuf {
    let is_cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let (variable, usual, standard) =
        if is_cpp { ("CXX", "c++", "-std=c++17") } else { ("CC", "cc", "-std=c11") };
    let compiler = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
    let root = workspace();
    let beside = place.with_extension("new");
    let output = Command::new(compiler)
        .arg(standard)
        .args(["-O1", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"])
        .arg("-I")
        .arg(root.join("crates/abi/include"))
        .arg("-I")
        .arg(root.join("sdk/c"))
        .arg("-I")
        .arg(root.join("sdk/cpp"))
        .arg(source)
        .arg("-o")
        .arg(&beside)
        .output()
        .expect("a C compiler runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", source.display());
    fs::rename(&beside, place).expect("the library is moved into place");
    place.to_owned()
}

/// The repository's root.
pub fn workspace() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("the crate is in crates/").to_owned()
}

/// How often a file whose name contains `name` is mapped with code in this process.
pub fn images(name: &str) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("the process's own mappings");
    maps.lines().filter(|line| line.contains(name) && line.contains("r-xp")).count()
}
