//! The plugin {{name}}.
//!
//! An entry is a function and a line in the description. It may answer at once, as these do, or
//! keep `call.sid` and answer later, from a timer or a thread of its own.

const std = @import("std");
const becket = @import("becket");

pub const plugin = becket.Plugin(.{
    .name = "{{name}}",
    .version = "0.1.0",
    .flags = becket.abi.flag_thread_safe | becket.abi.flag_may_unload,
    .config_default =
    \\{"greeting":"Hello"}
    ,
    .entries = &.{
        .{ .name = "hello", .help = "greets whom the payload names", .handle = hello },
        .{ .name = "countdown", .help = "sends 3, 2, 1", .kind = .stream, .handle = countdown },
    },
});

comptime {
    becket.exportPlugin(plugin);
}

/// One answer: a greeting from the configuration, and what was sent.
fn hello(call: becket.Call) becket.Error!void {
    const greeting = becket.host.configGet("greeting") orelse "Hello";
    const whom = if (call.payload.len > 0) call.payload else "world";
    const allocator = std.heap.c_allocator;
    const text = try std.mem.concat(allocator, u8, &.{ greeting, ", ", whom });
    defer allocator.free(text);
    call.answer(text);
}

/// A stream: as many frames as it likes, then the end.
fn countdown(call: becket.Call) becket.Error!void {
    for ([_][]const u8{ "3", "2", "1" }) |frame| {
        const sent = becket.host.send(call.sid, .ok, frame);
        if (sent != .ok) return call.fail(sent, "");
    }
    _ = becket.host.send(call.sid, .stream_end, "");
}

test "hello greets whom the payload names" {
    var fake = becket.testing.FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.set("greeting", "Hi");
    try fake.load(&plugin.info);
    defer fake.unload();
    try fake.expectFrame(try fake.call("hello", null, "you"), .ok, "Hi, you");
    try fake.expectFrame(try fake.call("hello", null, ""), .ok, "Hi, world");
}

test "countdown counts down" {
    var fake = becket.testing.FakeHost.init(std.testing.allocator);
    defer fake.deinit();
    try fake.load(&plugin.info);
    defer fake.unload();
    const sid = try fake.call("countdown", null, "");
    for ([_][]const u8{ "3", "2", "1" }) |frame| try fake.expectFrame(sid, .ok, frame);
    try fake.expectFrame(sid, .stream_end, "");
}
