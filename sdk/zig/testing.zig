// SPDX-License-Identifier: BSD-3-Clause
//! A host for unit tests of a plugin, in the test's own process, with a clock that the test moves.
//!
//!     var fake = becket.testing.FakeHost.init(std.testing.allocator);
//!     defer fake.deinit();
//!     try fake.load(&my_plugin.info);
//!     defer fake.unload();
//!     const sid = try fake.call("greet", null, "");
//!     try fake.expectFrame(sid, .ok, "hello");
//!
//! It calls the plugin through its vtable, as a host does. Answers may come from any thread. What it
//! keeps is freed at the end, by `deinit`.

const std = @import("std");
const abi = @import("abi.zig");

pub const Frame = struct { status: abi.Status, data: []const u8 };

pub const FakeHost = struct {
    arena: std.heap.ArenaAllocator,
    lock: std.c.pthread_mutex_t = .{},
    info: *const abi.PluginInfo = undefined,
    calls: std.ArrayList(FakeCall) = .empty,
    logs: std.ArrayList(Line) = .empty,
    metrics: std.ArrayList(Metric) = .empty,
    timers: std.ArrayList(Timer) = .empty,
    config: std.ArrayList(Pair) = .empty,
    now_ms: u64 = 0,
    /// Frames that a call keeps unread; one more is answered `.backpressure`.
    frames_max: usize = 1024,
    /// A longer answer or frame is refused with `.too_long`: an answer or a last frame ends its call so.
    payload_bytes_max: usize = 64 << 20,
    /// Answers to calls without a caller, or that were too long.
    refused: usize = 0,

    const FakeCall = struct {
        frames: std.ArrayList(Frame) = .empty,
        read: usize = 0,
        state: std.ArrayList(Pair) = .empty,
        stream: bool,
        over: bool = false,
        ready: usize = 0,
        /// A frame was refused since `stream_room` was last called.
        was_full: bool = false,
    };
    const Pair = struct { key: []const u8, value: []const u8 };
    const Line = struct { level: abi.Level, target: []const u8, text: []const u8 };
    const Metric = struct { name: []const u8, kind: abi.MetricKind, value: f64 = 0 };
    const Timer = struct { due_ms: u64, run: ?abi.TimerFn, user_data: ?*anyopaque };

    pub fn init(allocator: std.mem.Allocator) FakeHost {
        return .{ .arena = .init(allocator) };
    }
    pub fn deinit(self: *FakeHost) void {
        self.arena.deinit();
    }

    /// Before `load`.
    pub fn set(self: *FakeHost, key: []const u8, value: []const u8) !void {
        try self.config.append(self.arena.allocator(), .{ .key = key, .value = value });
    }

    /// `attach` and `init`. The fake host must stay where it is from now on.
    pub fn load(self: *FakeHost, info: *const abi.PluginInfo) !void {
        self.info = info;
        if (info.attach) |attach| {
            if (attach(info.plugin_ctx, self, &api) != .ok) return error.AttachRefused;
        }
        if (info.vtable.init.?(info.plugin_ctx, self, &host_vtable) != .ok) return error.InitRefused;
    }
    pub fn unload(self: *FakeHost) void {
        if (self.info.vtable.shutdown) |shutdown| shutdown(self.info.plugin_ctx);
    }

    /// Calls an entry by its id. A status that `handle` returns instead of Ok is the call's last frame.
    pub fn call(self: *FakeHost, entry: []const u8, request: ?*const abi.Request, payload: []const u8) !u64 {
        const vtable = self.info.vtable;
        const id = vtable.resolve_entry.?(self.info.plugin_ctx, .from(entry));
        var described: abi.EntryInfo = .{};
        if (id == abi.entry_unknown) return error.UnknownEntry;
        if (vtable.describe.?(self.info.plugin_ctx, id, &described) != .ok) return error.NotDescribed;
        self.hold();
        const index = self.calls.items.len;
        const kind = @backingInt(described.kind) & ~abi.entry_never_waits;
        const added = self.calls.append(self.arena.allocator(), .{ .stream = kind != @backingInt(abi.Kind.unary) });
        self.unhold();
        try added;
        const sid = sidOf(index);
        const status = vtable.handle_by_id.?(self.info.plugin_ctx, id, sid, request, .from(payload));
        if (status != .ok) _ = send(self, sid, status, .{});
        return sid;
    }

    /// The next frame of a call, or the answer; `null`: none yet. If a frame was refused for want of
    /// room, the plugin gets `stream_room`, on this thread.
    pub fn next(self: *FakeHost, sid: u64) ?Frame {
        const frame, const room = self.take(sid) orelse return null;
        if (room) if (self.info.vtable.stream_room) |f| {
            _ = f(self.info.plugin_ctx, sid);
        };
        return frame;
    }
    fn take(self: *FakeHost, sid: u64) ?struct { Frame, bool } {
        self.hold();
        defer self.unhold();
        const c = self.find(sid) orelse return null;
        if (c.read == c.frames.items.len) return null;
        c.read += 1;
        const room = c.was_full and !c.over;
        c.was_full = false;
        return .{ c.frames.items[c.read - 1], room };
    }
    pub fn expectFrame(self: *FakeHost, sid: u64, status: abi.Status, data: []const u8) !void {
        const frame = self.next(sid) orelse return error.NoFrame;
        try std.testing.expectEqual(status, frame.status);
        try std.testing.expectEqualStrings(data, frame.data);
    }

    pub fn streamData(self: *FakeHost, sid: u64, data: []const u8) abi.Status {
        return self.info.vtable.stream_data.?(self.info.plugin_ctx, sid, .from(data));
    }
    pub fn streamClose(self: *FakeHost, sid: u64) abi.Status {
        return self.info.vtable.stream_close.?(self.info.plugin_ctx, sid);
    }
    /// The caller leaves.
    pub fn cancel(self: *FakeHost, sid: u64) abi.Status {
        self.hold();
        if (self.find(sid)) |c| c.over = true;
        self.unhold();
        return self.info.vtable.cancel.?(self.info.plugin_ctx, sid);
    }
    /// How often the plugin has called `stream_ready`.
    pub fn readyCount(self: *FakeHost, sid: u64) usize {
        self.hold();
        defer self.unhold();
        return if (self.find(sid)) |c| c.ready else 0;
    }

    /// Moves the clock, and runs the timers that are due, in the order in which they were started.
    pub fn advance(self: *FakeHost, ms: u64) void {
        self.now_ms += ms;
        var i: usize = 0;
        while (true) : (i += 1) {
            self.hold();
            if (i >= self.timers.items.len) return self.unhold();
            const timer = &self.timers.items[i];
            const run = if (timer.due_ms <= self.now_ms) timer.run else null;
            const user_data = timer.user_data;
            if (run != null) timer.run = null;
            self.unhold();
            if (run) |f| f(user_data);
        }
    }

    pub fn metric(self: *FakeHost, name: []const u8) ?f64 {
        self.hold();
        defer self.unhold();
        for (self.metrics.items) |m| if (std.mem.eql(u8, m.name, name)) return m.value;
        return null;
    }
    pub fn logged(self: *FakeHost, level: abi.Level, target: []const u8, text: []const u8) bool {
        self.hold();
        defer self.unhold();
        for (self.logs.items) |l| {
            if (l.level == level and std.mem.eql(u8, l.target, target) and std.mem.eql(u8, l.text, text)) return true;
        }
        return false;
    }

    // A sid is never 0, and no index either.
    fn sidOf(index: usize) u64 {
        return (index + 1) << 32 | 0xbe;
    }
    fn find(self: *FakeHost, sid: u64) ?*FakeCall {
        const number = sid >> 32;
        if (number == 0 or number > self.calls.items.len or sid != sidOf(number - 1)) return null;
        return &self.calls.items[number - 1];
    }
    fn hold(self: *FakeHost) void {
        _ = std.c.pthread_mutex_lock(&self.lock);
    }
    fn unhold(self: *FakeHost) void {
        _ = std.c.pthread_mutex_unlock(&self.lock);
    }
    fn copy(self: *FakeHost, bytes: []const u8) ![]const u8 {
        return self.arena.allocator().dupe(u8, bytes);
    }
};

const host_vtable: abi.HostVTable = .{ .send_result = sendResult };
/// A host without coroutines.
const api: abi.HostApi = .{
    .struct_size = @offsetOf(abi.HostApi, "coroutine_current"),
    .api_version = 1,
    .send = send,
    .stream_ready = streamReady,
    .state_set = stateSet,
    .state_get = stateGet,
    .is_cancelled = isCancelled,
    .remaining_ms = remainingMs,
    .log_enabled = logEnabled,
    .log = log,
    .metric_register = metricRegister,
    .counter_add = counterAdd,
    .gauge_set = gaugeSet,
    .timer_start = timerStart,
    .timer_cancel = timerCancel,
    .config_get = configGet,
};

fn held(ctx: ?*anyopaque) *FakeHost {
    const self: *FakeHost = @ptrCast(@alignCast(ctx.?));
    self.hold();
    return self;
}

fn send(ctx: ?*anyopaque, sid: u64, status: abi.Status, data: abi.Bytes) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    const bytes = data.get() orelse return .invalid;
    const c = self.find(sid) orelse {
        self.refused += 1;
        return .invalid;
    };
    if (c.over) {
        self.refused += 1;
        return .invalid;
    }
    const last = !c.stream or status != .ok;
    if (bytes.len > self.payload_bytes_max) {
        self.refused += 1;
        if (last) {
            c.frames.append(self.arena.allocator(), .{ .status = .too_long, .data = "" }) catch return .err;
            c.over = true;
        }
        return .too_long;
    }
    if (!last and c.frames.items.len - c.read >= self.frames_max) {
        c.was_full = true;
        return .backpressure;
    }
    const kept = self.copy(bytes) catch return .err;
    c.frames.append(self.arena.allocator(), .{ .status = status, .data = kept }) catch return .err;
    c.over = last;
    return .ok;
}
fn sendResult(ctx: ?*anyopaque, sid: u64, status: abi.Status, data: abi.Bytes) callconv(.c) void {
    _ = send(ctx, sid, status, data);
}
fn streamReady(ctx: ?*anyopaque, sid: u64) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    const c = self.find(sid) orelse return .invalid;
    c.ready += 1;
    return .ok;
}
fn stateSet(ctx: ?*anyopaque, sid: u64, key: abi.Str, value: abi.Bytes) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    const c = self.find(sid) orelse return .invalid;
    if (c.over) return .invalid;
    const pair: FakeHost.Pair = .{
        .key = self.copy(key.get() orelse return .invalid) catch return .err,
        .value = self.copy(value.get() orelse return .invalid) catch return .err,
    };
    for (c.state.items) |*kept| if (std.mem.eql(u8, kept.key, pair.key)) {
        kept.* = pair;
        return .ok;
    };
    c.state.append(self.arena.allocator(), pair) catch return .err;
    return .ok;
}
fn stateGet(ctx: ?*anyopaque, sid: u64, key: abi.Str, buf: ?[*]u8, cap: u64, len_out: *u64) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    const c = self.find(sid) orelse return .invalid;
    for (c.state.items) |kept| if (std.mem.eql(u8, kept.key, key.get() orelse "")) {
        const len = @min(kept.value.len, cap);
        if (len > 0) @memcpy(buf.?[0..len], kept.value[0..len]);
        len_out.* = kept.value.len;
        return .ok;
    };
    return .err;
}
fn isCancelled(ctx: ?*anyopaque, sid: u64) callconv(.c) u32 {
    const self = held(ctx);
    defer self.unhold();
    const c = self.find(sid) orelse return 1;
    return @intFromBool(c.over);
}
fn remainingMs(_: ?*anyopaque, _: u64) callconv(.c) u64 {
    return abi.no_deadline;
}
fn logEnabled(_: ?*anyopaque, _: abi.Level) callconv(.c) u32 {
    return 1;
}
fn log(ctx: ?*anyopaque, level: abi.Level, target: abi.Str, message: abi.Str) callconv(.c) void {
    const self = held(ctx);
    defer self.unhold();
    const where = self.copy(target.get() orelse "") catch return;
    const text = self.copy(message.get() orelse "") catch return;
    self.logs.append(self.arena.allocator(), .{ .level = level, .target = where, .text = text }) catch return;
}
fn metricRegister(ctx: ?*anyopaque, kind: abi.MetricKind, name: abi.Str, _: abi.Str) callconv(.c) u32 {
    const self = held(ctx);
    defer self.unhold();
    const text = name.get() orelse return abi.metric_unknown;
    for (self.metrics.items, 0..) |m, i| if (std.mem.eql(u8, m.name, text)) {
        return if (m.kind == kind) @intCast(i) else abi.metric_unknown;
    };
    const kept = self.copy(text) catch return abi.metric_unknown;
    self.metrics.append(self.arena.allocator(), .{ .name = kept, .kind = kind }) catch return abi.metric_unknown;
    return @intCast(self.metrics.items.len - 1);
}
fn counterAdd(ctx: ?*anyopaque, id: u32, delta: u64) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    if (id >= self.metrics.items.len) return .invalid;
    self.metrics.items[id].value += @floatFromInt(delta);
    return .ok;
}
fn gaugeSet(ctx: ?*anyopaque, id: u32, value: f64) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    if (id >= self.metrics.items.len) return .invalid;
    self.metrics.items[id].value = value;
    return .ok;
}
fn timerStart(ctx: ?*anyopaque, delay_ms: u64, run: ?abi.TimerFn, user_data: ?*anyopaque) callconv(.c) u64 {
    const self = held(ctx);
    defer self.unhold();
    const timer: FakeHost.Timer = .{ .due_ms = self.now_ms +| delay_ms, .run = run, .user_data = user_data };
    self.timers.append(self.arena.allocator(), timer) catch return 0;
    return self.timers.items.len;
}
fn timerCancel(ctx: ?*anyopaque, id: u64) callconv(.c) abi.Status {
    const self = held(ctx);
    defer self.unhold();
    if (id == 0 or id > self.timers.items.len or self.timers.items[id - 1].run == null) return .invalid;
    self.timers.items[id - 1].run = null;
    return .ok;
}
fn configGet(ctx: ?*anyopaque, key: abi.Str) callconv(.c) abi.Str {
    const self = held(ctx);
    defer self.unhold();
    for (self.config.items) |pair| {
        if (std.mem.eql(u8, pair.key, key.get() orelse "")) return .from(pair.value);
    }
    return .{};
}
