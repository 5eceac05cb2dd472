// SPDX-License-Identifier: BSD-3-Clause
//! What a handler on a coroutine of the host waits for, in straight-line Zig.
//!
//!     fn chat(call: becket.Call) becket.Error!void {
//!         while (try becket.wait.recv(call.sid, .forever)) |frame| {
//!             defer frame.release();
//!             try becket.wait.send(call.sid, frame.bytes(), .forever);
//!         }
//!         try call.end("");
//!     }
//!
//! `error.Cancelled`: the call has no caller any more, or the plugin is about to end; let it pass.
//! A handler that waits on and on is given up by the host where it stands. Hold no lock across a
//! wait, and keep nothing of the thread's (a `threadlocal`) across one.
//!
//! On a thread of the plugin's own these wait as a thread. On a thread of the host, and on a host
//! without coroutines, they fail with `error.Unsupported`.

const std = @import("std");
const abi = @import("abi.zig");
const host = @import("host.zig");
const Error = @import("plugin.zig").Error;

/// How long at most, in nanoseconds; then `error.Timeout`.
pub const Limit = enum(u64) {
    /// Not at all.
    none = 0,
    forever = abi.forever,
    _,

    pub fn ms(milliseconds: u64) Limit {
        return @fromBackingInt(milliseconds *| std.time.ns_per_ms);
    }
};

/// Bytes that were received: the host's, until they are released.
pub const Message = struct {
    owned: abi.OwnedBytes,

    pub fn bytes(self: Message) []const u8 {
        return abi.slice(self.owned.ptr, self.owned.len) orelse "";
    }
    /// Once.
    pub fn release(self: Message) void {
        if (self.owned.release) |f| f(self.owned.owner_ctx, self.owned.ptr, self.owned.len);
    }
};

/// What names the calling coroutine; `null` on a thread, or on a host without any.
pub fn coroutine() ?u64 {
    const api, const ctx = host.tableOf();
    const f = api.coroutine_current orelse return null;
    const id = f(ctx);
    return if (id == 0) null else id;
}

/// Lets others run first.
pub fn yield() Error!void {
    const api, const ctx = host.tableOf();
    const f = api.coroutine_yield orelse return error.Unsupported;
    return check(f(ctx));
}

pub fn sleep(ns: u64) Error!void {
    const api, const ctx = host.tableOf();
    const f = api.coroutine_sleep orelse return error.Unsupported;
    return check(f(ctx, ns));
}

/// Runs `function(argument)` on a coroutine that serves the same call.
pub fn spawn(function: abi.CoroutineFn, argument: ?*anyopaque) Error!void {
    const api, const ctx = host.tableOf();
    const f = api.coroutine_spawn orelse return error.Unsupported;
    return check(f(ctx, function, argument, 0));
}

/// The next frame from the host to stream `sid`; `null`: it has closed, and all was received.
pub fn recv(sid: u64, limit: Limit) Error!?Message {
    const api, const ctx = host.tableOf();
    const f = api.stream_recv orelse return error.Unsupported;
    return received(f, ctx, sid, limit);
}

/// A frame to the host, when there is room. `error.TooLong`: it is longer than the host takes, and
/// the stream goes on without it.
pub fn send(sid: u64, frame: []const u8, limit: Limit) Error!void {
    const api, const ctx = host.tableOf();
    const f = api.stream_send orelse return error.Unsupported;
    return check(f(ctx, sid, .from(frame), @backingInt(limit)));
}

/// Byte messages between handlers.
pub const Channel = struct {
    id: u64,

    /// With capacity 0 each send waits for its receiver.
    pub fn make(capacity: u64) Error!Channel {
        const api, const ctx = host.tableOf();
        const f = api.channel_make orelse return error.Unsupported;
        const id = f(ctx, capacity);
        return if (id == 0) error.Backpressure else .{ .id = id };
    }
    pub fn send(self: Channel, message: []const u8, limit: Limit) Error!void {
        const api, const ctx = host.tableOf();
        const f = api.channel_send orelse return error.Unsupported;
        return check(f(ctx, self.id, .from(message), @backingInt(limit)));
    }
    /// `null`: closed, and empty.
    pub fn recv(self: Channel, limit: Limit) Error!?Message {
        const api, const ctx = host.tableOf();
        const f = api.channel_recv orelse return error.Unsupported;
        return received(f, ctx, self.id, limit);
    }
    /// Nothing more is sent; what was sent can be received.
    pub fn close(self: Channel) void {
        const api, const ctx = host.tableOf();
        if (api.channel_close) |f| _ = f(ctx, self.id);
    }
    /// Once.
    pub fn destroy(self: Channel) void {
        const api, const ctx = host.tableOf();
        if (api.channel_destroy) |f| _ = f(ctx, self.id);
    }
};

fn received(f: anytype, ctx: ?*anyopaque, from: u64, limit: Limit) Error!?Message {
    var message: Message = .{ .owned = .{} };
    const status = f(ctx, from, &message.owned, @backingInt(limit));
    if (status == .closed) return null;
    try check(status);
    return message;
}

fn check(status: abi.Status) Error!void {
    return switch (status) {
        .ok => {},
        .timeout => error.Timeout,
        .cancelled => error.Cancelled,
        .closed => error.Closed,
        .unsupported => error.Unsupported,
        .backpressure => error.Backpressure,
        .invalid => error.Invalid,
        .too_long => error.TooLong,
        else => error.Err,
    };
}
