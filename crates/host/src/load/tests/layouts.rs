// SPDX-License-Identifier: BSD-3-Clause
//! Each layout is recognised wherever it lies, and an ambiguous one is refused.

use super::*;

const SIX: &str = "init, handle, handle_raw, shutdown, stream_data, stream_close";
const THREE: &str = "init, handle, shutdown";

fn layout_of(path: &Path) -> Result<&'static str, LoadError> {
    load_path(path).map(|loaded| layout_name(loaded.mapped.layout))
}

#[track_caller]
fn assert_undecided(path: &Path) {
    let message = failure(path);
    assert_says(&message, &["cannot tell the vtable layout", "set `layout`"]);
}

#[test]
fn the_symbols_size_decides() {
    let bench = Bench::new();
    for (words, layout) in [(FIVE, "documented"), (SIX, "raw"), (THREE, "short")] {
        assert_eq!(layout_of(&bench.table(layout, words, &[])).unwrap(), layout);
    }
    // Ambiguous without it.
    let lone_raw = bench.table("n0", "init, handle, handle_raw, 0, 0, 0", &[]);
    assert_eq!(layout_of(&lone_raw).unwrap(), "raw");
    let no_data = bench.table("n5", "init, handle, shutdown, 0, 0", &[]);
    assert_eq!(layout_of(&no_data).unwrap(), "documented");
    let no_streams = bench.table("n1", "init, handle, handle_raw, shutdown, 0, 0", &[]);
    assert_eq!(layout_of(&no_streams).unwrap(), "raw");
    let half_streams = bench.table("n2", "init, handle, shutdown, stream_data, 0", &[]);
    assert_eq!(layout_of(&half_streams).unwrap(), "documented");
    let foreign = bench.table("n3", "init, handle, shutdown, (void *)malloc, 0", &[]);
    assert_eq!(layout_of(&foreign).unwrap(), "documented");
    let grown = bench.table("n4", &format!("{FIVE}, handle_raw, 0, 0, 0, 0, 0, 0, 0"), &[]);
    assert_eq!(layout_of(&grown).unwrap(), "documented");
}

#[test]
fn a_symbol_that_contradicts_the_words_decides_nothing() {
    let bench = Bench::new();
    for (name, words) in [
        ("c1", "init, handle, shutdown, (void *)1, (void *)2"),
        ("c2", "init, handle, shutdown, 0, 0, (void *)24"),
    ] {
        assert_undecided(&bench.table(name, words, &[]));
    }
}

#[test]
fn words_decide_in_a_stripped_plugin() {
    let bench = Bench::new();
    for (words, layout) in [(FIVE, "documented"), (SIX, "raw"), (THREE, "short")] {
        for neighbour in ["(void *)24", "(void *)0x3800000001"] {
            let words = format!("{words}, {neighbour}");
            assert_eq!(layout_of(&bench.table("w", &words, &["-s"])).unwrap(), layout, "{words}");
        }
    }
    let none = "init, handle, shutdown, 0, 0, (void *)1";
    assert_eq!(layout_of(&bench.table("w", none, &["-s"])).unwrap(), "documented");
    let raw_only = "init, 0, handle_raw, shutdown, 0, 0, (void *)1";
    assert_eq!(layout_of(&bench.table("w", raw_only, &["-s"])).unwrap(), "raw");
}

#[test]
fn a_vtable_on_the_heap_is_read() {
    let bench = Bench::new();
    for (words, layout, count) in [(FIVE, "documented", 5), (SIX, "raw", 6), (THREE, "short", 3)] {
        let items = format!("static void *const from[] = {{ {words} }};");
        let body = format!(
            "void **t = malloc({count} * 8); memcpy(t, from, {count} * 8); \
             void **after = malloc(64); after[0] = (void *)1; \
             Info56 *info = calloc(1, sizeof *info); char *name = strdup(\"heap\"); \
             info->abi_version = 1; info->struct_size = 56; info->vtable = t; \
             info->name.ptr = (uint8_t *)name; info->name.len = 4; \
             return (const NrPluginInfo *)info;"
        );
        let loaded = load_path(&bench.entry(layout, &items, &body, &[])).unwrap();
        assert_eq!(
            (layout_name(loaded.mapped.layout), loaded.reported_name.as_str()),
            (layout, "heap")
        );
    }
}

#[test]
fn misleading_neighbours_are_refused_not_guessed() {
    let bench = Bench::new();
    for words in [
        // Raw without streams and shutdown, or documented without streams.
        "init, handle, handle_raw, 0, 0, 0",
        "init, handle, handle_raw, 0, 0, 0, (void *)1",
        "init, handle, shutdown, 0, 0, 0, 0, 0, 0",
        // Raw without streams, or documented with half of them.
        "init, handle, handle_raw, shutdown, 0, 0, (void *)1",
        "init, handle, 0, shutdown, 0, 0, (void *)1",
        // Two documented tables in a row.
        "init, handle, shutdown, stream_data, stream_close, init, handle, shutdown, stream_data, stream_close",
        // Documented, then the vtable of a Rust trait object: drop, size, alignment.
        "init, handle, shutdown, stream_data, stream_close, shutdown, (void *)24, (void *)8",
        // Documented without streams, then a lone function.
        "init, handle, shutdown, 0, 0, init, (void *)1",
        // Short, then one word, then a function.
        "init, handle, shutdown, 0, stream_close, (void *)1",
        // Functions of another library within the table.
        "init, handle, shutdown, (void *)malloc, stream_close, (void *)1, (void *)1",
        "init, handle, shutdown, stream_data, stream_close, (void *)malloc, (void *)1",
        // No table at all.
        "init, (void *)24, (void *)8, (void *)1",
        "(void *)24, (void *)8, (void *)1, (void *)1",
    ] {
        assert_undecided(&bench.table("m", words, &["-s"]));
    }
    let followed = format!("{SIX}, shutdown, (void *)24, (void *)8");
    assert_eq!(layout_of(&bench.table("m", &followed, &["-s"])).unwrap(), "raw");
}

#[test]
fn thread_local_sections_bound_nothing() {
    let bench = Bench::new();
    // Their addresses reach into what follows; one of these sizes ends within the table.
    for longs in 1..=16 {
        let items = format!(
            "static __thread volatile long overlapping[{longs}];\n\
             static void *const table[] = {{ {FIVE}, (void *)24 }};\n{}",
            info56("table", "1, 56")
        );
        let body = "overlapping[0] = 1; return (const NrPluginInfo *)&info;";
        let so = bench.entry("tls", &items, body, &["-s"]);
        assert_eq!(layout_of(&so).unwrap(), "documented", "{longs}");
    }
}

#[test]
fn an_object_that_begins_within_the_functions_makes_it_undecided() {
    let bench = Bench::new();
    let items = format!(
        "asm(\".pushsection .data.rel.ro.t,\\\"aw\\\"\\n.balign 32\\n.globl t\\n.hidden t\\n\
         t: .quad init, handle, shutdown, stream_data\\n.type mid, @object\\n.size mid, 8\\n\
         mid: .quad stream_close, stream_data, 24\\n.popsection\");\n\
         extern char t[] __attribute__((visibility(\"hidden\")));\n{}",
        info56("t", "1, 56")
    );
    let so = bench.entry("cut", &items, "return (const NrPluginInfo *)&info;", &[]);
    assert_says(&failure(&so), &["cannot tell", "begins in the middle of its functions"]);
}

#[test]
fn the_layout_asked_for_is_taken_if_it_can_be() {
    let bench = Bench::new();
    let so = bench.table("o", "init, handle, handle_raw, shutdown, 0, 0, (void *)1", &["-s"]);
    let ask = |layout| load(&Source::Path(so.clone()), &options(Some(layout)));
    let raw = ask(Layout::Raw).unwrap();
    assert_eq!(layout_name(raw.mapped.layout), "raw");
    assert!(raw.mapped.points.handle_raw.is_some() && raw.mapped.points.shutdown.is_some());
    assert!(raw.mapped.points.stream_data.is_none());
    assert_eq!(layout_name(ask(Layout::Short).unwrap().mapped.layout), "short");

    let short = bench.table("p", &format!("{THREE}, (void *)24"), &["-s"]);
    let error = load(&Source::Path(short), &options(Some(Layout::Documented))).unwrap_err();
    assert_says(&message(&error), &["`stream_data`", "0x18", "not code"]);
}

#[test]
fn a_grown_plugin_says_what_it_has() {
    let bench = Bench::new();
    let items = r#"
        static NrStatus describe(void *c, uint32_t index, BkEntryInfo *out) {
            static const char *names[] = { "unary", "unary", "chat", "\xff", "odd" };
            if (index >= 5) return NR_INVALID;
            out->name.ptr = (const uint8_t *)names[index]; out->name.len = strlen(names[index]);
            out->kind = index == 2 ? 2 : index == 4 ? 77 : 0;
            out->help = NR_STR("says hello");
            return NR_OK;
        }
        static NrStatus attach(void *c, void *h, const struct BkHostApi *a) { return NR_OK; }
        static NrPluginVTable table = { .init = init, .handle = handle, .handle_raw = handle_raw,
            .describe = describe };
        static NrPluginInfo info = { .abi_version = 1, .struct_size = sizeof(NrPluginInfo),
            .plugin_ctx = (void *)0x77, .vtable = &table, .vtable_size = sizeof table,
            .flags = 1 | 8 | 256, .attach = attach };
    "#;
    let body = "info.name = NR_STR(\"grown\"); info.version = NR_STR(\"2.1\"); \
                info.config_default = NR_STR(\"{\\\"a\\\": 1}\"); return &info;";
    let so = bench.entry("grown", items, body, &[]);
    let loaded = load_path(&so).unwrap();
    assert_eq!(layout_name(loaded.mapped.layout), "becket");
    assert_eq!(loaded.config_default, "{\"a\": 1}");
    assert!(loaded.mapped.points.attach.is_some() && loaded.mapped.points.cancel.is_none());
    assert_eq!(loaded.mapped.points.plugin_ctx as usize, 0x77);

    let json = serde_json::to_value(inspect(&so, None).unwrap()).unwrap();
    assert_eq!(json["layout"], "becket");
    assert_eq!(json["layout_reason"], "vtable_size is 104");
    assert_eq!(json["name"], "grown");
    assert_eq!(json["flags"], serde_json::json!(["thread-safe", "may-unload", "0x100"]));
    assert_eq!(json["slots"].as_array().map(Vec::len), Some(13));
    assert_eq!(json["exports"], serde_json::json!(["nylon_ring_get_plugin_v1"]));
    // Without the repeat, the name that is not UTF-8, and the kind without a number.
    assert_eq!(
        json["entries"],
        serde_json::json!([
            { "name": "unary", "kind": "unary", "help": "says hello" },
            { "name": "chat", "kind": "bidirectional", "help": "says hello" },
        ])
    );

    // As a plugin of the seed: what is grown is not read.
    let plain = load(&Source::Path(so), &options(Some(Layout::Short))).unwrap();
    assert!(plain.mapped.points.attach.is_none() && plain.mapped.points.describe.is_none());
    assert_eq!((plain.mapped.flags, plain.config_default.as_str()), (0, ""));
}

#[test]
fn a_grown_info_with_an_unsized_vtable_is_documented() {
    let bench = Bench::new();
    let items = format!(
        "static void *const table[] = {{ {FIVE}, (void *)malloc }};\n\
         static NrPluginInfo info = {{ .abi_version = 1, .struct_size = 64, .flags = 1, \
         .vtable = (const void *)table, .attach = (void *)24 }};"
    );
    let loaded = load_path(&bench.entry("u", &items, "return &info;", &[])).unwrap();
    assert_eq!((layout_name(loaded.mapped.layout), loaded.mapped.flags), ("documented", 1));
    assert!(loaded.mapped.points.attach.is_none(), "struct_size does not cover it");
}

#[test]
fn a_linked_plugin_needs_no_file() {
    use becket_abi::layout::Documented;
    unsafe extern "C" fn init(
        _: *mut std::ffi::c_void,
        _: *mut std::ffi::c_void,
        _: *const becket_abi::NrHostVTable,
    ) -> becket_abi::NrStatus {
        becket_abi::NrStatus::Ok
    }
    unsafe extern "C" fn handle(
        _: *mut std::ffi::c_void,
        _: becket_abi::NrStr,
        _: u64,
        _: *const becket_abi::NrRequest,
        _: becket_abi::NrBytes,
    ) -> becket_abi::NrStatus {
        becket_abi::NrStatus::Ok
    }
    static VTABLE: Documented = Documented {
        init: Some(init),
        handle: Some(handle),
        shutdown: None,
        stream_data: None,
        stream_close: None,
    };
    static INFO: NrPluginInfo = NrPluginInfo {
        abi_version: 1,
        struct_size: 88,
        name: becket_abi::NrStr::from_str("linked"),
        version: becket_abi::NrStr::EMPTY,
        plugin_ctx: std::ptr::null_mut(),
        vtable: (&raw const VTABLE).cast(),
        vtable_size: 40,
        flags: 0,
        config_default: becket_abi::NrStr::EMPTY,
        attach: None,
        coroutine_stack_bytes: 0,
    };
    unsafe extern "C" fn get() -> *const NrPluginInfo {
        &raw const INFO
    }
    // SAFETY: a static info.
    let linked = unsafe { LinkedPlugin::new(get) };
    let loaded = load(&Source::Linked(linked), &options(None)).unwrap();
    assert_eq!(
        (loaded.reported_name.as_str(), layout_name(loaded.mapped.layout)),
        ("linked", "becket")
    );
    assert!(loaded.path.is_none() && loaded.mapped.points.shutdown.is_none());

    unsafe extern "C" fn none() -> *const NrPluginInfo {
        std::ptr::null()
    }
    // SAFETY: `NULL` is allowed.
    let none = unsafe { LinkedPlugin::new(none) };
    let error = load(&Source::Linked(none), &options(None)).unwrap_err();
    assert_says(&error.to_string(), &["(linked into this program) returned NULL"]);
}

/// The plugin of version 2 that `tests/rules` runs.
fn second(bench: &Bench, name: &str, definitions: &str, flags: &[&str]) -> PathBuf {
    let source = include_str!("../../../tests/rules/v2.c");
    bench.build(name, &format!("{definitions}\n{source}"), flags)
}

#[test]
fn version_2_is_told_by_its_symbol() {
    let bench = Bench::new();
    for (name, flags) in [("plain", &[][..]), ("stripped", &["-s"]), ("lone", &["-nostartfiles"])] {
        let path = second(&bench, name, "", flags);
        assert_eq!(layout_of(&path).unwrap(), "v2", "{name}");
        let found = inspect(&path, None).unwrap();
        assert_eq!((found.abi_version, found.struct_size, found.vtable_size), (2, 56, 0));
        assert_eq!(found.layout_reason, "it exports nylon_ring_get_plugin");
        let slots: Vec<_> = found.slots.iter().map(|slot| (slot.name, slot.present)).collect();
        let names = [
            "init",
            "handle",
            "shutdown",
            "stream_data",
            "stream_close",
            "resolve_entry",
            "handle_by_id",
        ];
        assert_eq!(slots, names.map(|name| (name, true)));
    }
    let both = second(&bench, "both", "#define BOTH", &[]);
    let found = inspect(&both, None).unwrap();
    assert_eq!((found.abi_version, found.layout), (1, "becket"));
    assert_says(&found.layout_reason, &["it exports the other version's entry function too"]);
    let asked = inspect(&both, Some(Layout::V2)).unwrap();
    assert_eq!((asked.abi_version, asked.layout), (2, "v2"));
}

#[test]
fn the_same_functions_of_version_2_are_one_plugin() {
    let bench = Bench::new();
    let path = second(&bench, "same", "", &[]);
    let ctx = |private_copy| {
        let options = LoadOptions { private_copy, ..options(None) };
        let loaded = load(&Source::Path(path.clone()), &options).unwrap();
        loaded.mapped.points.plugin_ctx
    };
    assert_eq!(ctx(false), ctx(false));
    assert_ne!(ctx(true), ctx(true));
}
