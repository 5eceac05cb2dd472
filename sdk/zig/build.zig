// SPDX-License-Identifier: BSD-3-Clause
//! `zig build test`: the SDK's own tests, `abi.zig` against the C headers, and the sample plugin.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const becket = b.addModule("becket", .{
        .root_source_file = b.path("becket.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
    });
    const header = b.addTranslateC(.{
        .root_source_file = b.path("../../crates/abi/include/becket.h"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
    });
    const against_header = b.createModule(.{
        .root_source_file = b.path("header_test.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
    });
    against_header.addImport("header", header.createModule());
    const sample = b.createModule(.{
        .root_source_file = b.path("../../examples/plugins/zig/sample.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
    });
    sample.addImport("becket", becket);

    const step = b.step("test", "Run the tests");
    for ([_]*std.Build.Module{ becket, against_header, sample }) |module| {
        step.dependOn(&b.addRunArtifact(b.addTest(.{ .root_module = module })).step);
    }
}
