// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin remembers of its open calls: a bounded map from sid to value, for any thread.
//!
//! Sharded by sid, one lock a shard, held for one map operation and never across a call into the
//! host. Memory is that of the largest number of calls that were open at once.

const std = @import("std");

const shards_len = 64;

pub fn Table(comptime T: type, comptime entries_max: usize) type {
    return struct {
        shards: [shards_len]Shard = @splat(.{}),
        len: std.atomic.Value(usize) = .init(0),

        const Self = @This();
        const Map = std.AutoHashMapUnmanaged(u64, T);
        const Shard = struct {
            lock: std.c.pthread_mutex_t = .{},
            map: Map = .empty,
        };

        /// False: full, or out of memory; nothing was kept.
        pub fn put(self: *Self, sid: u64, value: T) bool {
            if (self.len.fetchAdd(1, .monotonic) >= entries_max) return self.uncount();
            const shard = self.lockShard(sid);
            defer unlock(shard);
            const slot = shard.map.getOrPut(std.heap.c_allocator, sid) catch return self.uncount();
            slot.value_ptr.* = value;
            if (slot.found_existing) _ = self.uncount();
            return true;
        }

        /// Removes the value. Of several callers one gets it.
        pub fn take(self: *Self, sid: u64) ?T {
            const shard = self.lockShard(sid);
            defer unlock(shard);
            const kept = shard.map.fetchRemove(sid) orelse return null;
            _ = self.uncount();
            return kept.value;
        }

        pub fn contains(self: *Self, sid: u64) bool {
            const shard = self.lockShard(sid);
            defer unlock(shard);
            return shard.map.contains(sid);
        }

        /// Runs `change(value, argument)` under the lock; false if there is no such call.
        pub fn update(self: *Self, sid: u64, comptime change: fn (*T, T) void, argument: T) bool {
            const shard = self.lockShard(sid);
            defer unlock(shard);
            const value = shard.map.getPtr(sid) orelse return false;
            change(value, argument);
            return true;
        }

        /// Removes everything, giving each value to `each`, and frees the memory.
        pub fn clear(self: *Self, comptime each: fn (u64, T) void) void {
            for (&self.shards) |*shard| {
                _ = std.c.pthread_mutex_lock(&shard.lock);
                var map = shard.map;
                shard.map = .empty;
                unlock(shard);
                var kept = map.iterator();
                while (kept.next()) |entry| {
                    _ = self.uncount();
                    each(entry.key_ptr.*, entry.value_ptr.*);
                }
                map.deinit(std.heap.c_allocator);
            }
        }

        fn uncount(self: *Self) bool {
            _ = self.len.fetchSub(1, .monotonic);
            return false;
        }

        fn lockShard(self: *Self, sid: u64) *Shard {
            // An id is an index and a generation, in halves whose order is the host's.
            const shard = &self.shards[@intCast((sid ^ sid >> 32) % shards_len)];
            _ = std.c.pthread_mutex_lock(&shard.lock);
            return shard;
        }

        fn unlock(shard: *Shard) void {
            _ = std.c.pthread_mutex_unlock(&shard.lock);
        }
    };
}

test "a full table refuses, and has room again" {
    var table: Table(u32, 2) = .{};
    defer table.clear(struct {
        fn f(_: u64, _: u32) void {}
    }.f);
    try std.testing.expect(table.put(1, 10));
    try std.testing.expect(table.put(2, 20));
    try std.testing.expect(!table.put(3, 30));
    try std.testing.expectEqual(10, table.take(1).?);
    try std.testing.expectEqual(null, table.take(1));
    try std.testing.expect(table.put(3, 30));
    try std.testing.expect(table.contains(3));
}
