// SPDX-License-Identifier: BSD-3-Clause
//! A filter that puts stars in place of card numbers and of names in e-mail addresses, in the strings
//! of JSON answers. It needs `response_body = true`.
//!
//! A card number is 13 to 19 digits, with single spaces or dashes between them; its last four stay.
//! Numbers outside strings stay too: a time in milliseconds has 13 digits.

const std = @import("std");
const becket = @import("becket");

comptime {
    becket.exportPlugin(becket.Plugin(.{
        .name = "redact",
        .version = "1.0.0",
        .flags = becket.abi.flag_thread_safe | becket.abi.flag_may_unload |
            becket.abi.flag_never_blocks,
        .entries = &.{.{ .name = "filter", .help = "stars for card numbers and addresses in JSON", .handle = filter }},
    }));
}

// ANCHOR: filter
fn filter(call: becket.Call) becket.Error!void {
    if (!std.mem.eql(u8, call.header("becket-phase") orelse "", "response")) {
        // Whole and plain answers alone can be read.
        return call.answer("continue\nremove accept-encoding\nremove range\ncontext\n");
    }
    const kind = call.header("content-type") orelse "";
    if (call.payload.len == 0 or !std.ascii.startsWithIgnoreCase(kind, "application/json")) {
        return call.answer("continue");
    }
    if (call.header("content-encoding") != null) {
        return call.answer("respond 502\n\nthe service's answer cannot be read\n");
    }
    const allocator = std.heap.c_allocator;
    const answer = try std.fmt.allocPrint(allocator, "respond {s}\nset content-type: {s}\n\n{s}", .{
        call.header("becket-status") orelse return error.Invalid,
        kind,
        call.payload,
    });
    defer allocator.free(answer);
    redact(answer[answer.len - call.payload.len ..]);
    call.answer(answer);
}
// ANCHOR_END: filter

fn redact(json: []u8) void {
    var in_string = false;
    var at: usize = 0;
    while (at < json.len) : (at += 1) {
        switch (json[at]) {
            '"' => in_string = !in_string,
            // An escaped quote ends no string, and \u0041 has no digits of a card.
            '\\' => at += if (at + 1 < json.len and json[at + 1] == 'u') 5 else 1,
            '@' => if (in_string) hideName(json[0..at]),
            '0'...'9' => if (in_string) {
                at = hideCard(json, at) - 1;
            },
            else => {},
        }
    }
}

/// The name that ends where the text does, with what is escaped in it.
fn hideName(text: []u8) void {
    var at = text.len;
    while (at > 0 and (std.ascii.isAlphanumeric(text[at - 1]) or
        std.mem.indexOfScalar(u8, "._%+-*\\", text[at - 1]) != null)) : (at -= 1)
    {
        text[at - 1] = '*';
    }
}

/// The digits that begin at `first`, if they are as many as a card has. Returns where they end.
fn hideCard(json: []u8, first: usize) usize {
    var digits: usize = 0;
    var end = first;
    while (end < json.len) : (end += 1) {
        if (std.ascii.isDigit(json[end])) {
            digits += 1;
        } else if ((json[end] != ' ' and json[end] != '-') or !std.ascii.isDigit(json[end - 1])) {
            break;
        }
    }
    if (digits < 13 or digits > 19) return end;
    var left = digits;
    for (json[first..end]) |*byte| {
        if (!std.ascii.isDigit(byte.*)) continue;
        if (left > 4) byte.* = '*';
        left -= 1;
    }
    return end;
}

test "what is hidden, and what stays" {
    const cases = [_][2][]const u8{
        .{ "{\"a\":\"4111-1111-1111-1111, x\"}", "{\"a\":\"****-****-****-1111, x\"}" },
        .{ "{\"a\":\"411111111111\",\"b\":4111111111111}", "{\"a\":\"411111111111\",\"b\":4111111111111}" },
        .{ "{\"a\":\"\\\"4111111111111\"}", "{\"a\":\"\\\"*********1111\"}" },
        .{ "{\"a\":\"\\u12344111111111111\"}", "{\"a\":\"\\u1234*********1111\"}" },
        .{ "{\"a\":\"to \\u00e4b@x.org\"}", "{\"a\":\"to *******@x.org\"}" },
        .{ "\"\\u", "\"\\u" },
        .{ "\"4111111111111", "\"*********1111" },
    };
    for (cases) |case| {
        const json = try std.testing.allocator.dupe(u8, case[0]);
        defer std.testing.allocator.free(json);
        redact(json);
        try std.testing.expectEqualStrings(case[1], json);
    }
}
