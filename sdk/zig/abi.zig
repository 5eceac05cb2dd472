// SPDX-License-Identifier: BSD-3-Clause
//! The plugin ABI, version 1: the structures of `nylon_ring.h` and `becket.h`.
//!
//! Written by hand, so that a plugin needs neither the headers nor a translation step. The sizes
//! are asserted below; `header_test.zig` compares every field with the headers themselves.
//!
//! A pointer that may be `NULL` is optional. One behind an empty view may be anything: read views
//! through `slice`.

const std = @import("std");

pub const abi_version: u32 = 1;
pub const entry_unknown: u32 = 0xFFFF_FFFF;
pub const metric_unknown: u32 = 0xFFFF_FFFF;
/// A wait without a limit in time.
pub const forever: u64 = std.math.maxInt(u64);
/// Added to an entry's kind: its handler never waits, though the plugin wants coroutines.
pub const entry_never_waits: u32 = 0x100;
pub const no_deadline: u64 = std.math.maxInt(u64);

pub const flag_thread_safe: u32 = 1;
pub const flag_multi_instance: u32 = 2;
pub const flag_wants_coroutine: u32 = 4;
pub const flag_may_unload: u32 = 8;
pub const flag_never_blocks: u32 = 16;

/// Any number may occur; one without a name counts as an error.
pub const Status = enum(u32) {
    /// Done; as a frame: more may follow.
    ok = 0,
    /// Failed while running.
    err = 1,
    /// Bad input, id or state.
    invalid = 2,
    /// Not offered.
    unsupported = 3,
    /// The last frame of a good stream.
    stream_end = 4,
    /// A panic was caught.
    panic = 5,
    /// Full; nothing was taken.
    backpressure = 6,
    /// What was waited for did not come in time.
    timeout = 7,
    /// A wait for a call that has no caller any more.
    cancelled = 8,
    /// Nothing more comes.
    closed = 9,
    /// Longer than the host takes; nothing was taken.
    too_long = 10,
    _,
};

pub const Kind = enum(u32) { unary = 0, stream = 1, bidirectional = 2, _ };
pub const Level = enum(u32) { err = 1, warn = 2, info = 3, debug = 4, trace = 5, _ };
pub const MetricKind = enum(u32) { counter = 0, gauge = 1, histogram = 2, _ };

/// The bytes of a view: `null` if it is `NULL` with a length, longer than memory, or wraps around.
/// Nothing is read.
pub fn slice(ptr: ?[*]const u8, len: u64) ?[]const u8 {
    if (len == 0) return "";
    const start = ptr orelse return null;
    if (len > std.math.maxInt(isize)) return null;
    _ = std.math.add(usize, @intFromPtr(start), len) catch return null;
    return start[0..len];
}

pub const Str = extern struct {
    ptr: ?[*]const u8 = null,
    len: u32 = 0,
    _reserved: u32 = 0,

    /// Text beyond 4 GiB becomes the empty view.
    pub fn from(text: []const u8) Str {
        if (text.len == 0 or text.len > std.math.maxInt(u32)) return .{};
        return .{ .ptr = text.ptr, .len = @intCast(text.len) };
    }
    pub fn get(self: Str) ?[]const u8 {
        return slice(self.ptr, self.len);
    }
};

pub const Bytes = extern struct {
    ptr: ?[*]const u8 = null,
    len: u64 = 0,

    pub fn from(bytes: []const u8) Bytes {
        if (bytes.len == 0) return .{};
        return .{ .ptr = bytes.ptr, .len = bytes.len };
    }
    pub fn get(self: Bytes) ?[]const u8 {
        return slice(self.ptr, self.len);
    }
};

pub const OwnedBytes = extern struct {
    ptr: ?[*]const u8 = null,
    len: u64 = 0,
    owner_ctx: ?*anyopaque = null,
    release: ?*const fn (?*anyopaque, ?[*]const u8, u64) callconv(.c) void = null,
};

pub const BufferLease = extern struct {
    ptr: ?[*]u8 = null,
    cap: u64 = 0,
    token: u64 = 0,
};

pub const Header = extern struct { key: Str = .{}, value: Str = .{} };

pub const Request = extern struct {
    path: Str = .{},
    method: Str = .{},
    query: Str = .{},
    headers: ?[*]const Header = null,
    headers_len: u32 = 0,
    _reserved0: u32 = 0,
    _reserved1: u64 = 0,
};

pub const HostVTable = extern struct {
    send_result: ?*const fn (?*anyopaque, u64, Status, Bytes) callconv(.c) void = null,
};

pub const HostExt = extern struct {
    set_state: ?*const fn (?*anyopaque, u64, Str, Bytes) callconv(.c) Bytes = null,
    get_state: ?*const fn (?*anyopaque, u64, Str) callconv(.c) Bytes = null,
};

pub const EntryInfo = extern struct {
    struct_size: u32 = @sizeOf(EntryInfo),
    kind: Kind = .unary,
    name: Str = .{},
    help: Str = .{},
};

/// What a coroutine runs.
pub const CoroutineFn = *const fn (?*anyopaque) callconv(.c) void;

pub const TimerFn = *const fn (?*anyopaque) callconv(.c) void;

/// What a host offers beyond `send_result`. A function that it lacks is `null` in the SDK's copy.
pub const HostApi = extern struct {
    struct_size: u32 = 0,
    api_version: u32 = 0,
    send: ?*const fn (?*anyopaque, u64, Status, Bytes) callconv(.c) Status = null,
    send_wait: ?*const fn (?*anyopaque, u64, Status, Bytes, u64) callconv(.c) Status = null,
    send_owned: ?*const fn (?*anyopaque, u64, Status, OwnedBytes) callconv(.c) Status = null,
    lease_acquire: ?*const fn (?*anyopaque, u64, u64) callconv(.c) BufferLease = null,
    lease_commit: ?*const fn (?*anyopaque, u64, Status, u64, u64) callconv(.c) Status = null,
    lease_release: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    stream_ready: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    state_set: ?*const fn (?*anyopaque, u64, Str, Bytes) callconv(.c) Status = null,
    state_get: ?*const fn (?*anyopaque, u64, Str, ?[*]u8, u64, *u64) callconv(.c) Status = null,
    host_ext: ?*const HostExt = null,
    is_cancelled: ?*const fn (?*anyopaque, u64) callconv(.c) u32 = null,
    remaining_ms: ?*const fn (?*anyopaque, u64) callconv(.c) u64 = null,
    log_enabled: ?*const fn (?*anyopaque, Level) callconv(.c) u32 = null,
    log: ?*const fn (?*anyopaque, Level, Str, Str) callconv(.c) void = null,
    metric_register: ?*const fn (?*anyopaque, MetricKind, Str, Str) callconv(.c) u32 = null,
    counter_add: ?*const fn (?*anyopaque, u32, u64) callconv(.c) Status = null,
    gauge_set: ?*const fn (?*anyopaque, u32, f64) callconv(.c) Status = null,
    histogram_record: ?*const fn (?*anyopaque, u32, f64) callconv(.c) Status = null,
    timer_start: ?*const fn (?*anyopaque, u64, ?TimerFn, ?*anyopaque) callconv(.c) u64 = null,
    timer_cancel: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    config: ?*const fn (?*anyopaque) callconv(.c) Str = null,
    config_get: ?*const fn (?*anyopaque, Str) callconv(.c) Str = null,
    coroutine_current: ?*const fn (?*anyopaque) callconv(.c) u64 = null,
    coroutine_yield: ?*const fn (?*anyopaque) callconv(.c) Status = null,
    coroutine_sleep: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    coroutine_spawn: ?*const fn (?*anyopaque, ?CoroutineFn, ?*anyopaque, u64) callconv(.c) Status = null,
    stream_recv: ?*const fn (?*anyopaque, u64, *OwnedBytes, u64) callconv(.c) Status = null,
    stream_send: ?*const fn (?*anyopaque, u64, Bytes, u64) callconv(.c) Status = null,
    channel_make: ?*const fn (?*anyopaque, u64) callconv(.c) u64 = null,
    channel_send: ?*const fn (?*anyopaque, u64, Bytes, u64) callconv(.c) Status = null,
    channel_recv: ?*const fn (?*anyopaque, u64, *OwnedBytes, u64) callconv(.c) Status = null,
    channel_close: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    channel_destroy: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
};

pub const PluginVTable = extern struct {
    init: ?*const fn (?*anyopaque, ?*anyopaque, ?*const HostVTable) callconv(.c) Status = null,
    handle: ?*const fn (?*anyopaque, Str, u64, ?*const Request, Bytes) callconv(.c) Status = null,
    shutdown: ?*const fn (?*anyopaque) callconv(.c) void = null,
    stream_data: ?*const fn (?*anyopaque, u64, Bytes) callconv(.c) Status = null,
    stream_close: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    handle_raw: ?*const fn (?*anyopaque, Str, u64, Bytes) callconv(.c) Status = null,
    resolve_entry: ?*const fn (?*anyopaque, Str) callconv(.c) u32 = null,
    handle_by_id: ?*const fn (?*anyopaque, u32, u64, ?*const Request, Bytes) callconv(.c) Status = null,
    describe: ?*const fn (?*anyopaque, u32, ?*EntryInfo) callconv(.c) Status = null,
    cancel: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
    reload_export: ?*const fn (?*anyopaque, ?*OwnedBytes) callconv(.c) Status = null,
    reload_import: ?*const fn (?*anyopaque, Bytes) callconv(.c) Status = null,
    stream_room: ?*const fn (?*anyopaque, u64) callconv(.c) Status = null,
};

pub const PluginInfo = extern struct {
    abi_version: u32 = abi_version,
    struct_size: u32 = @sizeOf(PluginInfo),
    name: Str,
    version: Str,
    plugin_ctx: ?*anyopaque = null,
    vtable: *const PluginVTable,
    vtable_size: u32 = @sizeOf(PluginVTable),
    flags: u32,
    config_default: Str = .{},
    attach: ?*const fn (?*anyopaque, ?*anyopaque, ?*const HostApi) callconv(.c) Status = null,
    coroutine_stack_bytes: u64 = 0,
};

comptime {
    const sizes = .{
        .{ Str, 16 },       .{ Bytes, 16 },    .{ OwnedBytes, 32 }, .{ BufferLease, 24 },
        .{ Header, 32 },    .{ Request, 72 },  .{ HostVTable, 8 },  .{ HostExt, 16 },
        .{ EntryInfo, 40 }, .{ HostApi, 272 }, .{ PluginInfo, 96 }, .{ PluginVTable, 104 },
    };
    for (sizes) |pair| {
        if (@sizeOf(pair[0]) != pair[1]) @compileError(@typeName(pair[0]) ++ " has another size than the ABI's");
    }
    if (@offsetOf(HostApi, "channel_destroy") != 264) @compileError("HostApi: channel_destroy has moved");
    if (@offsetOf(PluginInfo, "coroutine_stack_bytes") != 88) @compileError("PluginInfo: coroutine_stack_bytes has moved");
}

test "hostile views are refused without a read" {
    const dangling: [*]const u8 = @ptrFromInt(1);
    try std.testing.expectEqual(null, slice(null, 8));
    try std.testing.expectEqual(null, slice(dangling, 1 << 63));
    try std.testing.expectEqual(null, slice(@ptrFromInt(std.math.maxInt(usize) - 3), 8));
    try std.testing.expectEqualStrings("", slice(dangling, 0).?);
    try std.testing.expectEqual(null, Str.from("").ptr);
}
