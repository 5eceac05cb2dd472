// SPDX-License-Identifier: BSD-3-Clause
//! The sample plugin in Zig. Its behaviour is described in ../README.md, the same for every
//! language.

const std = @import("std");
const becket = @import("becket");
const host = becket.host;
const wait = becket.wait;

const calls_max = 65_536;
const slow_default_ms = 500;

comptime {
    becket.exportPlugin(sample);
}

pub const sample = becket.Plugin(.{
    .name = "sample-zig",
    .version = "0.1.0",
    .config_default =
    \\{"greeting":"Hello"}
    ,
    .flags = becket.abi.flag_thread_safe | becket.abi.flag_may_unload |
        becket.abi.flag_never_blocks,
    .init = start,
    .shutdown = stop,
    .cancel = cancel,
    .entries = &.{
        .{ .name = "unary", .help = "greets, and says what it saw of the request", .handle = unary },
        .{ .name = "echo", .help = "gives the payload back", .handle = echo },
        .{ .name = "stream", .help = "sends five frames", .kind = .stream, .handle = stream },
        .{ .name = "chat", .help = "echoes each message until the stream is closed", .kind = .bidirectional, .waits = true, .handle = chat },
        .{ .name = "state", .help = "sets KEY=VALUE in the call's state and reads it back", .handle = state },
        .{ .name = "slow", .help = "answers after the milliseconds in the payload", .handle = slow },
        .{ .name = "fail", .help = "answers with the status in the payload", .handle = fail },
    },
});

var unary_total: host.Counter = .{ .name = "sample_unary_total", .help = "Calls of the entry unary" };
var slow_cancelled_total: host.Counter = .{
    .name = "sample_slow_cancelled_total",
    .help = "Calls of the entry slow that were cancelled",
};

fn start() becket.Error!void {
    unary_total.register();
    slow_cancelled_total.register();
    host.log(.info, "sample", "ready", .{});
}

fn stop() void {
    timers.clear(struct {
        fn each(_: u64, timer: u64) void {
            _ = host.cancelTimer(timer);
        }
    }.each);
}

fn unary(call: becket.Call) becket.Error!void {
    unary_total.add(1);
    host.log(.debug, "sample", "unary: {d} bytes", .{call.payload.len});
    const allocator = std.heap.c_allocator;
    const echoed = call.header("x-becket-echo");
    const text = try std.fmt.allocPrint(allocator, "{s} from zig: {s} {s}{s}{s}, {d} headers, {d} bytes{s}{s}", .{
        host.configGet("greeting") orelse "Hello",
        orDash(call.method()),
        orDash(call.path()),
        if (call.query().len > 0) "?" else "",
        call.query(),
        call.headers().len,
        call.payload.len,
        if (echoed != null) ", x-becket-echo=" else "",
        echoed orelse "",
    });
    defer allocator.free(text);
    call.answer(text);
}

fn echo(call: becket.Call) becket.Error!void {
    call.answer(call.payload);
}

fn stream(call: becket.Call) becket.Error!void {
    for (1..6) |i| {
        var buf: [16]u8 = undefined;
        const frame = std.fmt.bufPrint(&buf, "frame {d} of 5", .{i}) catch return error.Err;
        call.send(frame) catch |e| switch (e) {
            error.Backpressure => return call.fail(.backpressure, "stream queue full"),
            else => return e,
        };
    }
    try call.end("");
}

// -- chat ---------------------------------------------------------------------------------------

/// It waits for the next message, and for room where the caller reads slowly. An error, when the
/// caller has gone, ends it.
fn chat(call: becket.Call) becket.Error!void {
    if (wait.coroutine() == null) return call.fail(.unsupported, "needs a host with coroutines");
    const allocator = std.heap.c_allocator;
    try wait.send(call.sid, "welcome", .forever);
    var messages: u64 = 0;
    while (try wait.recv(call.sid, .forever)) |message| : (messages += 1) {
        defer message.release();
        const frame = try std.mem.concat(allocator, u8, &.{ "echo: ", message.bytes() });
        defer allocator.free(frame);
        try wait.send(call.sid, frame, .forever);
    }
    var buf: [48]u8 = undefined;
    const bye = std.fmt.bufPrint(&buf, "bye after {d} messages", .{messages}) catch return error.Err;
    try call.end(bye);
}

// -- state --------------------------------------------------------------------------------------

fn state(call: becket.Call) becket.Error!void {
    const split = std.mem.indexOfScalar(u8, call.payload, '=');
    const key = call.payload[0 .. split orelse call.payload.len];
    if (key.len == 0 or !std.unicode.utf8ValidateSlice(key)) return call.fail(.invalid, "expected key=value");
    if (split) |at| {
        switch (host.stateSet(call.sid, key, call.payload[at + 1 ..])) {
            .ok => {},
            .unsupported => return call.fail(.unsupported, "needs a host with state"),
            else => |status| return call.fail(status, "state refused"),
        }
    }
    const allocator = std.heap.c_allocator;
    const value = host.stateGet(allocator, call.sid, key) catch |e| switch (e) {
        error.NoSuchKey => try allocator.alloc(u8, 0),
        error.Unsupported => return call.fail(.unsupported, "needs a host with state"),
        error.Refused => return call.fail(.err, "state refused"),
        error.OutOfMemory => return error.OutOfMemory,
    };
    defer allocator.free(value);
    const answer = try std.mem.concat(allocator, u8, &.{ key, "=", value });
    defer allocator.free(answer);
    call.answer(answer);
}

// -- slow ---------------------------------------------------------------------------------------

/// The timer that will answer, by call. What removes a call from it answers it, or leaves it be.
var timers: becket.Table(u64, calls_max) = .{};

fn slow(call: becket.Call) becket.Error!void {
    if (!host.hasExtras()) return call.fail(.unsupported, "needs a host with timers");
    const delay_ms = if (call.payload.len == 0) slow_default_ms else digits(u64, call.payload) orelse
        return call.fail(.invalid, "expected milliseconds");
    // In the table first, as the timer may run at once; 0 is no timer's id.
    if (!timers.put(call.sid, 0)) return call.fail(.backpressure, "no timer free");
    const timer = host.after(delay_ms, slowDone, call.sid);
    if (timer == 0) {
        if (timers.take(call.sid) != null) call.fail(.backpressure, "no timer free");
        return;
    }
    const kept = timers.update(call.sid, struct {
        fn set(id: *u64, to: u64) void {
            id.* = to;
        }
    }.set, timer);
    // Cancelled before its timer was known, or already answered.
    if (!kept) slowCancelled(timer);
}

fn slowDone(sid: u64) void {
    if (timers.take(sid) != null) _ = host.send(sid, .ok, "slow done");
}

fn slowCancelled(timer: u64) void {
    if (host.cancelTimer(timer)) slow_cancelled_total.add(1);
}

fn cancel(sid: u64) becket.Error!void {
    if (timers.take(sid)) |timer| {
        if (timer != 0) slowCancelled(timer);
    } else {
        return error.Invalid;
    }
}

// -- fail ---------------------------------------------------------------------------------------

fn fail(call: becket.Call) becket.Error!void {
    if (call.payload.len == 0) return error.Err;
    if (std.mem.eql(u8, call.payload, "panic")) return error.Panic;
    const status = digits(u32, call.payload) orelse
        return call.fail(.invalid, "expected a status or panic");
    call.fail(@fromBackingInt(@intCast(status)), "failed on request");
}

/// Decimal digits, without the sign and the `_` that Zig's own parser takes.
fn digits(comptime T: type, text: []const u8) ?T {
    for (text) |c| if (!std.ascii.isDigit(c)) return null;
    return std.fmt.parseInt(T, text, 10) catch null;
}

fn orDash(text: []const u8) []const u8 {
    return if (text.len == 0) "-" else text;
}

// -- tests: the plugin over a fake host, through its vtable --------------------------------------

const FakeHost = becket.testing.FakeHost;

test "unary greets, and counts" {
    var fake = FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.set("greeting", "Ahoy");
    try fake.load(&sample.info);
    defer fake.unload();
    try std.testing.expect(fake.logged(.info, "sample", "ready"));

    try fake.expectFrame(try fake.call("unary", null, "12345"), .ok, "Ahoy from zig: - -, 0 headers, 5 bytes");
    const headers = [_]becket.abi.Header{.{ .key = .from("X-Becket-Echo"), .value = .from("seven") }};
    const request: becket.abi.Request = .{
        .path = .from("/hello"),
        .method = .from("GET"),
        .query = .from("x=1"),
        .headers = &headers,
        .headers_len = headers.len,
    };
    try fake.expectFrame(
        try fake.call("unary", &request, ""),
        .ok,
        "Ahoy from zig: GET /hello?x=1, 1 headers, 0 bytes, x-becket-echo=seven",
    );
    try std.testing.expectEqual(2, fake.metric("sample_unary_total").?);
}

test "chat says what it needs of a host" {
    var fake = FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&sample.info);
    defer fake.unload();
    try fake.expectFrame(try fake.call("chat", null, ""), .unsupported, "needs a host with coroutines");
}

test "a stream ends with Backpressure where the queue is short" {
    var fake = FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&sample.info);
    defer fake.unload();
    fake.frames_max = 1;
    const sid = try fake.call("stream", null, "");
    try fake.expectFrame(sid, .ok, "frame 1 of 5");
    try fake.expectFrame(sid, .backpressure, "stream queue full");
}

test "state is of one call" {
    var fake = FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&sample.info);
    defer fake.unload();
    const value: [1000]u8 = @splat('v');
    const long = "key=" ++ value;
    try fake.expectFrame(try fake.call("state", null, long), .ok, long);
    try fake.expectFrame(try fake.call("state", null, "key"), .ok, "key=");
    try fake.expectFrame(try fake.call("state", null, "=v"), .invalid, "expected key=value");
}

test "slow answers at its time, and never after cancel" {
    var fake = FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&sample.info);
    defer fake.unload();
    const late = try fake.call("slow", null, "20");
    const gone = try fake.call("slow", null, "10");
    try std.testing.expectEqual(.ok, fake.cancel(gone));
    try std.testing.expectEqual(.invalid, fake.cancel(gone));
    fake.advance(19);
    try std.testing.expectEqual(null, fake.next(late));
    fake.advance(1);
    try fake.expectFrame(late, .ok, "slow done");
    try std.testing.expectEqual(1, fake.metric("sample_slow_cancelled_total").?);
    try std.testing.expectEqual(0, fake.refused);
}

test "fail fails as asked, and hostile views are refused" {
    var fake = FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&sample.info);
    defer fake.unload();
    try fake.expectFrame(try fake.call("fail", null, "99"), @fromBackingInt(@intCast(99)), "failed on request");
    try fake.expectFrame(try fake.call("fail", null, ""), .err, "");
    try fake.expectFrame(try fake.call("fail", null, "panic"), .panic, "");
    try fake.expectFrame(try fake.call("fail", null, "+1"), .invalid, "expected a status or panic");

    const handle = sample.vtable.handle.?;
    try std.testing.expectEqual(.invalid, handle(null, .from("echo"), 1, null, .{ .ptr = null, .len = 8 }));
    try std.testing.expectEqual(.invalid, handle(null, .{ .ptr = null, .len = 8 }, 1, null, .{}));
    try std.testing.expectEqual(.unsupported, handle(null, .from("\xff\xfe"), 1, null, .{}));
    const hostile: becket.abi.Request = .{ .headers_len = 1 };
    try std.testing.expectEqual(.invalid, handle(null, .from("unary"), 1, &hostile, .{}));
}
