// SPDX-License-Identifier: BSD-3-Clause
//! Everything that can be wrong with an info, a vtable or an export is an error that says so.

use super::*;

#[test]
fn a_defect_in_the_info_is_named() {
    let bench = Bench::new();
    let text = "{ (const uint8_t *)text, 6, 0 }";
    let table = format!("static void *const table[] = {{ {FIVE} }};");
    let info = |fields: &str| {
        format!(
            "{table} static const char text[70000] = \"sample\"; static Info56 info = {{ {fields} }};"
        )
    };
    let cases: Vec<(String, &str, &[&str])> = vec![
        (String::new(), "return 0;", &["returned NULL"]),
        (String::new(), "return (void *)0x10;", &["address 0x10 cannot be read"]),
        (String::new(), "return (void *)0x7fffffffffff8;", &["cannot be read"]),
        (info56("use_all", "1, 56"), "return (void *)((char *)&info + 1);", &["not aligned"]),
        (info56("use_all", "2, 56"), "return (void *)&info;", &["ABI version 2", "version 1"]),
        (
            info56("use_all", "1, 0"),
            "return (void *)&info;",
            &["struct_size is 0", "not filled in"],
        ),
        (info56("use_all", "1, 55"), "return (void *)&info;", &["struct_size is 55"]),
        (
            info56("use_all", "1, 0xffffffff"),
            "return (void *)&info;",
            &["struct_size is 4294967295"],
        ),
        (info56("0", "1, 56"), "return (void *)&info;", &["vtable is NULL"]),
        (
            info56("(void *)0x18", "1, 56"),
            "return (void *)&info;",
            &["vtable at 0x18 cannot be read"],
        ),
        (
            info56("(char *)use_all + 4", "1, 56"),
            "return (void *)&info;",
            &["vtable at 0x", "not aligned"],
        ),
        (
            info("1, 56, { 0, 0x40000000, 0 }, { 0, 0, 0 }, 0, table"),
            "return (void *)&info;",
            &["name", "1073741824 bytes", "NULL but has a length"],
        ),
        (
            info("1, 56, { (const uint8_t *)text, 4097, 0 }, { 0, 0, 0 }, 0, table"),
            "return (void *)&info;",
            &["name", "too long"],
        ),
        (
            info(&format!("1, 56, {text}, {{ (const uint8_t *)0x10, 8, 0 }}, 0, table")),
            "return (void *)&info;",
            &["version (address 0x10, 8 bytes) cannot be read"],
        ),
        (
            info(&format!("1, 56, {text}, {{ (const uint8_t *)\"\\xff\\xfe\", 2, 0 }}, 0, table")),
            "return (void *)&info;",
            &["version", "not UTF-8"],
        ),
    ];
    for (items, body, parts) in cases {
        assert_says(&failure(&bench.entry("bad", &items, body, &[])), parts);
    }
}

#[test]
fn a_defect_in_what_is_grown_is_named() {
    let bench = Bench::new();
    let cases: [(&str, &[&str]); 7] = [
        (".vtable_size = 8", &["vtable_size is 8"]),
        (".vtable_size = 100", &["vtable_size is 100"]),
        (".vtable_size = 0xfffffff8", &["vtable_size is 4294967288"]),
        (".vtable_size = 96, .attach = (void *)0x18", &["`attach`", "0x18", "not code"]),
        (
            ".vtable_size = 96, .config_default = { (const uint8_t *)\"[1]\", 3, 0 }",
            &["config_default is not a JSON object", "another JSON value"],
        ),
        (
            ".vtable_size = 96, .config_default = { (const uint8_t *)\"{a}\", 3, 0 }",
            &["config_default is not a JSON object", "line 1"],
        ),
        (
            ".vtable_size = 96, .config_default = { (const uint8_t *)\"{}\", 1 << 20, 0 }",
            &["config_default", "too long"],
        ),
    ];
    for (fields, parts) in cases {
        let items = format!(
            "static NrPluginVTable table = {{ .init = init, .handle = handle }};\n\
             static NrPluginInfo info = {{ .abi_version = 1, .struct_size = 88, .vtable = &table, {fields} }};"
        );
        assert_says(&failure(&bench.entry("grown", &items, "return &info;", &[])), parts);
    }
}

#[test]
fn required_functions_are_required() {
    let bench = Bench::new();
    let no_init = bench.table("a", "0, handle, shutdown, stream_data, stream_close", &[]);
    assert_says(&failure(&no_init), &["has no `init`", "needs `init`"]);
    let no_handle = bench.table("b", "init, 0, shutdown, stream_data, stream_close", &[]);
    assert_says(&failure(&no_handle), &["has no `handle`"]);
    let raw_alone = bench.table("c", "init, 0, handle_raw, shutdown, 0, 0", &[]);
    assert!(load_path(&raw_alone).is_ok());
    let neither = bench.table("d", "init, 0, 0, shutdown, stream_data, stream_close", &[]);
    assert_says(&failure(&neither), &["has no `handle or handle_raw`"]);
}

#[test]
fn a_vtable_that_ends_before_its_last_function_is_refused() {
    let bench = Bench::new();
    // At the very end of readable memory.
    let items = format!("#include <sys/mman.h>\n{}", info56("0", "1, 56"));
    let body = "char *two = mmap(0, 8192, 3, 0x22, -1, 0); mprotect(two + 4096, 4096, 0); \
                void **t = (void **)(two + 4096 - 24); t[0] = init; t[1] = handle; t[2] = shutdown; \
                info.vtable = t; return (void *)&info;";
    let so = bench.entry("edge", &items, body, &[]);
    assert_eq!(layout_name(load_path(&so).unwrap().mapped.layout), "short");
    let error = load(&Source::Path(so), &options(Some(Layout::Raw))).unwrap_err();
    assert_says(&error.to_string(), &["ends before its last function"]);
}

#[test]
fn a_missing_symbol_names_what_is_there() {
    let bench = Bench::new();
    let export = |name: &str| format!("void {name}(void) {{}}\nvoid plugin_main(void) {{}}\n");
    let v2 = bench.build("v2", &export("nylon_ring_get_plugin"), &[]);
    let asked = load(&Source::Path(v2), &options(Some(Layout::Raw))).unwrap_err();
    assert_says(
        &message(&asked),
        &[
            "does not export `nylon_ring_get_plugin_v1`",
            "it exports nylon_ring_get_plugin,",
            "it has version 2 of the ABI, and `layout` asks for the other: leave `layout` out",
        ],
    );
    let v1 = bench.table("v1", FIVE, &[]);
    let asked = load(&Source::Path(v1), &options(Some(Layout::V2))).unwrap_err();
    assert_says(
        &message(&asked),
        &["does not export `nylon_ring_get_plugin`", "version 1", "leave `layout` out"],
    );
    for name in ["_Z24nylon_ring_get_plugin_v1v", "_Z21nylon_ring_get_pluginv"] {
        let mangled = bench.build("cxx", &export(name), &[]);
        assert_says(&failure(&mangled), &[name, "extern \"C\""]);
    }
    let hidden = "__attribute__((visibility(\"hidden\"))) void nylon_ring_get_plugin_v1(void) {}";
    assert_says(&failure(&bench.build("hidden", hidden, &[])), &["hidden: export it"]);
    let other = bench.build("other", "void something(void) {}", &[]);
    assert_says(&failure(&other), &["it exports something", "becket plugin new"]);
    let none = bench.build("none", "static int x;", &["-nostdlib"]);
    assert_says(&failure(&none), &["it exports nothing"]);
}

#[test]
fn a_file_without_the_symbol_never_runs() {
    let bench = Bench::new();
    let source =
        "#include <stdlib.h>\n__attribute__((constructor)) static void go(void) { abort(); }";
    assert_says(&failure(&bench.build("ctor", source, &[])), &["does not export"]);
}

#[test]
fn the_linker_says_what_it_misses() {
    let bench = Bench::new();
    let plugin = "int other(void); const void *nylon_ring_get_plugin_v1(void) { return other() ? \"\" : 0; }";
    let undefined = bench.build("undefined", plugin, &[]);
    assert_says(
        &failure(&undefined),
        &["refused plugin", "undefined.so: undefined symbol: other", "`other` is defined nowhere"],
    );
    let library = bench.build("libneeded", "int other(void) { return 0; }", &[]);
    let at = bench.directory.path().to_str().unwrap();
    let needs = bench.build("needs", plugin, &["-L", at, "-lneeded"]);
    assert_says(
        &failure(&needs),
        &["libneeded.so: cannot open shared object", "install `libneeded.so`"],
    );
    let beside = bench.build("beside", plugin, &["-L", at, "-lneeded", "-Wl,-rpath,$ORIGIN"]);
    assert_says(&failure(&beside), &["$ORIGIN", "private_copy = false"]);
    assert_says(&inspect(&beside, None).unwrap_err().to_string(), &["returned NULL"]);
    let in_place = LoadOptions { private_copy: false, ..options(None) };
    let error = load(&Source::Path(beside), &in_place).unwrap_err();
    assert_says(&error.to_string(), &["returned NULL"]);
    assert!(library.exists());
}

#[test]
fn layouts_are_read_from_text() {
    for layout in Layout::ALL {
        assert_eq!(layout.to_string().parse(), Ok(layout));
        assert_eq!(serde_json::to_value(layout).unwrap(), layout.name());
    }
    let error = "rwa".parse::<Layout>().unwrap_err();
    assert_says(&error.to_string(), &["`rwa`", "documented, raw, short and v2"]);
}

#[test]
fn a_plugin_of_the_published_crate_is_refused_by_its_version() {
    let bench = Bench::new();
    let with = |name: &str, path: &str| {
        let items = format!(
            "static void *const table[] = {{ {FIVE}, (void *)1 }};\n{}\n\
             static const volatile char path[] __attribute__((used)) = \"{path}\";",
            info56("table", "1, 56")
        );
        bench.entry(name, &items, "return (const NrPluginInfo *)&info;", &["-s"])
    };
    let published = with("published", "/index.crates.io/nylon-ring-0.1.14/src/lib.rs");
    assert_says(
        &failure(&published),
        &["is built with nylon-ring 0.1.14", "take no plugin_ctx", "build it again"],
    );
    assert!(load(&Source::Path(published), &options(Some(Layout::Documented))).is_ok());
    for other in
        ["/nylon-ring-0.1./src/lib.rs", "/nylon-ring-0.2.1/src/lib.rs", "/nylon-ring/src/lib.rs"]
    {
        assert_eq!(
            layout_name(load_path(&with("other", other)).unwrap().mapped.layout),
            "documented"
        );
    }
}
