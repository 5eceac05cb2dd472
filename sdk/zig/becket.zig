// SPDX-License-Identifier: BSD-3-Clause
//! Becket plugins in Zig.
//!
//!     const becket = @import("becket");
//!
//!     fn greet(call: becket.Call) becket.Error!void {
//!         call.answer("hello");
//!     }
//!
//!     comptime {
//!         becket.exportPlugin(becket.Plugin(.{
//!             .name = "hello",
//!             .version = "1.0.0",
//!             .entries = &.{.{ .name = "greet", .handle = greet }},
//!         }));
//!     }
//!
//! Handlers run on the host's threads, several at once, and must not block: what takes longer is
//! continued from a timer (`host.after`) or a thread of the plugin, which may answer by the sid at
//! any time. An entry with `.waits = true` runs on a coroutine of the host instead and may wait in
//! straight-line code: `wait.recv`, `wait.send`, `wait.sleep`.
//!
//! A Zig panic cannot be caught: it ends the process. Build with `ReleaseSafe` and run the plugin at
//! the distance `process` where that matters.

pub const abi = @import("abi.zig");
pub const host = @import("host.zig");
pub const testing = @import("testing.zig");
pub const wait = @import("wait.zig");

pub const Status = abi.Status;
pub const Kind = abi.Kind;
pub const Level = abi.Level;

const plugin = @import("plugin.zig");
pub const Call = plugin.Call;
pub const Description = plugin.Description;
pub const Entry = plugin.Entry;
pub const Error = plugin.Error;
pub const Plugin = plugin.Plugin;
pub const exportPlugin = plugin.exportPlugin;

pub const Table = @import("table.zig").Table;

test {
    _ = abi;
    _ = plugin;
    _ = @import("table.zig");
    _ = testing;
}
