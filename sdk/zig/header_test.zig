// SPDX-License-Identifier: BSD-3-Clause
//! `abi.zig` against the C headers, field by field: `header` is `becket.h` as `zig translate-c`
//! reads it.

const std = @import("std");
const abi = @import("abi.zig");
const header = @import("header");

test "every structure is the header's" {
    const pairs = .{
        .{ abi.Str, header.NrStr },
        .{ abi.Bytes, header.NrBytes },
        .{ abi.OwnedBytes, header.NrOwnedBytes },
        .{ abi.BufferLease, header.NrBufferLease },
        .{ abi.Header, header.NrHeader },
        .{ abi.Request, header.NrRequest },
        .{ abi.HostVTable, header.NrHostVTable },
        .{ abi.HostExt, header.NrHostExt },
        .{ abi.EntryInfo, header.BkEntryInfo },
        .{ abi.HostApi, header.BkHostApi },
        .{ abi.PluginVTable, header.NrPluginVTable },
        .{ abi.PluginInfo, header.NrPluginInfo },
    };
    inline for (pairs) |pair| {
        try std.testing.expectEqual(@sizeOf(pair[1]), @sizeOf(pair[0]));
        const names = comptime std.meta.fieldNames(pair[1]);
        try std.testing.expectEqual(names.len, std.meta.fieldNames(pair[0]).len);
        inline for (names) |name| {
            try std.testing.expectEqual(@offsetOf(pair[1], name), @offsetOf(pair[0], name));
            try std.testing.expectEqual(
                @sizeOf(@FieldType(pair[1], name)),
                @sizeOf(@FieldType(pair[0], name)),
            );
        }
    }
}

test "every constant is the header's" {
    try std.testing.expectEqual(header.NR_ABI_VERSION, abi.abi_version);
    try std.testing.expectEqual(header.BK_ENTRY_UNKNOWN, abi.entry_unknown);
    try std.testing.expectEqual(header.BK_METRIC_UNKNOWN, abi.metric_unknown);
    try std.testing.expectEqual(header.BK_NO_DEADLINE, abi.no_deadline);
    try std.testing.expectEqual(header.BK_FOREVER, abi.forever);
    try std.testing.expectEqual(header.BK_ENTRY_NEVER_WAITS, abi.entry_never_waits);
    try std.testing.expectEqual(header.BK_PLUGIN_THREAD_SAFE, abi.flag_thread_safe);
    try std.testing.expectEqual(header.BK_PLUGIN_MULTI_INSTANCE, abi.flag_multi_instance);
    try std.testing.expectEqual(header.BK_PLUGIN_WANTS_COROUTINE, abi.flag_wants_coroutine);
    try std.testing.expectEqual(header.BK_PLUGIN_MAY_UNLOAD, abi.flag_may_unload);
    try std.testing.expectEqual(header.BK_PLUGIN_NEVER_BLOCKS, abi.flag_never_blocks);
    try std.testing.expectEqual(header.BK_LOG_TRACE, @backingInt(abi.Level.trace));
    try std.testing.expectEqual(header.BK_METRIC_HISTOGRAM, @backingInt(abi.MetricKind.histogram));
    try std.testing.expectEqual(header.BK_ENTRY_BIDIRECTIONAL, @backingInt(abi.Kind.bidirectional));
}
