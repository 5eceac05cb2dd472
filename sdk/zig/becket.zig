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
//! Handlers run on worker threads of the host, several at once. One that blocks holds its worker, of
//! which a plugin has `workers_max`: work that takes long is better continued from a timer
//! (`host.after`) or a thread of the plugin, which may answer by the sid at any time. An entry with
//! `.waits = true` runs on a coroutine of the host and may wait in straight-line code: `wait.recv`,
//! `wait.send`, `wait.sleep`. With `abi.flag_never_blocks` among its flags
//! a plugin is called on its callers' threads.
//!
//! A Zig panic cannot be caught: it ends the host's process. Return an error instead.

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
