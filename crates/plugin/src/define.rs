// SPDX-License-Identifier: BSD-3-Clause
//! `define_plugin!`: the exported symbol, the info and the vtable.
//!
//! Arms are read one at a time, in any order. Each arm of functions wraps its function in an
//! `extern "C"` one behind the panic boundary and adds it to the table under construction, which
//! is a constant: nothing happens at run time.
//!
//! Items that a macro makes can be seen by the paths that the author gives, so each has a name that
//! no author's item has.

/// Makes a plugin of a [`Plugin`](crate::Plugin) type, or of functions.
///
/// It defines `PLUGIN`, a [`LinkedPlugin`](crate::LinkedPlugin) for hosts that have the plugin in
/// their own binary, and exports the symbol `nylon_ring_get_plugin_v1` for those that load a file.
///
/// # Of a type
///
/// ```standalone_crate
/// use becket_plugin::{define_plugin, Answered, Call, Entry, Failure, Host, Plugin};
///
/// struct Hello;
///
/// impl Plugin for Hello {
///     const NAME: &'static str = "hello";
///     const VERSION: &'static str = "1.0.0";
///     const ENTRIES: &'static [Entry<Self>] =
///         &[Entry::unary("greet", "greets the payload", Self::greet)];
///
///     fn start(_: Host) -> Result<Self, Failure> {
///         Ok(Self)
///     }
/// }
///
/// impl Hello {
///     fn greet(&self, call: Call<'_>) -> Result<Answered, Failure> {
///         let name = String::from_utf8_lossy(call.payload());
///         Ok(call.answer_owned(format!("hello, {name}")))
///     }
/// }
///
/// define_plugin! { plugin: Hello }
/// # fn main() {}
/// ```
///
/// # Of functions
///
/// For code that wants the bare ABI. All arms but `entries` may be left out, and come in any order.
///
/// ```standalone_crate
/// use std::ffi::c_void;
/// use std::sync::atomic::{AtomicPtr, Ordering};
///
/// use becket_plugin::{define_plugin, NrBytes, NrHostVTable, NrRequest, NrStatus};
///
/// static HOST: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
/// static TABLE: AtomicPtr<NrHostVTable> = AtomicPtr::new(std::ptr::null_mut());
///
/// unsafe fn init(_ctx: *mut c_void, host: *mut c_void, table: *const NrHostVTable) -> NrStatus {
///     HOST.store(host, Ordering::Release);
///     TABLE.store(table.cast_mut(), Ordering::Release);
///     NrStatus::Ok
/// }
///
/// unsafe fn echo(_: *mut c_void, sid: u64, _: *const NrRequest, payload: NrBytes) -> NrStatus {
///     // SAFETY: `init` stored both, and they live as long as the process.
///     unsafe {
///         let table = TABLE.load(Ordering::Acquire);
///         ((*table).send_result)(HOST.load(Ordering::Acquire), sid, NrStatus::Ok, payload);
///     }
///     NrStatus::Ok
/// }
///
/// define_plugin! {
///     init: init,
///     entries: {
///         "echo" => echo,
///     },
/// }
/// # fn main() {
/// use becket_plugin::testing::FakeHost;
/// let host = FakeHost::builder().linked(PLUGIN).build().unwrap();
/// assert_eq!(host.call("echo", b"ping").body, b"ping");
/// # }
/// ```
///
/// | arm | what it takes |
/// |---|---|
/// | `init` | `unsafe fn(ctx, host_ctx, *const NrHostVTable) -> NrStatus` |
/// | `shutdown` | `unsafe fn(ctx)` |
/// | `entries` | `{ "name" => unsafe fn(ctx, sid, *const NrRequest, NrBytes) -> NrStatus, .. }` |
/// | `raw_entries` | `{ "name" => unsafe fn(ctx, sid, NrBytes) -> NrStatus, .. }` |
/// | `stream_handlers` | `{ data: unsafe fn(ctx, sid, NrBytes) -> NrStatus, close: unsafe fn(ctx, sid) -> NrStatus }` |
/// | `stream_room` | `unsafe fn(ctx, sid) -> NrStatus` |
/// | `cancel` | `unsafe fn(ctx, sid) -> NrStatus` |
/// | `attach` | `unsafe fn(ctx, host_ctx, *const BkHostApi) -> NrStatus` |
/// | `reload` | `{ export: unsafe fn(ctx, *mut NrOwnedBytes) -> NrStatus, import: unsafe fn(ctx, NrBytes) -> NrStatus }` |
/// | `name`, `version` | text; by default the package's |
/// | `config_default` | text: a JSON object |
/// | `flags` | `BK_PLUGIN_*`; by default 0: the host calls from one thread at a time |
/// | `export` | as below |
///
/// # When the symbol is exported
///
/// A binary can hold one symbol of that name, so a plugin that is also linked into hosts sets when
/// it exports: `export: cfg(feature = "export")`, with that feature on by default in its own package
/// and off in the host's dependency. `export: false` never exports.
#[macro_export]
macro_rules! define_plugin {
    // Of a type.
    (plugin: $plugin:ty $(,)?) => {
        $crate::define_plugin! { @type [] $plugin }
    };
    (plugin: $plugin:ty, export: false $(,)?) => {
        $crate::define_plugin! { @type [#[cfg(any())]] $plugin }
    };
    (plugin: $plugin:ty, export: cfg($($when:tt)+) $(,)?) => {
        $crate::define_plugin! { @type [#[cfg($($when)+)]] $plugin }
    };
    (@type [$($when:tt)*] $plugin:ty) => {
        /// This plugin, for a host in the same binary.
        pub const PLUGIN: $crate::LinkedPlugin = {
            static __BECKET_SLOTS: $crate::__private::Slots<$plugin> = $crate::__private::Slots::new();
            extern "C" fn __becket_get() -> *const $crate::NrPluginInfo {
                __BECKET_SLOTS.hand_out()
            }
            #[allow(unsafe_code)]
            // SAFETY: `hand_out` keeps the rules of the ABI.
            unsafe { $crate::LinkedPlugin::new(__becket_get) }
        };
        $crate::define_plugin! { @symbol [$($when)*] }
    };

    (@symbol [$($when:tt)*]) => {
        #[doc(hidden)]
        #[allow(unsafe_code)]
        $($when)*
        // SAFETY: the name is the ABI's, and this binary's one function of it (see `export`).
        #[unsafe(no_mangle)]
        pub extern "C" fn nylon_ring_get_plugin_v1() -> *const $crate::NrPluginInfo {
            PLUGIN.info()
        }
    };

    // The export of functions: by their `export` arm, wherever it stands.
    (@export) => {
        $crate::define_plugin! { @symbol [] }
    };
    (@export export: cfg($($when:tt)+) $($rest:tt)*) => {
        $crate::define_plugin! { @symbol [#[cfg($($when)+)]] }
    };
    (@export export: false $($rest:tt)*) => {};
    (@export $skip:tt $($rest:tt)*) => {
        $crate::define_plugin! { @export $($rest)* }
    };

    // One arm after the other: `def` is the definition so far.
    (@arms $def:ident $link:ident) => { $def };
    (@arms $def:ident $link:ident export: cfg($($when:tt)+) $(, $($rest:tt)*)?) => {
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    };
    (@arms $def:ident $link:ident export: false $(, $($rest:tt)*)?) => {
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    };
    (@arms $def:ident $link:ident name: $name:expr $(, $($rest:tt)*)?) => {{
        $def.name = $name;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident version: $version:expr $(, $($rest:tt)*)?) => {{
        $def.version = $version;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident config_default: $config:expr $(, $($rest:tt)*)?) => {{
        $def.config_default = $config;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident flags: $flags:expr $(, $($rest:tt)*)?) => {{
        $def.flags = $flags;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident init: $init:path $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_init(
            ctx: *mut ::core::ffi::c_void,
            host: *mut ::core::ffi::c_void,
            table: *const $crate::NrHostVTable,
        ) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("init", || unsafe { $init(ctx, host, table) })
        }
        $def.table.init = ::core::option::Option::Some(__becket_init);
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident shutdown: $shutdown:path $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_shutdown(ctx: *mut ::core::ffi::c_void) {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("shutdown", || unsafe { $shutdown(ctx) })
        }
        $def.table.shutdown = ::core::option::Option::Some(__becket_shutdown);
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident entries: { $($name:literal => $run:path),* $(,)? }
        $(, $($rest:tt)*)?) => {{
        const __BECKET_ENTRIES: &[$crate::__private::RawEntry] =
            &[$($crate::__private::RawEntry::with_request($name, $run)),*];
        $def.entries = __BECKET_ENTRIES;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident raw_entries: { $($name:literal => $run:path),* $(,)? }
        $(, $($rest:tt)*)?) => {{
        const __BECKET_ENTRIES: &[$crate::__private::RawEntry] =
            &[$($crate::__private::RawEntry::raw($name, $run)),*];
        $def.raw_entries = __BECKET_ENTRIES;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident stream_handlers: { data: $data:path, close: $close:path $(,)? }
        $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_stream_data(
            ctx: *mut ::core::ffi::c_void,
            sid: u64,
            data: $crate::NrBytes,
        ) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("stream_data", || unsafe { $data(ctx, sid, data) })
        }
        unsafe extern "C" fn __becket_stream_close(
            ctx: *mut ::core::ffi::c_void,
            sid: u64,
        ) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("stream_close", || unsafe { $close(ctx, sid) })
        }
        $def.table.stream_data = ::core::option::Option::Some(__becket_stream_data);
        $def.table.stream_close = ::core::option::Option::Some(__becket_stream_close);
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident stream_room: $room:path $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_stream_room(
            ctx: *mut ::core::ffi::c_void,
            sid: u64,
        ) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("stream_room", || unsafe { $room(ctx, sid) })
        }
        $def.table.stream_room = ::core::option::Option::Some(__becket_stream_room);
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident cancel: $cancel:path $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_cancel(ctx: *mut ::core::ffi::c_void, sid: u64) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("cancel", || unsafe { $cancel(ctx, sid) })
        }
        $def.table.cancel = ::core::option::Option::Some(__becket_cancel);
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident attach: $attach:path $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_attach(
            ctx: *mut ::core::ffi::c_void,
            host: *mut ::core::ffi::c_void,
            api: *const $crate::BkHostApi,
        ) -> $crate::NrStatus {
            $link.attach(host, api);
            // SAFETY: the host's call, passed on as it came.
            $link.guard("attach", || unsafe { $attach(ctx, host, api) })
        }
        $def.attach = __becket_attach;
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};
    (@arms $def:ident $link:ident reload: { export: $export:path, import: $import:path $(,)? }
        $(, $($rest:tt)*)?) => {{
        unsafe extern "C" fn __becket_reload_export(
            ctx: *mut ::core::ffi::c_void,
            out: *mut $crate::NrOwnedBytes,
        ) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("reload_export", || unsafe { $export(ctx, out) })
        }
        unsafe extern "C" fn __becket_reload_import(
            ctx: *mut ::core::ffi::c_void,
            state: $crate::NrBytes,
        ) -> $crate::NrStatus {
            // SAFETY: the host's call, passed on as it came.
            $link.guard("reload_import", || unsafe { $import(ctx, state) })
        }
        $def.table.reload_export = ::core::option::Option::Some(__becket_reload_export);
        $def.table.reload_import = ::core::option::Option::Some(__becket_reload_import);
        $crate::define_plugin!(@arms $def $link $($($rest)*)?)
    }};

    // Of functions.
    ($first:ident : $($arms:tt)*) => {
        /// This plugin, for a host in the same binary.
        #[allow(unsafe_code)]
        pub const PLUGIN: $crate::LinkedPlugin = {
            static __BECKET_LINK: $crate::__private::Link = $crate::__private::Link::new();
            const __BECKET_DEFINITION: $crate::__private::Definition = {
                #[allow(unused_mut)]
                let mut definition = $crate::__private::Definition {
                    name: ::core::env!("CARGO_PKG_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    config_default: "",
                    flags: 0,
                    entries: &[],
                    raw_entries: &[],
                    attach: __becket_attach,
                    table: $crate::NrPluginVTable {
                        init: ::core::option::Option::Some(__becket_init),
                        handle: ::core::option::Option::Some(__becket_handle),
                        shutdown: ::core::option::Option::None,
                        stream_data: ::core::option::Option::None,
                        stream_close: ::core::option::Option::None,
                        handle_raw: ::core::option::Option::Some(__becket_handle_raw),
                        resolve_entry: ::core::option::Option::Some(__becket_resolve_entry),
                        handle_by_id: ::core::option::Option::Some(__becket_handle_by_id),
                        describe: ::core::option::Option::Some(__becket_describe),
                        cancel: ::core::option::Option::None,
                        reload_export: ::core::option::Option::None,
                        reload_import: ::core::option::Option::None,
                        stream_room: ::core::option::Option::None,
                    },
                };
                $crate::define_plugin!(@arms definition __BECKET_LINK $first : $($arms)*)
            };
            unsafe extern "C" fn __becket_init(
                _ctx: *mut ::core::ffi::c_void,
                _host: *mut ::core::ffi::c_void,
                _table: *const $crate::NrHostVTable,
            ) -> $crate::NrStatus {
                $crate::NrStatus::Ok
            }
            unsafe extern "C" fn __becket_attach(
                _ctx: *mut ::core::ffi::c_void,
                host: *mut ::core::ffi::c_void,
                api: *const $crate::BkHostApi,
            ) -> $crate::NrStatus {
                __BECKET_LINK.attach(host, api);
                $crate::NrStatus::Ok
            }
            unsafe extern "C" fn __becket_handle(
                ctx: *mut ::core::ffi::c_void,
                entry: $crate::NrStr,
                sid: u64,
                request: *const $crate::NrRequest,
                payload: $crate::NrBytes,
            ) -> $crate::NrStatus {
                // SAFETY: the host's call, passed on as it came.
                __BECKET_LINK.guard("handle", || unsafe {
                    __BECKET_DEFINITION.handle(ctx, entry, sid, request, payload)
                })
            }
            unsafe extern "C" fn __becket_handle_raw(
                ctx: *mut ::core::ffi::c_void,
                entry: $crate::NrStr,
                sid: u64,
                payload: $crate::NrBytes,
            ) -> $crate::NrStatus {
                // SAFETY: the host's call, passed on as it came, without a request.
                unsafe { __becket_handle(ctx, entry, sid, ::core::ptr::null(), payload) }
            }
            unsafe extern "C" fn __becket_resolve_entry(
                _ctx: *mut ::core::ffi::c_void,
                name: $crate::NrStr,
            ) -> u32 {
                // SAFETY: the host's call, passed on as it came.
                __BECKET_LINK.guard("resolve_entry", || unsafe { __BECKET_DEFINITION.resolve(name) })
            }
            unsafe extern "C" fn __becket_handle_by_id(
                ctx: *mut ::core::ffi::c_void,
                id: u32,
                sid: u64,
                request: *const $crate::NrRequest,
                payload: $crate::NrBytes,
            ) -> $crate::NrStatus {
                // SAFETY: the host's call, passed on as it came.
                __BECKET_LINK.guard("handle_by_id", || unsafe {
                    __BECKET_DEFINITION.handle_by_id(ctx, id, sid, request, payload)
                })
            }
            unsafe extern "C" fn __becket_describe(
                _ctx: *mut ::core::ffi::c_void,
                index: u32,
                out: *mut $crate::BkEntryInfo,
            ) -> $crate::NrStatus {
                // SAFETY: the host's call, passed on as it came.
                __BECKET_LINK.guard("describe", || unsafe { __BECKET_DEFINITION.describe(index, out) })
            }
            static __BECKET_TABLE: $crate::NrPluginVTable = __BECKET_DEFINITION.table;
            static __BECKET_INFO: $crate::NrPluginInfo = __BECKET_DEFINITION.info(&__BECKET_TABLE);
            extern "C" fn __becket_get() -> *const $crate::NrPluginInfo {
                &raw const __BECKET_INFO
            }
            // SAFETY: the tables are statics, and their functions keep the rules of the ABI as far
            // as the functions given to the macro do.
            unsafe { $crate::LinkedPlugin::new(__becket_get) }
        };
        $crate::define_plugin! { @export $first : $($arms)* }
    };
}
