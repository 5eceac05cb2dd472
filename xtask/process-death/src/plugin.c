/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin that ends its process, and that writes down what it runs.
 *
 *   echo      answers with its payload
 *   once      appends its payload to the record, and answers with it
 *   wait      appends `wait` to the record, and never answers
 *   aborts, segfaults, exits, memory
 *             append the time to the record and end the process
 *
 * The record is the file in BECKET_DEATH_RECORD; each line of it is written by one call of the kernel. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nylon_ring.h"

static void *host;
static const NrHostVTable *table;
static int record = -1;

static void put(const char *text) {
    char line[64];
    int length = snprintf(line, sizeof line, "%s\n", text);
    if (write(record, line, (size_t)length) != length) {
        raise(SIGKILL);
    }
}

/* The time of the end, in nanoseconds of CLOCK_MONOTONIC. */
static void now(void) {
    char text[32];
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    snprintf(text, sizeof text, "%lld", (long long)at.tv_sec * 1000000000 + at.tv_nsec);
    put(text);
}

static void aborts(void) {
    now();
    abort();
}

static void segfaults(void) {
    now();
    *(volatile uint64_t *)(uintptr_t)8 = 1;
}

static void exits(void) {
    now();
    _exit(3);
}

/* A page of each block is touched: the end is timed, not the kernel's work on all of them. */
static void memory(void) {
    for (;;) {
        volatile char *block = malloc(1 << 20);
        if (block == NULL) {
            aborts();
        }
        *block = 1;
    }
}

static const struct {
    const char *name;
    void (*end)(void);
} ends[] = {{"aborts", aborts}, {"segfaults", segfaults}, {"exits", exits}, {"memory", memory}};

static NrStatus init(void *ctx, void *h, const NrHostVTable *t) {
    const char *path = getenv("BECKET_DEATH_RECORD");
    (void)ctx;
    host = h;
    table = t;
    record = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return record < 0 ? NR_ERR : NR_OK;
}

static int is(NrStr entry, const char *name) {
    return strlen(name) == entry.len && memcmp(name, entry.ptr, entry.len) == 0;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    char text[32] = "";
    (void)ctx;
    (void)request;
    if (is(entry, "wait")) {
        put("wait");
        return NR_OK;
    }
    if (is(entry, "once")) {
        memcpy(text, payload.ptr, payload.len < sizeof text ? payload.len : sizeof text - 1);
        put(text);
    } else if (!is(entry, "echo")) {
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            if (is(entry, ends[i].name)) {
                ends[i].end();
            }
        }
        return NR_UNSUPPORTED;
    }
    table->send_result(host, sid, NR_OK, payload);
    return NR_OK;
}

static void end(void *ctx) { (void)ctx; }

static const NrPluginVTable vtable = {.init = init, .handle = handle, .shutdown = end};
static const NrPluginInfo info = {
    .abi_version = 1,
    .struct_size = 56,
    .name = {(const uint8_t *)"death", 5, 0},
    .version = {(const uint8_t *)"1", 1, 0},
    .vtable = (NrPluginVTable *)&vtable,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return &info; }
