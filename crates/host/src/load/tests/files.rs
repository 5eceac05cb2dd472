// SPDX-License-Identifier: BSD-3-Clause
//! Finding a file, reading it once, mapping it privately.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_name_is_looked_for_and_a_path_is_not() {
    let bench = Bench::new();
    let so = bench.table("libsample", FIVE, &[]);
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    fs::create_dir(bench.path("sample")).unwrap();
    let search_path = [empty, bench.directory.path().to_owned()];
    let search = LoadOptions { search_path: &search_path, ..options(None) };
    let find = |name: &str| load(&Source::Path(PathBuf::from(name)), &search);
    for name in ["sample", "libsample", "sample.so", "libsample.so"] {
        assert_eq!(find(name).unwrap().path.as_deref(), Some(so.as_path()), "{name}");
    }
    let LoadError::NotFound { tried, .. } = find("nothing").unwrap_err() else { panic!() };
    let expected: Vec<PathBuf> = search_path
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new(".")])
        .flat_map(|at| ["nothing", "nothing.so", "libnothing.so"].map(|name| at.join(name)))
        .collect();
    assert_eq!(tried, expected);
    let error = find("./nothing.so").unwrap_err();
    assert_says(&message(&error), &["./nothing.so", "tried ./nothing.so, ./libnothing.so"]);
    assert_says(&message(&find("").unwrap_err()), &["no plugin file found"]);
    assert_says(&message(&find("a\0b").unwrap_err()), &["no plugin file found"]);
}

#[test]
fn what_is_no_file_is_named() {
    let bench = Bench::new();
    let directory = bench.path("directory");
    fs::create_dir(&directory).unwrap();
    assert_says(&failure(&directory), &["is a directory"]);
    assert_says(&failure(Path::new("/dev/null")), &["is a device"]);
    let fifo = bench.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_says(&failure(&fifo), &["is a pipe"]);

    let secret = bench.table("secret", FIVE, &[]);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // SAFETY: reads the effective user.
    if unsafe { libc::geteuid() } != 0 {
        assert_says(&failure(&secret), &["cannot read", "Permission denied", "read permission"]);
    }
}

#[test]
fn the_pinned_digest_is_compared() {
    let bench = Bench::new();
    let so = bench.table("pinned", FIVE, &[]);
    let digest = load_path(&so).unwrap().sha256.unwrap();
    let pinned = |sha256| {
        load(&Source::Path(so.clone()), &LoadOptions { sha256: Some(sha256), ..options(None) })
    };
    assert!(pinned(digest).is_ok());
    let message = message(&pinned([0xab; 32]).unwrap_err());
    assert_says(&message, &[&"ab".repeat(32), &error::Hex(&digest).to_string()]);
    let inspection = inspect(&so, None).unwrap();
    assert_eq!(inspection.sha256, error::Hex(&digest).to_string());
}

#[test]
fn a_second_load_is_another_image_with_the_bytes_of_its_time() {
    let bench = Bench::new();
    let build = |version: &str| {
        let items = format!(
            "static void *const table[] = {{ {FIVE} }};\n{}",
            info56("table", "1, 56").replace("sample", version)
        );
        bench.entry("reloaded", &items, "return (const NrPluginInfo *)&info;", &[])
    };
    let first = load_path(&build("first!")).unwrap();
    let same = load_path(&bench.path("reloaded.so")).unwrap();
    let second = load_path(&build("second")).unwrap();
    assert_eq!(first.reported_name, "first!");
    assert_eq!(second.reported_name, "second");
    let address = |loaded: &Loaded| loaded.mapped.points.init as usize;
    assert_ne!(address(&first), address(&same));
    assert_ne!(address(&same), address(&second));
}

#[test]
fn in_place_one_file_is_one_image() {
    let bench = Bench::new();
    let so = bench.table("inplace", FIVE, &[]);
    let in_place = LoadOptions { private_copy: false, ..options(None) };
    let [one, other] =
        [0; 2].map(|_| load(&Source::Path(so.clone()), &in_place).unwrap().mapped.points.init);
    assert_eq!(one as usize, other as usize);
}

#[test]
fn only_unmapping_unmaps_and_no_copy_stays() {
    // By its name: what lay at its address may be another image's by the next look.
    const NAME: &str = "mapped-by-this-test-alone";
    let mapped = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(NAME)).map(str::to_owned).collect::<Vec<_>>()
    };
    let bench = Bench::new();
    let so = bench.table(NAME, FIVE, &[]);
    let loaded = load_path(&so).unwrap();
    let first = mapped();
    assert!(!first.is_empty() && first.iter().all(|line| line.ends_with("(deleted)")), "{first:?}");
    drop(loaded);
    assert_eq!(mapped(), first, "dropped, still mapped");

    let loaded = load_path(&so).unwrap();
    assert_eq!(mapped().len(), 2 * first.len());
    // SAFETY: nothing of the plugin ran but its entry function.
    unsafe { loaded.mapped.image.unmap() };
    assert_eq!(mapped(), first);
}

#[test]
fn a_file_that_is_too_large_is_refused_by_its_size() {
    let bench = Bench::new();
    let path = bench.path("sparse.so");
    let file = File::create(&path).unwrap();
    file.set_len(file::FILE_BYTES_MAX + 1).unwrap();
    assert_says(&failure(&path), &["has 536870913 bytes", "may have 536870912", "strip"]);
    // By its size: a file that large is never read, so it takes no time, whatever it takes to read.
    file.set_len(1 << 42).unwrap();
    assert_says(&failure(&path), &["has 4398046511104 bytes"]);
}

/// Answers the modes of its own file and folder as its version.
const SHOWS_MODES: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <libgen.h>
    #include <stdio.h>
    #include <sys/stat.h>
    static char modes[64];
    __attribute__((constructor)) static void look(void) {
        Dl_info self; struct stat file, folder; char path[4096];
        dladdr((void *)look, &self);
        snprintf(path, sizeof path, "%s", self.dli_fname);
        stat(path, &file); stat(dirname(path), &folder);
        snprintf(modes, sizeof modes, "%o in %o", file.st_mode & 07777, folder.st_mode & 07777);
    }
"#;

#[test]
fn the_private_copy_is_its_users_alone_whatever_the_umask() {
    const PLUGIN: &str = "BECKET_TEST_PLUGIN_THAT_SHOWS_MODES";
    if let Some(plugin) = std::env::var_os(PLUGIN) {
        assert_eq!(load_path(Path::new(&plugin)).unwrap().version, "600 in 700");
        return;
    }
    let bench = Bench::new();
    let items = format!(
        "{SHOWS_MODES}\nstatic void *const table[] = {{ {FIVE} }};\n{}",
        info56("table", "1, 56")
    );
    let body = "info.version.ptr = (const uint8_t *)modes; info.version.len = strlen(modes); \
                return (const NrPluginInfo *)&info;";
    let source = format!(
        "#define _GNU_SOURCE\n{PREAMBLE}\n{items}\n\
         const NrPluginInfo *nylon_ring_get_plugin_v1(void) {{ {body} }}"
    );
    let so = bench.build("modes", &source, &[]);
    let this = "load::tests::files::the_private_copy_is_its_users_alone_whatever_the_umask";
    for umask in ["0", "077", "0777"] {
        // The umask is the process's: a test of its own sets it for itself alone.
        let output = Command::new("sh")
            .args(["-c", "umask $0 && exec \"$@\"", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", this])
            .env(PLUGIN, &so)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "umask {umask}: {said}");
    }
}
