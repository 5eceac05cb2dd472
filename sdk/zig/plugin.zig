// SPDX-License-Identifier: BSD-3-Clause
//! From a description, at compile time, to the table that the host calls.
//!
//! Invariants
//! 1. A handler sees no view that was not checked: NULL with a length and ranges that wrap are
//!    answered `Invalid` here.
//! 2. An entry's id is its index in the description.

const std = @import("std");
const abi = @import("abi.zig");
const host = @import("host.zig");

/// What a handler may fail with: the status that its vtable function returns.
pub const Error = error{ Err, Invalid, Unsupported, Panic, Backpressure, OutOfMemory, Timeout, Cancelled, Closed, TooLong };

/// More headers than this in one request are refused.
const headers_max = 65_536;

/// One request. Everything it leads to is borrowed until the handler returns; `sid` stays.
pub const Call = struct {
    sid: u64,
    payload: []const u8,
    request: ?*const abi.Request,

    pub fn method(self: Call) []const u8 {
        return if (self.request) |r| text(r.method) else "";
    }
    pub fn path(self: Call) []const u8 {
        return if (self.request) |r| text(r.path) else "";
    }
    pub fn query(self: Call) []const u8 {
        return if (self.request) |r| text(r.query) else "";
    }
    pub fn headers(self: Call) []const abi.Header {
        const r = self.request orelse return &.{};
        return if (r.headers_len == 0) &.{} else r.headers.?[0..r.headers_len];
    }
    /// The first value under `name`, compared without regard to ASCII case.
    pub fn header(self: Call, name: []const u8) ?[]const u8 {
        for (self.headers()) |h| {
            if (std.ascii.eqlIgnoreCase(text(h.key), name)) return text(h.value);
        }
        return null;
    }

    /// The answer, with status Ok. That the caller has left is no error of the handler. One that
    /// is longer than the host takes becomes TooLong, without bytes.
    pub fn answer(self: Call, data: []const u8) void {
        _ = host.send(self.sid, .ok, data);
    }
    /// An answer, or the end of a stream, with another status.
    pub fn fail(self: Call, status: abi.Status, message: []const u8) void {
        _ = host.send(self.sid, status, message);
    }
    /// A frame of a stream. `error.Backpressure`: no room; `stream_room` follows. `error.TooLong`:
    /// longer than the host takes, and the stream goes on without it. `error.Cancelled`: no caller
    /// reads any more.
    pub fn send(self: Call, frame: []const u8) Error!void {
        return check(host.send(self.sid, .ok, frame));
    }
    /// Ends a stream well, with a last frame. `error.TooLong`: that was longer than the host takes,
    /// and the stream ended with TooLong. `error.Cancelled`: no caller reads any more.
    pub fn end(self: Call, last: []const u8) Error!void {
        return check(host.send(self.sid, .stream_end, last));
    }

    fn check(sent: abi.Status) Error!void {
        return switch (sent) {
            .ok => {},
            .backpressure => error.Backpressure,
            .unsupported => error.Unsupported,
            .invalid => error.Cancelled,
            .too_long => error.TooLong,
            else => error.Err,
        };
    }

    // Checked before the call was made.
    fn text(view: abi.Str) []const u8 {
        return view.get() orelse "";
    }
};

pub const Entry = struct {
    name: []const u8,
    help: []const u8 = "",
    kind: abi.Kind = .unary,
    /// The handler runs on a coroutine of the host, and may wait: `becket.wait`.
    waits: bool = false,
    /// Runs on a worker thread of the host, or on a coroutine if `waits`; on the caller's thread, where
    /// it must not block, if the plugin has `abi.flag_never_blocks`.
    handle: *const fn (Call) Error!void,
};

pub const Description = struct {
    name: []const u8,
    version: []const u8,
    /// A JSON object, or empty.
    config_default: []const u8 = "",
    /// `abi.flag_*`. The functions below may be called from several threads at once.
    flags: u32 = abi.flag_thread_safe,
    entries: []const Entry,
    /// Before the first call. An error refuses the load.
    init: ?*const fn () Error!void = null,
    /// After the last call.
    shutdown: ?*const fn () void = null,
    /// A frame from the host. `error.Backpressure`: not taken; offered again after `streamReady`.
    stream_data: ?*const fn (sid: u64, data: []const u8) Error!void = null,
    /// A frame to `sid` was refused with `.backpressure`; now there is room. It may come before the
    /// call that was refused has returned, and never comes from a host that does not know it.
    stream_room: ?*const fn (sid: u64) Error!void = null,
    /// The host sends no more.
    stream_close: ?*const fn (sid: u64) Error!void = null,
    /// `sid` has no caller any more.
    cancel: ?*const fn (sid: u64) Error!void = null,
    /// State for the next version, allocated with `std.heap.c_allocator`; freed by the SDK.
    reload_export: ?*const fn () Error![]u8 = null,
    /// State of the version before.
    reload_import: ?*const fn (state: []const u8) Error!void = null,
    /// Bytes of stack of a handler that waits; 0: 64 KiB.
    coroutine_stack_bytes: u64 = 0,
};

/// The plugin that `d` describes. Export it with
///
///     comptime { becket.exportPlugin(becket.Plugin(.{ ... })); }
pub fn Plugin(comptime d: Description) type {
    comptime {
        for (d.entries, 0..) |a, i| for (d.entries[0..i]) |b| {
            if (std.mem.eql(u8, a.name, b.name)) @compileError("two entries are named " ++ a.name);
        };
    }
    const any_waits = comptime for (d.entries) |entry| {
        if (entry.waits) break true;
    } else false;
    return struct {
        pub const vtable: abi.PluginVTable = .{
            .init = onInit,
            .handle = onHandle,
            .shutdown = onShutdown,
            .stream_data = if (d.stream_data == null) null else onStreamData,
            .stream_close = if (d.stream_close == null) null else onStreamClose,
            .handle_raw = onHandleRaw,
            .resolve_entry = onResolveEntry,
            .handle_by_id = onHandleById,
            .describe = onDescribe,
            .cancel = if (d.cancel == null) null else onCancel,
            .reload_export = if (d.reload_export == null) null else onReloadExport,
            .reload_import = if (d.reload_import == null) null else onReloadImport,
            .stream_room = if (d.stream_room == null) null else onStreamRoom,
        };
        pub const info: abi.PluginInfo = .{
            .name = .from(d.name),
            .version = .from(d.version),
            .vtable = &vtable,
            .flags = d.flags | if (any_waits) abi.flag_wants_coroutine else 0,
            .config_default = .from(d.config_default),
            .attach = onAttach,
            .coroutine_stack_bytes = d.coroutine_stack_bytes,
        };

        pub fn getPlugin() callconv(.c) *const abi.PluginInfo {
            return &info;
        }

        fn onAttach(_: ?*anyopaque, host_ctx: ?*anyopaque, api: ?*const abi.HostApi) callconv(.c) abi.Status {
            host.attach(host_ctx, api orelse return .invalid);
            return .ok;
        }
        fn onInit(_: ?*anyopaque, host_ctx: ?*anyopaque, table: ?*const abi.HostVTable) callconv(.c) abi.Status {
            host.start(host_ctx, table orelse return .invalid);
            return if (d.init) |f| statusOf(f()) else .ok;
        }
        fn onShutdown(_: ?*anyopaque) callconv(.c) void {
            if (d.shutdown) |f| f();
        }
        fn onHandle(ctx: ?*anyopaque, entry: abi.Str, sid: u64, request: ?*const abi.Request, payload: abi.Bytes) callconv(.c) abi.Status {
            const id = resolve(entry.get() orelse return .invalid) orelse return .unsupported;
            return onHandleById(ctx, id, sid, request, payload);
        }
        fn onHandleRaw(ctx: ?*anyopaque, entry: abi.Str, sid: u64, payload: abi.Bytes) callconv(.c) abi.Status {
            return onHandle(ctx, entry, sid, null, payload);
        }
        fn onResolveEntry(_: ?*anyopaque, name: abi.Str) callconv(.c) u32 {
            return resolve(name.get() orelse return abi.entry_unknown) orelse abi.entry_unknown;
        }
        fn onHandleById(_: ?*anyopaque, id: u32, sid: u64, request: ?*const abi.Request, payload: abi.Bytes) callconv(.c) abi.Status {
            if (id >= d.entries.len) return .unsupported;
            const data = payload.get() orelse return .invalid;
            if (!isSound(request)) return .invalid;
            const call: Call = .{ .sid = sid, .payload = data, .request = request };
            // One direct call per entry, which the compiler may inline.
            inline for (d.entries, 0..) |entry, i| {
                if (i == id) return statusOf(entry.handle(call));
            }
            return .unsupported;
        }
        fn onStreamData(_: ?*anyopaque, sid: u64, data: abi.Bytes) callconv(.c) abi.Status {
            return statusOf(d.stream_data.?(sid, data.get() orelse return .invalid));
        }
        fn onStreamClose(_: ?*anyopaque, sid: u64) callconv(.c) abi.Status {
            return statusOf(d.stream_close.?(sid));
        }
        fn onCancel(_: ?*anyopaque, sid: u64) callconv(.c) abi.Status {
            return statusOf(d.cancel.?(sid));
        }
        fn onStreamRoom(_: ?*anyopaque, sid: u64) callconv(.c) abi.Status {
            return statusOf(d.stream_room.?(sid));
        }
        fn onDescribe(_: ?*anyopaque, id: u32, out: ?*abi.EntryInfo) callconv(.c) abi.Status {
            const to = out orelse return .invalid;
            if (id >= d.entries.len or to.struct_size < @sizeOf(abi.EntryInfo)) return .invalid;
            const entry = d.entries[id];
            const never: u32 = if (any_waits and !entry.waits) abi.entry_never_waits else 0;
            to.kind = @fromBackingInt(@backingInt(entry.kind) | never);
            to.name = .from(entry.name);
            to.help = .from(entry.help);
            return .ok;
        }
        fn onReloadExport(_: ?*anyopaque, out: ?*abi.OwnedBytes) callconv(.c) abi.Status {
            const to = out orelse return .invalid;
            const state = d.reload_export.?() catch |e| return statusOf(e);
            to.* = .{ .ptr = state.ptr, .len = state.len, .release = freeExport };
            return .ok;
        }
        fn onReloadImport(_: ?*anyopaque, state: abi.Bytes) callconv(.c) abi.Status {
            return statusOf(d.reload_import.?(state.get() orelse return .invalid));
        }

        fn resolve(name: []const u8) ?u32 {
            inline for (d.entries, 0..) |entry, i| {
                if (std.mem.eql(u8, name, entry.name)) return i;
            }
            return null;
        }
    };
}

/// Exports the symbol that a host looks for.
pub fn exportPlugin(comptime P: type) void {
    @export(&P.getPlugin, .{ .name = "nylon_ring_get_plugin_v1" });
}

fn freeExport(_: ?*anyopaque, ptr: ?[*]const u8, len: u64) callconv(.c) void {
    const bytes = abi.slice(ptr, len) orelse return;
    if (bytes.len > 0) std.heap.c_allocator.free(bytes);
}

fn isSound(request: ?*const abi.Request) bool {
    const r = request orelse return true;
    if (r.path.get() == null or r.method.get() == null or r.query.get() == null) return false;
    if (r.headers_len == 0) return true;
    const headers = r.headers orelse return false;
    if (r.headers_len > headers_max) return false;
    for (headers[0..r.headers_len]) |h| {
        if (h.key.get() == null or h.value.get() == null) return false;
    }
    return true;
}

fn statusOf(result: Error!void) abi.Status {
    result catch |e| return switch (e) {
        error.Err, error.OutOfMemory => .err,
        error.Invalid => .invalid,
        error.Unsupported => .unsupported,
        error.Panic => .panic,
        error.Backpressure => .backpressure,
        error.Timeout => .timeout,
        error.Cancelled => .cancelled,
        error.Closed => .closed,
        error.TooLong => .too_long,
    };
    return .ok;
}

const testing = @import("testing.zig");

/// What the fake host of the tests takes, and something longer.
const limit = 8;
const long = "nine byte";

/// What the sends of `frames` returned.
var said: [6]Error!void = undefined;

const wordy = Plugin(.{
    .name = "wordy",
    .version = "1",
    .entries = &.{
        .{ .name = "answer", .handle = struct {
            fn f(call: Call) Error!void {
                call.answer(long);
            }
        }.f },
        .{ .name = "fail", .handle = struct {
            fn f(call: Call) Error!void {
                call.fail(.err, long);
            }
        }.f },
        .{ .name = "frames", .kind = .stream, .handle = struct {
            fn f(call: Call) Error!void {
                said = .{ call.send(long), call.send("fits"), call.send("more"), call.end(long), call.send("late"), call.end("late") };
            }
        }.f },
        .{ .name = "later", .handle = struct {
            fn f(_: Call) Error!void {}
        }.f },
    },
});

test "what is longer than the host takes ends its call, but for a frame" {
    var fake = testing.FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&wordy.info);
    defer fake.unload();
    fake.payload_bytes_max = limit;
    fake.frames_max = 1;
    try fake.expectFrame(try fake.call("answer", null, ""), .too_long, "");
    try fake.expectFrame(try fake.call("fail", null, ""), .too_long, "");

    const frames = try fake.call("frames", null, "");
    try fake.expectFrame(frames, .ok, "fits");
    try fake.expectFrame(frames, .too_long, "");
    try std.testing.expectEqual([6]Error!void{
        error.TooLong, {},              error.Backpressure,
        error.TooLong, error.Cancelled, error.Cancelled,
    }, said);
    try std.testing.expectEqual(6, fake.refused);

    const later = try fake.call("later", null, "");
    try std.testing.expectEqual(.too_long, host.send(later, .ok, long));
    try fake.expectFrame(later, .too_long, "");
    try std.testing.expectEqual(7, fake.refused);
    // One without a caller is refused once.
    try std.testing.expectEqual(.invalid, host.send(later, .ok, "late"));
    try std.testing.expectEqual(8, fake.refused);
}

const mixed = Plugin(.{
    .name = "mixed",
    .version = "1",
    .entries = &.{
        .{ .name = "waits", .waits = true, .handle = struct {
            fn f(_: Call) Error!void {}
        }.f },
        .{ .name = "later", .handle = struct {
            fn f(_: Call) Error!void {}
        }.f },
    },
});

test "a unary entry has one answer, also beside an entry that waits" {
    var fake = testing.FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&mixed.info);
    defer fake.unload();
    for ([_][]const u8{ "waits", "later" }) |entry| {
        const call = try fake.call(entry, null, "");
        try std.testing.expectEqual(.ok, host.send(call, .ok, "one"));
        try std.testing.expectEqual(.invalid, host.send(call, .ok, "two"));
        try fake.expectFrame(call, .ok, "one");
    }
}
