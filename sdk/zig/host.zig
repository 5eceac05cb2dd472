// SPDX-License-Identifier: BSD-3-Clause
//! The host, as a plugin sees it: one per image, known from `attach` and `init` on.
//!
//! Every function may be called from any thread. Before the host is there, or where it lacks the
//! function, they return `.unsupported` or an empty value, or do nothing.
//!
//! Invariant: `ctx`, `vtable` and `api` are written before the first call reaches the plugin, and
//! never while one runs; so reading them needs no lock.

const std = @import("std");
const abi = @import("abi.zig");

var ctx: ?*anyopaque = null;
var vtable: ?*const abi.HostVTable = null;
var api: abi.HostApi = .{};
/// `attach` came since the last `init`; without it a host has no extras.
var attached = false;

/// Keeps a copy of the host's table, as far as it reaches: what is behind stays `null`.
pub fn attach(host_ctx: ?*anyopaque, table: *const abi.HostApi) void {
    api = .{};
    const size = @min(table.struct_size, @sizeOf(abi.HostApi));
    const from: [*]const u8 = @ptrCast(table);
    @memcpy(std.mem.asBytes(&api)[0..size], from[0..size]);
    ctx = host_ctx;
    attached = true;
}

/// Keeps what every host has.
pub fn start(host_ctx: ?*anyopaque, table: *const abi.HostVTable) void {
    if (!attached) api = .{};
    attached = false;
    ctx = host_ctx;
    vtable = table;
}

/// The host's table, as far as it reaches, and its context: for `wait.zig`.
pub fn tableOf() struct { *const abi.HostApi, ?*anyopaque } {
    return .{ &api, ctx };
}

/// True if the host has called `attach`.
pub fn hasExtras() bool {
    return api.struct_size != 0;
}

/// Answers call `sid`, or sends one frame of stream `sid`. The bytes are copied. `.invalid`: no caller
/// waits. `.too_long`: the host takes no bytes of that length; of an answer or a last frame the caller
/// gets this status then, and a stream goes on without any other frame.
pub fn send(sid: u64, status: abi.Status, data: []const u8) abi.Status {
    if (api.send) |f| return f(ctx, sid, status, .from(data));
    const table = vtable orelse return .invalid;
    const f = table.send_result orelse return .invalid;
    f(ctx, sid, status, .from(data));
    return .ok;
}

/// `send` that waits up to `timeout_ms` for room, then `.backpressure`. Inside a call from the host
/// it never waits.
pub fn sendWait(sid: u64, status: abi.Status, data: []const u8, timeout_ms: u64) abi.Status {
    const f = api.send_wait orelse return .unsupported;
    return f(ctx, sid, status, .from(data), timeout_ms);
}

/// `send` without a copy: the host releases the bytes, unless it returns `.backpressure`.
pub fn sendOwned(sid: u64, status: abi.Status, data: abi.OwnedBytes) abi.Status {
    const f = api.send_owned orelse return .unsupported;
    return f(ctx, sid, status, data);
}

/// Asks the host to offer again what `stream_data` refused.
pub fn streamReady(sid: u64) abi.Status {
    const f = api.stream_ready orelse return .unsupported;
    return f(ctx, sid);
}

/// A buffer of the host that an answer is written into in place.
pub const Lease = struct {
    sid: u64,
    token: u64,
    bytes: []u8,

    /// Sends the first `len` bytes. The lease is over, unless this returns `.backpressure`, or
    /// `len` is more than it holds.
    pub fn commit(self: Lease, status: abi.Status, len: usize) abi.Status {
        const f = api.lease_commit orelse return .unsupported;
        return f(ctx, self.sid, status, self.token, len);
    }
    /// Gives the buffer back unused.
    pub fn release(self: Lease) void {
        if (api.lease_release) |f| _ = f(ctx, self.token);
    }
};

/// `null`: refused.
pub fn lease(sid: u64, len: usize) ?Lease {
    const f = api.lease_acquire orelse return null;
    const got = f(ctx, sid, len);
    const ptr = got.ptr orelse return null;
    if (got.token == 0) return null;
    return .{ .sid = sid, .token = got.token, .bytes = ptr[0..got.cap] };
}

/// Keeps a copy of `value` until call `sid` ends.
pub fn stateSet(sid: u64, key: []const u8, value: []const u8) abi.Status {
    const f = api.state_set orelse return .unsupported;
    return f(ctx, sid, .from(key), .from(value));
}

pub const StateError = error{ NoSuchKey, Unsupported, Refused, OutOfMemory };

/// A copy of the value under `key`, which the caller frees.
pub fn stateGet(allocator: std.mem.Allocator, sid: u64, key: []const u8) StateError![]u8 {
    const f = api.state_get orelse return error.Unsupported;
    var buf = try allocator.alloc(u8, 256);
    while (true) {
        var len: u64 = 0;
        const status = f(ctx, sid, .from(key), buf.ptr, buf.len, &len);
        if (status == .ok and len <= buf.len) return allocator.realloc(buf, len);
        allocator.free(buf);
        switch (status) {
            .ok => buf = try allocator.alloc(u8, len),
            .err => return error.NoSuchKey,
            else => return error.Refused,
        }
    }
}

/// True if `sid` has no caller any more.
pub fn isCancelled(sid: u64) bool {
    const f = api.is_cancelled orelse return false;
    return f(ctx, sid) != 0;
}

/// Milliseconds to the deadline of `sid`; `null`: none.
pub fn remainingMs(sid: u64) ?u64 {
    const f = api.remaining_ms orelse return null;
    const left = f(ctx, sid);
    return if (left == abi.no_deadline) null else left;
}

pub fn logEnabled(level: abi.Level) bool {
    const f = api.log_enabled orelse return false;
    return f(ctx, level) != 0;
}

/// One message to the host's log, cut at 1 KiB. Formatted only if the level is enabled.
pub fn log(level: abi.Level, target: []const u8, comptime format: []const u8, args: anytype) void {
    const f = api.log orelse return;
    if (!logEnabled(level)) return;
    var buf: [1024]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buf);
    writer.print(format, args) catch {}; // full: what fits is logged
    f(ctx, level, .from(target), .from(writer.buffered()));
}

/// A number that only grows. Registered on first use.
pub const Counter = Metric(.counter);
/// A number that is set. Registered on first use.
pub const Gauge = Metric(.gauge);
/// A distribution of recorded values. Registered on first use.
pub const Histogram = Metric(.histogram);

fn Metric(comptime kind: abi.MetricKind) type {
    return struct {
        name: []const u8,
        help: []const u8 = "",
        // The host gives the same id for the same name: threads that race here agree.
        id: std.atomic.Value(u32) = .init(abi.metric_unknown),

        const Self = @This();

        pub fn add(self: *Self, delta: u64) void {
            comptime std.debug.assert(kind == .counter);
            const f = api.counter_add orelse return;
            if (self.registered()) |id| _ = f(ctx, id, delta);
        }
        pub fn set(self: *Self, value: f64) void {
            comptime std.debug.assert(kind == .gauge);
            const f = api.gauge_set orelse return;
            if (self.registered()) |id| _ = f(ctx, id, value);
        }
        pub fn record(self: *Self, value: f64) void {
            comptime std.debug.assert(kind == .histogram);
            const f = api.histogram_record orelse return;
            if (self.registered()) |id| _ = f(ctx, id, value);
        }

        /// At the start, so that the metric is shown before its first value.
        pub fn register(self: *Self) void {
            const f = api.metric_register orelse return;
            self.id.store(f(ctx, kind, .from(self.name), .from(self.help)), .release);
        }

        fn registered(self: *Self) ?u32 {
            if (self.id.load(.acquire) == abi.metric_unknown) self.register();
            const id = self.id.load(.acquire);
            return if (id == abi.metric_unknown) null else id;
        }
    };
}

/// Runs `callback(word)` once, on a thread of the host. 0: refused. A sid fits the word.
pub fn after(delay_ms: u64, comptime callback: fn (u64) void, word: u64) u64 {
    comptime std.debug.assert(@sizeOf(usize) == @sizeOf(u64));
    const Shim = struct {
        fn run(user_data: ?*anyopaque) callconv(.c) void {
            callback(@intFromPtr(user_data));
        }
    };
    const f = api.timer_start orelse return 0;
    return f(ctx, delay_ms, Shim.run, @ptrFromInt(word));
}

/// True: it will never run.
pub fn cancelTimer(timer: u64) bool {
    const f = api.timer_cancel orelse return false;
    return f(ctx, timer) == .ok;
}

/// The configuration as a JSON object; lives as long as the plugin.
pub fn config() []const u8 {
    const f = api.config orelse return "";
    return f(ctx).get() orelse "";
}

/// One value by its dotted key: text bare, anything else as JSON; `null` if unset.
pub fn configGet(key: []const u8) ?[]const u8 {
    const f = api.config_get orelse return null;
    const value = f(ctx, .from(key)).get() orelse return null;
    return if (value.len == 0) null else value;
}
